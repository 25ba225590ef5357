//! A transfer between two accounts: both locks at once, so that transfers in both directions neither mix nor deadlock.
//!
//! Run it with `cargo run --example transfer`. It serves `POST /transfers/{from}/{to}/{amount}` and `GET /accounts` on
//! `127.0.0.1:3000` until it is stopped. With `-- --once` it makes some transfers itself and ends.

#[path = "support/http.rs"]
mod http;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use http::{ensure, serve};
use orchestrix_locking::{BoxError, LockSetHandle, Locking, key};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Stands for a database whose reads and writes are separate.
#[derive(Debug)]
struct Accounts(Mutex<BTreeMap<String, u64>>);

impl Accounts {
    fn read(&self, id: &str) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }

    fn write(&self, id: &str, balance: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), balance);
    }

    fn total(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

/// Reads, works for a moment, and writes. Without the locks another transfer could write in between.
async fn transfer(
    State(accounts): State<Arc<Accounts>>,
    Path((from, to, amount)): Path<(String, String, u64)>,
    locks: LockSetHandle,
) -> Result<String, StatusCode> {
    if from == to {
        return Err(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let source = accounts.read(&from).ok_or(StatusCode::NOT_FOUND)?;
    let target = accounts.read(&to).ok_or(StatusCode::NOT_FOUND)?;
    sleep(Duration::from_millis(5)).await;
    let (source, target) = (source.checked_sub(amount), target.checked_add(amount));
    let (Some(source), Some(target)) = (source, target) else { return Err(StatusCode::CONFLICT) };
    accounts.write(&from, source);
    accounts.write(&to, target);
    let tokens: Vec<_> = locks.handles().iter().map(|lock| lock.fencing_token().get()).collect();
    Ok(format!("done under tokens {tokens:?}"))
}

fn routes(locking: &Locking, accounts: Arc<Accounts>) -> Router {
    // In any order: the layer takes the locks in the order of their names.
    let both = key::all(["from", "to"].map(|id| key::path_param(id).prefixed("account")));
    let under_both = locking.http_layer(both).wait(Duration::from_secs(5));
    let total = async |State(accounts): State<Arc<Accounts>>| format!("total {}", accounts.total());
    Router::new()
        .route("/transfers/{from}/{to}/{amount}", post(transfer).route_layer(under_both))
        .route("/accounts", get(total))
        .with_state(accounts)
}

/// Transfers in both directions and in a circle, all at once.
async fn show(router: Router) -> Result<(), BoxError> {
    let client = Arc::new(serve(router).await?);
    let mut transfers = JoinSet::new();
    for (from, to) in [("a", "b"), ("b", "a"), ("b", "c"), ("c", "a"), ("a", "c"), ("c", "b")].repeat(5) {
        let client = Arc::clone(&client);
        transfers.spawn(async move { client.send("POST", &format!("/transfers/{from}/{to}/1"), &[], "").await });
    }
    while let Some(answer) = transfers.join_next().await {
        let answer = answer??;
        ensure(answer.status == StatusCode::OK, "a transfer is done")?;
    }
    let total = client.send("GET", "/accounts", &[], "").await?.body;
    println!("30 transfers at once, {total}");
    ensure(total == "total 300", "no money is lost or made")
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let locking = Locking::builder().add_in_memory_locking().build()?;
    let accounts = ["a", "b", "c"].map(|id| (id.to_owned(), 100));
    let router = routes(&locking, Arc::new(Accounts(Mutex::new(accounts.into()))));
    let done = if std::env::args().any(|argument| argument == "--once") {
        show(router).await
    } else {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
        println!("POST http://{}/transfers/a/b/10", listener.local_addr()?);
        axum::serve(listener, router).await.map_err(Into::into)
    };
    locking.close().await;
    done
}
