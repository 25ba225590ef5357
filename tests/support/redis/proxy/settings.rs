//! What a proxy does to bytes, and what it has counted.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

/// The faults of one direction.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) delay: Duration,
    pub(super) drop: bool,
    pub(super) stall: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) target: SocketAddr,
    pub(super) requests: Faults,
    pub(super) answers: Faults,
    pub(super) drop_messages: bool,
    pub(super) refuse: bool,
}

/// What the proxy's thread and the test both see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: watch::Sender<Settings>,
    /// Changes when all connections are to be closed.
    pub(super) cut: watch::Sender<u64>,
    pub(super) open: watch::Sender<usize>,
    pub(super) accepted: watch::Sender<u64>,
    pub(super) dropped_messages: watch::Sender<u64>,
    /// How many more bytes may pass until a connection is cut.
    pub(super) requests_left: Mutex<Option<u64>>,
    pub(super) answers_left: Mutex<Option<u64>>,
}

impl Shared {
    pub(super) fn new(port: u16) -> Self {
        let settings = Settings {
            target: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            requests: Faults::default(),
            answers: Faults::default(),
            drop_messages: false,
            refuse: false,
        };
        Self {
            settings: watch::Sender::new(settings),
            cut: watch::Sender::new(0),
            open: watch::Sender::new(0),
            accepted: watch::Sender::new(0),
            dropped_messages: watch::Sender::new(0),
            requests_left: Mutex::new(None),
            answers_left: Mutex::new(None),
        }
    }
}
