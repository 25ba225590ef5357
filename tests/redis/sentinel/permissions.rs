//! A user with the fewest permissions, with `ROLE` and without.

use super::scene::{TIME, connected, fast, has, hosts, until_connected, warm};
use crate::fixtures::{lock, provider_at, soon};
use crate::support::{FEWEST_COMMANDS, FEWEST_KEYS, INBOXES};

/// Without it a server that is a replica refuses the first write instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn role_may_be_asked_for_or_not() {
    let rules = format!("on >secret resetchannels -@all {FEWEST_COMMANDS} {FEWEST_KEYS} {INBOXES}");
    let set = fast().user_acl(&format!("with {rules} +role")).user_acl(&format!("without {rules}")).start();
    let users = ["with", "without"];
    let providers = users.map(|user| provider_at(&set.connection_string_as(user, "secret")));
    // A list of servers has to ask for the role: a user who may not takes each server for a primary.
    let nodes: Vec<_> = set.nodes().iter().map(crate::support::RedisServer::port).collect();
    let listed = provider_at(&format!("{},user=with,password=secret", hosts(&nodes)));
    for provider in providers.iter().chain([&listed]) {
        warm(provider).await;
    }
    let old = set.kill_primary();
    let (new, promoted) = set.until_promoted(old).await;
    for provider in providers.iter().chain([&listed]) {
        let guard = soon("granted", lock(provider, "name").try_acquire(TIME)).await.unwrap().unwrap();
        assert!(has(&set.nodes()[new], "name"));
        guard.release().await.unwrap();
    }
    println!("all three served {:?} after the promotion", promoted.elapsed());
    until_connected(&set.nodes()[new], 3).await;
    let refused: Vec<_> = set.nodes()[new].acl_log().into_iter().map(|line| line["object"].clone()).collect();
    assert!(refused.iter().all(|command| command == "role"), "{refused:?}");
    assert_eq!(connected(&set.nodes()[new]), 3);

    // By hand too. Without sentinels the old primary is used until it is made a replica: the list is not asked before that.
    set.start_again(old);
    set.until_replica(old).await;
    let new = set.fail_over().await;
    set.until_promoted(new).await;
    until_connected(&set.nodes()[old], 2).await;
    set.until_replica(new).await;
    for provider in providers.iter().chain([&listed]) {
        let guard = soon("granted", lock(provider, "name").try_acquire(TIME)).await.unwrap().unwrap();
        assert!(has(&set.nodes()[old], "name"));
        guard.release().await.unwrap();
    }
}
