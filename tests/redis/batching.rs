//! What is asked for at the same time goes out as one command, and no caller is affected by what others asked for.

use std::collections::HashSet;

use orchestrix_locking::{LockError, LockGuard, RedisLockProvider};
use tokio::task::JoinSet;

use crate::fixtures::{acquired, at_once, key_of, lock, provider_at, soon, until};
use crate::support::{FEWEST_COMMANDS, INBOXES, RedisServer};

const COUNT: usize = 100;

/// Names that no two tests share.
fn names(kind: &str) -> Vec<String> {
    (0..COUNT).map(|number| format!("{kind}-{number}")).collect()
}

/// Acquires all of them at once, each in a task of its own. The outcomes, by name.
async fn all_at_once(provider: &RedisLockProvider, names: &[String]) -> Vec<(String, Result<LockGuard, LockError>)> {
    let mut tasks = JoinSet::new();
    for name in names {
        let lock = lock(provider, name);
        tasks.spawn(async move { (lock.resource().to_string(), lock.acquire().await) });
    }
    soon("all are answered", tasks.join_all()).await
}

async fn release(outcomes: Vec<(String, Result<LockGuard, LockError>)>, server: &RedisServer) {
    for (name, outcome) in outcomes {
        drop(outcome.unwrap_or_else(|error| panic!("{name}: {error}")));
    }
    until("all are free again", || server.leftovers().iter().all(|key| !key.contains("together"))).await;
}

#[tokio::test]
async fn many_at_once_are_few_commands() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    acquired(&lock(&provider, "warm-up")).await.release().await.unwrap();
    let mut log = server.log_commands().await;
    let held = all_at_once(&provider, &names("together")).await;
    // The first goes out by itself, since nothing else is under way; the others wait for each other, 64 at most.
    let sent = log.commands_of_clients().await;
    assert!(sent.len() == 1 && (2..=4).contains(&sent["evalsha"]), "{sent:?}");
    let owners: HashSet<_> = names("together").iter().map(|name| server.get(&key_of(name)).unwrap()).collect();
    assert_eq!(owners.len(), COUNT, "each has a token of its own");
    log.clear().await;
    release(held, &server).await;
    let sent = log.commands_of_clients().await;
    assert!(sent.len() == 1 && (2..=4).contains(&sent["evalsha"]), "{sent:?}");
}

#[tokio::test]
async fn a_key_that_is_no_lock_fails_alone() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    server.cli(&["SADD", &key_of("together-50"), "member"]);
    let mut outcomes = all_at_once(&provider, &names("together")).await;
    let at = outcomes.iter().position(|(name, _)| name == "together-50").unwrap();
    let (_, bad) = outcomes.swap_remove(at);
    let error = bad.unwrap_err();
    assert!(matches!(error, LockError::Backend { .. }) && error.to_string().contains("WRONGTYPE"), "{error}");
    server.cli(&["DEL", &key_of("together-50")]);
    release(outcomes, &server).await;
}

/// The server refuses a command for several names if the user may not use one of them.
#[tokio::test]
async fn a_name_that_is_not_permitted_fails_alone() {
    let server = RedisServer::builder()
        .user_acl(&format!(
            "locks on >secret resetchannels -@all {FEWEST_COMMANDS} {INBOXES} \
             ~orchestrix:lock:together* ~{{orchestrix:lock:together* ~orchestrix:lock:check* ~orchestrix:lock:{{}}:f"
        ))
        .start();
    let provider = provider_at(&server.url_as("locks", "secret"));
    let mut names = names("together");
    names.insert(COUNT / 2, "another".to_owned());
    for _ in 0..2 {
        let mut outcomes = all_at_once(&provider, &names).await;
        let at = outcomes.iter().position(|(name, _)| name == "another").unwrap();
        let (_, refused) = outcomes.swap_remove(at);
        let error = refused.unwrap_err();
        assert!(matches!(error, LockError::Backend { .. }) && error.to_string().contains("no permission"), "{error}");
        release(outcomes, &server).await;
    }
}

/// A server of a cluster refuses a command for names in several of its slots.
#[tokio::test]
async fn names_in_several_slots_are_asked_for_one_by_one() {
    let server = RedisServer::builder().cluster().start();
    server.take_slots(&[0..=16_383], 1);
    let provider = provider_at(&server.url());
    for _ in 0..2 {
        release(all_at_once(&provider, &names("together")).await, &server).await;
    }
}

/// The scripts are forgotten while many calls are under way: each is answered once, in the end.
#[tokio::test]
async fn forgotten_scripts_are_loaded_for_all_of_them() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    acquired(&lock(&provider, "warm-up")).await.release().await.unwrap();
    for _ in 0..3 {
        server.cli(&["SCRIPT", "FLUSH"]);
        let held = all_at_once(&provider, &names("together")).await;
        assert!(at_once(&lock(&provider_at(&server.url()), "together-7")).await.is_none(), "it is held");
        server.cli(&["SCRIPT", "FLUSH"]);
        release(held, &server).await;
    }
}
