//! A runtime that served the provider lives on, and is not run any more: another runtime of the process uses the provider.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use orchestrix_locking::{DistributedLockProvider, LockError, LockGuard, RedisLockOptions, RedisLockProvider, Release};
use redis::cmd;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::scene::{KEY, LIMIT, NAME, SOON, Scene, granted, keys, lock, provider_at, until_waiting, wait_for};
use super::scene::{until, until_clean};
use crate::fixtures::Random;
use crate::support::RedisServer;

const TTL: Duration = Duration::from_secs(30);

/// The provider's response time-out, and what a busy machine adds to it.
const TIMEOUT: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_millis(700);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A provider that was used in a runtime, once; that runtime is kept, and not run.
fn left_alone(server: &RedisServer) -> (RedisLockProvider, Runtime) {
    let (provider, first) = (provider_at(server.url()), runtime());
    first.block_on(async {
        lock(&provider, "first", TTL).acquire().await.unwrap().release().await.unwrap();
    });
    (provider, first)
}

/// What a call comes to. No call takes longer than the response time-out for want of the other runtime.
async fn in_time<T>(what: &str, call: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let answer = timeout(LIMIT / 2, call).await.unwrap_or_else(|_| panic!("{what}: no answer"));
    assert!(begun.elapsed() < TIMEOUT + MARGIN, "{what}: {:?}", begun.elapsed());
    answer
}

/// Each call is the first after the other runtime was left alone, and succeeds.
#[test]
fn the_first_call_in_another_runtime_is_answered_in_time() {
    let server = RedisServer::start();
    for wait in [Some(Duration::ZERO), Some(Duration::from_secs(4)), None] {
        let (provider, first) = left_alone(&server);
        let second = runtime();
        second.block_on(async {
            let lock = lock(&provider, NAME, TTL);
            let call = async {
                match wait {
                    Some(wait) => lock.try_acquire(wait).await.unwrap().expect("free"),
                    None => lock.acquire().await.unwrap(),
                }
            };
            let guard = in_time("acquire", call).await;
            let again = Instant::now();
            assert_eq!(in_time("release", guard.release()).await.unwrap(), Release::Released);
            lock.acquire().await.unwrap().release().await.unwrap();
            assert!(again.elapsed() < TIMEOUT / 4, "it is served here from now on: {:?}", again.elapsed());
            until_clean(&server, &provider, SOON).await;
        });
        drop(first);
        second.block_on(in_time("acquire after the first runtime's end", async {
            lock(&provider, NAME, TTL).acquire().await.unwrap().release().await.unwrap();
        }));
    }
}

/// A guard that was granted while the other runtime was run, and is used when it is not any more.
fn guard_of_two_runtimes(server: &RedisServer, ttl: Duration) -> (RedisLockProvider, Runtime, Runtime, LockGuard) {
    let (provider, first) = left_alone(server);
    let second = runtime();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let guard = std::thread::scope(|scope| {
        let driving = scope.spawn(|| first.block_on(stopped));
        let guard = second.block_on(lock(&provider, NAME, ttl).acquire()).unwrap();
        stop.send(()).unwrap();
        driving.join().unwrap().unwrap();
        guard
    });
    (provider, first, second, guard)
}

#[test]
fn a_guard_is_extended_and_released_in_time() {
    let server = RedisServer::start();
    for extend_first in [true, false] {
        let (provider, first, second, guard) = guard_of_two_runtimes(&server, TTL);
        second.block_on(async {
            if extend_first {
                assert!(in_time("extend", guard.extend(TTL * 2)).await.unwrap());
            }
            assert_eq!(in_time("release", guard.release()).await.unwrap(), Release::Released);
            until_clean(&server, &provider, SOON).await;
        });
        drop(first);
    }
}

/// Dropped, a guard's key is freed as well, without another call.
#[test]
fn a_dropped_guard_frees_its_key() {
    let server = RedisServer::start();
    let (provider, _first, second, guard) = guard_of_two_runtimes(&server, TTL);
    second.block_on(async {
        drop(guard);
        until_clean(&server, &provider, TIMEOUT + MARGIN).await;
    });
}

/// No call is made, but the lease has to be renewed.
#[test]
fn a_lock_is_renewed_without_a_call() {
    let server = RedisServer::start();
    let ttl = TIMEOUT * 3;
    let (provider, _first, second, guard) = guard_of_two_runtimes(&server, ttl);
    second.block_on(async {
        let end = guard.expires_at();
        until("it is renewed", ttl, || guard.expires_at() > end).await;
        let end = guard.expires_at();
        until("it is renewed again", ttl, || guard.expires_at() > end).await;
        assert!(guard.is_held());
        guard.release().await.unwrap();
        until_clean(&server, &provider, SOON).await;
    });
}

#[test]
fn a_check_and_a_close_end_in_time() {
    let server = RedisServer::start();
    let (provider, first, second, guard) = guard_of_two_runtimes(&server, TTL);
    first.block_on(provider.check()).unwrap();
    second.block_on(in_time("check", provider.check())).unwrap();
    second.block_on(in_time("check again", provider.check())).unwrap();
    drop(guard);
    second.block_on(in_time("close", provider.close()));
    assert!(keys(&server).is_empty(), "closing has waited for the release");
}

/// A waiter in the queue is told by message, which comes to a connection that is served.
#[test]
fn a_waiter_gets_its_lock() {
    let scene = Scene::new();
    let first = runtime();
    first.block_on(scene.warm());
    let second = runtime();
    let other = provider_at(scene.server.url());
    second.block_on(async {
        let held = lock(&other, NAME, TTL).acquire().await.unwrap();
        let waiter = wait_for(&scene.lock(TTL), LIMIT);
        until_waiting(&scene.server, &scene.provider, 1).await;
        held.release().await.unwrap();
        granted(waiter).await.release().await.unwrap();
        scene.until_clean(SOON).await;
    });
}

/// The first runtime goes on after all: what it was about has been done by another, and nothing is done twice.
#[test]
fn a_runtime_that_is_run_again_doubles_and_loses_nothing() {
    let server = RedisServer::start();
    let (provider, first, second, guard) = guard_of_two_runtimes(&server, TTL);
    let other = provider_at(server.url());
    // Served by the second runtime from now on.
    assert!(second.block_on(in_time("extend", guard.extend(TTL))).unwrap());
    let waiter = {
        let lock = lock(&other, NAME, TTL);
        second.spawn(async move { (lock.try_acquire(LIMIT).await, Instant::now()) })
    };
    second.block_on(until_waiting(&server, &other, 1));
    let clients = || {
        let list: String = server.ask(cmd("CLIENT").arg("LIST"));
        list.lines().filter(|line| !line.contains("user=test-support")).count()
    };
    assert_eq!(clients(), 3, "the first runtime's connection is there still");
    let before = first.metrics().num_alive_tasks();
    first.block_on(async {
        until("the first connection is closed", SOON, || clients() == 2).await;
    });
    assert!(first.metrics().num_alive_tasks() < before, "its tasks have ended");
    second.block_on(async {
        assert!(guard.is_held() && keys(&server).contains(&KEY.to_owned()));
        assert_eq!(guard.release().await.unwrap(), Release::Released);
        let next = granted(waiter).await;
        assert!(lock(&provider, NAME, TTL).try_acquire(Duration::ZERO).await.unwrap().is_none(), "one holder");
        next.release().await.unwrap();
        until_clean(&server, &provider, SOON).await;
    });
    // And it can serve again.
    drop(second);
    first.block_on(in_time("acquire in the first", async {
        lock(&provider, NAME, TTL).acquire().await.unwrap().release().await.unwrap();
        until_clean(&server, &provider, SOON).await;
    }));
}

/// Runtimes that are run by turns, and left alone in between for longer than the response time-out: the lock has one holder
/// at a time, every call has an answer, and nothing is left.
#[test]
fn runtimes_that_are_run_by_turns_keep_exclusion_and_answer_every_call() {
    const PATIENCE: Duration = Duration::from_secs(3);
    let server = RedisServer::start();
    let timeout_of_server = Duration::from_millis(100);
    let options = RedisLockOptions::default().connection_string(server.url()).response_timeout(timeout_of_server);
    let provider = RedisLockProvider::new(options).unwrap();
    let held = AtomicBool::new(false);
    let (granted, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let one = |number: usize| {
        let mut random = Random::new();
        let runtime = runtime();
        let end = Instant::now() + Duration::from_secs(4);
        let lock = lock(&provider, NAME, TTL);
        while Instant::now() < end {
            runtime.block_on(async {
                for _ in 0..=random.below(40) {
                    let wait = if number == 0 { Duration::ZERO } else { Duration::from_secs(2) };
                    let answer = timeout(PATIENCE, lock.try_acquire(wait)).await.expect("an acquire is answered");
                    match answer {
                        Ok(Some(guard)) => {
                            assert!(!held.swap(true, SeqCst), "two hold it");
                            granted.fetch_add(1, SeqCst);
                            tokio::task::yield_now().await;
                            held.store(false, SeqCst);
                            if random.below(2) == 0 {
                                _ = timeout(PATIENCE, guard.release()).await.expect("a release is answered");
                            }
                        }
                        Ok(None) => {}
                        Err(LockError::Unavailable { .. }) => _ = failed.fetch_add(1, SeqCst),
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
            // Not run, for up to three time-outs.
            std::thread::sleep(Duration::from_millis(random.below(300)));
        }
        runtime
    };
    let runtimes: Vec<_> = std::thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = (0..3).map(|number| scope.spawn(move || one(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    println!("{} granted, {} failed", granted.load(SeqCst), failed.load(SeqCst));
    assert!(granted.load(SeqCst) > 100 && failed.load(SeqCst) < granted.load(SeqCst) / 10);
    let last = runtime();
    last.block_on(async {
        lock(&provider, NAME, TTL).try_acquire(SOON).await.unwrap().expect("free").release().await.unwrap();
        until_clean(&server, &provider, SOON).await;
    });
    drop(runtimes);
}
