//! A `redis-server` process of the run's own.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// The server's parent. When the run ends, however it ends, this shell's input closes, and it ends the server.
const PARENT: &str = r#"
trap '' HUP INT TERM
redis-server --port "$1" --bind 127.0.0.1 --save '' --appendonly no --loglevel warning --dir /tmp \
    --maxclients 5000 >/dev/null 2>&1 </dev/null &
server=$!
read -r _
kill -KILL "$server"
wait "$server" 2>/dev/null
"#;

/// On a free loopback port, without persistence.
pub(crate) struct Server {
    port: u16,
    parent: Child,
    input: Option<ChildStdin>,
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        let port = free_port()?;
        let mut parent = Command::new("sh")
            .args(["-c", PARENT, "sh", &port.to_string()])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let input = parent.stdin.take();
        let server = Self { port, parent, input };
        let begun = Instant::now();
        while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if begun.elapsed() > Duration::from_secs(20) {
                return Err("redis-server does not start: is it installed?".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut input) = self.input.take() {
            _ = input.write_all(b"\n");
        }
        _ = self.parent.wait();
    }
}

/// Below those that the kernel gives to outgoing connections, which a client could otherwise meet itself on.
fn free_port() -> Result<u16> {
    let start = RandomState::new().hash_one(std::process::id()) % 20_000;
    (0..20_000)
        .filter_map(|step| u16::try_from(10_000 + (start + step) % 20_000).ok())
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .ok_or_else(|| "no port is free".into())
}
