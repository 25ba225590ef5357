//! A TCP proxy between a client and a server that does to the bytes what a bad network would.
//!
//! Every setting can be changed at any time and counts at once, for the connections there are too: it is looked at
//! when bytes would be passed on. The proxy runs in a thread of its own, on the real clock.
//!
//! TCP loses no bytes in the middle of a stream, so neither does the proxy: what comes after lost bytes is lost too,
//! and when the loss is lifted, a connection that lost something is closed. (Otherwise a client would take an answer
//! for that of another command, which no network can do to it.)

mod connection;
mod settings;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::port::bind_free_port;
use settings::{Settings, Shared};

/// Passes everything through until it is told otherwise. Dropped, it closes all connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    /// Both `None` only while dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy to this port of the loopback address.
    pub(crate) fn to(port: u16) -> Self {
        let listener = bind_free_port();
        listener.set_nonblocking(true).unwrap();
        let own = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::new(port));
        let (stop, stopped) = oneshot::channel();
        let accepting = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    _ = stopped => {}
                    never = connection::accept(listener, accepting) => match never {},
                }
            });
        });
        Self { port: own, shared, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `redis://…`, without a user.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// New connections go to another port.
    pub(crate) fn redirect(&self, port: u16) {
        self.change(|settings| settings.target = SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }

    /// Bytes arrive this much later, each way.
    pub(crate) fn delay(&self, delay: Duration) {
        self.delay_requests(delay);
        self.delay_answers(delay);
    }

    pub(crate) fn delay_requests(&self, delay: Duration) {
        self.change(|settings| settings.requests.delay = delay);
    }

    pub(crate) fn delay_answers(&self, delay: Duration) {
        self.change(|settings| settings.answers.delay = delay);
    }

    /// What the client sends is lost.
    pub(crate) fn drop_requests(&self, drop: bool) {
        self.change(|settings| settings.requests.drop = drop);
    }

    /// What the server sends is lost: commands are run, and no client hears of it.
    pub(crate) fn drop_answers(&self, drop: bool) {
        self.change(|settings| settings.answers.drop = drop);
    }

    /// Bytes are held, both ways, and passed on when it is lifted.
    pub(crate) fn stall(&self, stall: bool) {
        self.stall_requests(stall);
        self.stall_answers(stall);
    }

    pub(crate) fn stall_requests(&self, stall: bool) {
        self.change(|settings| settings.requests.stall = stall);
    }

    pub(crate) fn stall_answers(&self, stall: bool) {
        self.change(|settings| settings.answers.stall = stall);
    }

    /// Published messages are lost, answers are not. For RESP3 without TLS: a connection that speaks anything else is
    /// closed, and one with RESP2 gets its messages.
    pub(crate) fn drop_messages(&self, drop: bool) {
        self.change(|settings| settings.drop_messages = drop);
    }

    /// How many messages [`drop_messages`](Self::drop_messages) has swallowed.
    pub(crate) fn dropped_messages(&self) -> u64 {
        *self.shared.dropped_messages.borrow()
    }

    /// Closes every connection that [`connections`](Self::connections) counts now. New ones are welcome.
    pub(crate) fn cut(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }

    /// Lets this many more bytes of answers through, over all connections, and closes the one that got the last. Once.
    pub(crate) fn cut_after_answer_bytes(&self, count: u64) {
        *self.shared.answers_left.lock().unwrap() = Some(count);
    }

    /// As [`cut_after_answer_bytes`](Self::cut_after_answer_bytes), for what clients send.
    pub(crate) fn cut_after_request_bytes(&self, count: u64) {
        *self.shared.requests_left.lock().unwrap() = Some(count);
    }

    /// New connections are closed at once.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.change(|settings| settings.refuse = refuse);
    }

    /// How many connections are open. One whose client has gone counts until that is passed on, so not while requests
    /// are held or lost.
    pub(crate) fn connections(&self) -> usize {
        *self.shared.open.borrow()
    }

    /// Waits until this many are.
    pub(crate) async fn until_connections(&self, count: usize) {
        self.shared.open.subscribe().wait_for(|open| *open == count).await.unwrap();
    }

    /// How many connections there have been, the refused ones not counted.
    pub(crate) fn accepted(&self) -> u64 {
        *self.shared.accepted.borrow()
    }

    /// Waits until [`dropped_messages`](Self::dropped_messages) is at least this.
    pub(crate) async fn until_dropped_messages(&self, count: u64) {
        self.shared.dropped_messages.subscribe().wait_for(|dropped| *dropped >= count).await.unwrap();
    }

    fn change(&self, change: impl FnOnce(&mut Settings)) {
        self.shared.settings.send_modify(change);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}
