//! Slots are divided, move, and are served by a replica when their master fails.

use std::time::Instant;

use redis::{Cmd, RedisResult, cmd};

use crate::fixtures::until;
use crate::support::{Certificates, RedisCluster, RedisServer};

/// `{a}` is a tag in this slot, which the third master has; `{b}` in one of the first, `{c}` in one of the second.
const SLOT_OF_A: u16 = 15_495;
const SLOT_OF_B: u16 = 3300;
const SLOT_OF_C: u16 = 7365;

/// As a client that follows no redirections.
fn ask<T: redis::FromRedisValue>(node: &RedisServer, command: &Cmd) -> RedisResult<T> {
    command.query(&mut node.client().get_connection()?)
}

fn write(node: &RedisServer, key: &str) -> RedisResult<()> {
    ask(node, cmd("SET").arg(key).arg("value"))
}

/// On the master and on this many replicas.
fn write_on_all(node: &RedisServer, key: &str, replicas: u8) {
    let mut connection = node.client().get_connection().unwrap();
    cmd("SET").arg(key).arg("value").exec(&mut connection).unwrap();
    assert_eq!(cmd("WAIT").arg(replicas).arg(5000).query::<u8>(&mut connection).unwrap(), replicas);
}

/// The code of a refusal, or that there is none.
fn refusal(result: RedisResult<()>) -> Option<String> {
    result.err().and_then(|error| error.code().map(str::to_owned))
}

#[test]
fn a_cluster_has_all_slots() {
    let started = Instant::now();
    let cluster = RedisCluster::start();
    println!("started in {:?}", started.elapsed());
    let nodes = cluster.nodes();
    let hosts: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
    assert_eq!(nodes.len(), 6);
    assert_eq!(cluster.connection_string(), format!("redis+cluster://{}", hosts.join(",")));
    assert_eq!([0, 5461, 16_383].map(|slot| cluster.master_of_slot(slot)), [0, 1, 2]);
    for (key, slot, index) in [("{a}", SLOT_OF_A, 2), ("{b}", SLOT_OF_B, 0), ("{c}", SLOT_OF_C, 1)] {
        assert_eq!(ask::<u16>(&nodes[0], cmd("CLUSTER").arg("KEYSLOT").arg(key)).unwrap(), slot);
        assert_eq!(cluster.master_of_slot(slot), index);
        write_on_all(&nodes[index], key, 1);
        assert_eq!(nodes[3 + index].keys(), [key]);
        for other in (0..6).filter(|other| *other != index) {
            assert_eq!(refusal(write(&nodes[other], key)).as_deref(), Some("MOVED"));
        }
    }
}

#[tokio::test]
async fn a_killed_master_is_replaced_and_comes_back_as_a_replica() {
    let cluster = RedisCluster::start();
    write_on_all(&cluster.nodes()[2], "{a}", 1);
    let killed = Instant::now();
    cluster.kill(2);
    let (new, served) = cluster.until_served(SLOT_OF_A, 2).await;
    println!("replaced in {:?}", served - killed);
    assert_eq!((new, cluster.master_of_slot(SLOT_OF_A)), (5, 5));
    write(&cluster.nodes()[5], "{a}2").unwrap();

    let again = Instant::now();
    cluster.start_again(2);
    cluster.until_complete().await;
    println!("a replica again in {:?}", again.elapsed());
    assert_eq!(cluster.nodes()[2].keys(), ["{a}", "{a}2"]);
    assert_eq!(refusal(write(&cluster.nodes()[2], "{a}")).as_deref(), Some("MOVED"));
}

#[tokio::test]
async fn a_stopped_master_is_replaced_and_told() {
    let cluster = RedisCluster::start();
    cluster.stop(0);
    let (new, _) = cluster.until_served(SLOT_OF_B, 0).await;
    assert_eq!(new, 3);
    write(&cluster.nodes()[3], "{b}").unwrap();
    cluster.resume(0);
    cluster.until_complete().await;
    assert_eq!(cluster.nodes()[0].keys(), ["{b}"]);
}

#[tokio::test]
async fn masters_are_replaced_by_hand() {
    let cluster = RedisCluster::start();
    for (shard, slot) in [(0, SLOT_OF_B), (1, SLOT_OF_C), (2, SLOT_OF_A)] {
        let asked = Instant::now();
        let replica = cluster.fail_over_by_hand(shard);
        let (new, served) = cluster.until_served(slot, shard).await;
        println!("replaced in {:?}", served - asked);
        assert_eq!((replica, new), (3 + shard, 3 + shard));
    }
    cluster.until_complete().await;
    assert_eq!(cluster.fail_over_by_hand(0), 0);
    assert_eq!(cluster.until_served(SLOT_OF_B, 3).await.0, 0);
}

#[test]
fn a_slot_moves_with_its_keys() {
    let cluster = RedisCluster::builder().replicas(0).start();
    let nodes = cluster.nodes();
    let keys: Vec<String> = (100..350).map(|number| format!("{{a}}{number}")).collect();
    for key in &keys {
        write(&nodes[2], key).unwrap();
    }
    let asked = |node: usize, key: &str| refusal(write(&nodes[node], key));

    cluster.begin_move(SLOT_OF_A, 0);
    assert_eq!(cluster.master_of_slot(SLOT_OF_A), 2);
    assert_eq!(asked(2, "{a}100"), None);
    assert_eq!(asked(2, "{a}new").as_deref(), Some("ASK"));
    assert_eq!(asked(0, "{a}new").as_deref(), Some("MOVED"));
    let both = ask::<()>(&nodes[2], cmd("MGET").arg("{a}100").arg("{a}new"));
    assert_eq!(refusal(both).as_deref(), Some("TRYAGAIN"));

    cluster.move_keys(SLOT_OF_A, 0);
    assert_eq!(asked(2, "{a}100").as_deref(), Some("ASK"));
    assert_eq!(nodes[0].keys(), keys);

    cluster.end_move(SLOT_OF_A, 0);
    assert_eq!(cluster.master_of_slot(SLOT_OF_A), 0);
    assert_eq!((asked(0, "{a}new"), asked(2, "{a}new").as_deref()), (None, Some("MOVED")));

    cluster.move_slot(SLOT_OF_A, 1);
    assert_eq!(cluster.master_of_slot(SLOT_OF_A), 1);
    assert_eq!(nodes[1].keys().len(), 251);
    assert!(nodes[0].keys().is_empty());
}

#[tokio::test]
async fn the_other_slots_are_served_or_not_without_one_master() {
    for required in [false, true] {
        let cluster = RedisCluster::builder().replicas(0).require_full_coverage(required).start();
        cluster.kill(2);
        let state = |state| cluster.nodes()[0].cli(&["CLUSTER", "INFO"]).contains(state);
        until("the master is missed", || state("cluster_slots_fail:5462")).await;
        if required {
            until("no slot is served", || state("cluster_state:fail")).await;
        }
        let expected = required.then_some("CLUSTERDOWN");
        assert_eq!(refusal(write(&cluster.nodes()[0], "{b}")).as_deref(), expected);
    }
}

#[tokio::test]
async fn passwords_are_asked_for() {
    let cluster = RedisCluster::builder()
        .password("secret")
        .user_acl("few on >third ~{a}* resetchannels +@all")
        .append_only()
        .start();
    assert!(cluster.connection_string().starts_with("redis+cluster://:secret@127.0.0.1:"));
    assert!(cluster.connection_string_as("few", "third").starts_with("redis+cluster://few:third@127.0.0.1:"));
    let connect = |url: &str| redis::Client::open(url).unwrap().get_connection().unwrap();
    for node in cluster.nodes() {
        let get = |url: &str, key: &str| refusal(cmd("GET").arg(key).exec(&mut connect(url)));
        let without = format!("redis://127.0.0.1:{}", node.port());
        assert_eq!(get(&without, "{a}").as_deref(), Some("NOAUTH"));
        assert_eq!(get(&node.url_as("few", "third"), "{b}").as_deref(), Some("NOPERM"));
        assert_ne!(get(&node.url(), "{b}").as_deref(), Some("NOAUTH"));
    }
    // Nor do passwords keep the nodes from what they do among themselves.
    write_on_all(&cluster.nodes()[2], "{a}", 1);
    cluster.move_slot(SLOT_OF_A, 0);
    assert_eq!(cluster.nodes()[0].keys(), ["{a}"]);
    cluster.kill(0);
    cluster.start_again(0);
    cluster.until_complete().await;
    assert_eq!(cluster.nodes()[cluster.master_of_slot(SLOT_OF_A)].keys(), ["{a}"]);
}

#[tokio::test]
async fn a_cluster_can_have_tls_everywhere() {
    let certificates = Certificates::new();
    let cluster = RedisCluster::builder().tls(&certificates).start();
    assert!(cluster.connection_string().starts_with("rediss+cluster://127.0.0.1:"));
    write_on_all(&cluster.nodes()[2], "{a}", 1);
    cluster.move_slot(SLOT_OF_A, 0);
    let plain = format!("redis://127.0.0.1:{}", cluster.nodes()[0].port());
    assert!(redis::Client::open(plain).unwrap().get_connection().is_err());
    cluster.kill(0);
    assert_eq!(cluster.until_served(SLOT_OF_A, 0).await.0, 3);
}
