//! What the lines of a round come to: grants, attempts, answers, and what was stored, per resource.

use super::faults::Faults;

/// A line of a file, by the number of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: u32,
    pub(super) line: u32,
}

/// Everything that was read since the last round.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// By the resource's number, the same in all rounds.
    pub(super) resources: Vec<Resource>,
    pub(super) requests: Vec<Request>,
    pub(super) lefts: Vec<Left>,
    pub(super) frees: Vec<Free>,
    pub(super) undone: Vec<Undone>,
    pub(super) clock: Option<ServerClock>,
    pub(super) faults: Faults,
}

/// Everything of one resource in a round.
#[derive(Debug, Default)]
pub(super) struct Resource {
    /// In the order of their fences.
    pub(super) grants: Vec<Grant>,
    pub(super) tries: Vec<Try>,
    /// Extensions and releases that were answered.
    pub(super) answers: Vec<Answer>,
    pub(super) stores: Vec<Store>,
    pub(super) last: Option<Final>,
}

/// A lock that was granted, to a caller or, with its handler, to the layer.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) process: u32,
    pub(super) handler: bool,
    pub(super) fence: u64,
    /// When it was about to be asked for, and had been granted.
    pub(super) began: u64,
    pub(super) granted: u64,
    /// Its first poll had no answer.
    pub(super) waiting: Option<u64>,
    /// The caller did not wait at all.
    pub(super) at_once: bool,
    /// Of one who did not wait, unless its lease was over when it was first looked at.
    pub(super) believed: Option<Believed>,
    /// It certainly was held from `granted` to here.
    pub(super) until: u64,
    /// It certainly was held at `granted`.
    pub(super) certain: bool,
    pub(super) lost: Option<Lost>,
    /// It was held, extended or released after it was known to be lost.
    pub(super) revived: Option<(&'static str, Place)>,
    /// It was believed in for longer than it had been asked for.
    pub(super) too_long: Option<Place>,
    pub(super) begin: Place,
    pub(super) made: Place,
    pub(super) end: Place,
}

/// What its holder believed of a lease at first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Believed {
    /// The whole lease that was asked for is over at the deadline if it began here.
    pub(super) counts_from: u64,
    /// It is renewed while it is held, and may have been by then.
    pub(super) renewed: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    pub(super) at: u64,
    /// As it was known before.
    pub(super) deadline: u64,
}

/// An acquire that waited and was not granted: it stood in the queue from `waiting` to `left` at least.
#[derive(Debug, Clone)]
pub(super) struct Try {
    pub(super) process: u32,
    pub(super) waiting: u64,
    pub(super) left: u64,
    pub(super) begin: Place,
    pub(super) end: Place,
}

/// An extension or a release that was answered.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) fence: u64,
    pub(super) release: bool,
    pub(super) yes: bool,
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) begin: Place,
    pub(super) end: Place,
}

/// A read or a write of the resource's store.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) fence: u64,
    pub(super) write: bool,
    /// What was read (0 where nothing was), or was to be written.
    pub(super) value: u64,
    /// Of a write: what the same operation had read before.
    pub(super) read: Option<u64>,
    pub(super) began: u64,
    pub(super) end: StoreEnd,
    pub(super) begin: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreEnd {
    Done {
        at: u64,
    },
    /// A higher fence had been there.
    Refused {
        at: u64,
    },
    Unknown,
}

/// The store's number at the end of a round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Final {
    pub(super) value: u64,
    pub(super) place: Place,
}

/// A request through the layer.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) process: u32,
    pub(super) runs: u32,
    pub(super) ended: u32,
    /// The handler ended by itself; its lock was held then.
    pub(super) finished: bool,
    pub(super) held: bool,
    /// When its loss was signalled, if it was, and from then on how long it ran.
    pub(super) lost: Option<(u64, u64)>,
    pub(super) answer: Reply,
    pub(super) begin: Place,
    pub(super) end: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Handler,
    /// The lock was lost, it says.
    Lost,
    Refusal,
    GivenUp,
    Unknown,
    None,
}

#[derive(Debug, Clone)]
pub(super) struct Left {
    pub(super) keys: Vec<String>,
    pub(super) locks: u64,
    pub(super) waiters: u64,
    pub(super) place: Place,
}

#[derive(Debug, Clone)]
pub(super) struct Free {
    pub(super) resource: String,
    pub(super) after: u64,
    pub(super) place: Place,
}

/// What the server still had for processes that were at rest.
#[derive(Debug, Clone)]
pub(super) struct Undone {
    pub(super) left: Vec<String>,
    pub(super) place: Place,
}

/// What the server's clock showed at some time, when nothing had moved it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerClock {
    pub(super) at: u64,
    /// Microseconds since 1970.
    pub(super) wall: u64,
}

impl ServerClock {
    /// When it showed the time that a fence has in it.
    pub(super) fn time_of(self, fence: u64) -> i128 {
        i128::from(self.at) + (i128::from(fence / TURNS) - i128::from(self.wall)) * 1_000
    }
}

/// A fence is the server's number, which is its time in microseconds or higher, times this, and the turn within a
/// process.
pub(super) const TURNS: u64 = 1_024;

/// The earliest of something among the grants from each on, in the order of their fences.
#[derive(Debug)]
pub(super) struct Earliest(Vec<Option<(u64, usize)>>);

impl Earliest {
    pub(super) fn new(grants: &[Grant], time: impl Fn(&Grant) -> Option<u64>) -> Self {
        let mut earliest = vec![None; grants.len() + 1];
        let mut best: Option<(u64, usize)> = None;
        for (index, grant) in grants.iter().enumerate().rev() {
            if let Some(time) = time(grant)
                && best.is_none_or(|(earliest, _)| time <= earliest)
            {
                best = Some((time, index));
            }
            if let Some(slot) = earliest.get_mut(index) {
                *slot = best;
            }
        }
        Self(earliest)
    }

    /// Among the grants from `index` on: when, and which.
    pub(super) fn from(&self, index: usize) -> Option<(u64, usize)> {
        self.0.get(index).copied().flatten()
    }
}
