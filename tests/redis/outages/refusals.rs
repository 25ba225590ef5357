//! The server answers, and refuses: read-only, loading, busy, or foreign keys are in the way.

use std::time::{Duration, Instant};

use orchestrix_locking::LockError;
use redis::cmd;
use tokio::task::JoinHandle;

use super::scene::{
    FENCE, KEY, LIMIT, NAME, QUEUE, SOON, Scene, backend, granted, keys, lock, unavailable, until, until_it_works,
    until_waiting,
};
use super::scene::{ended, provider_at, wait_for};
use crate::support::RedisServer;

/// Long, so that nothing here ends by itself.
const TTL: Duration = Duration::from_secs(60);

/// A server that has become a replica grants nothing, and callers are told so when their time is up; when it is a primary
/// again everything goes on: holders, waiters, and releases that it refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only() {
    let scene = Scene::new();
    let other = provider_at(scene.server.url());
    let guard = scene.lock(TTL).acquire().await.unwrap();
    let leaving = lock(&scene.provider, "leaving", TTL).acquire().await.unwrap();
    let waiter = wait_for(&lock(&other, NAME, TTL), LIMIT);
    until_waiting(&scene.server, &other, 1).await;
    // There is no server at that port: it keeps its data.
    scene.server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    for wait in [Duration::ZERO, SOON / 2, Duration::ZERO] {
        let begun = Instant::now();
        // It waits for a primary, within its time or the response time-out, over one connection after the other.
        let text = unavailable(lock(&scene.provider, "another", TTL).try_acquire(wait).await);
        assert!(text.to_lowercase().contains("readonly"), "{text}");
        assert!(begun.elapsed() < wait + SOON, "{:?}", begun.elapsed());
    }
    unavailable(leaving.release().await);
    assert!(guard.is_held() && !waiter.is_finished());
    scene.server.cli(&["REPLICAOF", "NO", "ONE"]);
    until_it_works(&lock(&scene.provider, "another", TTL)).await;
    until("the refused release is made up for", LIMIT / 2, || keys(&scene.server).len() <= 2).await;
    until_it_works(&lock(&scene.provider, "leaving", TTL)).await;
    assert!(guard.is_held());
    guard.release().await.unwrap();
    granted(waiter).await.release().await.unwrap();
    scene.until_clean(SOON).await;
}

/// However long the server has refused to release a lock: when it takes commands again, the lock is free within about
/// a second, and not only after a pause that has grown with the outage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_was_refused_for_long_is_made_up_for_soon() {
    let scene = Scene::on(RedisServer::builder().config("busy-reply-threshold", "50").start());
    let guard = scene.lock(TTL).acquire().await.unwrap();
    let busy = keep_busy(&scene.server, Duration::from_millis(3_400)).await;
    until_refused(&scene).await;
    assert!(guard.release().await.is_err());
    ended(busy).await.unwrap();
    scene.until_clean(Duration::from_millis(1_600)).await;
}

/// An extension that the server refuses changes nothing, whichever way it goes. (What it says differs between versions.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_extension_changes_nothing() {
    const SHORTER: Duration = Duration::from_secs(1);
    let server = RedisServer::builder().user_acl("locks on >secret ~* &* +@all").start();
    let provider = provider_at(server.url_as("locks", "secret"));
    let guard = lock(&provider, NAME, TTL).acquire().await.unwrap();
    let ends = guard.expires_at();
    let permit = |rule: &str| server.ask::<()>(cmd("ACL").arg("SETUSER").arg("locks").arg(rule));
    permit("-pexpire");
    for length in [SHORTER, TTL * 2] {
        backend(guard.extend(length).await, "");
        assert!(guard.expires_at() == ends, "it ends {:?} earlier", ends - guard.expires_at());
    }
    // Two at once, of which the second is sent after the first was refused.
    let (one, other) = tokio::join!(guard.extend(SHORTER), guard.extend(SHORTER * 2));
    backend(one, "");
    backend(other, "");
    assert!(guard.expires_at() == ends && guard.is_held());
    permit("+pexpire");
    assert!(guard.extend(SHORTER).await.unwrap());
    assert!(guard.remaining() <= SHORTER);
    guard.release().await.unwrap();
}

/// A key of another kind under the name of a lock, of its queue, or of the counter of grants: the callers of that lock are
/// told, of every lock if it is the counter, and we leave nothing beside it. When it is gone, the lock works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_another_kind() {
    for (key, command) in [(KEY, "RPUSH"), (QUEUE, "SADD"), (FENCE, "RPUSH")] {
        let scene = Scene::new();
        scene.server.ask::<()>(cmd(command).arg(key).arg("of another program"));
        for wait in [Duration::ZERO, SOON] {
            let text = backend(scene.lock(TTL).try_acquire(wait).await, "WRONGTYPE");
            assert!(text.contains(&scene.proxy.port().to_string()), "{text}");
        }
        assert!(scene.server.keys().iter().all(|left| left == key || left == FENCE), "nothing of ours beside it");
        let another = lock(&scene.provider, "another", TTL);
        if key == FENCE {
            backend(another.try_acquire(SOON).await, "WRONGTYPE");
        } else {
            let guard = another.acquire().await.unwrap();
            assert!(guard.extend(TTL).await.unwrap());
            guard.release().await.unwrap();
        }
        scene.server.ask::<()>(cmd("DEL").arg(key));
        until_it_works(&scene.lock(TTL)).await;
        scene.until_clean(LIMIT).await;
    }
}

/// The same while the lock is held and waited for: a guard is never granted twice, the release frees the lock, and
/// no waiter waits for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_another_kind_that_come_later() {
    for key in [KEY, QUEUE, FENCE] {
        let scene = Scene::new();
        let other = provider_at(scene.server.url());
        let guard = scene.lock(TTL).acquire().await.unwrap();
        let waiter = wait_for(&lock(&other, NAME, TTL), LIMIT);
        until_waiting(&scene.server, &other, 1).await;
        let script = "redis.call('DEL', KEYS[1]) redis.call('SADD', KEYS[1], 'of another program')";
        scene.server.ask::<()>(cmd("EVAL").arg(script).arg(1).arg(key));
        // Whether it is told as an error or not: it is over.
        _ = tokio::time::timeout(LIMIT, guard.release()).await.unwrap();
        match ended(waiter).await.0 {
            Err(error) => assert!(error.to_string().contains("WRONGTYPE"), "{error}"),
            Ok(next) => drop(next.expect("it had the time").release().await),
        }
        scene.server.ask::<()>(cmd("DEL").arg(key));
        scene.until_clean(LIMIT / 2).await;
        until_it_works(&scene.lock(TTL)).await;
    }
}

/// A foreign script keeps the server busy for that long.
async fn keep_busy(server: &RedisServer, time: Duration) -> JoinHandle<redis::RedisResult<()>> {
    let script = "local t = redis.call('TIME') local stop = t[1] * 1000000 + t[2] + ARGV[1] \
                  repeat t = redis.call('TIME') until t[1] * 1000000 + t[2] > stop";
    let mut connection = server.connection().await;
    tokio::spawn(async move {
        cmd("EVAL").arg(script).arg(0).arg(time.as_micros().to_string()).exec_async(&mut connection).await
    })
}

async fn until_refused(scene: &Scene) {
    let deadline = Instant::now() + SOON;
    loop {
        let answer = lock(&scene.provider, "another", TTL).try_acquire(Duration::ZERO).await;
        match answer {
            Err(LockError::Backend { .. }) => break drop(backend(answer, "BUSY")),
            answer => assert!(Instant::now() < deadline, "{answer:?}"),
        }
    }
}

/// A foreign script keeps the server busy for seconds. New callers are told or wait, no lock is granted while it is
/// held, holders keep theirs, and what was released meanwhile is free afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_with_a_script() {
    let server = RedisServer::builder().config("busy-reply-threshold", "50").start();
    let scene = Scene::on(server);
    let other = provider_at(scene.server.url());
    let guard = scene.lock(TTL).acquire().await.unwrap();
    let leaving = lock(&scene.provider, "leaving", TTL).acquire().await.unwrap();
    let dropped = lock(&scene.provider, "dropped", TTL).acquire().await.unwrap();
    let waiter = wait_for(&lock(&other, NAME, TTL), LIMIT);
    until_waiting(&scene.server, &other, 1).await;
    let busy = keep_busy(&scene.server, Duration::from_secs(3)).await;
    until_refused(&scene).await;
    drop(dropped);
    let released = leaving.release().await;
    assert!(matches!(released, Err(LockError::Backend { .. } | LockError::Unavailable { .. })), "{released:?}");
    while !busy.is_finished() {
        match lock(&scene.provider, "another", TTL).try_acquire(Duration::from_millis(20)).await {
            Ok(guard) => drop(guard),
            Err(LockError::Backend { .. } | LockError::Unavailable { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
        assert!(
            lock(&other, NAME, TTL).try_acquire(Duration::from_millis(20)).await.is_ok_and(|guard| guard.is_none())
                || guard.is_held()
        );
        assert!(guard.is_held() && !waiter.is_finished());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ended(busy).await.unwrap();
    let left = || !keys(&scene.server).iter().any(|key| key.ends_with("leaving") || key.ends_with("dropped"));
    until("what was released is free", LIMIT / 2, left).await;
    guard.release().await.unwrap();
    granted(waiter).await.release().await.unwrap();
    scene.until_clean(SOON).await;
}

/// A server that loads its data is told from one that is away, and costs no lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loading() {
    let server = RedisServer::builder().append_only().config("key-load-delay", "500").start();
    let scene = Scene::on(server);
    let other = provider_at(scene.server.url());
    let guard = scene.lock(TTL).acquire().await.unwrap();
    let leaving = lock(&scene.provider, "leaving", TTL).acquire().await.unwrap();
    let waiter = wait_for(&lock(&other, NAME, TTL), LIMIT);
    until_waiting(&scene.server, &other, 1).await;
    let fill = "for key = 1, 8000 do redis.call('SET', 'filler:' .. key, '') end";
    scene.server.ask::<()>(cmd("EVAL").arg(fill).arg(0));
    scene.server.kill();
    let scene = std::sync::Arc::new(scene);
    let starting = tokio::task::spawn_blocking({
        let scene = std::sync::Arc::clone(&scene);
        move || scene.server.start_again()
    });
    let mut told = 0;
    let mut leaving = Some(leaving);
    while !starting.is_finished() {
        match lock(&scene.provider, "another", TTL).try_acquire(Duration::from_millis(50)).await {
            Ok(guard) => drop(guard),
            Err(error @ LockError::Unavailable { .. }) => {
                let text = error.to_string();
                if text.contains("oading") {
                    assert!(!text.contains("Pipeline"), "one reason: {text}");
                    told += 1;
                    drop(leaving.take());
                }
            }
            Err(error) => panic!("{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ended(starting).await;
    assert!(told > 0, "the server was never seen loading");
    until_it_works(&lock(&scene.provider, "another", TTL)).await;
    until("what was released is free", SOON, || !keys(&scene.server).iter().any(|key| key.ends_with("leaving"))).await;
    assert!(guard.is_held() && !waiter.is_finished());
    guard.release().await.unwrap();
    granted(waiter).await.release().await.unwrap();
    until("nothing is left", SOON, || scene.provider.is_empty() && !keys(&scene.server).contains(&KEY.into())).await;
}

/// A server that frees a lock, and then refuses to make the next in line its owner, has notified no waiter: the
/// waiter hears of the refusal, and does not take itself for the holder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_the_server_refused_is_nobodys() {
    let scene = Scene::new();
    let other = provider_at(scene.server.url());
    let guard = scene.lock(TTL).acquire().await.unwrap();
    let waiter = wait_for(&lock(&other, NAME, TTL), LIMIT);
    until_waiting(&scene.server, &other, 1).await;
    scene.server.cli(&["ACL", "SETUSER", "default", "-set"]);
    assert!(guard.release().await.is_err());
    let granted = ended(waiter).await.0;
    assert!(matches!(granted, Err(LockError::Backend { .. })), "{granted:?}");
    scene.server.cli(&["ACL", "SETUSER", "default", "+set"]);
    until_it_works(&scene.lock(TTL)).await;
    scene.until_clean(LIMIT / 2).await;
}
