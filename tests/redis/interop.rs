//! Programs of another make on the same keys, and values and messages that are not ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use orchestrix_locking::{LockError, LockOptions, RedisLockOptions, RedisLockProvider, Release};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::fixtures::{LONG, PATIENCE, acquired, at_once, key_of, lease, lock, lock_with, provider_at, soon, until};
use crate::support::{PlainLocker, RedisServer};

/// Within a second, and what a busy machine adds.
const WITHIN_A_SECOND: Duration = Duration::from_millis(1_300);

/// We hold, they don't; with the library's client and with the command line's.
#[tokio::test]
async fn we_exclude_plain_clients() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    let mut plain = PlainLocker::connect(&server.url()).await;
    let guard = acquired(&lock(&provider, "order:42")).await;
    assert_eq!(plain.lock(&key_of("order:42"), LONG).await, None);
    assert_eq!(plain.lock_for_ever(&key_of("order:42")).await, None);
    assert_eq!(server.cli(&["SET", &key_of("order:42"), "mine", "NX", "PX", "60000"]), "");
    guard.release().await.unwrap();
    let token = plain.lock(&key_of("order:42"), LONG).await.expect("it is free");
    assert!(plain.unlock(&key_of("order:42"), &token).await);
    assert_eq!(server.cli(&["SET", &key_of("order:42"), "mine", "NX", "PX", "60000"]), "OK");
}

/// They hold, we don't, however we ask; and their release is noticed within a second, though they send no notification.
#[tokio::test]
async fn plain_clients_exclude_us() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    let mut plain = PlainLocker::connect(&server.url()).await;
    let ours = lock(&provider, "order:42");
    for for_ever in [false, true] {
        let token = if for_ever {
            plain.lock_for_ever(&key_of("order:42")).await.unwrap()
        } else {
            plain.lock(&key_of("order:42"), LONG).await.unwrap()
        };
        assert!(at_once(&ours).await.is_none());
        assert!(ours.try_acquire(Duration::from_millis(100)).await.unwrap().is_none());
        let waiting = ours.clone();
        let waiting = tokio::spawn(async move { waiting.acquire().await });
        // Over more than one of our questions.
        sleep(Duration::from_millis(1_500)).await;
        assert!(!waiting.is_finished(), "it has not been released");
        assert_eq!(server.get(&key_of("order:42")), Some(token.clone().into_bytes()), "and not been touched");
        assert_eq!(server.pttl(&key_of("order:42")) == -1, for_ever);
        assert!(plain.unlock(&key_of("order:42"), &token).await);
        let released = Instant::now();
        soon("it is ours then", waiting).await.unwrap().unwrap().release().await.unwrap();
        assert!(released.elapsed() < WITHIN_A_SECOND, "after {:?}", released.elapsed());
        println!("a plain client's release was noticed after {:?}", released.elapsed());
    }
    assert_eq!(server.cli(&["SET", &key_of("order:42"), "mine", "NX", "PX", "60000"]), "OK");
    assert!(at_once(&ours).await.is_none());
}

/// The end of a plain client's lease is noticed when it comes.
#[tokio::test]
async fn a_plain_clients_lease_ends() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    let mut plain = PlainLocker::connect(&server.url()).await;
    let began = Instant::now();
    plain.lock(&key_of("name"), Duration::from_millis(400)).await.unwrap();
    let _guard = acquired(&lock(&provider, "name")).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(400) && took < Duration::from_millis(750), "after {took:?}");
}

/// A plain client that waits its turn by trying again, and ours: never two at a time, and both get it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_clients_and_we_take_turns() {
    let server = RedisServer::start();
    let counts = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let enter = |inside: &AtomicU64, overlaps: &AtomicU64| {
        overlaps.fetch_add(u64::from(inside.fetch_add(1, SeqCst) != 0), SeqCst);
    };
    let mut tasks = JoinSet::new();
    for _ in 0..2 {
        let provider = provider_at(&server.url());
        let (inside, overlaps) = counts.clone();
        tasks.spawn(async move {
            for _ in 0..15 {
                let guard = acquired(&lock(&provider, "name")).await;
                enter(&inside, &overlaps);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, SeqCst);
                guard.release().await.unwrap();
                sleep(Duration::from_millis(2)).await;
            }
        });
        let mut plain = PlainLocker::connect(&server.url()).await;
        let (inside, overlaps) = counts.clone();
        tasks.spawn(async move {
            for _ in 0..5 {
                let token = loop {
                    match plain.lock(&key_of("name"), LONG).await {
                        Some(token) => break token,
                        None => sleep(Duration::from_millis(1)).await,
                    }
                };
                enter(&inside, &overlaps);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, SeqCst);
                assert!(plain.unlock(&key_of("name"), &token).await);
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE * 4, all).await.expect("all of them get it often");
    assert_eq!(counts.1.load(SeqCst), 0);
}

/// A compare-and-delete with any other token does not free our lock.
#[tokio::test]
async fn their_release_does_not_free_ours() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    let mut plain = PlainLocker::connect(&server.url()).await;
    let token = plain.lock(&key_of("name"), Duration::from_millis(50)).await.unwrap();
    let guard = acquired(&lock(&provider, "name")).await;
    let ours = server.get(&key_of("name"));
    assert!(!plain.unlock(&key_of("name"), &token).await, "its lease has ended, and the lock is ours");
    assert!(!plain.unlock(&key_of("name"), "").await);
    assert!(guard.is_held());
    assert_eq!(server.get(&key_of("name")), ours);
}

/// After our lease has ended, and another client has the lock, nothing that we do touches it: extend, release, drop,
/// renewal.
#[tokio::test]
async fn after_our_lease_theirs_is_not_touched() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    let mut plain = PlainLocker::connect(&server.url()).await;
    let theirs = |token: &str| {
        let left = server.pttl(&key_of("name"));
        assert_eq!(server.get(&key_of("name")), Some(token.to_owned().into_bytes()), "it is theirs");
        assert!((200_000..=300_000).contains(&left), "and ends when they said: in {left} ms");
    };
    for released in [true, false] {
        let guard = acquired(&lock_with(&provider, "name", lease(Duration::from_millis(100)))).await;
        soon("our lease ends", guard.lost()).await;
        until("it is free", || server.get(&key_of("name")).is_none()).await;
        let token = plain.lock(&key_of("name"), LONG).await.unwrap();
        assert!(!guard.extend(LONG).await.unwrap());
        theirs(&token);
        if released {
            assert_eq!(guard.release().await.unwrap(), Release::AlreadyLost);
        } else {
            drop(guard);
        }
        assert!(at_once(&lock(&provider, "name")).await.is_none());
        theirs(&token);
        assert!(plain.unlock(&key_of("name"), &token).await);
    }

    // Taken from us by force, so that we believe in it still.
    for step in ["extend", "release", "drop", "renewal"] {
        // A third of it is time enough for the other to take the lock, on a busy machine too.
        let ttl = if step == "renewal" { Duration::from_secs(3) } else { LONG };
        let guard = acquired(&lock_with(&provider, "name", LockOptions::default().ttl(ttl))).await;
        server.cli(&["DEL", &key_of("name")]);
        let token = plain.lock(&key_of("name"), LONG).await.unwrap();
        assert!(guard.is_held(), "no notification has come");
        match step {
            "extend" => {
                assert!(!guard.extend(LONG).await.unwrap());
                soon("the loss is signalled", guard.lost()).await;
            }
            "release" => assert_eq!(guard.release().await.unwrap(), Release::AlreadyLost),
            "drop" => {
                drop(guard);
                assert!(at_once(&lock(&provider, "name")).await.is_none());
            }
            _ => soon("the renewal finds out", guard.lost()).await,
        }
        theirs(&token);
        assert!(plain.unlock(&key_of("name"), &token).await, "{step}");
    }
}

/// The key is prefix and resource, its value differs with every grant, and its end is the lease. One counter stays, for
/// all names.
#[tokio::test]
async fn keys_are_as_documented() {
    let server = RedisServer::start();
    for prefix in ["orchestrix:lock:", "", "other app/"] {
        let options = RedisLockOptions::default().connection_string(server.url()).key_prefix(prefix);
        let provider = RedisLockProvider::new(options).unwrap();
        for (name, key) in [("order:42", "order:42"), ("ä ö", "ä ö"), ("a{b}100%", "a%7Bb%7D100%25")] {
            let key = format!("{prefix}{key}");
            let (queue, fence) = (format!("{{{key}}}:q"), format!("{prefix}{{}}:f"));
            let kind = |key: &str| -> String { server.ask(redis::cmd("TYPE").arg(key)) };
            let mut values = std::collections::BTreeSet::new();
            let mut fences = Vec::new();
            for _ in 0..5 {
                let ttl = Duration::from_secs(60);
                let guard = acquired(&lock_with(&provider, name, LockOptions::default().ttl(ttl))).await;
                assert_eq!(kind(&key), "string");
                let left = server.pttl(&key);
                assert!((55_000..=60_000).contains(&left), "the lease: {left}");
                let value = server.get(&key).unwrap();
                assert!(value.len() >= 32, "at least 128 bits");
                let text = String::from_utf8_lossy(&value).into_owned();
                assert!(!format!("{guard:?}{provider:?}").contains(&text), "a token is a secret");
                assert!(values.insert(value), "every grant has another");
                let number: u64 = String::from_utf8(server.get(&fence).unwrap()).unwrap().parse().unwrap();
                assert_eq!(guard.fencing_token().get() >> 10, number, "the fence is a decimal number");
                fences.push(number);
                assert_eq!(kind(&queue), "none", "no caller waits");
                assert_eq!(server.pttl(&fence), -1, "it stays");
                guard.release().await.unwrap();
            }
            assert!(fences.is_sorted_by(|one, next| one < next), "{fences:?}");
            assert_eq!(server.keys(), std::slice::from_ref(&fence), "{name}");

            let mut plain = PlainLocker::connect(&server.url()).await;
            plain.lock(&key, LONG).await.unwrap();
            let waiting = lock(&provider, name);
            let waiting = tokio::spawn(async move { waiting.acquire().await });
            until("it is in the queue", || kind(&queue) == "list").await;
            assert!((1..=3_600_000).contains(&server.pttl(&queue)), "a queue ends by itself too");
            waiting.abort();
            until("the queue goes with the last who waits", || kind(&queue) == "none").await;
            server.cli(&["DEL", &key]);
        }
        server.cli(&["DEL", &format!("{prefix}{{}}:f")]);
    }
}

/// Whatever stands in the lock's key, it is a foreign lock: it excludes us, nothing of it changes, and nothing comes
/// of it once it is gone.
#[tokio::test]
async fn foreign_values_do_no_harm() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    let ours = lock(&provider, "name");
    let guard = acquired(&ours).await;
    let own_token = String::from_utf8(server.get(&key_of("name")).unwrap()).unwrap();
    guard.release().await.unwrap();
    let own_inbox = own_token.split('.').next().unwrap().to_owned();
    let values: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"0".to_vec(),
        (0..=255).collect(),
        vec![0xff; 1 << 20],
        b"a\r\nb:c:d %s %d {}".to_vec(),
        b"wanted:x:y".to_vec(),
        b"0123456789abcdef.0123456789abcdef0123456789abcdef".to_vec(),
        b"0123456789abcdef.0".to_vec(),
        b"0123456789ABCDEF.0123456789abcdef0123456789abcdef".to_vec(),
        b".".to_vec(),
        format!("{own_inbox}.0123456789abcdef0123456789abcdef").into_bytes(),
        format!("{own_inbox}.1").into_bytes(),
        own_token.into_bytes(),
    ];
    for value in values {
        let shown = String::from_utf8_lossy(&value[..value.len().min(60)]).into_owned();
        server.ask::<()>(redis::cmd("SET").arg(key_of("name")).arg(&value).arg("PX").arg(300_000));
        assert!(at_once(&ours).await.is_none(), "{shown:?}");
        let waiting = ours.clone();
        let waiting = tokio::spawn(async move { waiting.acquire().await });
        until("it is in the queue", || server.queue_of(&key_of("name")).len() == 1).await;
        assert_eq!(server.get(&key_of("name")), Some(value), "{shown:?}");
        server.cli(&["DEL", &key_of("name")]);
        soon("it is ours then", waiting).await.unwrap().unwrap().release().await.unwrap();
        assert!(server.leftovers().is_empty(), "{shown:?}");
    }
}

/// Something else than a string under the lock's name, or under a companion's, is an error and not "busy"; and no
/// place in the queue is left.
#[tokio::test]
async fn another_type_under_our_names_is_an_error() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    let key = key_of("name");
    for foreign in [key.clone(), format!("{{{key}}}:q"), key_of("{}:f")] {
        server.cli(&["DEL", &foreign]);
        server.cli(&["HSET", &foreign, "field", "value"]);
        for acquire in [
            lock(&provider, "name").acquire().await.map(Some),
            lock(&provider, "name").try_acquire(Duration::ZERO).await,
        ] {
            let Err(error) = acquire else { panic!("{foreign} is of another type: {acquire:?}") };
            assert!(matches!(error, LockError::Backend { .. }), "{error:?}");
            assert!(error.to_string().contains("WRONGTYPE"), "{error}");
        }
        server.cli(&["DEL", &foreign]);
        until("nothing is left", || server.leftovers().is_empty() && provider.is_empty()).await;
        acquired(&lock(&provider, "name")).await.release().await.unwrap();
    }
}

/// Whatever comes to our inbox from others, it grants nothing and ends nothing.
#[tokio::test]
async fn foreign_messages_do_no_harm() {
    let server = RedisServer::start();
    let (provider, other) = (provider_at(&server.url()), provider_at(&server.url()));
    let held = acquired(&lock(&provider, "held")).await;
    let foreign = acquired(&lock(&other, "foreign")).await;
    let waiting = lock(&provider, "foreign");
    let waiting = tokio::spawn(async move { waiting.acquire().await });
    until("it waits", || server.queue_of(&key_of("foreign")).len() == 1).await;
    let token = String::from_utf8(server.get(&key_of("held")).unwrap()).unwrap();
    let inbox = format!("orchestrix:lock:inbox:{}", token.split('.').next().unwrap());
    let made_up = "0123456789abcdef.0123456789abcdef0123456789abcdef";
    for message in [
        Vec::new(),
        vec![0xff, 0, 0xfe],
        vec![b':'; 1 << 16],
        b"granted:".to_vec(),
        b"granted:1:2:3:4:5:6".to_vec(),
        format!("granted:1:1:{made_up}:{}", key_of("foreign")).into_bytes(),
        format!("granted:1:1:{made_up}:{}", key_of("held")).into_bytes(),
        format!("granted:99999999999999999999999:1:{made_up}:{}", key_of("foreign")).into_bytes(),
        format!("granted:1:1:1:{made_up}:{}", key_of("foreign")).into_bytes(),
        format!("wanted:{made_up}:{}", key_of("held")).into_bytes(),
        format!("wanted:{token}:{}", key_of("nothing")).into_bytes(),
        format!("wanted:{token}:another prefix").into_bytes(),
    ] {
        let heard: u64 = server.ask(redis::cmd("PUBLISH").arg(&inbox).arg(&message));
        assert_eq!(heard, 1, "it listens there");
    }
    // Behind all of them on the same connection.
    acquired(&lock(&provider, "later")).await.release().await.unwrap();
    assert!(held.is_held() && foreign.is_held() && !waiting.is_finished());
    foreign.release().await.unwrap();
    soon("it is handed on", waiting).await.unwrap().unwrap().release().await.unwrap();
    held.release().await.unwrap();
    until("nothing is left", || server.leftovers().is_empty() && provider.is_empty()).await;
}
