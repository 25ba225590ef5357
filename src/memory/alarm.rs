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
///
/// It stays set when those who rely on it have gone, for those who come next, and may ring for nobody. Taking it back and
/// setting it anew would cost each of them what a timer costs.
#[derive(Debug)]
pub(super) struct Alarm {
    bell: Arc<Bell>,
    rings: Rings,
    /// Kept, since it would be taken out of the clock when it is dropped.
    _timer: Pin<Box<Sleep>>,
}

/// For whom an alarm rings, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rings {
    runtime: Runtime,
    /// So long after its being set.
    after: Duration,
    at: Instant,
}

/// Which runtime something happens in. `None` only in models, which have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Runtime(Option<Id>);

impl Runtime {
    pub(super) fn current() -> Self {
        Self(Handle::try_current().ok().map(|handle| handle.id()))
    }
}

impl Rings {
    pub(super) fn is_in(&self, runtime: Runtime) -> bool {
        self.runtime == runtime
    }

    /// Whether it rings within this time from now on, whatever the time is: it was set in the past.
    pub(super) fn within(&self, time: Duration) -> bool {
        self.after <= time
    }

    pub(super) fn by(&self, time: Instant) -> bool {
        self.at <= time
    }
}

#[derive(Debug)]
struct Bell {
    /// Set before the shard's mutex is taken to wake everybody: whoever left a waker in the table, and saw under the same
    /// mutex that it had not rung, is among them.
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
    pub(super) fn set(shard: &Arc<Shard>, runtime: Runtime, after: Duration, at: Instant) -> Option<Self> {
        let bell = Arc::new(Bell { rung: AtomicBool::new(false), shard: Arc::downgrade(shard) });
        let mut timer = Box::pin(sleep_until(at));
        let waker = Waker::from(Arc::clone(&bell));
        match timer.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(()) => None,
            Poll::Pending => Some(Self { bell, rings: Rings { runtime, after, at }, _timer: timer }),
        }
    }

    /// For whom it rings, unless it has rung.
    pub(super) fn rings(&self) -> Option<Rings> {
        (!self.bell.rung.load(Acquire)).then_some(self.rings)
    }

    /// Whether another may take its place: it has rung, or whoever relies on it hears the other one earlier.
    pub(super) fn gives_way_to(&self, other: &Self) -> bool {
        self.rings().is_none_or(|rings| rings.is_in(other.rings.runtime) && !rings.by(other.rings.at))
    }
}
