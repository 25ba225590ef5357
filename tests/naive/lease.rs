//! [`NaiveLease`]: one lock of the naive provider, waited for or held.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use orchestrix_locking::provider::{BoxFuture, Lease, LeaseState, Releasing, Term};
use orchestrix_locking::{LockError, LockOptions};
use tokio::time::Instant;

use super::Fault;
use super::locks::Locks;

#[derive(Debug)]
pub(crate) struct NaiveLease {
    pub(crate) state: LeaseState,
    pub(crate) options: LockOptions,
    /// When the provider takes the lock away, where a flag stands for the clock.
    pub(crate) taken_at: Mutex<Option<Instant>>,
    pub(crate) locks: Arc<Locks>,
}

impl NaiveLease {
    /// The lease that a grant begins now.
    pub(crate) fn term(&self) -> Term {
        let (now, ttl) = (Instant::now(), self.options.configured_ttl());
        let term = Term::new(now, ttl).max_hold(self.options.configured_max_hold());
        if self.locks.fault == Fault::FlagForClock && !self.options.configured_auto_renew() {
            *self.taken_at.lock().unwrap() = Some(now + ttl);
            return term.self_renewing(ttl);
        }
        if self.options.configured_auto_renew() { term.self_renewing(ttl) } else { term }
    }

    /// The same for a waiter that is believed to be there until it comes.
    pub(crate) fn endless_term(&self) -> Term {
        Term::new(Instant::now(), LockOptions::MAX_TTL).max_hold(self.options.configured_max_hold())
    }

    /// The waiter comes for it.
    pub(crate) fn taken(&self) {
        if self.locks.fault == Fault::DeadWaiterStays && !self.options.configured_auto_renew() {
            let now = Instant::now();
            self.state.renew(now, now, self.options.configured_ttl());
        }
    }

    /// Whether the provider may give the lock to another caller.
    pub(crate) fn has_ended(&self) -> bool {
        let taken_at = *self.taken_at.lock().unwrap();
        !self.state.is_held() || taken_at.is_some_and(|at| Instant::now() >= at)
    }
}

impl Lease for NaiveLease {
    fn state(&self) -> &LeaseState {
        &self.state
    }

    fn extend(self: Arc<Self>, duration: Duration) -> BoxFuture<'static, Result<bool, LockError>> {
        Box::pin(async move {
            let closed = self.locks.is_closed();
            let now = Instant::now();
            if let Some(at) = &mut *self.taken_at.lock().unwrap() {
                if now >= *at {
                    return Ok(false);
                }
                *at = now + duration;
            }
            Ok(self.state.renew(now, now, duration) || (self.locks.fault == Fault::ExtendRevives && !closed))
        })
    }

    fn release(self: Arc<Self>) -> Releasing {
        let release = self.state.release();
        self.locks.released(self.state.resource());
        Releasing::ready(Ok(release))
    }
}
