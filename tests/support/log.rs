//! [`Log`]: what a subscriber writes, kept to be looked at.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used)]

use std::io;
use std::sync::{Arc, Mutex};

use tracing::Level;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// A subscriber that writes here, line by line, what has this level and above.
    pub(crate) fn subscriber(&self, level: Level) -> impl tracing::Subscriber + Send + Sync + use<> {
        tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(self.clone()).finish()
    }

    /// What this thread tells from now on, until the guard is dropped.
    pub(crate) fn of_this_thread(level: Level) -> (Self, DefaultGuard) {
        let log = Self::default();
        let guard = tracing::subscriber::set_default(log.subscriber(level));
        (log, guard)
    }

    /// More text, which no subscriber wrote.
    pub(crate) fn add(&self, text: &str) {
        self.0.lock().unwrap().extend_from_slice(text.as_bytes());
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// The lines that have this in them.
    pub(crate) fn lines(&self, part: &str) -> Vec<String> {
        self.text().lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
