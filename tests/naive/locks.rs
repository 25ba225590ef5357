//! [`Locks`]: the map behind the naive provider.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use orchestrix_locking::provider::{Acquiring, LeaseState, LeaseStatus, LockBackend, LockRequest, Wait};
use orchestrix_locking::{FencingToken, LockError, Resource};
use tokio::time::{Instant, sleep};

use super::Fault;
use super::lease::NaiveLease;

#[derive(Debug)]
pub(crate) struct Locks {
    pub(crate) fault: Fault,
    inner: Mutex<Inner>,
    /// What would go to a backend, if there were one.
    commands: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    names: HashMap<Resource, Name>,
    fence: u64,
    closed: bool,
}

#[derive(Debug, Default)]
struct Name {
    holder: Option<Arc<NaiveLease>>,
    queue: VecDeque<Arc<NaiveLease>>,
}

impl Locks {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, inner: Mutex::default(), commands: AtomicU64::new(0) }
    }

    /// Without locks, and with the numbers that went before.
    pub(crate) fn restarted(&self) -> Self {
        let after = Self::new(self.fault);
        if self.fault != Fault::FenceBeginsAnew {
            after.locked().fence = self.locked().fence;
        }
        after
    }

    pub(crate) fn commands(&self) -> u64 {
        self.commands.load(SeqCst)
    }

    fn command(&self, count: usize) {
        self.commands.fetch_add(count as u64, SeqCst);
    }

    /// A guard is done with its lock.
    pub(crate) fn released(&self, resource: &Resource) {
        self.command(1);
        if self.fault == Fault::WakesAllWaiters {
            self.command(self.waiters(resource));
        }
        self.tidy(resource);
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.locked().closed
    }

    pub(crate) fn len(&self) -> usize {
        self.locked().names.len()
    }

    pub(crate) fn waiters(&self, resource: &Resource) -> usize {
        self.locked().names.get(resource).map_or(0, |name| name.queue.len())
    }

    pub(crate) fn close(&self) {
        let mut inner = self.locked();
        inner.closed = true;
        for name in inner.names.drain().map(|(_, name)| name) {
            name.holder.inspect(|holder| _ = holder.state.lose(Instant::now()));
        }
    }

    /// Grants the name to the first in its queue if its holder has ended, and forgets a name that no caller wants.
    pub(crate) fn tidy(&self, resource: &Resource) {
        let mut inner = self.locked();
        let inner = &mut *inner;
        let Some(name) = inner.names.get_mut(resource) else { return };
        if name.holder.as_ref().is_some_and(|holder| holder.has_ended()) {
            name.holder = None;
        }
        if name.holder.is_none() {
            let next = match self.fault {
                Fault::LastComeFirstServed => name.queue.pop_back(),
                _ => name.queue.pop_front(),
            };
            if let Some(next) = next {
                if self.fault != Fault::ConstantFence || inner.fence == 0 {
                    inner.fence += 1;
                }
                let term = if self.fault == Fault::DeadWaiterStays && !next.options.configured_auto_renew() {
                    next.endless_term()
                } else {
                    next.term()
                };
                next.state.grant(FencingToken::new(inner.fence).unwrap(), term);
                if self.fault == Fault::FlagForClock {
                    set_the_flag_late(Arc::clone(&next));
                }
                name.holder = Some(next);
            } else {
                inner.names.remove(resource);
            }
        }
    }

    /// Takes a cancelled waiter out of the queue, or a lock away from it that it was granted.
    fn leave(&self, lease: &Arc<NaiveLease>) {
        let resource = lease.state.resource();
        if self.fault == Fault::CancelledWaiterStays {
            return;
        }
        if let Some(name) = self.locked().names.get_mut(resource) {
            name.queue.retain(|waiter| !Arc::ptr_eq(waiter, lease));
        }
        lease.state.release();
        self.tidy(resource);
    }
}

fn set_the_flag_late(lease: Arc<NaiveLease>) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        while !lease.has_ended() {
            sleep(Duration::from_millis(20)).await;
        }
        sleep(Duration::from_secs(2)).await;
        lease.state.lose(Instant::now());
    });
}

impl LockBackend for Locks {
    fn acquire(self: Arc<Self>, request: LockRequest) -> Acquiring {
        let (options, wait) = (*request.configured_options(), request.configured_wait());
        let resource = request.resource().clone();
        let began = Instant::now();
        self.command(if self.fault == Fault::AsksBeforeItAsks { 2 } else { 1 });
        self.tidy(&resource);
        let lease = {
            let mut inner = self.locked();
            if inner.closed {
                return Acquiring::ready(Err(LockError::Closed));
            }
            let name = inner.names.entry(resource.clone()).or_default();
            if name.holder.is_some() {
                if wait == Wait::No {
                    return Acquiring::ready(Ok(None));
                }
                if options.configured_max_waiters().is_some_and(|most| name.queue.len() >= most) {
                    return Acquiring::ready(Err(LockError::TooManyWaiters));
                }
            }
            let state = LeaseState::pending(resource.clone());
            let lease = NaiveLease { state, options, taken_at: Mutex::default(), locks: Arc::clone(&self) };
            let lease = Arc::new(lease);
            name.queue.push_back(Arc::clone(&lease));
            lease
        };
        self.tidy(&resource);
        let place = Place(Some(Arc::clone(&lease)));
        Acquiring::pending(async move {
            loop {
                self.tidy(&resource);
                if lease.state.is_held() {
                    lease.taken();
                    place.keep();
                    return Ok(Some(lease.into()));
                }
                if self.is_closed() {
                    return Err(LockError::Closed);
                }
                if lease.state.status() == LeaseStatus::Lost {
                    // Granted, and expired before we looked: from the start.
                    return self.acquire(request).await;
                }
                if matches!(wait, Wait::AtMost(time) if began.elapsed() >= time) {
                    return Ok(None);
                }
                sleep(Duration::from_millis(1)).await;
            }
        })
    }
}

/// A place in the queue, given up when it is dropped.
struct Place(Option<Arc<NaiveLease>>);

impl Place {
    /// The lock is the guard's affair now.
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(lease) = self.0.take() {
            let locks = Arc::clone(&lease.locks);
            locks.leave(&lease);
        }
    }
}
