//! What clients have sent to a server, in the server's order.
//!
//! The server's own counts (`INFO commandstats`, `total_commands_processed`) add what scripts call to what clients
//! send. Its `MONITOR` feed says of every command who sent it, so the log is made from that.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::RedisServer;

/// One command from a client over TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCommand {
    /// The client's address.
    pub(crate) client: String,
    /// In lower case.
    pub(crate) name: String,
    /// Without the name. Bytes that are not UTF-8 are replaced.
    pub(crate) arguments: Vec<String>,
}

/// The commands since [`RedisServer::log_commands`]. Those over the Unix socket, the support's own among them, are
/// left out, and so is whatever the server keeps from `MONITOR`: `AUTH`, and what it refused to run.
pub(crate) struct CommandLog<'a> {
    server: &'a RedisServer,
    lines: BoxStream<'static, String>,
    seen: Vec<ClientCommand>,
}

impl RedisServer {
    /// Begins a log of what clients send.
    pub(crate) async fn log_commands(&self) -> CommandLog<'_> {
        let monitor = self.own_client().get_async_monitor().await.unwrap();
        CommandLog { server: self, lines: monitor.into_on_message().boxed(), seen: Vec::new() }
    }
}

impl CommandLog<'_> {
    /// Every command that the server has run until now.
    pub(crate) async fn commands(&mut self) -> &[ClientCommand] {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mark = format!("log-mark-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.server.ask::<()>(redis::cmd("ECHO").arg(&mark));
        loop {
            // Not tokio's clock, which a test may have paused: the feed has the mark, or the connection is gone.
            let line = self.lines.next().await.expect("the server is still there");
            let (client, mut words) = parse(&line).unwrap_or_else(|| panic!("not a line of MONITOR: {line}"));
            if words.last() == Some(&mark) {
                return &self.seen;
            }
            if client != "lua" && !client.starts_with("unix:") {
                let arguments = words.split_off(1);
                self.seen.push(ClientCommand { client, name: words.concat().to_lowercase(), arguments });
            }
        }
    }

    /// How many of each name clients have sent.
    pub(crate) async fn commands_of_clients(&mut self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for command in self.commands().await {
            *counts.entry(command.name.clone()).or_default() += 1;
        }
        counts
    }

    /// Begins anew.
    pub(crate) async fn clear(&mut self) {
        self.commands().await;
        self.seen.clear();
    }
}

impl fmt::Debug for CommandLog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandLog").field("seen", &self.seen).finish_non_exhaustive()
    }
}

/// `1339518083.107412 [0 127.0.0.1:60866] "get" "a\"b"`: the client, and the words.
fn parse(line: &str) -> Option<(String, Vec<String>)> {
    let (head, words) = line.split_once("] ")?;
    let (_, client) = head.split_once('[')?.1.split_once(' ')?;
    Some((client.to_owned(), unquote(words)?))
}

/// Words in double quotes, with the server's escapes.
fn unquote(text: &str) -> Option<Vec<String>> {
    let mut bytes = text.bytes();
    let mut words = Vec::new();
    loop {
        let mut word = Vec::new();
        if bytes.next()? != b'"' {
            return None;
        }
        loop {
            match bytes.next()? {
                b'"' => break,
                b'\\' => word.push(match bytes.next()? {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    b'x' => {
                        let digits = [bytes.next()?, bytes.next()?];
                        u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                    }
                    itself => itself,
                }),
                plain => word.push(plain),
            }
        }
        words.push(String::from_utf8_lossy(&word).into_owned());
        match bytes.next() {
            None => return Some(words),
            Some(b' ') => {}
            Some(_) => return None,
        }
    }
}
