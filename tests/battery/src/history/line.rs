//! One line of a history.

use serde::{Deserialize, Serialize};

/// One step of one process.
///
/// As JSON: `{"at":812,"process":3,"op":17,"event":"granted","fence":"1781","deadline":1812}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Nanoseconds by [`clock::now`](super::clock::now). Read before what is said to begin begins, and after what is
    /// said to have happened has happened; `Event` says where it is otherwise.
    pub(crate) at: u64,
    /// One number for each life of a process: a worker that is started again has a new one. 0 is the one that starts
    /// the others and injects the faults.
    pub(crate) process: u32,
    /// The operation, unique within the process: one acquire, with all that is done under its lock; one request
    /// through the layer; or one fault.
    pub(crate) op: u64,
    #[serde(flatten)]
    pub(crate) event: Event,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    // --- An acquire. Times in nanoseconds.
    /// Is about to begin. `wait`: how long it may take; `None`: as long as it takes.
    Acquire { resource: String, ttl: u64, wait: Option<u64>, renewed: bool },
    /// Its first poll had no answer: from now on it is behind the callers that came before, and before later ones.
    Waiting,
    /// It has the lock. `at` is read after that, so the lock was held then; `deadline`: at least until when, as the
    /// holder sees it, unless it lets go before.
    Granted { fence: Fence, deadline: u64 },
    /// Another caller has it; or it failed; or its future is about to be dropped.
    Ended { outcome: Outcome },

    // --- A hold. `op` is that of its acquire.
    /// `at` is read before a look at `is_held`, which said yes: it was held then, and will be until the deadline.
    Held { deadline: u64 },
    /// An extension is about to be asked for.
    Extend { by: u64 },
    /// It was answered; `yes`: the lease is ours until the deadline.
    Extended { outcome: Outcome, deadline: u64 },
    /// `lost()` has resolved. `deadline`: the last that was seen before.
    Lost { deadline: u64 },
    /// Is about to be released, or its guard to be dropped. `held`: what `is_held` said just before, after `at`.
    Release { held: bool, dropped: bool },
    /// The release was answered: `Yes` is `Release::Released`, `No` is `Release::AlreadyLost`.
    Released { outcome: Outcome },

    // --- A store that both read and write, under the lock, with the fence of the hold.
    /// A read or a write is about to be sent. `value`: what is to be written.
    Store { side: Side, value: Option<u64> },
    /// `Yes`: read or written; `No`: refused since a higher fence was there; `Unknown`: no answer.
    Stored { side: Side, outcome: Outcome, value: Option<u64> },

    // --- A request through the layer.
    /// Is about to be made.
    Request { resource: String, ttl: u64 },
    /// The handler has begun, under the lock. `at` and `deadline` as in `Granted`.
    Handler { fence: Fence, deadline: u64 },
    /// The handler is about to end: by itself (`finished`), or since its future is dropped. `held`: what `is_held` said
    /// just before, after `at`.
    HandlerEnds { finished: bool, held: bool },
    /// The answer: `Yes`: the handler's; `Failed`: a refusal; `GivenUp`: its future is about to be dropped.
    Answered { outcome: Outcome },

    // --- Process 0: faults and what is left after them.
    /// A fault is about to begin. `process`: whom it is for, where it is for one. `trusted`: whether two certain
    /// holds still must not overlap (the server keeps its data and its clock).
    Fault {
        kind: String,
        target: Option<u32>,
        trusted: bool,
        detail: String,
        /// Nanoseconds by which it moves the server's clock, there or back.
        moved: u64,
    },
    /// It is over, and what it broke is mended.
    Healed { kind: String },
    /// What the server's clock shows: microseconds since 1970.
    Clock { wall: u64 },
    /// Every worker that lives is at rest, and had some time since then: keys, and entries of queues, that the server
    /// still has for one of them.
    Undone { left: Vec<String> },
    /// A process has ended, with everything that it had begun.
    Gone {
        /// `gone` in JSON, where `process` is who writes the line.
        #[serde(rename = "gone")]
        process: u32,
    },
    /// After the last fault was healed and every worker had let go: keys on the server other than fences, and what the
    /// workers' providers still count.
    Left { keys: Vec<String>, locks: u64, waiters: u64 },
    /// After that, a new process took the lock, so long after the moment at which it could first be free.
    Free { resource: String, after: u64 },
    /// The store's own number at the end.
    Final { resource: String, value: u64 },
}

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Yes,
    No,
    /// With the error's variant and text.
    Failed(String),
    /// It may have happened or not.
    Unknown(String),
    GivenUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    Read,
    Write,
}

/// A fencing token, as a string in JSON: it is longer than the numbers that every reader of JSON keeps.
pub(crate) type Fence = orchestrix_locking::FencingToken;
