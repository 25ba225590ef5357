//! What a worker is told: its [`Setup`] as JSON in its one argument, then an [`Order`] on each line of its standard
//! input. It ends with its input. On its standard output it says [`Quiet`], one line for each [`Order::Quiet`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// The number of this life of the process in the history.
    pub(crate) process: u32,
    /// Where it writes its lines; the file is its own.
    pub(crate) history: PathBuf,
    /// The server, for the provider, as a connection string: straight or through a proxy.
    pub(crate) locks: String,
    /// Another server, which no fault touches: the stores.
    pub(crate) stores: String,
    /// What its choices are made from.
    pub(crate) seed: u64,
    pub(crate) load: Load,
}

/// What the workers do; the same for all of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Names that all workers share: `shared:0` …
    pub(crate) shared: u32,
    /// Names of this worker alone: `own:PROCESS:0` …
    pub(crate) own: u32,
    /// Names that all workers share, with leases that last longer than a round: `long:0` … A task that takes one lets it go
    /// soon, or has lost interest before it is there.
    pub(crate) long: u32,
    /// Tasks at once.
    pub(crate) tasks: u32,
    /// Of so many of them one takes its time, and the others are quick.
    pub(crate) slow: u32,
    /// Milliseconds.
    pub(crate) ttl: u64,
    /// Whether the stores refuse stale fences. Without it a lost update is there to be found.
    pub(crate) fencing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "order")]
pub(crate) enum Order {
    /// Every thread of its runtime is kept busy for so many milliseconds.
    Block { milliseconds: u64 },
    /// Nothing new is begun; when all that was begun has ended, it says so.
    Quiet,
    /// Goes on after `Quiet`.
    GoOn,
}

/// Nothing is under way any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quiet {
    /// What its provider still counts: locks, and what has to be taken back.
    pub(crate) locks: u64,
    pub(crate) waiters: u64,
    /// Acquires, extensions, releases, reads and writes so far.
    pub(crate) operations: u64,
}
