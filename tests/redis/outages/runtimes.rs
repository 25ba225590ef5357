//! Runtimes and providers that end.

use std::convert::Infallible;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use orchestrix_locking::{DistributedLockProvider, LockGuard, LockLayer, RedisLockProvider};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, ServiceExt, service_fn};

use super::scene::{KEY, LIMIT, NAME, SOON, Scene, keys, lock, provider_at, resource, until_clean};
use crate::support::RedisServer;

const TTL: Duration = Duration::from_secs(30);

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn small_runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// As `until`, without a runtime.
#[track_caller]
fn until(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How many clients the server has, its own and the test's not counted.
fn clients(server: &RedisServer) -> usize {
    let list: String = server.ask(redis::cmd("CLIENT").arg("LIST"));
    list.lines().filter(|line| !line.contains("user=test-support")).count()
}

fn take(runtime: &Runtime, provider: &RedisLockProvider, name: &str, ttl: Duration) -> LockGuard {
    runtime.block_on(lock(provider, name, ttl).try_acquire(SOON)).unwrap().expect("free")
}

/// One runtime after the other uses a provider.
#[test]
fn a_provider_outlives_its_runtimes() {
    let server = RedisServer::start();
    let provider = provider_at(server.url());
    for round in 0..6 {
        let runtime = if round % 2 == 0 { runtime() } else { small_runtime() };
        let guard = take(&runtime, &provider, NAME, TTL);
        runtime.block_on(guard.release()).unwrap();
        runtime.block_on(until_clean(&server, &provider, SOON));
        drop(runtime);
        until("its connection is closed", SOON, || clients(&server) == 0);
    }
}

/// Of two runtimes that use a provider at the same time one ends, also the one that drove the connection. Guards,
/// waiters and new callers of the other go on.
#[test]
fn of_two_runtimes_the_other_goes_on() {
    let server = RedisServer::start();
    let provider = provider_at(server.url());
    let (first, second) = (runtime(), runtime());
    drop(take(&first, &provider, "first", TTL));
    let guard = take(&second, &provider, NAME, TTL);
    drop(first);
    let other = take(&second, &provider, "other", TTL);
    assert!(guard.is_held() && other.is_held());
    second.block_on(guard.release()).unwrap();
    second.block_on(other.release()).unwrap();
    second.block_on(until_clean(&server, &provider, SOON));
}

/// A guard is renewed, extended and released by the runtime that is left, without a new acquire.
#[test]
fn a_guard_needs_no_new_caller_after_its_runtime_has_ended() {
    let server = RedisServer::start();
    let provider = provider_at(server.url());
    let (first, second) = (runtime(), runtime());
    drop(take(&first, &provider, "first", TTL));
    let guard = take(&second, &provider, NAME, TTL);
    let released = take(&second, &provider, "released", TTL);
    drop(first);
    second.block_on(async {
        assert!(tokio::time::timeout(SOON, guard.extend(TTL * 2)).await.expect("it is answered").unwrap());
        tokio::time::timeout(SOON, released.release()).await.expect("it is answered").unwrap();
        tokio::time::timeout(SOON, guard.release()).await.expect("it is answered").unwrap();
        until_clean(&server, &provider, SOON).await;
    });
}

/// Renewals too go on in the runtime that is left.
#[test]
fn renewals_go_on_in_the_runtime_that_is_left() {
    let server = RedisServer::start();
    let provider = provider_at(server.url());
    let (first, second) = (runtime(), runtime());
    drop(take(&first, &provider, "first", TTL));
    let guard = take(&second, &provider, NAME, Duration::from_secs(2));
    let lost = second.spawn(guard.lost());
    drop(first);
    let end = guard.expires_at();
    until("it is renewed", Duration::from_secs(4), || guard.expires_at() > end || lost.is_finished());
    assert!(guard.is_held(), "it was not renewed");
    second.block_on(guard.release()).unwrap();
}

/// A waiter in the runtime that is left gets its lock.
#[test]
fn a_waiter_goes_on_in_the_runtime_that_is_left() {
    let scene = Scene::new();
    let (first, second) = (runtime(), runtime());
    drop(take(&first, &scene.provider, "first", TTL));
    let other = provider_at(scene.server.url());
    let held = take(&second, &other, NAME, TTL);
    let waiter = {
        let lock = lock(&scene.provider, NAME, TTL);
        second.spawn(async move { lock.try_acquire(LIMIT).await })
    };
    let name = resource(NAME);
    until("it waits", LIMIT, || scene.provider.waiters(&name) == 1);
    drop(first);
    second.block_on(held.release()).unwrap();
    let answer = second.block_on(async { tokio::time::timeout(SOON * 2, waiter).await });
    let guard = answer.expect("it ends soon").unwrap().unwrap().expect("it is free");
    second.block_on(guard.release()).unwrap();
    second.block_on(until_clean(&scene.server, &scene.provider, SOON));
}

/// A runtime that ends before the provider's tasks have run once leaves the provider usable.
#[test]
fn a_runtime_that_ends_at_once_spoils_nothing() {
    let server = RedisServer::start();
    let provider = provider_at(server.url());
    let lock = lock(&provider, NAME, TTL);
    {
        let first = small_runtime();
        let _inside = first.enter();
        let mut acquire = Box::pin(lock.try_acquire(LIMIT));
        assert!(acquire.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let second = small_runtime();
    second.block_on(async {
        let answer = tokio::time::timeout(LIMIT / 2, lock.try_acquire(SOON)).await.expect("it ends");
        answer.unwrap().expect("free").release().await.unwrap();
        until_clean(&server, &provider, SOON).await;
    });
}

/// A waiter whose own runtime ended blocks no other waiter.
#[test]
fn a_waiter_that_ended_with_its_runtime_is_in_nobodys_way() {
    let server = RedisServer::start();
    let (provider, other) = (provider_at(server.url()), provider_at(server.url()));
    let (first, second) = (runtime(), runtime());
    let held = take(&second, &other, NAME, TTL);
    let waiting = lock(&provider, NAME, TTL);
    first.spawn(async move { waiting.acquire().await });
    let name = resource(NAME);
    until("it waits", LIMIT, || provider.waiters(&name) == 1);
    drop(first);
    assert_eq!(provider.waiters(&resource(NAME)), 0);
    second.block_on(held.release()).unwrap();
    let guard = take(&second, &other, NAME, TTL);
    second.block_on(guard.release()).unwrap();
    second.block_on(until_clean(&server, &other, LIMIT));
}

/// A guard that is dropped when there is no runtime any more: its lock is released all the same, or ends with its lease.
#[test]
fn a_guard_that_outlived_its_runtime_ends_with_its_lease() {
    let server = RedisServer::start();
    let ttl = Duration::from_secs(2);
    for keep_provider in [true, false] {
        let provider = provider_at(server.url());
        let first = runtime();
        let begun = Instant::now();
        let guard = take(&first, &provider, NAME, ttl);
        drop(first);
        assert!(guard.is_held());
        let kept = keep_provider.then_some(provider);
        drop(guard);
        until("its key is gone", (ttl + SOON).saturating_sub(begun.elapsed()), || keys(&server).is_empty());
        let second = runtime();
        let other = provider_at(server.url());
        let provider = kept.unwrap_or(other);
        let guard = take(&second, &provider, NAME, ttl);
        second.block_on(guard.release()).unwrap();
        second.block_on(until_clean(&server, &provider, SOON));
    }
}

/// When the last of a provider, its locks and its guards is gone, so are its tasks and its connection; and what was
/// asked last is done before.
#[test]
fn a_dropped_provider_leaves_nothing() {
    let server = RedisServer::start();
    let runtime = runtime();
    let tasks = runtime.metrics().num_alive_tasks();
    let provider = provider_at(server.url());
    let guard = take(&runtime, &provider, NAME, TTL);
    let lock = lock(&provider, "another", TTL);
    drop(provider);
    assert!(guard.is_held());
    assert_eq!(clients(&server), 1);
    runtime.block_on(async {
        // Both live as long as anything of the provider does.
        assert!(lock.try_acquire(SOON).await.unwrap().is_some());
    });
    drop(lock);
    until("the other lock is free", SOON, || keys(&server) == [KEY]);
    drop(guard);
    let limit = Duration::from_secs(1);
    until("its lock is free", limit, || keys(&server).is_empty());
    until("its connection is closed", limit, || clients(&server) == 0);
    until("its tasks have ended", limit, || runtime.metrics().num_alive_tasks() == tasks);
}

/// The same while the server is out of reach.
#[test]
fn a_provider_that_is_dropped_during_an_outage_leaves_nothing() {
    for stopped in [false, true] {
        let server = RedisServer::start();
        let runtime = runtime();
        let tasks = runtime.metrics().num_alive_tasks();
        let provider = provider_at(server.url());
        let guard = take(&runtime, &provider, NAME, TTL);
        if stopped {
            server.stop();
        } else {
            server.kill();
        }
        drop(guard);
        drop(provider);
        // A silent server has its response time-out and the connection time-out.
        until("its tasks have ended", LIMIT / 2, || runtime.metrics().num_alive_tasks() == tasks);
    }
}

/// Guards are dropped on threads that outlast their runtime's tasks, while it ends: each release is sent, or left to
/// the lease, and no thread hangs.
#[test]
fn guards_dropped_while_their_runtime_ends_block_no_thread() {
    const SHORT: Duration = Duration::from_millis(400);
    let server = RedisServer::start();
    let provider = provider_at(server.url());
    for round in 0..12 {
        let runtime = runtime();
        let mut guards: Vec<_> = (0..40).map(|number| take(&runtime, &provider, &format!("{number}"), SHORT)).collect();
        while !guards.is_empty() {
            let some = guards.split_off(guards.len().saturating_sub(10));
            runtime.spawn_blocking(move || {
                for guard in some {
                    drop(guard);
                    std::thread::sleep(Duration::from_micros(100));
                }
            });
        }
        std::thread::sleep(Duration::from_micros(150) * round);
        runtime.shutdown_timeout(SOON);
        until("every lock is free", SOON, || keys(&server).is_empty());
    }
    // What could not be sent is forgotten with its lease, as soon as the provider is used again.
    let runtime = small_runtime();
    let guard = take(&runtime, &provider, NAME, SHORT);
    runtime.block_on(guard.release()).unwrap();
    runtime.block_on(until_clean(&server, &provider, SOON));
}

/// Runs `attempts` on a runtime of one thread, while the server is back and the provider has yet to connect again.
fn works_again_on_one_thread(attempts: impl AsyncFnOnce(RedisLockProvider) + Send + 'static) {
    let (ended, end) = mpsc::channel();
    // A loop that starves its runtime cannot be stopped, so that the test waits beside it.
    thread::spawn(move || {
        let server = RedisServer::start();
        let provider = provider_at(server.url());
        small_runtime().block_on(async {
            server.kill();
            provider.check().await.expect_err("there is no server");
            server.start_again();
            attempts(provider.clone()).await;
        });
        // The test may be over.
        _ = ended.send(());
    });
    end.recv_timeout(LIMIT).expect("the loop ends once the provider has connected");
}

#[test]
fn a_loop_of_attempts_that_do_not_wait_lets_the_provider_connect() {
    works_again_on_one_thread(async |provider| {
        let lock = lock(&provider, NAME, TTL);
        while lock.try_acquire(Duration::ZERO).await.is_err() {}
    });
}

#[test]
fn a_loop_of_acquires_that_fail_at_once_lets_the_provider_connect() {
    works_again_on_one_thread(async |provider| {
        let lock = lock(&provider, NAME, TTL);
        while lock.acquire().await.is_err() {}
    });
}

#[test]
fn a_loop_of_checks_lets_the_provider_connect() {
    works_again_on_one_thread(async |provider| while provider.check().await.is_err() {});
}

/// As above, through the layer, which begins its acquires itself.
#[test]
fn a_loop_of_calls_that_are_refused_at_once_lets_the_provider_connect() {
    works_again_on_one_thread(async |provider| {
        let layer = LockLayer::new(provider, |(): &()| NAME).wait(LIMIT);
        let service = layer.layer(service_fn(async |()| Ok::<_, Infallible>(())));
        while service.clone().oneshot(()).await.is_err() {}
    });
}
