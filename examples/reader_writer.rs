//! Documents behind HTTP: any number of GETs read one at the same time, and a PUT has it alone.
//!
//! Run it with `cargo run --example reader_writer`. It sends itself requests, prints what happened, and then goes on serving
//! for you to try; `cargo run --example reader_writer -- --once` ends after the first part.

#[path = "support/http.rs"]
mod http;
#[path = "support/shutdown.rs"]
mod shutdown;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use http::{Client, ensure, serve};
use orchestrix_locking::{BoxError, LockError, LockGuard, Locking, ReadWriteLock, Resource};
use shutdown::serve_until;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long a request waits for a document.
const WAIT: Duration = Duration::from_secs(5);

/// How long it takes to read a document, and to write one of its two parts.
const WORK: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct App {
    locking: Locking,
    /// Stands for a store in which a document has two parts that are written one after the other.
    documents: Mutex<HashMap<String, [String; 2]>>,
    readers: AtomicUsize,
    most_readers: AtomicUsize,
}

impl App {
    fn new(locking: Locking) -> Arc<Self> {
        let documents = Mutex::new(HashMap::new());
        Arc::new(Self { locking, documents, readers: AtomicUsize::new(0), most_readers: AtomicUsize::new(0) })
    }

    /// Any name that a client sends is a part of a name here, so it collides with no other lock.
    fn lock(&self, name: &str) -> Result<ReadWriteLock, LockError> {
        self.locking.read_write(Resource::from_parts(["document", name])?)
    }

    fn part(&self, name: &str, part: usize) -> Option<String> {
        let documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        documents.get(name)?.get(part).cloned()
    }

    fn write(&self, name: &str, part: usize, text: &str) {
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = documents.entry(name.to_owned()).or_default().get_mut(part) {
            text.clone_into(part);
        }
    }
}

/// Releases the lock before the client has its answer: whatever it asks for next finds the lock free.
async fn done(guard: LockGuard) -> Result<(), LockError> {
    guard.release().await.map(drop)
}

/// `LockError` is an answer of axum: 503 for a document that is busy for too long, 400 for a bad name.
async fn read(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Result<String, StatusCode>, LockError> {
    let guard = app.lock(&name)?.read().acquire_within(WAIT).await?;
    app.most_readers.fetch_max(app.readers.fetch_add(1, SeqCst) + 1, SeqCst);
    let first = app.part(&name, 0);
    sleep(WORK).await;
    let second = app.part(&name, 1);
    app.readers.fetch_sub(1, SeqCst);
    done(guard).await?;
    Ok(first.zip(second).map(|(first, second)| format!("{first} {second}")).ok_or(StatusCode::NOT_FOUND))
}

async fn write(State(app): State<Arc<App>>, Path(name): Path<String>, text: String) -> Result<StatusCode, LockError> {
    let guard = app.lock(&name)?.write().acquire_within(WAIT).await?;
    for part in 0..2 {
        app.write(&name, part, &text);
        sleep(WORK).await;
    }
    done(guard).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn routes(app: Arc<App>) -> Router {
    Router::new().route("/documents/{name}", get(read).put(write)).with_state(app)
}

/// Reads a document many times while it is written: every answer has two equal parts.
async fn demonstrate(client: &Client, app: &App) -> Result<(), BoxError> {
    const PATH: &str = "/documents/7";
    ensure(client.send("PUT", PATH, &[], "0").await?.status == StatusCode::NO_CONTENT, "a document is written")?;
    let mut requests = JoinSet::new();
    for round in 0..40 {
        let client = client.clone();
        requests.spawn(async move {
            if round % 10 == 9 {
                return client.send("PUT", PATH, &[], &round.to_string()).await;
            }
            client.send("GET", PATH, &[], "").await
        });
    }
    let (mut read, mut written) = (0, 0);
    while let Some(answer) = requests.join_next().await {
        let answer = answer??;
        if answer.status == StatusCode::NO_CONTENT {
            written += 1;
            continue;
        }
        ensure(answer.status == StatusCode::OK, "a reader is answered")?;
        let whole = answer.body.split_once(' ').is_some_and(|(first, second)| first == second);
        ensure(whole, "a reader never sees half a write")?;
        read += 1;
    }
    let most = app.most_readers.load(SeqCst);
    println!("{read} reads and {written} writes of one document. Up to {most} readers were there at once,");
    println!("and none saw half a write.");
    ensure((read, written) == (36, 4), "every request is answered")?;
    ensure(most > 1, "readers read at the same time")
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // For several replicas: `.add_redis_locking(…)`.
    let locking = Locking::builder().add_in_memory_locking().build()?;
    let app = App::new(locking.clone());
    let client = serve(routes(Arc::clone(&app))).await?;
    let demonstrated = demonstrate(&client, &app).await;
    if demonstrated.is_err() || std::env::args().any(|argument| argument == "--once") {
        // Also after an error. In memory nothing is pending; on Redis this waits for the last releases.
        locking.close().await;
        return demonstrated;
    }

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let document = format!("http://{}/documents/7", listener.local_addr()?);
    println!("\nServing until Ctrl-C. To try, in another terminal:\n");
    println!("  curl -X PUT --data new {document}");
    println!("  curl {document}");
    serve_until(listener, routes(app), &locking, Duration::from_secs(10), async { drop(tokio::signal::ctrl_c().await) })
        .await
}
