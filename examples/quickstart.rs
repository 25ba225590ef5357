//! Accounts behind HTTP: updates that get lost without a lock, and the layer that prevents it.
//!
//! Run it with `cargo run --example quickstart`. It sends itself requests, prints what happened, and then goes
//! on serving for you to try; `cargo run --example quickstart -- --once` ends after the first part.

#[path = "support/shutdown.rs"]
mod shutdown;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{Json, Response};
use axum::routing::{get, post};
use axum::{Router, http};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use orchestrix_locking::{BoxError, LockHandle, Locking, key};
use serde_json::{Value, json};
use shutdown::serve_until;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];
const START: i64 = 1000;
const CLIENTS: usize = 50; // per account

// ---- The service ---------------------------------------------------------------------------------------------

/// An account as a database would keep it: read in one step, written in another.
#[derive(Debug)]
struct Account {
    balance: AtomicI64,
    /// The highest token that was shown so far. A lower one comes from a holder that has lost the lock.
    fence: AtomicU64,
    inside: Gauge,
}

impl Account {
    fn read(&self, token: u64) -> Result<i64, StatusCode> {
        self.accept(token)?;
        Ok(self.balance.load(SeqCst))
    }

    fn write(&self, token: u64, balance: i64) -> Result<(), StatusCode> {
        self.accept(token)?;
        self.balance.store(balance, SeqCst);
        Ok(())
    }

    fn accept(&self, token: u64) -> Result<(), StatusCode> {
        if self.fence.fetch_max(token, SeqCst) > token { Err(StatusCode::CONFLICT) } else { Ok(()) }
    }
}

/// Withdraws 1, as handlers do: reads, works for a while, and writes the result.
async fn withdraw(
    State(bank): State<Arc<Bank>>,
    Path(name): Path<String>,
    Query(query): Query<HashMap<String, u64>>,
    Extension(Arrived(arrived)): Extension<Arrived>,
    lock: Option<LockHandle>,
) -> Result<Json<Value>, StatusCode> {
    let account = bank.accounts.get(name.as_str()).ok_or(StatusCode::NOT_FOUND)?;
    let waited = arrived.elapsed();
    if lock.is_some() {
        bank.started(waited);
    }
    let _inside = (account.inside.enter(), bank.inside.enter());

    let token = lock.map_or(0, |lock| lock.fencing_token().get());
    let before = account.read(token)?;
    sleep(Duration::from_millis(query.get("ms").copied().unwrap_or(5))).await;
    let after = before - 1;
    account.write(token, after)?;

    // The token as a string: JSON numbers lose digits beyond 2^53 in many readers.
    let waited = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(json!({ "account": name, "balance": after, "token": token.to_string(), "waited_ms": waited })))
}

async fn balances(State(bank): State<Arc<Bank>>) -> Json<BTreeMap<&'static str, i64>> {
    Json(bank.accounts.iter().map(|(name, account)| (*name, account.balance.load(SeqCst))).collect())
}

/// The routes, with the layer around the withdrawal if there is a lock to use.
fn service(bank: Arc<Bank>, lock: Option<(&Locking, Duration)>) -> Router {
    let mut withdrawing = post(withdraw);
    if let Some((locking, wait)) = lock {
        let account = key::path_param("id").prefixed("account");
        withdrawing = withdrawing.route_layer(locking.http_layer(account).wait(wait));
    }
    // Outside the lock, so that the time of arrival is known to a request that has waited.
    let withdrawals = Router::new().route("/accounts/{id}/withdraw", withdrawing).route_layer(from_fn(note_arrival));
    Router::new().route("/accounts", get(balances)).merge(withdrawals).with_state(bank)
}

#[derive(Debug, Clone, Copy)]
struct Arrived(Instant);

async fn note_arrival(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Arrived(Instant::now()));
    next.run(request).await
}

// ---- What is measured ----------------------------------------------------------------------------------------

#[derive(Debug)]
struct Bank {
    accounts: BTreeMap<&'static str, Account>,
    inside: Gauge,
    waited: AtomicUsize,
    longest_wait: AtomicU64,
}

impl Bank {
    fn new() -> Arc<Self> {
        let account = || Account { balance: AtomicI64::new(START), fence: AtomicU64::new(0), inside: Gauge::default() };
        Arc::new(Self {
            accounts: NAMES.into_iter().map(|name| (name, account())).collect(),
            inside: Gauge::default(),
            waited: AtomicUsize::new(0),
            longest_wait: AtomicU64::new(0),
        })
    }

    fn started(&self, waited: Duration) {
        let waited = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        if waited > 0 {
            self.waited.fetch_add(1, SeqCst);
        }
        self.longest_wait.fetch_max(waited, SeqCst);
    }
}

/// How many requests are inside at once, and the maximum so far.
#[derive(Debug, Default)]
struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Inside<'a>(&'a Gauge);

impl Gauge {
    fn enter(&self) -> Inside<'_> {
        let now = self.now.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(now, SeqCst);
        Inside(self)
    }

    fn most(&self) -> usize {
        self.most.load(SeqCst)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, SeqCst);
    }
}

/// The result of one round.
struct Report {
    done: i64,
    refused: i64,
    other: i64,
    lost: i64,
    waited: usize,
    longest_wait: u64,
    overlap: usize,
    parallel: usize,
}

impl Report {
    /// What the layer promises: no update lost, one at a time on each account, and an answer to each request.
    fn kept(&self) -> bool {
        self.lost == 0 && self.overlap == 1 && self.other == 0
    }
}

// ---- The demonstration ---------------------------------------------------------------------------------------

/// Serves on a port of its own, and has every client withdraw 1 at the same time, over HTTP.
async fn round(lock: Option<(&Locking, Duration)>) -> Result<Report, BoxError> {
    let bank = Bank::new();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(axum::serve(listener, service(Arc::clone(&bank), lock)).into_future());

    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        for name in NAMES {
            let uri = format!("http://{address}/accounts/{name}/withdraw");
            let request = http::Request::post(uri).body(Body::empty())?;
            clients.spawn(client.request(request));
        }
    }
    let (mut done, mut refused, mut other) = (0, 0, 0);
    while let Some(answer) = clients.join_next().await {
        match answer??.status() {
            StatusCode::OK => done += 1,
            StatusCode::SERVICE_UNAVAILABLE => refused += 1,
            _ => other += 1,
        }
    }
    server.abort();

    let withdrawn: i64 = bank.accounts.values().map(|account| START - account.balance.load(SeqCst)).sum();
    Ok(Report {
        done,
        refused,
        other,
        lost: done - withdrawn,
        waited: bank.waited.load(SeqCst),
        longest_wait: bank.longest_wait.load(SeqCst),
        overlap: bank.accounts.values().map(|account| account.inside.most()).max().unwrap_or(0),
        parallel: bank.inside.most(),
    })
}

fn show(reports: &[Report]) {
    let row = |name: &str, value: &dyn Fn(&Report) -> String| {
        print!("  {name:<42}");
        for report in reports {
            print!("{:>16}", value(report));
        }
        println!();
    };
    println!("  {:<42}{:>16}{:>16}{:>16}", "", "no layer", "wait 10 s", "wait 100 ms");
    row("withdrawals answered with 200", &|report| report.done.to_string());
    row("withdrawals refused with 503", &|report| report.refused.to_string());
    row("withdrawals lost, though answered with 200", &|report| report.lost.to_string());
    row("withdrawals that waited 1 ms or more", &|report| report.waited.to_string());
    row("longest wait before a withdrawal", &|report| format!("{} ms", report.longest_wait));
    row("most at once on one account", &|report| report.overlap.to_string());
    row("most at once on all accounts", &|report| report.parallel.to_string());
}

async fn demonstrate(locking: &Locking) -> Result<(), BoxError> {
    let clients = CLIENTS * NAMES.len();
    println!("{clients} clients withdraw 1 from {} accounts at once. Each withdrawal reads,", NAMES.len());
    println!("works for 5 ms, and writes.\n");
    let without = round(None).await?;
    let patient = round(Some((locking, Duration::from_secs(10)))).await?;
    let hasty = round(Some((locking, Duration::from_millis(100)))).await?;
    let kept = [&patient, &hasty].iter().all(|report| report.kept());
    show(&[without, patient, hasty]);
    println!();
    if kept { Ok(()) } else { Err("the layer did not do what it is for".into()) }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let locking = Locking::builder().add_in_memory_locking().build()?;
    let demonstrated = demonstrate(&locking).await;
    if demonstrated.is_err() || std::env::args().any(|argument| argument == "--once") {
        // Also after an error. In memory nothing is pending; on Redis this waits for the last releases.
        locking.close().await;
        return demonstrated;
    }

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let accounts = format!("http://{}/accounts", listener.local_addr()?);
    println!("Serving on {accounts} until Ctrl-C, with a wait of 2 s. To try, in another terminal:\n");
    println!("  curl {accounts}");
    println!("  curl -X POST {accounts}/alice/withdraw\n");
    println!("The second waits for the first, which takes 1.5 s:\n");
    println!("  curl -sX POST '{accounts}/alice/withdraw?ms=1500' & sleep 0.2");
    println!("  curl -X POST {accounts}/alice/withdraw\n");
    println!("The second is refused, since the first takes longer than 2 s; another account is free:\n");
    println!("  curl -sX POST '{accounts}/alice/withdraw?ms=5000' & sleep 0.2");
    println!("  curl -iX POST {accounts}/alice/withdraw");
    println!("  curl -X POST {accounts}/bob/withdraw");
    let service = service(Bank::new(), Some((&locking, Duration::from_secs(2))));
    serve_until(listener, service, &locking, Duration::from_secs(10), async { drop(tokio::signal::ctrl_c().await) })
        .await
}
