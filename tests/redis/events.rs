//! What a log has of an outage: some lines for each provider, which say whose they are.
#![cfg(feature = "tracing")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orchestrix_locking::{RedisLockOptions, RedisLockProvider};

use crate::fixtures::{acquired, lock, soon, until};
use crate::support::RedisServer;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn lines(&self, part: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
        text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Two providers lose one server for two seconds, in which each tries some ten times to connect.
#[tokio::test]
async fn an_outage_is_a_few_lines_for_each_provider() {
    let written = Written::default();
    let make = written.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || make.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
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
    until("both are connected again", || written.lines("connected to the lock server").len() == 4).await;
    for (provider, prefix) in providers.iter().zip(["orders:", "jobs:"]) {
        let of_it = |part: &str| -> Vec<String> {
            let mark = format!("key_prefix=\"{prefix}\"");
            written.lines(part).into_iter().filter(|line| line.contains(&mark)).collect()
        };
        assert_eq!(of_it(" WARN ").len(), 2, "{:#?}", written.lines(""));
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
