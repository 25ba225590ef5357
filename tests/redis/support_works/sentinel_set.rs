//! Sentinels replace a primary that fails, and one that does not if they are asked to.

use std::time::{Duration, Instant};

use redis::{RedisResult, cmd};

use crate::fixtures::until;
use crate::support::{Certificates, RedisServer, SentinelSet};

const SERVICE: &str = "locks";

fn connect(url: &str) -> redis::Connection {
    redis::Client::open(url).unwrap().get_connection().unwrap()
}

/// The node that a sentinel names to a client.
fn primary_port(sentinel: &mut redis::Connection) -> RedisResult<u16> {
    let named: (String, u16) = cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(SERVICE).query(sentinel)?;
    assert_eq!(named.0, "127.0.0.1");
    Ok(named.1)
}

fn write(node: &RedisServer, key: &str) -> RedisResult<()> {
    cmd("SET").arg(key).arg("value").exec(&mut node.client().get_connection()?)
}

/// On the primary and on this many replicas.
fn write_on_all(set: &SentinelSet, key: &str, replicas: u8) {
    let mut connection = set.primary().1.client().get_connection().unwrap();
    cmd("SET").arg(key).arg("value").exec(&mut connection).unwrap();
    assert_eq!(cmd("WAIT").arg(replicas).arg(5000).query::<u8>(&mut connection).unwrap(), replicas);
}

#[test]
fn a_set_names_its_primary_to_clients() {
    let started = Instant::now();
    let set = SentinelSet::builder().replicas(2).start();
    println!("started in {:?}", started.elapsed());
    let ports = set.sentinel_ports();
    let [first, second, third] = ports[..] else { panic!("three sentinels: {ports:?}") };
    let expected = format!("redis+sentinel://127.0.0.1:{first},127.0.0.1:{second},127.0.0.1:{third}/locks");
    assert_eq!(set.connection_string(), expected);

    let (index, primary) = set.primary();
    assert_eq!((index, set.nodes().len()), (0, 3));
    for port in ports {
        let mut sentinel = connect(&format!("redis://127.0.0.1:{port}"));
        assert_eq!(primary_port(&mut sentinel).unwrap(), primary.port());
        let quorum: String = cmd("SENTINEL").arg("CKQUORUM").arg(SERVICE).query(&mut sentinel).unwrap();
        assert!(quorum.starts_with("OK 3 usable Sentinels"), "{quorum}");
    }
    write_on_all(&set, "key", 2);
    assert_eq!(write(&set.nodes()[1], "key").unwrap_err().code(), Some("READONLY"));
}

#[tokio::test]
async fn a_killed_primary_is_replaced_and_comes_back_as_a_replica() {
    let set = SentinelSet::builder().replicas(2).start();
    write_on_all(&set, "before", 2);
    let killed = Instant::now();
    let old = set.kill_primary();
    let (new, promoted) = set.until_promoted(old).await;
    println!("replaced in {:?}", promoted - killed);
    assert_ne!(new, old);
    assert_eq!(set.primary().0, new);
    assert_eq!(set.nodes()[new].keys(), ["before"]);
    write(&set.nodes()[new], "between").unwrap();
    // The second replica follows it.
    set.until_replica(3 - new).await;

    let again = Instant::now();
    set.start_again(old);
    set.until_replica(old).await;
    println!("a replica again in {:?}", again.elapsed());
    assert_eq!(set.nodes()[old].keys(), ["before", "between"]);
    assert_eq!(set.primary().0, new);
}

#[tokio::test]
async fn a_stopped_primary_is_replaced_and_takes_writes_until_it_is_told() {
    let set = SentinelSet::builder().hello_period(Duration::from_secs(1)).start();
    let old = set.stop_primary();
    let (new, _) = set.until_promoted(old).await;
    set.resume(old);
    write(&set.nodes()[old], "lost").unwrap();
    write(&set.nodes()[new], "kept").unwrap();
    set.until_replica(old).await;
    assert_eq!(set.nodes()[old].keys(), ["kept"]);
}

#[tokio::test]
async fn a_primary_is_replaced_by_hand_and_back() {
    let set = SentinelSet::start();
    let asked = Instant::now();
    let old = set.fail_over().await;
    let (new, promoted) = set.until_promoted(old).await;
    println!("replaced in {:?}", promoted - asked);
    set.until_replica(old).await;
    println!("replaced and in sync in {:?}", asked.elapsed());
    assert_eq!(set.fail_over().await, new);
    assert_eq!(set.until_promoted(new).await.0, old);
}

#[tokio::test]
async fn most_sentinels_are_enough_and_fewer_are_not() {
    let set = SentinelSet::start();
    set.kill_sentinel(0);
    let old = set.kill_primary();
    let (new, _) = set.until_promoted(old).await;
    set.start_again(old);
    set.until_replica(old).await;

    set.stop_sentinel(1);
    set.kill_primary();
    until("the last sentinel misses the others", || {
        let quorum = cmd("SENTINEL").arg("CKQUORUM").arg(SERVICE).exec(&mut connect(&set.sentinels()[2].url()));
        quorum.is_err_and(|error| error.code() == Some("NOQUORUM"))
    })
    .await;
    assert_eq!(set.primary().0, new);
    set.start_sentinel_again(0);
    assert_eq!(set.until_promoted(new).await.0, old);

    set.kill_all_sentinels();
    assert!(set.sentinels().iter().all(|sentinel| !sentinel.is_running()));
}

#[tokio::test]
async fn one_sentinel_is_enough_for_a_quorum_of_one() {
    let set = SentinelSet::builder().sentinels(1).quorum(1).down_after(Duration::from_millis(600)).start();
    let old = set.kill_primary();
    set.until_promoted(old).await;
}

#[tokio::test]
async fn passwords_are_asked_for() {
    let set = SentinelSet::builder()
        .password("secret")
        .user_acl("few on >third ~few:* resetchannels +@all")
        .sentinel_password("watched")
        .append_only()
        .start();
    let hosts: Vec<String> = set.sentinel_ports().iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let rest = format!("{}/{SERVICE}?sentinel_password=watched", hosts.join(","));
    assert_eq!(set.connection_string(), format!("redis+sentinel://:secret@{rest}"));
    assert_eq!(set.connection_string_as("few", "third"), format!("redis+sentinel://few:third@{rest}"));

    let ask = |url: &str| cmd("SENTINEL").arg("CKQUORUM").arg(SERVICE).query::<String>(&mut connect(url));
    for sentinel in set.sentinels() {
        assert_eq!(ask(&format!("redis://127.0.0.1:{}", sentinel.port())).unwrap_err().code(), Some("NOAUTH"));
        ask(&sentinel.url()).unwrap();
    }
    for node in set.nodes() {
        let get = |url: &str, key: &str| cmd("GET").arg(key).query::<Option<String>>(&mut connect(url));
        assert_eq!(get(&format!("redis://127.0.0.1:{}", node.port()), "few:key").unwrap_err().code(), Some("NOAUTH"));
        get(&node.url(), "key").unwrap();
        get(&node.url_as("few", "third"), "few:key").unwrap();
        assert_eq!(get(&node.url_as("few", "third"), "key").unwrap_err().code(), Some("NOPERM"));
    }
    // Nor do passwords keep the sentinels from their work.
    write_on_all(&set, "key", 1);
    let old = set.kill_primary();
    let (new, _) = set.until_promoted(old).await;
    set.start_again(old);
    set.until_replica(old).await;
    assert_eq!(set.nodes()[new].keys(), ["key"]);
}

#[tokio::test]
async fn a_primary_can_need_a_replica_to_take_writes() {
    let set = SentinelSet::builder().min_replicas(1, 1).start();
    write_on_all(&set, "key", 1);
    let old = set.kill_primary();
    let (new, _) = set.until_promoted(old).await;
    assert_eq!(write(&set.nodes()[new], "key").unwrap_err().code(), Some("NOREPLICAS"));
    set.start_again(old);
    set.until_replica(old).await;
    until("writes are taken again", || write(&set.nodes()[new], "key").is_ok()).await;
}

#[tokio::test]
async fn a_set_can_have_tls_everywhere() {
    let certificates = Certificates::new();
    let set = SentinelSet::builder().tls(&certificates).start();
    assert!(set.connection_string().starts_with("rediss+sentinel://127.0.0.1:"));
    for server in set.nodes().iter().chain(set.sentinels()) {
        let ping = cmd("PING").query::<String>(&mut server.client().get_connection().unwrap());
        assert_eq!(ping.unwrap(), "PONG");
        assert!(redis::Client::open(format!("redis://127.0.0.1:{}", server.port())).unwrap().get_connection().is_err());
    }
    let old = set.kill_primary();
    set.until_promoted(old).await;
}
