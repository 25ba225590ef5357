//! Many clients at once, most of them badly behaved, against every kind of handler: no two handlers inside one lock,
//! every request accounted for, and nothing left over.
//!
//! `ORCHESTRIX_STORM_REQUESTS` sets the number of requests, `ORCHESTRIX_STORM_SEED` what they do. One seed gives one
//! list of requests and faults; how they meet is the scheduler's.
//!
//! It uses nothing else of these tests, so that it can be made part of others, for other providers.

mod faults;
mod http1;
mod http2;
mod ledger;
mod plan;
mod server;

use std::env;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestrix_locking::DistributedLockProvider;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;

use ledger::Ledger;
use plan::Random;

const REQUESTS: usize = 6_000;
const SEED: u64 = 0x5EED_0F57_0B35;
const HTTP1_CLIENTS: usize = 16;
const HTTP2_CLIENTS: usize = 8;
/// Longer than any one answer takes.
const LIMIT: Duration = Duration::from_secs(30);
/// How long everything may take to come to rest once the clients are gone.
const SETTLED: Duration = Duration::from_secs(20);

/// What a storm runs in: it counts the tasks in it.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap()
}

/// Where a provider's locks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each test binary uses one")]
pub(crate) enum Backend {
    Here,
    /// On a server. Under this load a short wait may end before the server replies.
    Remote,
}

/// Runs the storm on `provider`. `leftovers` returns how many locks and waiters it has at present.
///
/// Has to be run by `block_on` of a runtime of its own, where it is no task itself. The provider is closed at the end,
/// and must have no tasks after that.
pub(crate) async fn storm(
    provider: Arc<dyn DistributedLockProvider>,
    backend: Backend,
    leftovers: impl AsyncFn() -> usize,
) {
    let requests = number("ORCHESTRIX_STORM_REQUESTS").map_or(REQUESTS, |it| usize::try_from(it).unwrap());
    let seed = number("ORCHESTRIX_STORM_SEED").unwrap_or(SEED);
    println!("storm: {requests} requests, ORCHESTRIX_STORM_SEED={seed}");

    let begun = Instant::now();
    let ledger = Arc::new(Ledger::new(requests));
    let server = server::start(&provider, backend, &ledger);

    let mut clients = JoinSet::new();
    let all = HTTP1_CLIENTS + HTTP2_CLIENTS;
    for client in 0..all {
        let random = Random::new(seed.wrapping_add(client as u64));
        let (address, ledger) = (server.address, ledger.clone());
        // Each client has as many requests as the others.
        let ids = (client..requests).step_by(all);
        if client < HTTP1_CLIENTS {
            clients.spawn(http1::client(address, ids, random, ledger));
        } else {
            clients.spawn(http2::client(address, ids, random, ledger));
        }
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    settles("locks", async || leftovers().await).await;
    server.stop().await;
    provider.close().await;
    settles("tasks", async || Handle::current().metrics().num_alive_tasks()).await;

    let sums = ledger.check();
    println!("storm: {sums}, {:.1} s", begun.elapsed().as_secs_f64());
}

/// Waits until no locks and waiters are left.
async fn settles(what: &str, count: impl AsyncFn() -> usize) {
    let begun = Instant::now();
    loop {
        let left = count().await;
        if left == 0 {
            return;
        }
        assert!(begun.elapsed() < SETTLED, "{left} {what} are left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name} is `{value}`: {error}")))
}
