//! What was seen in a run, and whether that may be.
//!
//! | property | |
//! | --- | --- |
//! | P1 | fencing tokens of a resource are unique, and rise in the order of the grants; those who share it have one |
//! | P2 | certain holds overlap only as their modes allow: each lasts from its grant to its release, its loss, or the end that is believed in, and after a release for its least time |
//! | P3 | a store that refuses stale fencing tokens loses no update |
//! | P4 | a call changes no other owner's lock, makes none anew by a renewal, and leaves none without an expiry |
//! | P5 | when all is over, everything is free in time and nothing is left |
//! | P6 | the server serves its queue in order, and a process its own callers |
//! | P7 | every operation ends within its bound |
//! | R | the engine's own invariants |
//!
//! P2 by modes: an exclusive hold is beside no other, and shared holds are beside shared ones alone. So are permits, of which no two
//! have the same number at the same time. A caller with `Permits(n)` is granted one while fewer than `n` are held. Callers take
//! their permits up in any order, so where they come with several `n` the holds are compared with the highest. On the server each
//! grant is compared with its own `n`, and the number that it gives has to be the lowest free one.
//!
//! P1 by modes: readers of a phase share a token. A later phase on the server has a higher one; callers cannot tell phases apart
//! that only readers are between. Permits are granted beside each other, and callers take them up in any order. So the tokens
//! of one number rise, and those of permits from before and after a hold in another mode.
//!
//! P3 by modes: exclusive holders write, readers only read, and holders of permits have a store for each number.
//!
//! P1 and P3 are not required of a run in which fencing tokens may fall: the server may lose its counter of grants, and its
//! clock is set back. In any other run they are unique. They rise from one certain hold to the next: the token of a hold
//! that is not certain may be lower than those before it, and the store refuses it.

mod checker;
mod key;
mod local_order;
mod store;
#[cfg(test)]
mod tests;

pub use checker::Checker;
pub use key::{Holder, Key, Waiting, mode_of};

use std::fmt;

use orchestrix_locking::LockMode;
use orchestrix_locking::simulation::Action;

use crate::fleet::Time;

/// A process, from its beginning to its end: one that takes another's place is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId(pub usize);

/// A caller of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallerId {
    /// Its process.
    pub process: ProcessId,
    /// Callers of a process are numbered in the order in which they came.
    pub number: u64,
}

/// One hold of a lock, by one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HoldId(pub usize);

/// What was seen.
#[derive(Debug, Clone)]
pub enum Record {
    /// A caller wants a lock, and waits for it if it `waits`.
    Came {
        /// Who.
        caller: CallerId,
        /// What.
        resource: usize,
        /// Whether it has a place in the local wait queue.
        waits: bool,
    },
    /// Its process has an answer for it.
    Answered {
        /// For whom.
        caller: CallerId,
        /// Whether it is the lock.
        granted: bool,
    },
    /// It went away.
    Left {
        /// Who.
        caller: CallerId,
    },
    /// A caller took its lease up.
    Granted {
        /// The hold that begins.
        hold: HoldId,
        /// Of what.
        resource: usize,
        /// The fencing token.
        fence: u64,
        /// In which mode.
        mode: LockMode,
        /// The number of the permit.
        permit: Option<u32>,
        /// The end that is believed in.
        until: Time,
        /// How long the name stays taken at least after a release.
        kept_until: Option<Time>,
        /// Whether its process can know. It cannot of a lease from before its machine was suspended, nor of one that the
        /// server has forgotten.
        certain: bool,
    },
    /// Another end is believed in.
    Until {
        /// Of which hold.
        hold: HoldId,
        /// Until when.
        until: Time,
    },
    /// Its process cannot know any more whether it lasts.
    Uncertain {
        /// Which.
        hold: HoldId,
    },
    /// A hold ends: its release begins, or it is seen to be lost, or its process is gone.
    Ended {
        /// Which.
        hold: HoldId,
        /// It is released while it is believed in. What is lost is not kept.
        released: bool,
    },
    /// The server has forgotten what it keeps taken without a holder, or ends that early.
    ForgotKept,
    /// The holder reads the store, with its fencing token.
    Read {
        /// Who.
        hold: HoldId,
    },
    /// The holder writes to the store what it has read and one more.
    Wrote {
        /// Who.
        hold: HoldId,
    },
    /// An operation begins.
    Began {
        /// Which.
        operation: u64,
        /// Of which process.
        process: ProcessId,
        /// How soon it has to end.
        within: Time,
    },
    /// It takes longer for a reason of its own.
    MayTakeLonger {
        /// Which.
        operation: u64,
        /// By how much.
        by: Time,
    },
    /// A process did nothing for a time.
    StoodStill {
        /// Which.
        process: ProcessId,
        /// For how long.
        time: Time,
    },
    /// An operation has ended.
    Finished {
        /// Which.
        operation: u64,
    },
    /// The server ran a call for one lock.
    Ran(Box<Ran>),
    /// The engine's own invariants, the rest at the end, or what never ends.
    Broken {
        /// What.
        property: Property,
        /// How.
        what: String,
        /// With which resource.
        resource: Option<usize>,
    },
}

/// What the server did for one lock.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The resource.
    pub resource: usize,
    /// What it was asked for.
    pub action: Action,
    /// By which owner tokens: a call may be for several of one lock.
    pub tokens: Vec<Vec<u8>>,
    /// Whether the caller may publish notifications.
    pub may_publish: bool,
    /// The longest lease that another process may be granted, in milliseconds.
    pub longest_claim: i64,
    /// The keys before.
    pub before: Key,
    /// The keys afterwards.
    pub after: Key,
}

/// A property that every run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the table above says it")]
pub enum Property {
    P1,
    P2,
    P3,
    P4,
    P5,
    P6,
    P7,
    R,
}

/// A property that a run did not have.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// When it was seen.
    pub at: Time,
    /// The resource concerned, if it is one.
    pub resource: Option<usize>,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}.{:06} s", self.property, self.at / 1_000_000, self.at % 1_000_000)?;
        if let Some(resource) = self.resource {
            write!(f, ", resource {resource}")?;
        }
        write!(f, ": {}", self.what)
    }
}
