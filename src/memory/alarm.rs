//! [`Alarm`]: one timer for all who wait in a shard for as long as it takes.

use std::pin::Pin;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::time::Instant;

use super::shard::Shard;
use crate::sync::{AtomicBool, Sleep, sleep_until};

/// A timer that wakes everybody in the queues of a shard, once.
///
/// Whoever waits has to look again after a while, so that none depends on another's being polled (M6). One timer does for
/// all, since nobody has to be polled for it: the runtime's clock itself rings the bell. But it does for nobody in another
/// runtime, which may go on when this one is not driven, and whose clock may be another.
#[derive(Debug)]
pub(super) struct Alarm {
    bell: Arc<Bell>,
    rings: Rings,
    /// Kept, since it would be taken out of the clock when it is dropped.
    _timer: Pin<Box<Sleep>>,
}

/// For whom an alarm rings in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rings {
    /// `None` only in models, which have no runtime.
    runtime: Option<Id>,
    /// How long after its being set.
    after: Duration,
}

impl Rings {
    /// What is asked of an alarm by whoever has to look again after `ttl`.
    pub(super) fn here(ttl: Duration) -> Self {
        Self { runtime: Handle::try_current().ok().map(|handle| handle.id()), after: ttl }
    }

    /// Whether whoever asks for this is rung for by `set` in time. That was set in the past, so that it rings earlier than
    /// one of the same length would that was set now.
    pub(super) fn are_met_by(&self, set: &Self) -> bool {
        self.runtime == set.runtime && set.after <= self.after
    }
}

#[derive(Debug)]
struct Bell {
    /// Set before the shard's mutex is taken to wake everybody: whoever has left a waker in the table and then saw that it
    /// has not rung is among them.
    rung: AtomicBool,
    shard: Weak<Shard>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Release);
        if let Some(shard) = self.shard.upgrade() {
            shard.wake_everybody();
        }
    }
}

impl Alarm {
    /// Sets one. `None` if it would ring at once. Not to be called under the shard's mutex, which the bell takes.
    pub(super) fn set(shard: &Arc<Shard>, rings: Rings, at: Instant) -> Option<Self> {
        let bell = Arc::new(Bell { rung: AtomicBool::new(false), shard: Arc::downgrade(shard) });
        let mut timer = Box::pin(sleep_until(at));
        let waker = Waker::from(Arc::clone(&bell));
        match timer.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(()) => None,
            Poll::Pending => Some(Self { bell, rings, _timer: timer }),
        }
    }

    /// For whom it rings, unless it has rung.
    pub(super) fn rings(&self) -> Option<Rings> {
        (!self.bell.rung.load(Acquire)).then_some(self.rings)
    }
}
