//! [`LateWay`]: a way to a server on which what the first connection sends can arrive late, after the client has
//! given that connection up. Networks do that: bytes that were sent are sent again until they arrive, by a client's
//! system that has closed the connection since.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Its threads end with their connections, and with this.
pub(super) struct LateWay {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    hold: AtomicBool,
    held: AtomicU64,
    accepted: AtomicU64,
}

impl LateWay {
    pub(super) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Self { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        let state = Arc::downgrade(&way.state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Some(now) = state.upgrade() else { return };
                let first = now.accepted.fetch_add(1, SeqCst) == 0;
                let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
                let (answers, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || pass(answers, to_client));
                let state = Weak::clone(&state);
                std::thread::spawn(move || send(client, server, &state, first));
            }
        });
        way
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Holds back what the first connection sends from now on; or lets it go.
    pub(super) fn hold(&self, hold: bool) {
        self.state.hold.store(hold, SeqCst);
    }

    /// How many pieces have been held back.
    pub(super) fn held(&self) -> u64 {
        self.state.held.load(SeqCst)
    }

    /// How many connections there have been.
    pub(super) fn accepted(&self) -> u64 {
        self.state.accepted.load(SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            // The client has gone. What it sent is on its way all the same.
            while let Ok(1..) = from.read(&mut buffer) {}
            return;
        }
    }
    _ = to.shutdown(std::net::Shutdown::Both);
}

fn send(mut from: TcpStream, mut to: TcpStream, state: &Weak<State>, first: bool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if first && !wait(state) {
            return;
        }
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
    _ = to.shutdown(std::net::Shutdown::Both);
}

/// Waits for as long as calls are held back. `false` if the test has ended.
fn wait(state: &Weak<State>) -> bool {
    let mut counted = false;
    while let Some(state) = state.upgrade() {
        if !state.hold.load(SeqCst) {
            return true;
        }
        if !std::mem::replace(&mut counted, true) {
            state.held.fetch_add(1, SeqCst);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}
