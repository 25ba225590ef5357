//! At most three requests of a tenant at once, over all processes of a service; one more is answered with 429.
//!
//! Run it with `cargo run --example concurrency_limit`: in memory, in one process. With `REDIS_URL` and the feature `redis` it
//! starts a second process, and both share the limit.

#[path = "support/http.rs"]
mod http;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use http::{Client, ensure, serve};
use orchestrix_locking::{BoxError, LockHandle, Locking, key};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The argument of the second process.
const SERVE: &str = "serve";

/// How many requests of one tenant may run at once.
const LIMIT: u32 = 3;

/// Works for a while. The number of the permit, `0..LIMIT`, is nobody else's meanwhile.
async fn report(lock: LockHandle) -> String {
    sleep(Duration::from_millis(500)).await;
    format!("done with permit {}", lock.permit().unwrap_or_default())
}

fn routes(locking: &Locking) -> Router {
    let limit = locking.http_layer(key::header("x-tenant").prefixed("tenant")).permits(LIMIT).wait(Duration::ZERO);
    Router::new().route("/reports", post(report).route_layer(limit))
}

fn registered() -> Result<Locking, BoxError> {
    #[cfg(feature = "redis")]
    if let Ok(url) = std::env::var("REDIS_URL") {
        let options = orchestrix_locking::RedisLockOptions::default().connection_string(url);
        return Ok(Locking::builder().add_redis_locking(options).build()?);
    }
    Ok(Locking::builder().add_in_memory_locking().build()?)
}

/// Serves until its parent is gone.
async fn serve_for_parent(locking: &Locking) -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let parent_is_gone = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    tokio::select! {
        served = axum::serve(listener, routes(locking)).into_future() => Ok(served?),
        _ = parent_is_gone => Ok(()),
    }
}

/// Another process of the service, which ends when its standard input is closed.
fn start_another() -> Result<(Child, Client), BoxError> {
    let mut process =
        Command::new(std::env::current_exe()?).arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut address = String::new();
    BufReader::new(process.stdout.take().ok_or("it has an output")?).read_line(&mut address)?;
    Ok((process, Client::of(address.trim().parse()?)))
}

/// Sends this many requests of one tenant at once, to each client in turn. How many were done, and how many refused.
async fn send(clients: &[Client], tenant: &'static str, count: usize) -> Result<(usize, usize), BoxError> {
    let mut requests = JoinSet::new();
    for client in clients.iter().cycle().take(count) {
        let client = client.clone();
        requests.spawn(async move { client.send("POST", "/reports", &[("x-tenant", tenant)], "").await });
    }
    let (mut done, mut refused) = (0, 0);
    while let Some(answer) = requests.join_next().await {
        let answer = answer??;
        match answer.status {
            StatusCode::OK => done += 1,
            StatusCode::TOO_MANY_REQUESTS => refused += 1,
            status => return Err(format!("{status}: {}", answer.body).into()),
        }
    }
    println!("{tenant}: {count} at once, {done} done, {refused} refused with 429");
    Ok((done, refused))
}

async fn show(locking: &Locking, another: Option<Client>) -> Result<(), BoxError> {
    let clients: Arc<[Client]> = [serve(routes(locking)).await?].into_iter().chain(another).collect();
    let other = Arc::clone(&clients);
    let other = tokio::spawn(async move { send(&other, "bakery", 2).await });
    ensure(send(&clients, "shop", 8).await? == (3, 5), "the limit is for all processes")?;
    ensure(other.await?? == (2, 0), "each tenant has a limit of its own")?;
    ensure(send(&clients, "shop", 3).await? == (3, 0), "permits come back")
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let locking = registered()?;
    let done = if std::env::args().any(|argument| argument == SERVE) {
        serve_for_parent(&locking).await
    } else if cfg!(feature = "redis") && std::env::var_os("REDIS_URL").is_some() {
        let (mut process, client) = start_another()?;
        let done = show(&locking, Some(client)).await;
        drop(process.stdin.take());
        process.wait()?;
        done
    } else {
        show(&locking, None).await
    };
    locking.close().await;
    done
}
