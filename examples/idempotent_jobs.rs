//! An idempotent job endpoint: requests with one `Idempotency-Key` run the job once, and all get its result.
//!
//! Run it with `cargo run --example idempotent_jobs`.

#[path = "support/http.rs"]
mod http;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{Answer, Client, ensure, serve};
use orchestrix_locking::{BoxError, LockHandle, Locking, OnDisconnect, key};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Stands for a database.
#[derive(Debug, Default)]
struct Jobs {
    done: Mutex<HashMap<String, Done>>,
    charges: AtomicU64,
    begun: Notify,
}

#[derive(Debug, Clone)]
struct Done {
    order: String,
    receipt: String,
}

impl Jobs {
    fn find(&self, key: &str) -> Option<Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn keep(&self, key: &str, done: Done) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), done);
    }
}

/// Looks for a result, works for a while, and stores one. Without the lock two requests would both find nothing.
async fn charge(State(jobs): State<Arc<Jobs>>, lock: LockHandle, order: String) -> Response {
    // The name has the tenant and its key, so it identifies the result too.
    let key = lock.resource().as_str();
    if let Some(done) = jobs.find(key) {
        if done.order != order {
            return (StatusCode::UNPROCESSABLE_ENTITY, "the key belongs to another order").into_response();
        }
        return (StatusCode::OK, [("idempotent-replayed", "true")], done.receipt).into_response();
    }
    jobs.begun.notify_one();
    let number = jobs.charges.fetch_add(1, SeqCst) + 1;
    sleep(Duration::from_millis(50)).await;
    let receipt = format!("receipt {number}");
    jobs.keep(key, Done { order, receipt: receipt.clone() });
    (StatusCode::CREATED, receipt).into_response()
}

fn routes(locking: &Locking, jobs: Arc<Jobs>) -> Router {
    let one_charge = locking
        // Keys of different tenants are different. A key that makes an invalid name is answered with 400.
        .http_layer(key::parts([key::header("x-tenant"), key::header("idempotency-key")]).prefixed("charge"))
        .wait(Duration::from_secs(5))
        // A charge that has begun runs to its end and is stored, so that a retry finds it.
        .on_disconnect(OnDisconnect::Finish);
    Router::new().route("/charges", post(charge).route_layer(one_charge)).with_state(jobs)
}

async fn send(client: &Client, key: &str, order: &str) -> Result<Answer, BoxError> {
    client.send("POST", "/charges", &[("x-tenant", "shop"), ("idempotency-key", key)], order).await
}

fn show(answer: &Answer) {
    let replayed = if answer.header("idempotent-replayed").is_empty() { "" } else { ", replayed" };
    println!("  {}{replayed}: {}", answer.status, answer.body);
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let locking = Locking::builder().add_in_memory_locking().build()?;
    let jobs = Arc::new(Jobs::default());
    let client = serve(routes(&locking, Arc::clone(&jobs))).await?;

    println!("Four copies of one request at once:");
    let mut copies = JoinSet::new();
    for _ in 0..4 {
        let client = client.clone();
        copies.spawn(async move { send(&client, "first", "10 apples").await });
    }
    while let Some(answer) = copies.join_next().await {
        let answer = answer??;
        show(&answer);
        ensure(answer.body == "receipt 1", "all of them have one receipt")?;
    }
    ensure(jobs.charges.load(SeqCst) == 1, "the charge is made once")?;
    jobs.begun.notified().await;

    println!("A client that goes away in the middle, and tries again:");
    tokio::select! {
        answer = send(&client, "second", "2 pears") => return Err(format!("answered early: {answer:?}").into()),
        () = jobs.begun.notified() => {}
    }
    // The request is dropped here, and its connection with it.
    let again = send(&client, "second", "2 pears").await?;
    show(&again);
    ensure(again.body == "receipt 2" && again.status == 200, "the retry finds what was done")?;
    ensure(jobs.charges.load(SeqCst) == 2, "the charge is made once")?;

    println!("A key that is used for something else:");
    show(&send(&client, "second", "200 pears").await?);
    println!("No key at all:");
    let none = client.send("POST", "/charges", &[("x-tenant", "shop")], "1 plum").await?;
    show(&none);
    ensure(none.status == 400, "a request without a key is refused")?;
    // Before the program ends: on Redis this waits for the last releases.
    locking.close().await;
    Ok(())
}
