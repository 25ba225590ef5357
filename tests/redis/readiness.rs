//! What a readiness check looks at: the connection that locks use decides, and what else cannot be found out is a finding.

use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider, LockError, RedisLockOptions, RedisLockProvider, RedisWarning};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::fixtures::{acquired, lock, provider_at, soon};
use crate::support::{FEWEST_COMMANDS, FEWEST_KEYS, INBOXES, RedisServer};

fn unknown(findings: &[RedisWarning]) -> Option<&str> {
    findings.iter().find_map(|finding| match finding {
        RedisWarning::Unknown { why, .. } => Some(why.as_str()),
        _ => None,
    })
}

#[tokio::test]
async fn a_server_whose_info_was_renamed_is_ready() {
    let server = RedisServer::builder().config("rename-command", "INFO \"\"").start();
    let provider = provider_at(&server.url());
    acquired(&lock(&provider, "name")).await.release().await.unwrap();
    soon("it is checked", provider.check()).await.unwrap();
    let findings = provider.warnings().await.unwrap();
    let why = unknown(&findings).unwrap_or_else(|| panic!("{findings:?}"));
    assert!(why.contains("unknown command"), "{why}");
    assert!(findings[0].to_string().starts_with("it is not known whether the server removes keys"), "{}", findings[0]);
}

/// No further connection is accepted, and locks work on the one that there is.
#[tokio::test]
async fn a_server_at_its_maxclients_is_ready_while_the_lock_connection_is_up() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    acquired(&lock(&provider, "name")).await.release().await.unwrap();
    // The connection for locks, and the one that asks for this.
    server.cli(&["CONFIG", "SET", "maxclients", "1"]);
    soon("it is checked", provider.check()).await.unwrap();
    let findings = provider.warnings().await.unwrap();
    let why = unknown(&findings).unwrap_or_else(|| panic!("{findings:?}"));
    assert!(why.contains("max number of clients"), "{why}");
}

/// INFO goes over another connection. Where that is silent, the answer comes in time all the same.
#[tokio::test]
async fn a_check_ends_in_time_where_only_other_connections_are_silent() {
    let server = RedisServer::start();
    let proxy = crate::support::Proxy::to(server.port());
    let timeout = Duration::from_millis(400);
    let options = RedisLockOptions::default().connection_string(proxy.url());
    let provider = RedisLockProvider::new(options.connect_timeout(timeout).response_timeout(timeout)).unwrap();
    acquired(&lock(&provider, "name")).await.release().await.unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.redirect(silent.local_addr().unwrap().port());
    let begun = Instant::now();
    let findings = soon("it is checked", provider.warnings()).await.unwrap();
    assert!(begun.elapsed() < timeout * 4, "{:?}", begun.elapsed());
    assert!(unknown(&findings).is_some(), "{findings:?}");
}

/// A silent server is told as such, within a bound.
#[tokio::test]
async fn a_check_of_a_silent_server_ends_in_time() {
    let server = RedisServer::start();
    let timeout = Duration::from_millis(300);
    for warm in [true, false] {
        let options = RedisLockOptions::default().connection_string(server.url());
        let provider = RedisLockProvider::new(options.connect_timeout(timeout).response_timeout(timeout)).unwrap();
        if warm {
            acquired(&lock(&provider, "name")).await.release().await.unwrap();
        }
        server.stop();
        let begun = Instant::now();
        let error = soon("it is checked", provider.check()).await.unwrap_err();
        assert!(matches!(error, LockError::Unavailable { .. }), "{error:?}");
        assert!(begun.elapsed() < timeout * 4, "{:?}", begun.elapsed());
        server.resume();
    }
}

#[tokio::test]
async fn half_a_cluster_is_not_ready() {
    let server = RedisServer::builder().cluster().config("cluster-require-full-coverage", "no").start();
    // The higher half of the slots belongs to another node.
    server.take_slots(&[0..=8191], 1);
    let provider = provider_at(&server.url());
    let mut refused = 0;
    for number in 0..12 {
        let lock = lock(&provider, &format!("order:{number}"));
        match soon("it is answered", lock.try_acquire(Duration::ZERO)).await {
            Ok(guard) => guard.expect("it is free").release().await.map(drop).unwrap(),
            Err(_) => refused += 1,
        }
    }
    assert!((2..11).contains(&refused), "the half of the names fails: {refused}");
    let error = soon("it is checked", provider.check()).await.unwrap_err();
    assert!(matches!(error, LockError::Unavailable { .. }) && error.to_string().contains("slot"), "{error}");
}

/// One node with all slots grants every lock, as the one shard of a managed service does.
#[tokio::test]
async fn a_cluster_of_one_node_is_ready() {
    let server = RedisServer::builder().cluster().start();
    server.take_slots(&[0..=16_383], 1);
    let provider = provider_at(&server.url());
    soon("it is checked", provider.check()).await.unwrap();
    assert_eq!(provider.warnings().await.unwrap(), []);
    assert!(provider.is_empty(), "{provider:?}");
    assert_eq!(server.leftovers(), [] as [&str; 0]);
}

/// Also if it is only one slot.
#[tokio::test]
async fn a_cluster_without_one_of_its_slots_is_not_ready() {
    let server = RedisServer::builder().cluster().config("cluster-require-full-coverage", "no").start();
    server.take_slots(&[0..=9_999, 10_001..=16_383], 1);
    let provider = provider_at(&server.url());
    let error = soon("it is checked", provider.check()).await.unwrap_err();
    assert!(matches!(error, LockError::Unavailable { .. }) && error.to_string().contains("slot"), "{error}");
    server.cli(&["CLUSTER", "ADDSLOTS", "10000"]);
    soon("it is checked", provider.check()).await.unwrap();
}

/// The port of one address that leads to several servers in turn, as a load balancer does.
async fn balanced(ports: Vec<u16>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for to in ports.into_iter().cycle() {
            let Ok((mut client, _)) = listener.accept().await else { return };
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn several_servers_behind_one_address_are_a_warning() {
    let servers = [RedisServer::start(), RedisServer::start()];
    let port = balanced(servers.iter().map(RedisServer::port).collect()).await;
    let provider = provider_at(&format!("redis://127.0.0.1:{port}"));
    assert_eq!(soon("it is checked", provider.warnings()).await.unwrap(), [RedisWarning::SeveralServers]);
    // One server is no warning, also if it has taken the place of another one.
    let proxy = crate::support::Proxy::to(servers[0].port());
    let provider = provider_at(&proxy.url());
    assert_eq!(soon("it is checked", provider.warnings()).await.unwrap(), []);
    proxy.redirect(servers[1].port());
    assert_eq!(soon("it is checked", provider.warnings()).await.unwrap(), []);
}

/// The lock connection goes to the primary, and the name to a replica since.
#[tokio::test]
async fn an_address_that_leads_to_a_replica_as_well_is_a_warning() {
    let (primary, replica) = (RedisServer::start(), RedisServer::start());
    replica.ask::<()>(redis::cmd("REPLICAOF").arg("127.0.0.1").arg(primary.port()));
    let proxy = crate::support::Proxy::to(primary.port());
    let provider = provider_at(&proxy.url());
    acquired(&lock(&provider, "name")).await.release().await.unwrap();
    proxy.redirect(replica.port());
    let warnings = soon("it is checked", provider.warnings()).await.unwrap();
    assert!(warnings.contains(&RedisWarning::Replica), "{warnings:?}");
}

/// A proxy whose replies to `HELLO` say nothing of the cluster behind it.
async fn hiding(node: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", node)).await.unwrap();
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.split(), server.split());
                let answers = async {
                    let mut buffer = vec![0; 64 * 1024];
                    loop {
                        let count = from_server.read(&mut buffer).await?;
                        if count == 0 {
                            return Ok::<_, std::io::Error>(());
                        }
                        let text = String::from_utf8_lossy(&buffer[..count]);
                        let shown = text.replace("mode\r\n$7\r\ncluster", "mode\r\n$10\r\nstandalone");
                        to_client.write_all(shown.as_bytes()).await?;
                    }
                };
                _ = tokio::join!(tokio::io::copy(&mut from_client, &mut to_server), answers);
            });
        }
    });
    port
}

#[tokio::test]
async fn a_cluster_that_a_proxy_hides_is_a_warning() {
    let server = RedisServer::builder().cluster().start();
    server.take_slots(&[0..=16_383], 1);
    let provider = provider_at(&format!("redis://127.0.0.1:{}", hiding(server.port()).await));
    assert_eq!(soon("it is checked", provider.warnings()).await.unwrap(), [RedisWarning::HiddenCluster]);
}

/// Rules that leave everything out that administers a server: INFO is `@dangerous`.
#[tokio::test]
async fn a_user_without_info_has_one_line_in_the_acl_log_however_often_it_is_checked() {
    let server = RedisServer::builder().user_acl("app on >secret ~* &* +@all -@admin -@dangerous").start();
    let provider = provider_at(&server.url_as("app", "secret"));
    for _ in 0..5 {
        provider.check().await.unwrap();
        assert_eq!(provider.clone().warnings().await.unwrap(), [RedisWarning::NotPermitted]);
    }
    let refused: Vec<_> =
        server.acl_log().into_iter().map(|line| (line["object"].clone(), line["count"].clone())).collect();
    assert_eq!(refused, [("info".to_owned(), "1".to_owned())]);
}

/// The name of a connection is in `CLIENT LIST`: the inbox, which is how a token begins, and the process. It needs no permission.
#[tokio::test]
async fn a_connection_is_named_after_its_inbox_and_its_process() {
    let user = format!("locks on >secret resetchannels -@all {FEWEST_COMMANDS} {FEWEST_KEYS} {INBOXES}");
    let server = RedisServer::builder().user_acl(&user).start();
    let provider = provider_at(&server.url_as("locks", "secret"));
    let guard = acquired(&lock(&provider, "name")).await;
    let token = server.get("orchestrix:lock:name").map(|token| String::from_utf8(token).unwrap()).unwrap();
    let (inbox, _) = token.split_once('.').unwrap();
    let clients: String = server.ask(redis::cmd("CLIENT").arg("LIST"));
    let client = clients.lines().find(|line| line.contains(" user=locks ")).unwrap_or_else(|| panic!("{clients}"));
    let name = client.split(' ').find_map(|field| field.strip_prefix("name=")).unwrap();
    assert!(name.starts_with(&format!("orchestrix-locking:{inbox}:")), "{name}");
    assert!(name.ends_with(&format!("/{}", std::process::id())), "{name}");
    guard.release().await.unwrap();
    assert_eq!(server.acl_log(), []);
}
