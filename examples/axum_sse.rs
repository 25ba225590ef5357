//! A rebuild that reports its progress as server-sent events: locked until the stream ends, however it ends.
//!
//! Run it with `cargo run --example axum_sse`.

#[path = "support/http.rs"]
mod http;
#[path = "support/shutdown.rs"]
mod shutdown;

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use futures_util::{Stream, stream};
use http::{Client, ensure, serve};
use http_body_util::BodyExt;
use orchestrix_locking::{
    BoxError, DistributedLockProvider, InMemoryLockProvider, LockHandle, LockOptions, Locking, key,
};
use shutdown::serve_until;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

const STEPS: u32 = 4;
/// How long requests may run on after the service is stopped.
const GRACE: Duration = Duration::from_millis(500);

/// The handler returns at once. The work is done while the stream is read, and so has to be under the lock too.
async fn rebuild(lock: LockHandle) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::unfold(1, move |step| {
        let lock = lock.clone();
        async move {
            if step > STEPS {
                return None;
            }
            sleep(Duration::from_millis(20)).await;
            let data = format!("step {step} of {STEPS}, locked: {}", lock.is_held());
            Some((Ok(Event::default().data(data)), step + 1))
        }
    }))
}

/// Runs until the client stops reading, or the lock is lost or closed.
async fn watch(lock: LockHandle) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::unfold(lock, |lock| async move {
        sleep(Duration::from_millis(20)).await;
        Some((Ok(Event::default().data(format!("token {}", lock.fencing_token()))), lock))
    }))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let provider = InMemoryLockProvider::new();
    let locking = Locking::builder().add_provider("web", provider.clone()).add_in_memory_locking().build()?;
    // The lock is held until the end of the body, which is the end of the stream: the layer's default.
    let one_rebuild = locking.named("web")?.http_layer(key::path_param("index").prefixed("index")).wait(Duration::ZERO);
    let routes = Router::new()
        .route("/indexes/{index}", post(rebuild))
        .route("/indexes/{index}/watch", get(watch))
        .route_layer(one_rebuild);
    let client = serve(routes.clone()).await?;

    println!("A client rebuilds an index, and another wants to:");
    let mut events = client.start("POST", "/indexes/users", &[], "").await?.into_body();
    while let Some(frame) = events.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let event = String::from_utf8(data.into())?;
        println!("  {}", event.trim());
        ensure(event.contains("locked: true"), "every step is done under the lock")?;
        if event.contains("step 2") {
            let other = client.send("POST", "/indexes/users", &[], "").await?;
            println!("  the other one is told {}", other.status);
            ensure(other.status == 409, "one rebuild at a time")?;
        }
    }

    println!("The stream has ended, and the lock is free at once:");
    let again = client.send("POST", "/indexes/users", &[], "").await?;
    println!("  {}, {} events", again.status, again.body.matches("data: ").count());
    ensure(again.status == 200, "a client with its whole answer finds the lock free")?;

    println!("A client closes its window after the first event:");
    let mut events = client.start("POST", "/indexes/users", &[], "").await?.into_body();
    let first = events.frame().await.transpose()?.is_some();
    drop(events);
    // Waits for the same lock, as a job would.
    let lock = provider.create_lock("index:users".try_into()?, LockOptions::default())?;
    let freed = lock.try_acquire(Duration::from_secs(5)).await?.is_some();
    println!("  the lock is free again: {freed}");
    ensure(first && freed, "a client that leaves frees the lock")?;

    println!("The service is stopped while a client watches:");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = Client::of(listener.local_addr()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving =
        tokio::spawn(
            async move { serve_until(listener, routes, &locking, GRACE, async { drop(stopped.await) }).await },
        );
    let mut events = client.start("GET", "/indexes/users/watch", &[], "").await?.into_body();
    let first = events.frame().await.transpose()?.is_some();
    let stopping = Instant::now();
    drop(stop);
    // Closing the locks cuts the stream off. Nothing else would.
    let cut_off = events.collect().await.is_err();
    serving.await??;
    println!("  its stream is cut off, and the service ends: {cut_off}");
    ensure(first && cut_off && stopping.elapsed() < GRACE * 10, "an endless stream does not keep the service")
}
