//! [`Liar`]: a server that plays along up to a command, and answers that one as it likes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

/// What to answer, of what it was sent: the whole command.
pub(super) type Lie = fn(&[String]) -> Vec<u8>;

pub(super) struct Liar {
    port: u16,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    /// Lies about every command of this name.
    pub(super) fn about(name: &'static str, lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let thread = spawn(move || {
            for stream in listener.incoming() {
                if ended.load(SeqCst) {
                    return;
                }
                let ended = Arc::clone(&ended);
                spawn(move || serve(stream.unwrap(), name, lie, &ended));
            }
        });
        Self { port, over, thread: Some(thread) }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
        // Wakes it.
        _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream, name: &str, lie: Lie, ended: &AtomicBool) {
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while !ended.load(SeqCst) {
        match stream.read(&mut piece) {
            Ok(0) => return,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => return,
        }
        while let Some((command, length)) = command(&bytes) {
            bytes.drain(..length);
            let lies = command[0].eq_ignore_ascii_case(name);
            if stream.write_all(&if lies { lie(&command) } else { truth(&command) }).is_err() {
                return;
            }
        }
    }
}

/// What a server would answer that has every lock free.
fn truth(command: &[String]) -> Vec<u8> {
    let text = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    match command[0].to_ascii_uppercase().as_str() {
        "HELLO" => "%1\r\n$5\r\nproto\r\n:3\r\n".to_owned(),
        "SCRIPT" => text(&"0".repeat(40)),
        "SUBSCRIBE" => format!(">3\r\n{}{}:1\r\n", text("subscribe"), text(&command[1])),
        // The mode of an acquire.
        "EVALSHA" if command.get(9).is_some_and(|mode| ["m", "p", "n"].contains(&mode.as_str())) => {
            "*4\r\n:1\r\n:5\r\n:1000\r\n:0\r\n".to_owned()
        }
        "EVALSHA" => ":1\r\n".to_owned(),
        "INFO" => text("redis_version:7.0.15\r\nmaxmemory:0\r\n"),
        _ => "+OK\r\n".to_owned(),
    }
    .into_bytes()
}

/// The first whole command, and how long it is.
fn command(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let mut at = 0;
    let line = |at: &mut usize| {
        let end = bytes[*at..].windows(2).position(|two| two == b"\r\n")? + *at;
        let number: usize = std::str::from_utf8(&bytes[*at + 1..end]).ok()?.parse().ok()?;
        *at = end + 2;
        Some(number)
    };
    let mut words = Vec::new();
    for _ in 0..line(&mut at)? {
        let length = line(&mut at)?;
        let word = bytes.get(at..at + length)?;
        bytes.get(at + length + 1)?;
        words.push(String::from_utf8_lossy(word).into_owned());
        at += length + 2;
    }
    Some((words, at))
}
