//! A lock provider of one's own: locks kept in one table behind one mutex, with leases, fences and a queue.
//!
//! Run it with `cargo run --example own_provider`.
//!
//! It is what `InMemoryLockProvider` does, in a tenth of the code and at a lower speed. A provider on a server
//! has the same parts; where this one takes its mutex, that one sends a command. The guide is
//! `docs/providers.md`.
#![allow(dead_code, reason = "the tests of this provider include the file without its main")]

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use orchestrix_locking::provider::{
    Acquiring, BoxFuture, Lease, LeaseState, LeaseStatus, LockBackend, Release, Releasing, Term, Wait,
};
use orchestrix_locking::{
    BoxError, DistributedLock, DistributedLockProvider, FencingToken, LockError, LockGuard, LockOptions, Locking,
    Resource,
};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The provider: what users register.
#[derive(Debug, Clone)]
pub(crate) struct TableProvider(Arc<Table>);

impl TableProvider {
    pub(crate) fn new() -> Self {
        // Tokens go on rising when the process is started again, as long as the wall clock is not set back.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let fence = u64::try_from(since.as_micros()).unwrap_or_default() << 10;
        Self(Arc::new(Table(Mutex::new(Inner { queues: HashMap::new(), fence, closed: false, told: Vec::new() }))))
    }
}

/// For the tests of this provider, which look into its table.
impl TableProvider {
    pub(crate) fn waiters(&self, resource: &Resource) -> usize {
        self.0.0.lock().queues.get(resource).map_or(0, |queue| queue.len().saturating_sub(1))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.0.lock().queues.len()
    }
}

impl DistributedLockProvider for TableProvider {
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError> {
        // Checks the options, and takes nothing yet.
        DistributedLock::new(resource, options, Arc::clone(&self.0) as Arc<dyn LockBackend>)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), LockError>> {
        let closed = self.0.0.lock().closed;
        Box::pin(std::future::ready(if closed { Err(LockError::Closed) } else { Ok(()) }))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let queues = {
            let mut inner = self.0.0.lock();
            inner.closed = true;
            std::mem::take(&mut inner.queues)
        };
        for lease in queues.into_values().flatten() {
            // Guards are told of a loss. Events and metrics say that the provider closed, which is no reason for an alert.
            lease.state.close(Instant::now());
            lease.changed.notify_one();
        }
        Box::pin(std::future::ready(()))
    }
}

/// What grants the locks.
#[derive(Debug)]
struct Table(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    /// The first of each queue holds the lock, the others wait. There are no empty queues.
    queues: HashMap<Resource, VecDeque<Arc<TableLease>>>,
    fence: u64,
    closed: bool,
    /// Those who have to look again, told once the mutex is free: whom that wakes may drop a guard, which needs it.
    told: Vec<Arc<TableLease>>,
}

/// One acquire: a place in a queue first, then a lease.
#[derive(Debug)]
struct TableLease {
    state: LeaseState,
    options: LockOptions,
    /// Tells the one who waits on this place to look again.
    changed: Notify,
    table: Arc<Table>,
}

impl Inner {
    /// Grants the lock to the first in the queue, which has just become the first.
    fn grant_first(&mut self, resource: &Resource) {
        let Some(queue) = self.queues.get(resource) else { return };
        let Some(first) = queue.front() else { return };
        self.fence += 1;
        let fence = FencingToken::new(self.fence).unwrap_or(FencingToken::MAX);
        let ttl = first.options.get_ttl();
        let term = Term::new(Instant::now(), ttl).max_hold(first.options.get_max_hold());
        // No server has to be told of a renewal here, so a guard that lives is renewal enough. A provider on a
        // server sends renewals from a task of its own, and calls `LeaseState::renew` after each answer.
        let term = if first.options.get_auto_renew() { term.self_renewing(ttl) } else { term };
        first.state.grant(fence, term);
        self.told.push(Arc::clone(first));
        // The next waiter waits for the end of another lease from now on: the first may never come for its own.
        if let Some(next) = queue.get(1) {
            self.told.push(Arc::clone(next));
        }
    }

    /// Takes a lease out of its queue, wherever it stands there, and lets the next one move up.
    fn remove(&mut self, lease: &TableLease) {
        let resource = lease.state.resource();
        let Some(queue) = self.queues.get_mut(resource) else { return };
        let Some(at) = queue.iter().position(|other| std::ptr::eq(other.as_ref(), lease)) else { return };
        queue.remove(at);
        if queue.is_empty() {
            self.queues.remove(resource);
        } else if at == 0 {
            self.grant_first(resource);
        }
    }

    /// Removes a holder whose lease has ended by the clock. There is no timer that would do so.
    fn settle(&mut self, resource: &Resource) {
        let first = self.queues.get(resource).and_then(VecDeque::front);
        if let Some(ended) = first.filter(|first| !first.state.is_held()).map(Arc::clone) {
            self.remove(&ended);
        }
    }
}

impl Table {
    /// One step under the mutex, and what it leaves to be told after it.
    fn step<T>(&self, step: impl FnOnce(&mut Inner) -> T) -> T {
        let (answer, told) = {
            let mut inner = self.0.lock();
            let answer = step(&mut inner);
            (answer, std::mem::take(&mut inner.told))
        };
        for lease in told {
            lease.changed.notify_one();
        }
        answer
    }

    /// Joins the queue, at whose front the lock is granted at once. `None`: held, and no wait was asked for.
    fn join(
        self: &Arc<Self>,
        resource: &Resource,
        options: LockOptions,
        wait: Wait,
    ) -> Result<Option<Arc<TableLease>>, LockError> {
        self.step(|inner| self.join_inner(inner, resource, options, wait))
    }

    fn join_inner(
        self: &Arc<Self>,
        inner: &mut Inner,
        resource: &Resource,
        options: LockOptions,
        wait: Wait,
    ) -> Result<Option<Arc<TableLease>>, LockError> {
        if inner.closed {
            return Err(LockError::Closed);
        }
        inner.settle(resource);
        let ahead = inner.queues.get(resource).map_or(0, VecDeque::len);
        if ahead > 0 && wait == Wait::No {
            return Ok(None);
        }
        if ahead > 0 && options.get_max_waiters().is_some_and(|most| ahead > most) {
            return Err(LockError::TooManyWaiters);
        }
        let state = LeaseState::pending(resource.clone());
        let lease = Arc::new(TableLease { state, options, changed: Notify::new(), table: Arc::clone(self) });
        inner.queues.entry(resource.clone()).or_default().push_back(Arc::clone(&lease));
        if ahead == 0 {
            inner.grant_first(resource);
        }
        Ok(Some(lease))
    }

    /// When the holder's lease ends by the clock.
    fn holder_ends(&self, resource: &Resource) -> Option<Instant> {
        self.step(|inner| {
            inner.settle(resource);
            inner.queues.get(resource)?.front()?.state.ends()
        })
    }
}

impl LockBackend for Table {
    fn acquire(self: Arc<Self>, resource: Resource, options: LockOptions, wait: Wait) -> Acquiring {
        let until = match wait {
            Wait::No => Some(Instant::now()),
            Wait::AtMost(time) => Instant::now().checked_add(time),
            Wait::Forever => None,
        };
        // The place in the queue is taken in the call and not at the first poll: the order is that of the calls.
        let lease = match self.join(&resource, options, wait) {
            Ok(Some(lease)) => lease,
            Ok(None) => return Acquiring::ready(Ok(None)),
            Err(error) => return Acquiring::ready(Err(error)),
        };
        if !lease.state.is_pending() {
            return Acquiring::ready(Ok(Some(LockGuard::new(lease))));
        }
        let mut place = Place(Some(lease));
        Acquiring::pending(async move {
            loop {
                match place.turn(until).await {
                    Turn::Ours(guard) => return Ok(Some(guard)),
                    Turn::TimeIsUp => return Ok(None),
                    // The provider was closed, or the lease ran out before this task was run again.
                    // Joining the queue anew tells which.
                    Turn::Missed => match self.join(&resource, options, wait)? {
                        Some(lease) => place = Place(Some(lease)),
                        None => return Ok(None),
                    },
                }
            }
        })
    }
}

/// A place in the queue, given up when it is dropped: that is the cancellation.
struct Place(Option<Arc<TableLease>>);

enum Turn {
    Ours(LockGuard),
    TimeIsUp,
    Missed,
}

impl Place {
    async fn turn(&mut self, until: Option<Instant>) -> Turn {
        loop {
            let Some(lease) = self.0.clone() else { return Turn::Missed };
            let holder_ends = lease.table.holder_ends(lease.state.resource());
            match lease.state.standing() {
                LeaseStatus::Pending => {}
                LeaseStatus::Held(_) => {
                    self.0 = None;
                    return Turn::Ours(LockGuard::new(lease));
                }
                LeaseStatus::Released | LeaseStatus::Lost => return Turn::Missed,
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Turn::TimeIsUp;
            }
            let look_at = until.into_iter().chain(holder_ends).min();
            tokio::select! {
                () = lease.changed.notified() => {}
                () = sleep_until_or_for_ever(look_at) => {}
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(lease) = self.0.take() {
            drop(lease.release());
        }
    }
}

async fn sleep_until_or_for_ever(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl Lease for TableLease {
    fn state(&self) -> &LeaseState {
        &self.state
    }

    fn extend(self: Arc<Self>, duration: Duration) -> BoxFuture<'static, Result<bool, LockError>> {
        let now = Instant::now();
        // Not under the mutex, since it wakes those who watch the lease.
        let extended = self.state.renew(now, now, duration);
        // The end may have moved nearer, so waiters have to set their timers anew.
        self.table.step(|inner| {
            let queue = inner.queues.get(self.state.resource());
            inner.told.extend(queue.into_iter().flatten().map(Arc::clone));
        });
        Box::pin(std::future::ready(Ok(extended)))
    }

    fn release(self: Arc<Self>) -> Releasing {
        let release = self.table.step(|inner| {
            // Decides, once, between our release and a loss; a place that still waits is given up by the same call.
            let release = self.state.release();
            inner.remove(&self);
            release
        });
        Releasing::ready(Ok(release))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let locking = Locking::builder().add_default_provider(TableProvider::new()).build()?;

    println!("Five callers for one lock, served in the order in which they came:");
    let lock = locking.lock("printer")?;
    let first = lock.acquire().await?;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 1..=5 {
        let lock = lock.clone();
        callers.spawn(async move { lock.acquire().await.map(|guard| (caller, guard.fencing_token())) });
        tokio::task::yield_now().await;
    }
    println!("  the first holds it with token {}", first.fencing_token());
    first.release().await?;
    while let Some(caller) = callers.join_next().await {
        let (caller, token) = caller??;
        println!("  caller {caller} held it with token {token}");
    }

    println!("A lease that is not renewed ends, and the next in line has the lock:");
    let short = LockOptions::default().ttl(Duration::from_millis(50)).auto_renew(false);
    let lock = locking.lock_with("scanner", short)?;
    let forgotten = lock.acquire().await?;
    let next = lock.try_acquire(Duration::from_secs(5)).await?.ok_or("the lease did not end")?;
    println!("  the first is held: {}, the next is held: {}", forgotten.is_held(), next.is_held());
    let late = forgotten.release().await?;
    println!("  the first releases: {late:?}, the next is held: {}", next.is_held());
    if late != Release::AlreadyLost || !next.is_held() {
        return Err("a late release has changed something".into());
    }

    locking.close().await;
    next.lost().await;
    println!("The provider is closed: {}", locking.check().await.err().ok_or("it is still open")?);
    Ok(())
}
