//! A user with the fewest permissions, with `ROLE` and without.

use super::scene::{TIME, connected, fast, has, hosts, until_connected, warm};
use crate::fixtures::{lock, provider_at, soon};
use crate::support::{FEWEST_COMMANDS, FEWEST_KEYS, INBOXES};

/// What the sentinels' user needs, in docs/redis.md.
const FEWEST_OF_SENTINELS: &str = "resetchannels -@all +sentinel|get-master-addr-by-name +sentinel|master \
    +sentinel|sentinels +subscribe &+switch-master";

/// A user of the sentinels who may do no more than is needed, and one who may not subscribe either: both providers hear of a
/// failover while they are idle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_of_the_sentinels_may_be_limited() {
    let set = fast().start();
    for sentinel in set.sentinels() {
        for (user, rules) in [("few", FEWEST_OF_SENTINELS), ("none", "resetchannels -@all +sentinel")] {
            let mut command = redis::cmd("ACL");
            command.arg("SETUSER").arg(user).arg("on").arg(">watch-secret").arg(rules.split(' ').collect::<Vec<_>>());
            sentinel.ask::<()>(&command);
        }
    }
    let list = hosts(&set.sentinel_ports());
    let as_user =
        |user: &str| format!("redis+sentinel://{list}/locks?sentinel_username={user}&sentinel_password=watch-secret");
    let (few, none) = (provider_at(&as_user("few")), provider_at(&as_user("none")));
    warm(&few).await;
    for (provider, connections) in [(None, 1), (Some(&none), 2)] {
        if let Some(provider) = provider {
            warm(provider).await;
        }
        let old = set.stop_primary();
        let (new, promoted) = set.until_promoted(old).await;
        until_connected(&set.nodes()[new], connections).await;
        println!("{connections} connected {:?} after the promotion", promoted.elapsed());
        if provider.is_none() {
            assert!(set.sentinels().iter().all(|sentinel| sentinel.acl_log().is_empty()), "nothing was refused");
        }
        set.resume(old);
        set.until_replica(old).await;
    }
}

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
    assert!(!refused.is_empty() && refused.iter().all(|command| command == "role"), "{refused:?}");
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
