//! What a user needs on the server: as little as possible, and with messages or without.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider, LockError, LockMode, LockOptions, RedisWarning};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::fixtures::{
    LONG, PATIENCE, acquired, at_once, hold_often, key_of, lock, lock_with, provider_at, soon, until,
};
use crate::support::{FEWEST_COMMANDS, FEWEST_KEYS, INBOXES, RedisServer};

const USER: &str = "locks";
const PASSWORD: &str = "secret";

/// A server with one user that may do these things.
fn server_with(rules: &[&str]) -> RedisServer {
    RedisServer::builder().user_acl(&format!("{USER} on >{PASSWORD} resetchannels -@all {}", rules.join(" "))).start()
}

/// Everything that a provider does, by two of them: acquire, wait, hand over, also past a process that is gone, renew,
/// extend, release, lose, cancel, check, close.
async fn everything(url: &str, server: &RedisServer) -> Result<(), LockError> {
    let (one, other) = (provider_at(url), provider_at(url));
    // Twice: the second time on a connection that is there already.
    one.check().await?;
    one.check().await?;
    let ttl = Duration::from_millis(600);
    let renewed = lock_with(&one, "renewed", LockOptions::default().ttl(ttl)).acquire().await?;
    let began = Instant::now();
    let guard = lock(&one, "name").acquire().await?;
    // Long enough for its place in the queue to be kept alive.
    let patient = lock(&other, "name");
    let patient = tokio::spawn(async move { patient.try_acquire(Duration::from_millis(9_500)).await });
    assert!(lock(&other, "name").try_acquire(Duration::ZERO).await?.is_none());
    assert!(guard.extend(LONG).await?);
    for waits_here in [false, true] {
        let waiting = lock(if waits_here { &one } else { &other }, "handed on");
        let holding = lock(&one, "handed on").acquire().await?;
        let gone = format!("1:60000:m:00000000000000aa.{:032x}", 1);
        server.cli(&["RPUSH", &format!("{{{}}}:q", key_of("handed on")), &gone]);
        let waiting = tokio::spawn(async move { waiting.acquire().await });
        until("it waits", || {
            let of = if waits_here { &one } else { &other };
            of.waiters(&"handed on".try_into().unwrap()) == 1
        })
        .await;
        holding.release().await?;
        soon("it is handed on", waiting).await.unwrap()?.release().await?;
    }
    assert!(lock(&other, "name").try_acquire(Duration::from_millis(1_200)).await?.is_none());
    let lost = lock(&one, "lost").acquire().await?;
    server.cli(&["DEL", &key_of("lost")]);
    assert!(!lost.extend(LONG).await?);
    while began.elapsed() < ttl * 2 {
        sleep(Duration::from_millis(5)).await;
    }
    assert!(renewed.is_held());
    drop(renewed);
    assert!(soon("its time is up", patient).await.unwrap()?.is_none());
    until("its place in the queue is given up", || server.queue_of(&key_of("name")).is_empty()).await;
    guard.release().await?;
    let reading = LockOptions::default().mode(LockMode::Shared);
    drop((lock_with(&one, "name", reading).acquire().await?, lock_with(&other, "name", reading).acquire().await?));
    let permits = LockOptions::default().mode(LockMode::permits(2));
    drop((lock_with(&one, "limit", permits).acquire().await?, lock_with(&other, "limit", permits).acquire().await?));
    server.cli(&["SCRIPT", "FLUSH"]);
    drop(lock(&one, "after a flush").acquire().await?);
    drop(lock(&one, "held").acquire().await?);
    one.close().await;
    other.close().await;
    until("nothing is left", || server.leftovers().is_empty()).await;
    Ok(())
}

/// With the documented rule all of it works, and the server has refused nothing.
#[tokio::test]
async fn the_least_rule_is_enough() {
    let server = server_with(&[FEWEST_COMMANDS, FEWEST_KEYS, INBOXES]);
    everything(&server.url_as(USER, PASSWORD), &server).await.unwrap();
    assert_eq!(server.acl_log(), [], "nothing was refused");
}

/// Each part of it is needed: without it something fails, or the server has refused something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_the_least_rule_is_too_much() {
    let parts: Vec<&str> = [FEWEST_COMMANDS, FEWEST_KEYS, INBOXES].iter().flat_map(|part| part.split(' ')).collect();
    let mut without = JoinSet::new();
    for left_out in parts.iter().copied() {
        let rest: Vec<_> = parts.iter().copied().filter(|part| *part != left_out).collect();
        let server = server_with(&rest);
        without.spawn(async move {
            // In a task of its own: it may fail by panicking.
            let server = Arc::new(server);
            let steps = Arc::clone(&server);
            let worked = tokio::spawn(async move {
                tokio::time::timeout(PATIENCE, everything(&steps.url_as(USER, PASSWORD), &steps))
                    .await
                    .is_ok_and(|done| done.is_ok())
            });
            let worked = worked.await.unwrap_or(false);
            let refused = server.acl_log();
            println!("without {left_out}: {}, {} refusals", if worked { "works" } else { "fails" }, refused.len());
            assert!(!worked || !refused.is_empty(), "nothing is missing without {left_out}");
        });
    }
    while let Some(ended) = without.join_next().await {
        ended.unwrap();
    }
}

/// Keys and channels of others are out of reach for that user.
#[tokio::test]
async fn the_least_rule_reaches_nothing_else() {
    let server = server_with(&[FEWEST_COMMANDS, FEWEST_KEYS, INBOXES]);
    let mut connection = redis::Client::open(server.url_as(USER, PASSWORD)).unwrap().get_connection().unwrap();
    for command in [
        &["GET", "customer:1"][..],
        &["SET", "orchestrix:other", "value"],
        &["PUBLISH", "news", "text"],
        &["KEYS", "*"],
        &["FLUSHALL"],
        &["CONFIG", "GET", "*"],
        &["EVAL", "return redis.call('GET', 'customer:1')", "0"],
        &["SCRIPT", "FLUSH"],
    ] {
        let mut refused = redis::cmd(command[0]);
        let error = refused.arg(&command[1..]).exec(&mut connection).unwrap_err();
        assert_eq!(error.code(), Some("NOPERM"), "{command:?}: {error}");
    }
}

/// Without channels: waiting works, by asking again and again.
#[tokio::test]
async fn without_channels_everything_works() {
    let server = server_with(&[FEWEST_COMMANDS, FEWEST_KEYS]);
    everything(&server.url_as(USER, PASSWORD), &server).await.unwrap();
    for refused in server.acl_log() {
        assert_eq!(refused["reason"], "channel", "{refused:?}");
    }
}

/// Where scripts cannot publish, or nobody can subscribe, for whatever reason, everything works, and the warning has the reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_messages_everything_works_and_the_reason_is_told() {
    let unpublished = FEWEST_COMMANDS.replace("+publish ", "");
    let limited = server_with(&[&unpublished, FEWEST_KEYS, INBOXES]);
    let other_channels = server_with(&[FEWEST_COMMANDS, FEWEST_KEYS, "&orchestrix:lock:other:*"]);
    let renamed = |command: &str| RedisServer::builder().config("rename-command", &format!("{command} \"\"")).start();
    let [no_publish, no_subscribe] = ["PUBLISH", "SUBSCRIBE"].map(renamed);
    for (server, url, why) in [
        (&limited, limited.url_as(USER, PASSWORD), "can't run this command"),
        (&other_channels, other_channels.url_as(USER, PASSWORD), "no permission for the channels"),
        (&no_publish, no_publish.url(), "Unknown Redis command called from script"),
        (&no_subscribe, no_subscribe.url(), "unknown command"),
    ] {
        everything(&url, server).await.unwrap_or_else(|error| panic!("{why}: {error}"));
        let warnings = provider_at(&url).warnings().await.unwrap();
        let [told @ (RedisWarning::NoMessages | RedisWarning::MessagesRefused { .. })] = &warnings[..] else {
            panic!("{why}: {warnings:?}")
        };
        assert!(told.to_string().contains(why), "{told}");
        assert_eq!(told == &RedisWarning::NoMessages, why.contains("channels"), "{told:?}");
    }
}

/// The permission is taken away while a connection is up: the holder's release succeeds, and its waiters keep their order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_is_taken_away_fails_no_call() {
    let server = server_with(&[FEWEST_COMMANDS, FEWEST_KEYS, INBOXES]);
    let url = server.url_as(USER, PASSWORD);
    let providers = [(); 3].map(|()| provider_at(&url));
    let held = acquired(&lock(&providers[0], "name")).await;
    let mut waiting = Vec::new();
    for provider in &providers[1..] {
        let before = waiting.len();
        let lock = lock(provider, "name");
        waiting.push(tokio::spawn(async move { lock.acquire().await }));
        until("it waits", || server.queue_of(&key_of("name")).len() == before + 1).await;
    }
    server.cli(&["ACL", "SETUSER", USER, "-publish"]);
    let mut tokens = vec![held.fencing_token()];
    let token_of = |entry: &str| entry.rsplit(':').next().map(str::to_owned);
    let first = token_of(&server.queue_of(&key_of("name"))[0]);
    held.release().await.unwrap();
    // It may have asked again by now. Then it holds the lock.
    let is_first = server.queue_of(&key_of("name")).first().and_then(|entry| token_of(entry)) == first;
    let owner = server.get(&key_of("name")).map(|token| String::from_utf8(token).unwrap());
    assert!(is_first || owner == first, "the first waiter has kept its place");
    for task in waiting {
        let guard = soon("it is granted", task).await.unwrap().unwrap();
        tokens.push(guard.fencing_token());
        guard.release().await.unwrap();
    }
    assert!(tokens.is_sorted(), "in the order of the queue: {tokens:?}");
    until("nothing is left", || server.leftovers().is_empty()).await;
}

/// The lack of channels is told once, however often the connection is replaced.
#[cfg(feature = "tracing")]
#[tokio::test]
async fn the_lack_of_channels_is_told_once() {
    let (log, _guard) = crate::log::Log::of_this_thread(tracing::Level::INFO);
    let server = server_with(&[FEWEST_COMMANDS, FEWEST_KEYS]);
    let provider = provider_at(&server.url_as(USER, PASSWORD));
    for _ in 0..3 {
        drop(acquired(&lock(&provider, "name")).await);
        let before = server.tcp_clients();
        server.cli(&["CLIENT", "KILL", "TYPE", "normal", "USER", USER]);
        until("there is another connection", || {
            let clients = server.tcp_clients();
            !clients.is_empty() && clients != before
        })
        .await;
        soon("it works again", async {
            // A caller that asks while there is no connection is told so.
            while lock(&provider, "name").try_acquire(Duration::from_secs(1)).await.is_err() {
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }
    let written = log.text();
    let warnings = written.matches("no permission for channels").count();
    assert_eq!(warnings, 1, "{written}");
    assert!(written.matches("connected to the lock server").count() >= 3, "{written}");
}

/// One process may use channels and the other may not: they hand over to each other, and neither starves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_pair_shares_a_lock() {
    let server = RedisServer::builder()
        .user_acl(&format!("with on >{PASSWORD} resetchannels -@all {FEWEST_COMMANDS} {FEWEST_KEYS} {INBOXES}"))
        .user_acl(&format!("without on >{PASSWORD} resetchannels -@all {FEWEST_COMMANDS} {FEWEST_KEYS}"))
        .start();
    for tasks_each in [1, 8] {
        let mut tasks = JoinSet::new();
        let mut sides = Vec::new();
        for user in ["with", "without"] {
            let provider = provider_at(&server.url_as(user, PASSWORD));
            acquired(&lock(&provider, "warm-up")).await.release().await.unwrap();
            let grants = Arc::new(AtomicU64::new(0));
            for _ in 0..tasks_each {
                hold_often(lock(&provider, "name"), &grants, &mut tasks);
            }
            sides.push((provider, grants));
        }
        let took =
            until("both get it again and again", || sides.iter().all(|(_, grants)| grants.load(SeqCst) >= 5)).await;
        let grants: Vec<_> = sides.iter().map(|(_, grants)| grants.load(SeqCst)).collect();
        println!("{tasks_each} tasks each, with and without channels: {grants:?} in {took:?}");
        tasks.shutdown().await;
        until("nothing is left", || server.leftovers().is_empty()).await;
        assert!(at_once(&lock(&sides[0].0, "name")).await.is_some());
    }
}
