//! What the layer costs: around a ready service, and on a route of axum over loopback.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use orchestrix_locking::{
    DistributedLockProvider, InMemoryLockProvider, LockLayer, LockOptions, Locking, RedisLockOptions, Resource, key,
};
use tokio::net::TcpListener;
use tower::{Layer, Service, layer::layer_fn, service_fn};

use crate::Result;
use crate::figures::{median, spread};
use crate::redis::connect;
use crate::report::Measured;
use crate::server::Server;

pub(crate) async fn run(rounds: usize, time: Duration) -> Result<(String, Measured)> {
    let mut measured = Measured::new();
    let (layer, text) = around_a_ready_service(rounds, time / 4).await?;
    let mut text = text;
    let server = Server::start()?;
    let address = serve(&server.url()).await?;
    let mut turns = Vec::new();
    for turn in 1..=2 * rounds {
        eprintln!("axum, turn {turn} of {}", 2 * rounds);
        let mut all = Vec::new();
        for (route, _) in ROUTES {
            all.push(requests(&address, route, time).await?);
        }
        turns.push(all);
    }
    text += "\n| a route of axum | plain, µs | with it, µs | ± | to plain |\n| --- | ---: | ---: | ---: | ---: |\n";
    let mut ratios = Vec::new();
    for (at, (_, what)) in ROUTES.into_iter().enumerate() {
        let (plain, ours): (Vec<f64>, Vec<f64>) = turns.iter().filter_map(|all| all.get(at)).copied().unzip();
        let ratio = beside(&ours, &plain, |ours, plain| ours / plain);
        let line = format!(
            "| {what} | {:.1} | {:.1} | {:.0} % | {ratio:.3} |",
            median(plain) / 1e3,
            median(ours.clone()) / 1e3,
            spread(&ours) * 100.0,
        );
        println!("{line}");
        _ = writeln!(text, "{line}");
        ratios.push(ratio);
    }
    let more = |all: &Vec<(f64, f64)>| match all[..] {
        [.., (plain, pings), (beside, ours)] => Some((ours - beside) / (pings - plain)),
        _ => None,
    };
    let trips = median(turns.iter().filter_map(more));
    if let [idle, memory, ..] = ratios[..] {
        let [idle, memory] = [idle, memory].map(|ratio| (ratio - 1.0) * 100.0);
        let found = format!(
            "layer {layer:.2} × the provider's cycle; a route {memory:+.1} % in memory, {idle:+.1} % with a layer that does nothing; on Redis longer by {trips:.2} × what two PINGs in the handler take"
        );
        _ = writeln!(
            text,
            "\nOn Redis it takes longer than the plain route by {trips:.2} × what two PINGs in the handler, one after the other, take."
        );
        measured.insert("`LockLayer`, axum over loopback", found);
    }
    Ok((text, measured))
}

/// What is measured beside the plain route, and what it has. The last two are compared with each other.
const ROUTES: [(&str, &str); 4] = [
    ("idle", "a layer that does nothing"),
    ("memory", "a lock in memory"),
    ("pings", "two PINGs in the handler"),
    ("redis", "a lock on Redis"),
];

/// The median of what each turn is to the other's turn beside it.
fn beside(ours: &[f64], theirs: &[f64], of: impl Fn(f64, f64) -> f64) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| of(*ours, *theirs)))
}

/// The layer's call beside the provider's own cycle from the same name; how much longer it takes.
async fn around_a_ready_service(rounds: usize, time: Duration) -> Result<(f64, String)> {
    let provider = InMemoryLockProvider::new();
    let (mut own, mut layer) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let provider = provider.clone();
        own.push(tokio::spawn(cycles(provider.clone(), time)).await??);
        layer.push(tokio::spawn(calls(provider, time)).await??);
    }
    let ratio = beside(&layer, &own, |layer, own| layer / own);
    let text = format!(
        "| in memory, one task | ns | to the provider |\n| --- | ---: | ---: |\n\
         | the provider, from a name | {:.0} | 1.00 |\n| the layer around a ready service | {:.0} | {ratio:.2} |\n",
        median(own),
        median(layer)
    );
    println!("{text}");
    Ok((ratio, text))
}

async fn cycles(provider: InMemoryLockProvider, time: Duration) -> Result<f64> {
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < time {
        for _ in 0..1_000 {
            // The name is made in each cycle, as the layer makes it for each request.
            let name = "account:42".to_owned();
            let lock = provider.create_lock(Resource::try_from(name)?, LockOptions::default())?;
            drop(lock.acquire().await?);
        }
        count += 1_000;
    }
    Ok(begun.elapsed().as_nanos() as f64 / f64::from(count))
}

async fn calls(provider: InMemoryLockProvider, time: Duration) -> Result<f64> {
    let layer = LockLayer::new(provider, |request: &String| request.clone()).wait(Duration::from_secs(2));
    let mut service = layer.layer(service_fn(|request: String| async move { Ok::<_, Infallible>(request) }));
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < time {
        for _ in 0..1_000 {
            drop(service.call("account:42".to_owned()).await?);
        }
        count += 1_000;
    }
    Ok(begun.elapsed().as_nanos() as f64 / f64::from(count))
}

/// A service that passes everything on, for what axum itself takes for a layer: a box for the future, a clone of the
/// route inside.
#[derive(Clone)]
struct Idle<S>(S);

impl<S: Service<R>, R> Service<R> for Idle<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}

/// Starts the routes, and says where.
async fn serve(server: &str) -> Result<String> {
    let memory = Locking::builder().add_in_memory_locking().build()?;
    let on_redis =
        Locking::builder().add_redis_locking(RedisLockOptions::default().connection_string(server)).build()?;
    let layer = |locking: &Locking| locking.http_layer(key::path_param("id").prefixed("account"));
    let handler = || async { "ok" };
    let connection = connect(server).await?;
    let pings = move || {
        let mut connection = connection.clone();
        async move {
            for _ in 0..2 {
                if redis::cmd("PING").query_async::<()>(&mut connection).await.is_err() {
                    return "not answered";
                }
            }
            "ok"
        }
    };
    let router = Router::new()
        .route("/plain/{id}", get(handler))
        .route("/idle/{id}", get(handler).route_layer(layer_fn(Idle)))
        .route("/memory/{id}", get(handler).route_layer(layer(&memory)))
        .route("/pings/{id}", get(pings))
        .route("/redis/{id}", get(handler).route_layer(layer(&on_redis)));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// Few, so that both routes meet the machine in the same state: how fast a request is hangs on how deep the processors
/// sleep, which changes by the second. And some, so that each meets the state that it leaves itself.
const IN_A_ROW: usize = 32;

/// Medians of requests to the plain route and to another, in turns, one after the other; nanoseconds each.
///
/// From a thread that blocks, as far from the server as another process: within its runtime no task would be woken.
async fn requests(address: &str, route: &str, time: Duration) -> Result<(f64, f64)> {
    let requests = ["plain", route].map(|route| format!("GET /{route}/42 HTTP/1.1\r\nhost: {address}\r\n\r\n"));
    let address = address.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        // An answer of another kind does not end as the expected one does.
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut answer = Vec::new();
        let [mut plain, mut ours] = [Vec::new(), Vec::new()];
        let begun = Instant::now();
        while begun.elapsed() < time {
            for (request, nanos) in requests.iter().zip([&mut plain, &mut ours]) {
                for _ in 0..IN_A_ROW {
                    let sent = Instant::now();
                    one(&mut stream, request, &mut answer)?;
                    nanos.push(sent.elapsed().as_nanos() as f64);
                }
            }
        }
        Ok((median(plain), median(ours)))
    })
    .await?
}

fn one(stream: &mut TcpStream, request: &str, answer: &mut Vec<u8>) -> Result<()> {
    stream.write_all(request.as_bytes())?;
    answer.clear();
    let mut part = [0; 1024];
    while !answer.ends_with(b"\r\n\r\nok") {
        let length = stream.read(&mut part)?;
        let Some(part) = part.get(..length).filter(|part| !part.is_empty()) else {
            return Err(format!("closed after {}", String::from_utf8_lossy(answer)).into());
        };
        answer.extend_from_slice(part);
    }
    if answer.starts_with(b"HTTP/1.1 200 ") { Ok(()) } else { Err(String::from_utf8_lossy(answer).into()) }
}
