//! Names that were chosen to do harm, on a real server: each is a lock of its own, and no foreign key is touched.

use std::collections::BTreeSet;

use orchestrix_locking::Resource;
use redis::cmd;

use crate::fixtures::{LONG, acquired, at_once, lock, provider_at, until};
use crate::support::RedisServer;

const NAMES: [&str; 27] = [
    "a",
    "A",
    "{a}",
    "{}",
    "}{",
    "{a}b",
    "a}:q",
    "a}:f",
    "{orchestrix:lock:a}:q",
    "{orchestrix:lock:a}:f",
    "orchestrix:lock:a",
    "%7B",
    "%7b",
    "%7Ba%7D",
    "%",
    "%25",
    "inbox:0123456789abcdef",
    "*",
    "[a-z]*?",
    " ",
    "a b\" 'x' \\r\\n",
    "$5\\r\\nhello",
    "é",
    "e\u{301}",
    "\u{2028}\u{202e}",
    "\u{1f512}",
    "] redis.call('FLUSHALL') --",
];

/// All are held at once, each with two keys of its own, and two providers agree on them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_names_are_locks_of_their_own() {
    let server = RedisServer::start();
    let (one, other) = (provider_at(&server.url()), provider_at(&server.url()));
    server.ask::<()>(cmd("SET").arg("a foreign key").arg("value"));
    let longest = ["{", "}", "%", "a"].map(|letter| letter.repeat(Resource::MAX_BYTES));
    let names: Vec<&str> = NAMES.into_iter().chain(longest.iter().map(String::as_str)).collect();
    let mut guards = Vec::new();
    for name in &names {
        guards.push(at_once(&lock(&one, name)).await.unwrap_or_else(|| panic!("{name:?} is free beside the others")));
        assert!(at_once(&lock(&other, name)).await.is_none(), "{name:?} is held, for other processes as well");
    }
    // With a waiter in line for each there are all the keys that there can be.
    let mut waiting = Vec::new();
    for name in &names {
        let patient = lock(&other, name);
        waiting.push(tokio::spawn(async move { acquired(&patient).await.release().await }));
        let resource = Resource::try_from(*name).unwrap();
        until("it waits", || other.waiters(&resource) == 1).await;
    }
    let keys: BTreeSet<String> = server.keys().into_iter().collect();
    assert_eq!(keys.len(), 2 * names.len() + 2, "with the counter of grants, and the foreign one: {keys:?}");
    for key in keys.iter().filter(|key| key.starts_with('{')) {
        let lock = key.strip_prefix('{').and_then(|key| key.split_once('}')).map(|(lock, _)| lock).unwrap();
        assert!(keys.contains(lock), "{key} belongs to a lock");
    }
    assert!(guards.iter().all(orchestrix_locking::LockGuard::is_held));
    drop(guards);
    for task in waiting {
        task.await.unwrap().unwrap();
    }
    until("nothing is left", || server.leftovers() == ["a foreign key"]).await;
}

/// However many names there were, one key is left of them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_names_leave_one_key() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    for hundred in 0..10 {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..100 {
            let lock = lock(&provider, &format!("name-{hundred}-{number}"));
            tasks.spawn(async move { acquired(&lock).await.release().await.unwrap() });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    }
    let left = server.keys();
    assert_eq!((left.len(), left[0].as_str()), (1, "orchestrix:lock:{}:f"));
}

/// What is no name never gets to the server: ends of lines, NUL, other control characters, too much of it.
#[tokio::test]
async fn what_is_no_name_is_refused_before_the_server_hears_of_it() {
    let too_long = "a".repeat(Resource::MAX_BYTES + 1);
    for bad in ["", "\0", "a\0b", "a\nb", "a\r\nSET b c", "\u{1b}[2J", "\u{7f}", "\u{85}", "a\tb", too_long.as_str()] {
        assert!(Resource::try_from(bad).is_err(), "{bad:?}");
        assert!(Resource::from_parts(["a", bad]).is_err() || bad.is_empty(), "{bad:?}");
    }
}

/// The server's own idea of slots: a server in cluster mode takes our scripts with the keys of any name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_finds_the_keys_of_hostile_names_in_one_slot() {
    let server = RedisServer::builder().config("cluster-enabled", "yes").start();
    server.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    until("the cluster is up", || server.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")).await;
    let provider = provider_at(&server.url());
    for name in NAMES {
        let guard = acquired(&lock(&provider, name)).await;
        let keys = server.keys();
        let lock = keys.iter().find(|key| !key.contains('{')).unwrap();
        let slot = |key: &str| server.ask::<u16>(cmd("CLUSTER").arg("KEYSLOT").arg(key));
        assert_eq!(slot(lock), slot(&format!("{{{lock}}}:q")), "{name:?}");
        let counters = || keys.iter().filter(|key| key.starts_with("orchestrix:lock:{"));
        assert!(counters().any(|key| slot(key) == slot(lock)), "{name:?} has a counter in its slot: {keys:?}");
        assert!(guard.extend(LONG).await.unwrap(), "{name:?}");
        guard.release().await.unwrap();
    }
    until("nothing is left", || server.leftovers().is_empty()).await;
}

/// The token is another one for each acquisition, of whatever lock, and not one of the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_acquisition_has_a_token_of_its_own() {
    const ROUNDS: usize = 200;
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    let mut secrets = BTreeSet::new();
    for round in 0..ROUNDS {
        let name = format!("name-{}", round % 3);
        let guard = acquired(&lock(&provider, &name)).await;
        let token = String::from_utf8(server.get(&crate::fixtures::key_of(&name)).unwrap()).unwrap();
        let (inbox, secret) = token.split_once('.').expect("an inbox and a secret");
        assert_eq!((inbox.len(), secret.len()), (16, 32), "128 bits in hexadecimal digits");
        assert!(secrets.insert(secret.to_owned()), "a token was used twice");
        guard.release().await.unwrap();
    }
}
