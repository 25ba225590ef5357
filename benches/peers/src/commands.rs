//! How many commands clients send.
//!
//! `INFO commandstats` counts what clients send together with what scripts call. Which names scripts call is learned
//! from a short run under `MONITOR`, which tells the two apart but slows the server; in the measured rounds those
//! names are then left out of the server's counts. If a name is in both, it is counted, and a note says so.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};

use redis::aio::MultiplexedConnection;

use crate::Result;

/// Command names, in lower case.
#[derive(Debug, Default, Clone)]
pub(crate) struct Names {
    pub(crate) by_clients: BTreeSet<String>,
    pub(crate) by_scripts: BTreeSet<String>,
}

impl Names {
    pub(crate) fn in_both(&self) -> Vec<&str> {
        self.by_clients.intersection(&self.by_scripts).map(String::as_str).collect()
    }
}

/// Reads the server's feed until it is told to stop.
pub(crate) struct Monitor {
    thread: std::thread::JoinHandle<std::io::Result<Names>>,
}

const BEGIN: &str = "the-round-begins-here";
const MARK: &str = "the-feed-ends-here";

impl Monitor {
    pub(crate) fn start(port: u16) -> Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.write_all(b"MONITOR\r\n")?;
        let mut lines = BufReader::new(stream).lines();
        lines.next().ok_or("the server is gone")??;
        let thread = std::thread::spawn(move || {
            let mut names = Names::default();
            for line in lines {
                let line = line?;
                if line.contains(MARK) {
                    break;
                }
                // What connecting took is not counted in a round either.
                if line.contains(BEGIN) {
                    names = Names::default();
                    continue;
                }
                if let Some((client, words)) = line.split_once("] ")
                    && let Some(name) = words.split('"').nth(1)
                {
                    let of = if client.ends_with(" lua") { &mut names.by_scripts } else { &mut names.by_clients };
                    of.insert(name.to_lowercase());
                }
            }
            Ok(names)
        });
        Ok(Self { thread })
    }

    pub(crate) async fn end(self, admin: &mut MultiplexedConnection) -> Result<Names> {
        redis::cmd("ECHO").arg(MARK).query_async::<()>(admin).await?;
        Ok(self.thread.join().map_err(|_| "the feed's reader panicked")??)
    }
}

pub(crate) async fn reset(admin: &mut MultiplexedConnection) -> Result<()> {
    // The feed leaves out commands such as the next one.
    redis::cmd("ECHO").arg(BEGIN).query_async::<()>(admin).await?;
    Ok(redis::cmd("CONFIG").arg("RESETSTAT").query_async(admin).await?)
}

/// What clients have sent since [`reset`], our own questions left out.
pub(crate) async fn of_clients(admin: &mut MultiplexedConnection, names: &Names) -> Result<u64> {
    let text: String = redis::cmd("INFO").arg("commandstats").query_async(admin).await?;
    let mut sum = 0;
    for line in text.lines() {
        let Some((name, counts)) = line.strip_prefix("cmdstat_").and_then(|line| line.split_once(":calls=")) else {
            continue;
        };
        let first = name.split('|').next().unwrap_or(name);
        let inside = names.by_scripts.contains(first) && !names.by_clients.contains(first);
        if inside || matches!(first, "info" | "config" | "flushall" | "echo") {
            continue;
        }
        sum += counts.split(',').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(sum)
}
