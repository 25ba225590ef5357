//! An axum service with several replicas, and one lock per account on Redis.
//!
//! Run it with `cargo run --example axum_redis`, on several ports if you like: `-- 8081`. It needs a Redis server, by
//! default at localhost:6379; `REDIS_URL` names another. It serves until Ctrl-C. With `-- --once` it starts two copies
//! of itself in one process, sends both of them requests, and ends.

#[path = "support/shutdown.rs"]
mod shutdown;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::response::Json;
use axum::routing::{get, post};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use orchestrix_locking::{BoxError, LockHandle, Locking, RedisLockOptions, key};
use parking_lot::Mutex;
use serde_json::{Value, json};
use shutdown::serve_until;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

const START: i64 = 100;

/// How long requests may run on after the service is stopped. Longer than the longest wait for a lock.
const GRACE: Duration = Duration::from_secs(10);

// ---- The service ---------------------------------------------------------------------------------------------

/// The accounts, as a database would keep them that all copies share: each with the highest token that was shown so
/// far. Copies on several ports have one each; those of `--once` share one.
#[derive(Debug, Default)]
struct Database(Mutex<BTreeMap<String, (i64, u64)>>);

impl Database {
    /// `None` for a stale token: its holder has lost the lock.
    fn read(&self, account: &str, token: u64) -> Option<i64> {
        let mut accounts = self.0.lock();
        let (balance, highest) = accounts.entry(account.to_owned()).or_insert((START, 0));
        *highest = token.max(*highest);
        (token == *highest).then_some(*balance)
    }

    fn write(&self, account: &str, token: u64, balance: i64) -> Option<()> {
        self.read(account, token)?;
        self.0.lock().insert(account.to_owned(), (balance, token));
        Some(())
    }
}

#[derive(Debug, Clone)]
struct Service {
    name: &'static str,
    database: Arc<Database>,
    locking: Locking,
}

/// Takes 1 from an account: reads, works, and writes the result. Without the lock, updates would get lost.
async fn withdraw(
    State(service): State<Service>,
    Path(account): Path<String>,
    lock: LockHandle,
) -> Result<Json<Value>, StatusCode> {
    let token = lock.fencing_token().get();
    let before = service.database.read(&account, token).ok_or(StatusCode::CONFLICT)?;
    sleep(Duration::from_millis(10)).await;
    let balance = before - 1;
    service.database.write(&account, token, balance).ok_or(StatusCode::CONFLICT)?;
    // The token as a string: JSON numbers lose digits beyond 2^53 in many readers.
    Ok(Json(json!({ "copy": service.name, "account": account, "balance": balance, "token": token.to_string() })))
}

/// Whether requests should be sent here: only while the lock server is reachable.
async fn ready(State(service): State<Service>) -> (StatusCode, String) {
    match service.locking.check().await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

/// The routes. Readiness is outside the lock.
fn routes(service: Service) -> Router {
    let account = key::path_param("id").prefixed("account");
    let layer = service.locking.http_layer(account).wait(Duration::from_secs(5));
    Router::new()
        .route("/accounts/{id}/withdraw", post(withdraw).route_layer(layer))
        .route("/ready", get(ready))
        .with_state(service)
}

fn register() -> Result<Locking, BoxError> {
    let server = std::env::var("REDIS_URL").unwrap_or_else(|_| "localhost:6379".to_owned());
    let options = RedisLockOptions::default().connection_string(server).key_prefix("example:lock:");
    Ok(Locking::builder().add_redis_locking(options).build()?)
}

/// Serves until `stop` is done, and then ends in the order that `support/shutdown.rs` explains.
async fn serve(
    listener: TcpListener,
    service: Service,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), BoxError> {
    let locking = service.locking.clone();
    serve_until(listener, routes(service), &locking, GRACE, stop).await
}

// ---- Until Ctrl-C --------------------------------------------------------------------------------------------

async fn serve_until_ctrl_c(port: u16) -> Result<(), BoxError> {
    let service = Service { name: "this", database: Arc::default(), locking: registered().await? };
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    println!("Serving until Ctrl-C. To try, in another terminal:\n");
    println!("  curl http://{address}/ready");
    println!("  curl -X POST http://{address}/accounts/alice/withdraw");
    serve(listener, service, async { drop(tokio::signal::ctrl_c().await) }).await?;
    println!("\nClosed.");
    Ok(())
}

/// Ready, or an error that says what is missing. A real service would start anyhow, and `/ready` would report it.
async fn registered() -> Result<Locking, BoxError> {
    let locking = register()?;
    if let Err(error) = locking.check().await {
        let how =
            "Start one with `redis-server --port 6379` or `docker run --rm -p 6379:6379 redis`, or set REDIS_URL.";
        return Err(format!("This example needs a Redis server: {error}\n{how}").into());
    }
    Ok(locking)
}

// ---- Once ----------------------------------------------------------------------------------------------------

/// A running replica of the service.
struct Copy {
    address: String,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), BoxError>>,
}

impl Copy {
    /// Each copy registers its own locks, and so has its own connection to Redis, as a process of its own would.
    async fn start(name: &'static str, database: Arc<Database>) -> Result<Self, BoxError> {
        let service = Service { name, database, locking: registered().await? };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(serve(listener, service, async { drop(stopped.await) }));
        Ok(Self { address, stop, ended })
    }

    async fn stop(self) -> Result<(), BoxError> {
        drop(self.stop);
        self.ended.await?
    }
}

type HttpClient = Client<HttpConnector, Body>;

async fn ask(client: HttpClient, request: Request<Body>) -> Result<(StatusCode, String), BoxError> {
    let answer = client.request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).trim_end().to_owned()))
}

async fn once() -> Result<(), BoxError> {
    const REQUESTS: i64 = 6; // to each copy, for each account
    let accounts = ["alice", "bob"];
    let database = Arc::<Database>::default();
    let copies = [Copy::start("a", Arc::clone(&database)).await?, Copy::start("b", Arc::clone(&database)).await?];
    let client: HttpClient = Client::builder(TokioExecutor::new()).build_http();
    for copy in &copies {
        let request = Request::get(format!("http://{}/ready", copy.address)).body(Body::empty())?;
        let (status, body) = ask(client.clone(), request).await?;
        println!("GET http://{}/ready: {status}, {body}", copy.address);
    }

    println!("\nBoth copies get {REQUESTS} withdrawals for each account at once:\n");
    let mut requests = JoinSet::new();
    for _ in 0..REQUESTS {
        for copy in &copies {
            for account in accounts {
                let uri = format!("http://{}/accounts/{account}/withdraw", copy.address);
                requests.spawn(ask(client.clone(), Request::post(uri).body(Body::empty())?));
            }
        }
    }
    let mut answers = requests.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let refused = answers.iter().any(|(status, _)| *status != StatusCode::OK);
    // By account, and then by token: the order in which the lock was granted.
    answers.sort_by_cached_key(|(_, body)| {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        ["account", "token"].map(|part| body.get(part).map(ToString::to_string))
    });
    for (status, body) in answers {
        println!("  {status}  {body}");
    }
    for copy in copies {
        copy.stop().await?;
    }
    let balances: BTreeMap<_, _> =
        database.0.lock().iter().map(|(name, (balance, _))| (name.clone(), *balance)).collect();
    println!("\nStopped. Balances, of {START} each: {balances:?}");
    if refused || balances.values().any(|balance| *balance != START - 2 * REQUESTS) {
        return Err("an update was lost, or a request was refused".into());
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("--once") => once().await,
        Some(port) => match port.parse() {
            Ok(port) => serve_until_ctrl_c(port).await,
            Err(_) => Err("the argument is --once or a port".into()),
        },
        None => serve_until_ctrl_c(8080).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
