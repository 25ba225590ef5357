//! [`Held`]: one lock or a set, as the layers hold it for a request.

use crate::backend::{Release, Releasing};
use crate::{LockGuard, LockSetGuard, Lost};

/// What a request holds while it runs. Dropping it releases the locks in the background.
#[derive(Debug)]
pub(crate) enum Held {
    One(LockGuard),
    Set(LockSetGuard),
}

impl Held {
    /// Whether all locks are held, by the clock.
    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        match self {
            Self::One(guard) => guard.is_held(),
            Self::Set(guard) => guard.is_held(),
        }
    }

    /// Resolves when the first lock is lost.
    pub(crate) fn lost(&self) -> Lost {
        match self {
            Self::One(guard) => guard.lost(),
            Self::Set(guard) => guard.lost(),
        }
    }

    /// Releases the locks, if that needs no waiting. Otherwise the future of the releases. To be called once.
    #[inline]
    pub(crate) fn release(&mut self) -> Result<Release, Releasing> {
        match self {
            Self::One(guard) => guard.release_at_once().ok_or_else(|| guard.release_later()),
            Self::Set(guard) => release_set(guard),
        }
    }
}

#[inline(never)]
fn release_set(guard: &mut LockSetGuard) -> Result<Release, Releasing> {
    match guard.begin_release().at_once() {
        Ok(Ok(released)) => Ok(released),
        Ok(Err(error)) => Err(Releasing::ready(Err(error))),
        Err(pending) => Err(Releasing::pending(pending)),
    }
}
