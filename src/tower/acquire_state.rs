//! [`AcquireState`]: how far the acquire for one request has come; [`Refused`]: why the request may not run.

use std::future::Future;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::Instant;

#[cfg(feature = "http")]
use crate::LockHandle;
#[cfg(feature = "http")]
use crate::LockMode;
use crate::backend::{Acquired, BoxFuture, clear_lease_left};
use crate::lock::{Held, Missing, Pending, busy};
use crate::types::Wait;
use crate::{DistributedLock, LockError, LockSet, LockSetGuard};

/// Acquires the locks of a request, if the request needs any.
pub(crate) enum AcquireState {
    /// Not polled yet. A future does nothing before its first poll.
    Created { lock: Wanted, wait: Wait },
    /// The request is to be refused, for this reason.
    Refused(Refused),
    /// The acquire is in flight, or the request is in the wait queue.
    Waiting {
        pending: PendingLocks,
        wait: Wait,
        /// The first poll that had to wait.
        since: Option<Instant>,
    },
    /// The lock was granted, or the request needs none.
    MayRun,
    /// The refusal was returned, or the backend panicked. Apart from `MayRun`: after a panic the request must not be
    /// taken for one that needs no lock.
    Ended,
}

/// The lock that a request needs, or the set.
pub(crate) enum Wanted {
    One(DistributedLock),
    Set(LockSet),
}

pub(crate) enum PendingLocks {
    One(Pending, Missing),
    Set(BoxFuture<'static, Result<Result<LockSetGuard, Missing>, LockError>>),
}

/// Why a request may not run, or may not run on.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: LockError,
    /// The lock that another caller holds, if that is the reason.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only an HTTP answer depends on it"))]
    missing: Option<Missing>,
}

impl Refused {
    /// Whether all permits are taken.
    #[cfg(feature = "http")]
    pub(crate) fn for_permits(&self) -> bool {
        matches!(self.missing, Some(Missing { mode: LockMode::Permits(_) }))
    }
}

impl From<LockError> for Refused {
    fn from(error: LockError) -> Self {
        Self { error, missing: None }
    }
}

impl From<DistributedLock> for Wanted {
    #[inline]
    fn from(lock: DistributedLock) -> Self {
        Self::One(lock)
    }
}

impl From<LockSet> for Wanted {
    fn from(set: LockSet) -> Self {
        Self::Set(set)
    }
}

impl AcquireState {
    #[inline]
    pub(super) fn new(lock: impl Into<Wanted>, wait: Duration) -> Self {
        Self::Created { lock: lock.into(), wait: Wait::from(wait) }
    }

    /// The request is refused.
    pub(crate) fn refused(error: LockError) -> Self {
        Self::Refused(error.into())
    }

    /// Whether the request needs a lock, and so may be refused one.
    #[cfg(feature = "http")]
    pub(crate) fn may_be_refused(&self) -> bool {
        !matches!(self, Self::MayRun)
    }

    /// The reason for the refusal, if it is known before the first poll.
    #[cfg(feature = "http")]
    pub(crate) fn refusal(&self) -> Option<&LockError> {
        match self {
            Self::Refused(refused) => Some(&refused.error),
            _ => None,
        }
    }

    /// Whether `handle` belongs to a lock that is to be acquired. Then the request would wait for itself.
    #[cfg(feature = "http")]
    pub(crate) fn is_held_by(&self, handle: &LockHandle) -> bool {
        match self {
            Self::Created { lock: Wanted::One(lock), .. } => lock.is_held_by(handle),
            Self::Created { lock: Wanted::Set(set), .. } => set.locks().iter().any(|lock| lock.is_held_by(handle)),
            _ => false,
        }
    }

    /// Ready once the request may run. If it needs locks, they are in `held` then. Pending for ever after an error.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, held: &mut Option<Held>) -> Poll<Result<(), Refused>> {
        if let Self::MayRun = self {
            return Poll::Ready(Ok(()));
        }
        if let Self::Created { .. } = self {
            let Self::Created { lock, wait } = mem::replace(self, Self::Ended) else { return Poll::Pending };
            match lock {
                Wanted::One(lock) => {
                    let mut answer = Ok(None);
                    let missing = Missing { mode: lock.mode() };
                    match lock.begin_once(wait, &mut answer) {
                        None => match self.finish(granted(answer, missing), wait, None, held) {
                            Ok(()) => return Poll::Ready(Ok(())),
                            Err(refused) => *self = Self::Refused(refused),
                        },
                        Some(pending) => {
                            let pending = PendingLocks::One(pending, missing);
                            *self = Self::Waiting { pending, wait, since: None };
                        }
                    }
                }
                Wanted::Set(set) => {
                    let pending = PendingLocks::Set(Box::pin(set.begin(wait)));
                    *self = Self::Waiting { pending, wait, since: None };
                }
            }
        }
        self.poll_waiting(cx, held)
    }

    /// Every case but a grant at the first poll. Not inlined, to keep that common path short.
    #[inline(never)]
    fn poll_waiting(&mut self, cx: &mut Context<'_>, held: &mut Option<Held>) -> Poll<Result<(), Refused>> {
        if let Self::Refused(_) = self {
            // The answer was known at once. A loop of such calls must yield to other tasks, for example to the
            // provider's task that connects.
            ready!(pin!(consume_budget()).poll(cx));
            if let Self::Refused(refused) = mem::replace(self, Self::Ended) {
                // A value that is set here belongs to an earlier acquire.
                clear_lease_left();
                return Poll::Ready(Err(refused));
            }
        }
        let Self::Waiting { pending, wait, since } = self else { return Poll::Pending };
        clear_lease_left();
        let polled = match pending {
            PendingLocks::One(pending, missing) => Pin::new(pending).poll(cx).map(|answer| granted(answer, *missing)),
            PendingLocks::Set(pending) => pending.as_mut().poll(cx).map_ok(|set| set.map(Held::Set)),
        };
        let Poll::Ready(answer) = polled else {
            // The clock is read only for a request that has to wait.
            since.get_or_insert_with(Instant::now);
            return Poll::Pending;
        };
        let (wait, since) = (*wait, *since);
        *self = Self::Ended;
        Poll::Ready(self.finish(answer, wait, since, held))
    }

    /// Puts the locks into their place, or says why there are none.
    #[inline]
    fn finish(
        &mut self,
        answer: Result<Result<Held, Missing>, LockError>,
        wait: Wait,
        since: Option<Instant>,
        held: &mut Option<Held>,
    ) -> Result<(), Refused> {
        match answer? {
            Ok(granted) => *held = Some(granted),
            Err(missing) => return Err(Refused { error: busy(wait, since), missing: Some(missing) }),
        }
        *self = Self::MayRun;
        Ok(())
    }
}

#[inline]
fn granted(answer: Acquired, missing: Missing) -> Result<Result<Held, Missing>, LockError> {
    answer.map(|lease| lease.map(|lease| Held::One(lease.into())).ok_or(missing))
}
