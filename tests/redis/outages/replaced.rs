//! The connection is replaced at the moment of a call: the server is no primary for a moment, or closes what was idle.

use std::time::{Duration, Instant};

use orchestrix_locking::{DistributedLock, LockError, LockGuard, RedisLockOptions, RedisLockProvider, Release};
use redis::cmd;

use super::scene::{
    LIMIT, NAME, SOON, ended, keys, lock, patient_provider_at, provider_at, unavailable, until, until_clean,
};
use crate::fixtures::Random;
use crate::support::RedisServer;

const TTL: Duration = Duration::from_secs(60);

/// No server listens at that port: this one keeps its data.
fn become_replica(server: &RedisServer) {
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
}

fn become_master(server: &RedisServer) {
    server.cli(&["REPLICAOF", "NO", "ONE"]);
}

/// A time-out below the response time-out.
const SHORT: Duration = Duration::from_millis(20);

/// One of the ways to acquire a lock that is free; in one of them with such a time-out.
async fn take(lock: &DistributedLock, way: usize, short: Duration) -> Result<LockGuard, LockError> {
    let timeout = match way % 3 {
        0 => return lock.acquire().await,
        1 => Duration::ZERO,
        _ => short,
    };
    lock.try_acquire(timeout).await.map(|guard| guard.expect("the lock is free"))
}

/// A server that was a replica for a moment and is primary again: callers who asked meanwhile get their locks, and so do
/// callers who ask right after. None hears of what has passed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_a_replica_for_a_moment_is_not_noticed() {
    let server = RedisServer::start();
    let provider = provider_at(server.url());
    for round in 0..9 {
        let held = lock(&provider, "held", TTL).acquire().await.unwrap();
        let leaving = lock(&provider, "leaving", TTL).acquire().await.unwrap();
        become_replica(&server);
        let tasks: Vec<_> = (0..6)
            .map(|number| {
                let lock = lock(&provider, &format!("{NAME}:{number}"), TTL);
                tokio::spawn(async move { take(&lock, number, SHORT).await })
            })
            .collect();
        let releasing = tokio::spawn(async move { leaving.release().await });
        until("they have been refused", SOON, || refusals(&server) > 0).await;
        // A few more times, each over another connection.
        tokio::time::sleep(Duration::from_millis(10 * round)).await;
        become_master(&server);
        let right_after = lock(&provider, NAME, TTL);
        let guard = take(&right_after, usize::try_from(round).unwrap(), SHORT).await.unwrap();
        guard.release().await.unwrap();
        for task in tasks {
            ended(task).await.unwrap().release().await.unwrap();
        }
        assert_eq!(ended(releasing).await.unwrap(), Release::Released);
        assert!(held.extend(TTL).await.unwrap() && held.is_held());
        held.release().await.unwrap();
        until_clean(&server, &provider, SOON).await;
        server.cli(&["CONFIG", "RESETSTAT"]);
    }
}

/// How often the server has refused a command for being a replica.
fn refusals(server: &RedisServer) -> u64 {
    let stats = server.cli(&["INFO", "errorstats"]);
    let line = stats.lines().find(|line| line.starts_with("errorstat_READONLY:count="));
    line.map_or(0, |line| line.trim().rsplit('=').next().unwrap().parse().unwrap())
}

/// One that stays a replica is `Unavailable`, with the reason: within the caller's time, the response time-out at least.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stays_a_replica_is_unavailable_in_the_callers_time() {
    let server = RedisServer::start();
    let timeout = Duration::from_millis(400);
    let options = RedisLockOptions::default().connection_string(server.url()).response_timeout(timeout);
    let provider = RedisLockProvider::new(options).unwrap();
    let held = lock(&provider, "held", TTL).acquire().await.unwrap();
    become_replica(&server);
    for (wait, least) in [
        (Duration::ZERO, timeout),
        (Duration::from_millis(20), timeout),
        (Duration::from_millis(900), Duration::from_millis(900)),
    ] {
        let begun = Instant::now();
        let text = unavailable(lock(&provider, NAME, TTL).try_acquire(wait).await);
        let took = begun.elapsed();
        assert!(
            took + Duration::from_millis(30) >= least && took < least + Duration::from_millis(400),
            "{wait:?}: {took:?}"
        );
        assert!(text.contains("ReadOnly") || text.contains("READONLY"), "{text}");
    }
    let begun = Instant::now();
    unavailable(held.extend(TTL).await);
    assert!(held.is_held());
    unavailable(held.release().await);
    assert!(begun.elapsed() < 3 * timeout, "{:?}", begun.elapsed());
    become_master(&server);
    until("the release is made up for", SOON, || keys(&server).is_empty()).await;
    until_clean(&server, &provider, SOON).await;
}

/// The connection is closed while a call is on its way: it is asked anew, and its caller notices nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_closed_beside_a_call_fails_none() {
    let server = RedisServer::start();
    let provider = provider_at(server.url());
    let mut killer = server.connection().await;
    let mut kill = cmd("CLIENT");
    kill.arg("KILL").arg("TYPE").arg("pubsub");
    let mut random = Random::new();
    for round in 0..150 {
        let lock = lock(&provider, NAME, TTL);
        let early = Duration::from_micros(random.below(400));
        let taking = tokio::spawn(async move {
            tokio::time::sleep(early).await;
            take(&lock, round, SHORT).await
        });
        if round % 2 == 0 {
            kill.exec_async(&mut killer).await.unwrap();
        }
        let guard = ended(taking).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        let releasing = tokio::spawn(guard.release());
        if round % 2 == 1 {
            kill.exec_async(&mut killer).await.unwrap();
        }
        let released = ended(releasing).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(released, Release::Released);
        until_clean(&server, &provider, LIMIT).await;
    }
}

/// The same where the server closes connections that were idle for a second, as hosted ones do after some minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_that_the_server_closes_fails_no_acquire() {
    let server = RedisServer::start();
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let provider = patient_provider_at(server.url());
            tokio::spawn(async move {
                let mut random = Random::new();
                for round in 0..6 {
                    let lock = lock(&provider, &format!("{NAME}:{number}"), TTL);
                    let taken = take(&lock, round, LIMIT / 2).await;
                    let guard = taken.unwrap_or_else(|error| panic!("round {round}: {error}"));
                    assert_eq!(guard.release().await.unwrap(), Release::Released, "round {round}");
                    // Around the second at which it is closed, which the server looks for now and then.
                    tokio::time::sleep(Duration::from_millis(950 + random.below(1_150))).await;
                }
            })
        })
        .collect();
    // Not for the client that asks the server.
    server.cli(&["CONFIG", "SET", "timeout", "1"]);
    for task in tasks {
        ended(task).await;
    }
}
