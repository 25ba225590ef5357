//! The bound on all who wait, on Redis: where the lock is held in the same process, and where it is held in another.

use std::sync::Arc;
use std::time::Duration;

use orchestrix_locking::{LockError, RedisLockOptions, RedisLockProvider};
use redis::cmd;
use tokio::task::JoinSet;

use crate::fixtures::{acquired, lock, until};
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
        until("nothing is left", || provider.is_empty() && server.leftovers().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn places_in_total_are_freed_whenever_a_waiter_goes() {
    let server = RedisServer::start();
    for (provider, crowd) in crowds(&server, 16) {
        crowd.frees_what_is_given_up(16, 25).await;
        until("nothing is left", || provider.is_empty() && server.leftovers().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_caller_waits_with_a_bound_in_total_of_zero() {
    let server = RedisServer::start();
    for (provider, crowd) in crowds(&server, 0) {
        crowd.no_caller_waits().await;
        until("nothing is left", || provider.is_empty() && server.leftovers().is_empty()).await;
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

/// A server that is busy refuses all callers, and nothing is kept of the refused ones: there is nothing to be taken back.
/// As many would be as callers came in vain, each with a name of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_of_callers_whom_a_busy_server_refuses() {
    let server = RedisServer::builder().config("busy-reply-threshold", "20").start();
    let provider = provider(&server, 1_000);
    acquired(&lock(&provider, "warm")).await.release().await.unwrap();
    let mut connection = server.connection().await;
    let script = "local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < 4 do end";
    let busy = tokio::spawn(async move { cmd("EVAL").arg(script).arg(0).exec_async(&mut connection).await });
    let is_busy = |error: &LockError| error.to_string().contains("BUSY");
    while !lock(&provider, "a").try_acquire(Duration::ZERO).await.is_err_and(|error| is_busy(&error)) {}
    let mut tasks = JoinSet::new();
    for number in 0..500 {
        let lock = lock(&provider, &format!("name-{number}"));
        tasks.spawn(async move { lock.try_acquire(Duration::from_secs(30)).await });
    }
    while let Some(answer) = tasks.join_next().await {
        let error = answer.unwrap().expect_err("the server is busy");
        assert!(is_busy(&error), "{error}");
    }
    let kept = provider.len();
    assert!(!busy.is_finished(), "it is busy still");
    assert!(kept < 10, "{kept} entries are kept");
    busy.await.unwrap().unwrap();
    until("nothing is left", || provider.is_empty() && server.leftovers().is_empty()).await;
}
