//! What a log has of an outage: some lines for each provider, which say whose they are.
#![cfg(feature = "tracing")]

use std::time::Duration;

use orchestrix_locking::{RedisLockOptions, RedisLockProvider};
use tracing::Level;

use crate::fixtures::{acquired, lock, soon, until};
use crate::log::Log;
use crate::support::RedisServer;

/// Two providers lose one server for two seconds, in which each tries some ten times to connect.
#[tokio::test]
async fn an_outage_is_a_few_lines_for_each_provider() {
    let (log, _guard) = Log::of_this_thread(Level::INFO);
    let server = RedisServer::start();
    let provider = |prefix: &str| {
        let options = RedisLockOptions::default().connection_string(server.url()).key_prefix(prefix);
        RedisLockProvider::new(options).unwrap()
    };
    let providers = [provider("orders:"), provider("jobs:")];
    for provider in &providers {
        acquired(&lock(provider, "name")).await.release().await.unwrap();
    }
    server.kill();
    let begun = std::time::Instant::now();
    until("two seconds are over", || begun.elapsed() > Duration::from_secs(2)).await;
    server.start_again();
    until("both are connected again", || log.lines("connected to the lock server").len() == 4).await;
    for (provider, prefix) in providers.iter().zip(["orders:", "jobs:"]) {
        let of_it = |part: &str| -> Vec<String> {
            let mark = format!("key_prefix=\"{prefix}\"");
            log.lines(part).into_iter().filter(|line| line.contains(&mark)).collect()
        };
        assert_eq!(of_it(" WARN ").len(), 2, "{:#?}", log.lines(""));
        let refused = of_it("no connection to the lock server");
        assert!(refused[0].contains("onnection refused"), "{refused:?}");
        let again = of_it("connected to the lock server");
        assert!(again[1].contains(" outage=2."), "{again:?}");
        // The inbox is how the key of a lock that it holds leads to it.
        let guard = acquired(&lock(provider, "name")).await;
        let token = String::from_utf8(server.get(&format!("{prefix}name")).unwrap()).unwrap();
        let (inbox, _) = token.split_once('.').unwrap();
        assert!(again[1].contains(&format!("inbox=\"{inbox}\"")), "{inbox}: {again:?}");
        soon("it is freed", guard.release()).await.unwrap();
    }
}
