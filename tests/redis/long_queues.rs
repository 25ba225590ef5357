//! Queues with thousands of entries, most of them of processes that are gone.

use tokio::time::Instant;

use crate::fixtures::{LONG, acquired, at_once, key_of, lock, provider_at, soon, until};
use crate::support::RedisServer;

const MANY: usize = 20_000;

/// What one call drops of them at the most.
const BOUND: usize = 640;

fn queue() -> String {
    format!("{{{}}}:q", key_of("name"))
}

/// Puts the entries of processes into the queue that are gone: their deadlines are over, or their channels have no
/// subscriber.
fn push_dead(server: &RedisServer, count: usize, deadline_is_over: bool) {
    let [seconds, _]: [u64; 2] = server.ask(&redis::cmd("TIME"));
    let deadline = if deadline_is_over { 1 } else { seconds * 1_000 + 14_000 };
    let mut pushed = 0;
    while pushed < count {
        let mut push = redis::cmd("RPUSH");
        push.arg(queue());
        for number in pushed..count.min(pushed + 1_000) {
            push.arg(format!("{deadline}:300000:m:{number:016x}.{number:032x}"));
        }
        pushed = server.ask(&push);
    }
}

fn length(server: &RedisServer) -> usize {
    server.ask(redis::cmd("LLEN").arg(queue()))
}

/// A long queue does not make a release block the server for other clients, and a waiter behind all of the entries is
/// served soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_drops_a_bounded_number_of_the_dead() {
    for deadline_is_over in [true, false] {
        let server = RedisServer::start();
        let (holder, waiter) = (provider_at(&server.url()), provider_at(&server.url()));
        let guard = acquired(&lock(&holder, "name")).await;
        push_dead(&server, MANY, deadline_is_over);
        let waiting = lock(&waiter, "name");
        let waiting = tokio::spawn(async move { waiting.acquire().await });
        until("it is in the queue", || length(&server) == MANY + 1).await;
        let released = Instant::now();
        guard.release().await.unwrap();
        let left = length(&server);
        assert!(left + BOUND > MANY, "{left} of {MANY} are left");
        let guard = soon("it is served", waiting).await.unwrap().unwrap();
        println!("deadline is over: {deadline_is_over}; served after {:?}", released.elapsed());
        assert_eq!(length(&server), 0);
        guard.release().await.unwrap();
        until("nothing is left", || server.leftovers().is_empty()).await;
    }
}

/// A lock that is free is granted to one who does not wait, however many are dead in its queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_is_granted_a_free_lock_past_all_the_dead() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    push_dead(&server, MANY, false);
    let guard = at_once(&lock(&provider, "name")).await.expect("the lock is free");
    assert!(guard.is_held());
    guard.release().await.unwrap();
    until("nothing is left", || server.leftovers().is_empty()).await;
}

/// A waiter that goes leaves nothing in the middle of a long queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_leaves_the_middle_of_a_long_queue() {
    let server = RedisServer::start();
    let (holder, waiter) = (provider_at(&server.url()), provider_at(&server.url()));
    let guard = acquired(&lock(&holder, "name")).await;
    push_dead(&server, MANY, true);
    let waiting = lock(&waiter, "name");
    let waiting = tokio::spawn(async move { waiting.try_acquire(LONG).await });
    until("it is in the queue", || length(&server) == MANY + 1).await;
    push_dead(&server, 2 * MANY + 1, true);
    waiting.abort();
    until("its entry is gone", || length(&server) == 2 * MANY).await;
    guard.release().await.unwrap();
}

/// One that stays keeps its one entry there, though it asks again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_keeps_its_place_in_the_middle_of_a_long_queue() {
    let server = RedisServer::start();
    let (holder, waiter) = (provider_at(&server.url()), provider_at(&server.url()));
    let guard = acquired(&lock(&holder, "name")).await;
    push_dead(&server, MANY, true);
    let waiting = lock(&waiter, "name");
    let waiting = tokio::spawn(async move { waiting.acquire().await });
    until("it is in the queue", || length(&server) == MANY + 1).await;
    push_dead(&server, 2 * MANY + 1, true);
    let entry = || -> String { server.ask(redis::cmd("LINDEX").arg(queue()).arg(MANY)) };
    let first = entry();
    let token = first.split(':').nth(3).unwrap().to_owned();
    // Written anew when half of its time is over.
    until("it has asked often", || entry() != first).await;
    assert!(entry().ends_with(&token));
    assert_eq!(length(&server), 2 * MANY + 1);
    drop(guard);
    soon("it is served", waiting).await.unwrap().unwrap().release().await.unwrap();
}
