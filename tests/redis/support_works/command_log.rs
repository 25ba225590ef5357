//! Commands of clients and those of scripts are told apart.

use redis::cmd;

use crate::support::RedisServer;

const SCRIPT: &str = "redis.call('SET', KEYS[1], 1) redis.call('GET', KEYS[1]) return redis.call('GET', KEYS[1])";

#[tokio::test]
async fn the_log_has_what_clients_sent() {
    let server = RedisServer::start();
    let client = server.client();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut log = server.log_commands().await;
    cmd("EVAL").arg(SCRIPT).arg(1).arg("key").exec_async(&mut connection).await.unwrap();
    cmd("set").arg("a \"b\"\n\\").arg(&b"\xff\0"[..]).exec_async(&mut connection).await.unwrap();
    // Our own looks are not in it.
    server.keys();

    let commands = log.commands().await;
    assert_eq!(commands.len(), 2, "{commands:?}");
    assert_eq!(commands[0].name, "eval");
    assert_eq!(commands[0].arguments, [SCRIPT, "1", "key"]);
    assert_eq!(commands[1].name, "set");
    assert_eq!(commands[1].arguments, ["a \"b\"\n\\", "\u{fffd}\0"]);
    assert!(commands[0].client.starts_with("127.0.0.1:"));
    assert_eq!(commands[0].client, commands[1].client);

    cmd("GET").arg("key").exec_async(&mut connection).await.unwrap();
    let counts = log.commands_of_clients().await;
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [("eval".into(), 1), ("get".into(), 1), ("set".into(), 1)]);
    log.clear().await;
    assert!(log.commands().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_log_works_under_paused_time() {
    let server = RedisServer::start();
    let mut log = server.log_commands().await;
    let mut connection = server.client().get_connection().unwrap();
    cmd("SET").arg("key").arg(1).exec(&mut connection).unwrap();
    assert_eq!(log.commands().await.last().unwrap().name, "set");
}

#[test]
fn the_servers_own_counts_have_both() {
    let server = RedisServer::start();
    let mut connection = server.client().get_connection().unwrap();
    server.reset_stats();
    cmd("EVAL").arg(SCRIPT).arg(1).arg("key").exec(&mut connection).unwrap();
    cmd("GET").arg("key").exec(&mut connection).unwrap();
    let stats = server.command_stats();
    assert_eq!((stats["eval"], stats["set"], stats["get"]), (1, 1, 3));
    assert_eq!(server.scripts_run(), 1);
}
