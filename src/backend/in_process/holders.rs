//! [`Holders`]: who holds a lock.

use std::cell::OnceCell;
use std::sync::Arc;

use tokio::time::Instant;

use super::holder::Holder;
use super::several::Several;
use super::shared_lease::SharedLease;
use super::wait_queue::Ticket;
use crate::sync::now;
use crate::{FencingToken, LockMode};

/// Who holds a lock: one holder that excludes all others, or several beside each other.
#[derive(Debug)]
pub(crate) enum Holders {
    One(Holder),
    /// Readers, or holders of permits, at least one.
    Several(Box<Several>),
}

/// What a caller is granted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant {
    pub(crate) fence: FencingToken,
    /// The place among [`Several`] holders: for a permit its number.
    pub(crate) place: u32,
}

impl Holders {
    /// The first holder of a lock that is free.
    pub(super) fn first(mode: LockMode, holder: Holder) -> Self {
        if mode == LockMode::Exclusive {
            return Self::One(holder);
        }
        let mut several = Several::new(mode);
        several.add(mode, holder);
        Self::Several(Box::new(several))
    }

    /// Whether a caller in this mode may hold the lock beside the present holders.
    pub(super) fn admits(&self, mode: LockMode) -> bool {
        match self {
            Self::One(_) => false,
            Self::Several(several) => several.admits(mode),
        }
    }

    /// Removes the holders whose leases have ended by the clock (M3).
    pub(super) fn remove_ended(&mut self, clock: &OnceCell<Instant>) -> Ended {
        match self {
            Self::One(holder) if holder.is_held_at(|| *clock.get_or_init(now)) => Ended::None,
            Self::One(_) => Ended::All,
            // Most have no end. Then the clock is not read.
            Self::Several(several) if several.ends().is_none() => Ended::None,
            Self::Several(several) => match several.remove_ended(*clock.get_or_init(now)) {
                false => Ended::None,
                true if several.is_empty() => Ended::All,
                true => Ended::Some,
            },
        }
    }

    /// When the next lease ends, or earlier. `None` if none ends by itself.
    pub(crate) fn ends(&self) -> Option<Instant> {
        match self {
            Self::One(holder) => holder.ends(),
            Self::Several(several) => several.ends(),
        }
    }

    /// Whether this lease holds the lock.
    pub(super) fn has(&self, lease: &SharedLease) -> bool {
        match self {
            Self::One(holder) => holder.is(lease),
            Self::Several(several) => several.has(lease),
        }
    }

    /// Whether the lock was granted to this waiter, which has not claimed it yet.
    pub(super) fn has_unclaimed(&self, ticket: Ticket) -> bool {
        match self {
            Self::One(Holder::Unclaimed(of, _)) => *of == ticket,
            Self::One(_) => false,
            Self::Several(several) => several.unclaimed_by(ticket).is_some(),
        }
    }

    /// Keeps what this lease holds taken until this time, without a guard.
    pub(super) fn keep(&mut self, lease: &SharedLease, until: Instant) -> Option<Holder> {
        match self {
            Self::One(holder) => Some(std::mem::replace(holder, Holder::Kept(until))),
            Self::Several(several) => several.keep(lease.place, until),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Holder> {
        let (one, several) = match self {
            Self::One(holder) => (Some(holder), None),
            Self::Several(several) => (None, Some(several.holders())),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }

    pub(crate) fn mode(&self) -> LockMode {
        match self {
            Self::One(_) => LockMode::Exclusive,
            Self::Several(several) => several.mode(),
        }
    }

    /// The leases that guards and handles refer to.
    pub(super) fn into_shared(self) -> impl Iterator<Item = Arc<SharedLease>> {
        let (one, several) = match self {
            Self::One(holder) => (Some(holder), None),
            Self::Several(several) => (None, Some(several.into_holders())),
        };
        one.into_iter().chain(several.into_iter().flatten()).filter_map(Holder::into_shared)
    }
}

/// Which leases of a lock have ended by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    None,
    /// Those of some holders. Others hold it still.
    Some,
    All,
}
