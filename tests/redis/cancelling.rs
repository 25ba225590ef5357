//! Nothing leaks, wherever an acquire, a release or an extension is cancelled.

use std::sync::Arc;
use std::time::Duration;

use orchestrix_locking::{LockError, LockGuard, LockOptions, RedisLockProvider};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::fixtures::{Random, acquired, at_once, key_of, lock, lock_with, polled, provider_at, soon, until, within};
use crate::support::{Proxy, RedisServer};

/// Less than after what time anything would be asked or tried again: what is left then was forgotten. (Waiters ask
/// again after some 830 to 920 ms, and no lease here ends.)
const A_FEW_ROUND_TRIPS: Duration = Duration::from_millis(800);

/// One way of the slow network.
const TRIP: Duration = Duration::from_millis(8);

async fn nothing_left(limit: Duration, server: &RedisServer, providers: &[RedisLockProvider]) -> Duration {
    within(limit, "nothing is left of cancelled acquires", || {
        providers.iter().all(RedisLockProvider::is_empty) && server.leftovers().is_empty()
    })
    .await
}

/// 10 000 acquires over three names from four providers, each given up at a random point in one of four ways.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_cancelled_at_random_points_leave_nothing() {
    const TASKS: usize = 40;
    const EACH: usize = 250;
    let server = RedisServer::start();
    let providers: Vec<_> = (0..4).map(|_| provider_at(&server.url())).collect();
    let mut random = Random::new();
    let mut tasks = Vec::new();
    for number in 0..TASKS {
        let provider = providers[number % providers.len()].clone();
        let mut random = random.split();
        tasks.push(tokio::spawn(async move {
            let mut granted = 0_usize;
            for _ in 0..EACH {
                let lock = lock(&provider, ["a", "b", "c"][usize::try_from(random.below(3)).unwrap()]);
                let soon_enough = Duration::from_micros(random.below(3_000));
                match random.below(4) {
                    0 => match lock.try_acquire(soon_enough).await {
                        Ok(answer) => granted += usize::from(answer.is_some()),
                        // Its time was up before the server had answered.
                        Err(LockError::Unavailable { .. }) => {}
                        Err(error) => panic!("{error}"),
                    },
                    1 => {
                        let task = tokio::spawn(async move { lock.acquire().await.map(drop) });
                        sleep(soon_enough).await;
                        task.abort();
                        granted += usize::from(matches!(task.await, Ok(Ok(()))));
                    }
                    2 => {
                        let polls = usize::try_from(random.below(4)).unwrap();
                        granted += usize::from(polled(Box::pin(lock.acquire()), polls, soon_enough).await.0.is_none());
                    }
                    _ => granted += usize::from(timeout(soon_enough, lock.acquire()).await.is_ok()),
                }
            }
            granted
        }));
    }
    let mut granted = 0;
    for task in tasks {
        granted += task.await.unwrap();
    }
    let took = nothing_left(A_FEW_ROUND_TRIPS, &server, &providers).await;
    println!("{granted} of {} were granted before they were cancelled; nothing left after {took:?}", TASKS * EACH);
    assert!(granted > 100 && granted < TASKS * EACH * 9 / 10, "both happens often: {granted} granted");
    for name in ["a", "b", "c"] {
        assert!(at_once(&lock(&providers[0], name)).await.is_some(), "{name} is free");
    }
}

/// Where a cancelled acquire meets its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lock {
    Free,
    HeldElsewhere,
    HeldHere,
}

/// An acquire is polled once, twice, …, until it ends, and dropped; the lock is free, or held by another provider or
/// by the same one. A holder notices nothing, and a dropped acquire leaves no place in the queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_at_every_await_point_nothing_stays() {
    let server = RedisServer::start();
    let providers = [provider_at(&server.url()), provider_at(&server.url())];
    let [ours, other] = &providers;
    for held in [Lock::Free, Lock::HeldElsewhere, Lock::HeldHere] {
        let mut polls = 0;
        loop {
            let guard = match held {
                Lock::Free => None,
                Lock::HeldElsewhere => Some(acquired(&lock(other, "name")).await),
                Lock::HeldHere => Some(acquired(&lock(ours, "name")).await),
            };
            let own = lock(ours, "name");
            let acquire = Box::pin(async move { own.acquire().await.map(drop) });
            let (left, done) = polled(acquire, polls, Duration::from_millis(30)).await;
            let ended = left.is_none();
            drop(left);
            if let Some(guard) = guard {
                assert!(!ended, "{held:?}: a lock that is held is not granted");
                until("no place in the queue is left", || server.queue_of(&key_of("name")).is_empty()).await;
                assert!(guard.is_held());
                guard.release().await.unwrap();
            }
            nothing_left(A_FEW_ROUND_TRIPS, &server, &providers).await;
            assert!(at_once(&lock(other, "name")).await.is_some(), "{held:?}: free after {polls} polls");
            nothing_left(A_FEW_ROUND_TRIPS, &server, &providers).await;
            // It has ended, or nothing wakes it any more.
            if ended || done < polls {
                break;
            }
            polls += 1;
        }
        println!("{held:?}: dropped after 0 to {polls} polls");
        assert!(polls >= 1);
    }
}

/// On a slow network an acquire is dropped before the server has its command, while it does, and after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_before_while_and_after_the_server_ran_it() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let providers = [provider_at(&proxy.url()), provider_at(&server.url())];
    let [slow, other] = &providers;
    drop(acquired(&lock(slow, "warm-up")).await);
    nothing_left(A_FEW_ROUND_TRIPS, &server, &providers).await;
    proxy.delay(TRIP);
    let mut granted = 0;
    for held in [Lock::Free, Lock::HeldElsewhere, Lock::HeldHere] {
        for wait in 0..u32::try_from(TRIP.as_millis()).unwrap() * 3 {
            let guard = match held {
                Lock::Free => None,
                Lock::HeldElsewhere => Some(acquired(&lock(other, "name")).await),
                Lock::HeldHere => Some(acquired(&lock(slow, "name")).await),
            };
            let own = lock(slow, "name");
            granted += u32::from(timeout(Duration::from_millis(wait.into()), own.acquire()).await.is_ok());
            if let Some(guard) = guard {
                // Released while the taking back is under way.
                assert!(guard.is_held());
                guard.release().await.unwrap();
            }
            let what = "a lock is free for others once a dropped acquire has been taken back";
            drop(soon(what, lock(other, "name").acquire()).await.unwrap());
            nothing_left(A_FEW_ROUND_TRIPS, &server, &providers).await;
        }
    }
    assert!(granted > 0, "the longest times are enough for a grant");
}

/// A waiter is dropped on a slow network while the lock is on its way to it: the next one gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_while_the_grant_is_on_its_way_the_next_gets_it() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let providers = [provider_at(&proxy.url()), provider_at(&server.url()), provider_at(&server.url())];
    let [slow, holder, next] = &providers;
    drop(acquired(&lock(slow, "warm-up")).await);
    proxy.delay(TRIP);
    for wait in (0..u32::try_from(TRIP.as_millis()).unwrap() * 4).step_by(2) {
        let guard = acquired(&lock(holder, "name")).await;
        let first = lock(slow, "name");
        let first = tokio::spawn(async move { first.acquire().await.map(drop) });
        until("the first is in the queue", || server.queue_of(&key_of("name")).len() == 1).await;
        let second = lock(next, "name");
        let second = tokio::spawn(async move { second.acquire().await });
        until("the second is in the queue", || server.queue_of(&key_of("name")).len() == 2).await;
        guard.release().await.unwrap();
        sleep(Duration::from_millis(wait.into())).await;
        first.abort();
        let guard = within_round_trips("the next gets the lock", second).await;
        guard.release().await.unwrap();
        nothing_left(A_FEW_ROUND_TRIPS, &server, &providers).await;
    }
}

/// A waiter is dropped when it has been granted the lock and has not looked: the lock goes on to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_with_the_grant_untaken_the_next_gets_it() {
    let server = RedisServer::start();
    let providers = [provider_at(&server.url()), provider_at(&server.url())];
    let [ours, other] = &providers;
    let name = "name".try_into().unwrap();
    for held_here in [true, false] {
        let holder = if held_here { ours } else { other };
        let guard = acquired(&lock(holder, "name")).await;
        let own = lock(ours, "name");
        let (waiting, _) = polled(Box::pin(async move { own.acquire().await.map(drop) }), 1, TRIP).await;
        until("it waits", || ours.waiters(&name) == 1).await;
        if !held_here {
            until("the server knows", || server.queue_of(&key_of("name")).len() == 1).await;
        }
        guard.release().await.unwrap();
        until("it has been granted the lock", || ours.waiters(&name) == 0).await;
        assert!(at_once(&lock(other, "name")).await.is_none());
        drop(waiting.expect("it has not looked"));
        let next = lock(other, "name");
        let next = tokio::spawn(async move { next.acquire().await });
        drop(within_round_trips("the next gets the lock", next).await);
        nothing_left(A_FEW_ROUND_TRIPS, &server, &providers).await;
    }
}

async fn within_round_trips(what: &str, task: JoinHandle<Result<LockGuard, LockError>>) -> LockGuard {
    timeout(A_FEW_ROUND_TRIPS, task).await.unwrap_or_else(|_| panic!("{what}: it does not in time")).unwrap().unwrap()
}

/// A release that is dropped goes on, polled or not, also on a slow network; the next waiter gets the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_release_goes_on() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let providers = [provider_at(&proxy.url()), provider_at(&server.url())];
    let [slow, other] = &providers;
    for delay in [Duration::ZERO, TRIP] {
        proxy.delay(delay);
        for polls in 0..4 {
            let guard = acquired(&lock(slow, "name")).await;
            let waiting = lock(other, "name");
            let waiting = tokio::spawn(async move { waiting.acquire().await });
            until("it waits", || server.queue_of(&key_of("name")).len() == 1).await;
            drop(polled(Box::pin(guard.release()), polls, TRIP).await);
            drop(within_round_trips("the waiter gets it", waiting).await);
            nothing_left(A_FEW_ROUND_TRIPS, &server, &providers).await;
        }
    }
}

/// An extension that is dropped has happened or not, and the guard never believes in more than the server has: not
/// for a longer lease, and not for a shorter one. Renewal goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_extension_leaves_a_sound_guard() {
    let ttl = Duration::from_millis(900);
    let server = Arc::new(RedisServer::start());
    let proxy = Proxy::to(server.port());
    let provider = provider_at(&proxy.url());
    for delay in [Duration::ZERO, TRIP] {
        proxy.delay(delay);
        let mut cases = JoinSet::new();
        for (polls, to) in [0, 1, 2].into_iter().flat_map(|polls| [(polls, ttl * 3), (polls, ttl / 2)]) {
            let (server, provider) = (Arc::clone(&server), provider.clone());
            cases.spawn(async move {
                let name = format!("name-{polls}-{}", to.as_millis());
                let guard = acquired(&lock_with(&provider, &name, LockOptions::default().ttl(ttl))).await;
                let extending = Box::pin(guard.extend(to));
                drop(polled(extending, polls, TRIP / 2).await);
                let began = Instant::now();
                // Longer than any of these leases, so that it has to be renewed.
                while began.elapsed() < ttl * 3 + ttl / 2 {
                    assert!(guard.is_held(), "renewed after an extension to {to:?}, dropped after {polls} polls");
                    let asked = Instant::now();
                    let here = guard.remaining();
                    let there = Duration::from_millis(server.pttl(&key_of(&name)).try_into().unwrap_or(0));
                    let by_now = here.saturating_sub(asked.elapsed());
                    assert!(by_now <= there + Duration::from_millis(1), "{by_now:?} here, {there:?} there");
                    sleep(Duration::from_millis(20)).await;
                }
                guard.release().await.unwrap();
            });
        }
        while let Some(case) = cases.join_next().await {
            case.unwrap();
        }
    }
    nothing_left(A_FEW_ROUND_TRIPS, &server, std::slice::from_ref(&provider)).await;
}

/// A lease that is made shorter ends when the server may have it end, though its answer is late or never comes: or
/// there would be two holders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shorter_lease_ends_in_time_without_an_answer() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let (slow, other) = (provider_at(&proxy.url()), provider_at(&server.url()));
    let guard = acquired(&lock(&slow, "name")).await;
    let waiting = lock(&other, "name");
    let waiting = tokio::spawn(async move { waiting.acquire().await });
    until("it waits", || server.queue_of(&key_of("name")).len() == 1).await;
    let token = server.get(&key_of("name"));
    proxy.stall_answers(true);
    let extending = guard.extend(Duration::from_millis(100));
    assert!(timeout(Duration::from_millis(1), extending).await.is_err());
    until("the server has let it end", || server.get(&key_of("name")) != token).await;
    assert!(!guard.is_held(), "it is free on the server, or another's already");
    soon("the loss is signalled", guard.lost()).await;
    proxy.stall_answers(false);
    drop(soon("the waiter gets it", waiting).await.unwrap().unwrap());
}
