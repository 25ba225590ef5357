//! The bound on all who wait, on Redis: where the lock is held in the same process, and where it is held in another.

use std::sync::Arc;

use orchestrix_locking::{RedisLockOptions, RedisLockProvider};

use crate::support::RedisServer;

#[path = "../support/crowd.rs"]
mod shared;

use shared::Crowd;

fn provider(server: &RedisServer, most: usize) -> RedisLockProvider {
    let options = RedisLockOptions::default().connection_string(server.url()).max_waiters_in_total(most);
    RedisLockProvider::new(options).unwrap()
}

/// Held in this process, and then in another.
fn crowds(server: &RedisServer, most: usize) -> [(RedisLockProvider, Crowd<impl Fn() -> usize + use<>>); 2] {
    [true, false].map(|here| {
        let waits = provider(server, most);
        let holds = if here { waits.clone() } else { provider(server, most) };
        let asked = waits.clone();
        let waiting = move || asked.waiters_in_total();
        (waits.clone(), Crowd { waits: Arc::new(waits), holds: Arc::new(holds), waiting })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_bound_in_total_is_exact() {
    let server = RedisServer::start();
    for (provider, crowd) in crowds(&server, 50) {
        crowd.is_exact(50).await;
        crate::steps::until("nothing is left", || provider.is_empty() && server.leftovers().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn places_in_total_are_freed_whenever_a_waiter_goes() {
    let server = RedisServer::start();
    for (provider, crowd) in crowds(&server, 16) {
        crowd.frees_what_is_given_up(16, 25).await;
        crate::steps::until("nothing is left", || provider.is_empty() && server.leftovers().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_with_a_bound_in_total_of_zero() {
    let server = RedisServer::start();
    for (provider, crowd) in crowds(&server, 0) {
        crowd.nobody_waits().await;
        crate::steps::until("nothing is left", || provider.is_empty() && server.leftovers().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bound_of_a_name_is_told_apart_from_the_one_in_total() {
    let server = RedisServer::start();
    for (_, crowd) in crowds(&server, 0) {
        crowd.says_which_bound().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_frees_the_places_in_total() {
    let server = RedisServer::start();
    for (_, crowd) in crowds(&server, 8) {
        crowd.is_freed_by_closing(8).await;
    }
}
