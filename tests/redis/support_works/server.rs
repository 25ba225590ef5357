//! Servers start, end, come back, freeze, and leave nothing behind.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use redis::cmd;

use super::{A_WHILE, LIMIT};
use crate::support::{PlainLocker, RedisServer, process_state};

fn exists(pid: u32) -> bool {
    process_state(pid).is_some()
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_server_answers_over_every_way() {
    let server = RedisServer::start();
    assert_eq!(server.cli(&["PING"]), "PONG");
    for url in [server.url(), server.socket_url()] {
        let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
        cmd("SET").arg("key").arg("value").exec(&mut connection).unwrap();
    }
    assert_eq!(server.ask::<String>(cmd("GET").arg("key")), "value");
    assert_eq!(server.keys(), ["key"]);
    assert!(server.cli(&["INFO", "server"]).contains(&format!("process_id:{}", server.pid())));
}

#[test]
fn servers_do_not_meet() {
    let servers: Vec<_> = (0..8).map(|_| std::thread::spawn(RedisServer::start)).collect();
    let servers: Vec<_> = servers.into_iter().map(|thread| thread.join().unwrap()).collect();
    for (number, server) in servers.iter().enumerate() {
        server.client().get_connection().and_then(|mut c| cmd("SET").arg(number).arg("").exec(&mut c)).unwrap();
    }
    for (number, server) in servers.iter().enumerate() {
        assert_eq!(server.keys(), [number.to_string()]);
    }
}

#[test]
fn a_dropped_server_is_gone_with_its_directory() {
    let server = RedisServer::start();
    let (pid, port, socket) = (server.pid(), server.port(), server.socket());
    assert!(exists(pid) && socket.exists());
    drop(server);
    assert!(!exists(pid) && !socket.parent().unwrap().exists());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_test_that_panics_leaves_no_server() {
    let (tell, told) = std::sync::mpsc::channel();
    let panicked = std::thread::spawn(move || {
        let server = RedisServer::start();
        tell.send(server.pid()).unwrap();
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    assert!(!exists(told.recv().unwrap()));
}

/// This test starts itself once more as the process that is killed.
#[test]
fn a_killed_test_process_leaves_no_server() {
    const FILE: &str = "KILLED_TEST_TELLS";
    if let Ok(file) = std::env::var(FILE) {
        let server = RedisServer::start();
        server.stop();
        std::fs::write(file, format!("{}\n{}\n", server.pid(), server.socket().display())).unwrap();
        std::thread::sleep(LIMIT);
        return;
    }
    // Its directory is only used for the file.
    let place = RedisServer::start();
    let file = place.socket().with_file_name("told");
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "support_works::server::a_killed_test_process_leaves_no_server"])
        .env(FILE, &file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the other process has a server", || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.lines().count() == 2 && text.ends_with('\n'))
    });
    let told = std::fs::read_to_string(&file).unwrap();
    let (pid, socket) = told.trim().split_once('\n').unwrap();
    let pid = pid.parse().unwrap();
    assert!(exists(pid));
    process.kill().unwrap();
    process.wait().unwrap();
    until("the server is gone, though it was stopped", || !exists(pid));
    until("its directory is gone", || !Path::new(socket).parent().unwrap().exists());
}

#[test]
fn a_killed_server_comes_back_on_its_port_without_data() {
    let server = RedisServer::start();
    let before = server.pid();
    server.cli(&["SET", "key", "value"]);
    server.kill();
    assert!(!exists(before));
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
    server.start_again();
    assert_ne!(server.pid(), before);
    TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    assert!(server.keys().is_empty());
}

#[test]
fn a_server_comes_back_on_its_port_when_that_is_free() {
    let server = RedisServer::start();
    server.kill();
    let taken = TcpListener::bind(("127.0.0.1", server.port())).unwrap();
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| server.start_again());
        until("it is in the way", || server.log().contains("already in use"));
        assert!(!starting.is_finished());
        drop(taken);
        starting.join().unwrap();
    });
    assert_eq!(server.cli(&["PING"]), "PONG");
}

#[test]
fn an_append_only_server_comes_back_with_its_data() {
    let server = RedisServer::builder().append_only().start();
    for number in 0..100 {
        server.ask::<()>(cmd("SET").arg(number).arg("value"));
    }
    server.kill();
    server.start_again();
    assert_eq!(server.keys().len(), 100);

    server.kill();
    server.forget_data();
    server.start_again();
    assert!(server.keys().is_empty());
}

#[tokio::test]
async fn a_stopped_server_freezes_and_goes_on() {
    let server = RedisServer::start();
    let mut connection = server.connection().await;
    server.stop();
    let incr = cmd("INCR").arg("count").to_owned();
    let mut answer = Box::pin(incr.query_async::<u64>(&mut connection));
    assert!(tokio::time::timeout(A_WHILE, &mut answer).await.is_err(), "a frozen server answered");
    // The kernel goes on taking connections for it.
    TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    server.resume();
    assert_eq!(tokio::time::timeout(LIMIT, answer).await.unwrap().unwrap(), 1);
}

#[test]
fn settings_of_the_server_count() {
    let server = RedisServer::builder().config("maxmemory", "1mb").config("maxmemory-policy", "noeviction").start();
    let value = "x".repeat(1 << 20);
    let refused = (0..8).find_map(|key| {
        let mut connection = server.client().get_connection().unwrap();
        cmd("SET").arg(key).arg(&value).exec(&mut connection).err()
    });
    assert_eq!(refused.unwrap().code(), Some("OOM"));
}

#[test]
#[should_panic(expected = "redis-server does not start")]
fn wrong_settings_are_told() {
    RedisServer::builder().config("no-such-setting", "1").start();
}

#[test]
fn passwords_and_users_are_asked_for() {
    let server =
        RedisServer::builder().password("secret").user_acl("few on >other ~few:* resetchannels +@all -publish").start();
    let connect = |url: &str| redis::Client::open(url).unwrap().get_connection();

    let without_password = format!("redis://127.0.0.1:{}", server.port());
    let refused = connect(&without_password).and_then(|mut connection| cmd("GET").arg("key").exec(&mut connection));
    assert_eq!(refused.unwrap_err().code(), Some("NOAUTH"));
    connect(&server.url()).and_then(|mut c| cmd("SET").arg("key").arg("value").exec(&mut c)).unwrap();

    let mut few = connect(&server.url_as("few", "other")).unwrap();
    cmd("SET").arg("few:key").arg("value").exec(&mut few).unwrap();
    assert_eq!(cmd("GET").arg("key").exec(&mut few).unwrap_err().code(), Some("NOPERM"));
    assert_eq!(cmd("PUBLISH").arg("channel").arg("").exec(&mut few).unwrap_err().code(), Some("NOPERM"));
    let log = server.acl_log();
    let what: Vec<_> = log.iter().map(|entry| (entry["reason"].as_str(), entry["object"].as_str())).collect();
    assert_eq!(what[..2], [("command", "publish"), ("key", "key")]);
    assert_eq!(log[0]["username"], "few");
}

#[tokio::test]
async fn a_plain_locker_excludes_others() {
    let server = RedisServer::start();
    let mut one = PlainLocker::connect(&server.url()).await;
    let mut other = PlainLocker::connect(&server.url()).await;
    let token = one.lock("lock", LIMIT).await.unwrap();
    assert_eq!(other.lock("lock", LIMIT).await, None);
    assert_eq!(other.lock_for_ever("lock").await, None);
    assert!(!other.unlock("lock", "not the token").await);
    let left: i64 = server.ask(cmd("PTTL").arg("lock"));
    assert!(left > 0, "{left}");
    assert!(one.unlock("lock", &token).await);
    assert!(other.lock_for_ever("lock").await.is_some());
    assert_eq!(server.ask::<i64>(cmd("PTTL").arg("lock")), -1);
}
