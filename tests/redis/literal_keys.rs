//! A service that takes only scripts whose commands have their keys as literal `KEYS[n]`, as Tair does in a cluster. A server is
//! played by a real one behind a proxy that looks at the scripts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use orchestrix_locking::{DistributedLock, DistributedLockProvider as _};
use tokio::io::{AsyncWriteExt, BufReader, copy};
use tokio::net::{TcpListener, TcpStream};

use crate::fixtures::{acquired, key_of, lock, provider_at, soon, until};
use crate::sentinel::fake::read_command;
use crate::support::RedisServer;

/// What a script is replaced by that is refused.
const REFUSED: &str = "return redis.error_reply('ERR bad lua script for redis cluster, all the keys that the script uses \
    should be passed using the KEYS array, and KEYS should not be in expression')";

/// Whether each key of the script's commands is literal, and `KEYS` is nowhere else but alone.
fn is_accepted(script: &str) -> bool {
    let is_literal = |text: &str| text.split_once(']').is_some_and(|(index, _)| index.parse::<u8>().is_ok());
    let has_literal_key = |command: &str| {
        let Some((name, arguments)) = command.split_once('\'') else { return false };
        ["TIME", "PUBLISH"].contains(&name) || arguments.strip_prefix(", KEYS[").is_some_and(is_literal)
    };
    script.split("KEYS[").skip(1).all(is_literal) && script.split("call('").skip(1).all(has_literal_key)
}

/// Starts the proxy to this port. Returns its own one, and how many scripts it refuses.
async fn proxy_to(port: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let refused = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&refused);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::spawn(pass_on(client, server, Arc::clone(&counter)));
        }
    });
    (own, refused)
}

async fn pass_on(client: TcpStream, server: TcpStream, refused: Arc<AtomicUsize>) {
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let replies = tokio::spawn(async move { _ = copy(&mut from_server, &mut to_client).await });
    let mut commands = BufReader::new(from_client);
    while let Some(mut words) = read_command(&mut commands).await {
        if let ["SCRIPT", "LOAD", script] = words.iter().map(String::as_str).collect::<Vec<_>>()[..]
            && !is_accepted(script)
        {
            refused.fetch_add(1, SeqCst);
            words = vec!["EVAL".to_owned(), REFUSED.to_owned(), "0".to_owned()];
        }
        let mut command = redis::cmd(&words[0]);
        command.arg(&words[1..]);
        if to_server.write_all(&command.get_packed_command()).await.is_err() {
            break;
        }
    }
    replies.abort();
}

/// Locks are acquired, alone and many at a time, handed over and released, one lock a command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_wants_literal_keys_is_served() {
    let server = RedisServer::start();
    let (port, refused) = proxy_to(server.port()).await;
    let [one, other] = [(); 2].map(|()| provider_at(&format!("redis://127.0.0.1:{port}")));
    one.check().await.unwrap();
    assert_eq!(refused.load(SeqCst), 4, "the scripts for several locks, and no other");
    let names: Vec<_> = (0..50).map(|number| format!("order:{number}")).collect();
    let acquiring: Vec<_> = names.iter().map(|name| lock(&one, name)).collect();
    let held = futures_util::future::join_all(acquiring.iter().map(DistributedLock::acquire)).await;
    let waiting = lock(&other, "order:7");
    let waiting = tokio::spawn(async move { waiting.acquire().await });
    until("it waits", || server.queue_of(&key_of("order:7")).len() == 1).await;
    for guard in held {
        guard.unwrap().release().await.unwrap();
    }
    soon("it is handed on", waiting).await.unwrap().unwrap().release().await.unwrap();
    acquired(&lock(&one, "order:7")).await.release().await.unwrap();
    until("nothing is left", || server.leftovers().is_empty()).await;
}
