//! A lock provider of your own: locks in one table behind one mutex, with leases, fences and a wait queue.
//!
//! Run it with `cargo run --example own_provider`.
//!
//! It does what `InMemoryLockProvider` does, in less than a fifth of the code and at a lower speed. A provider on a server has
//! the same parts: where this one locks its mutex, that one sends a command. The guide is `docs/providers.md`.
#![allow(dead_code, reason = "the tests of this provider include the file without its main")]

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use orchestrix_locking::provider::{
    Acquiring, BoxFuture, GrantedLease, Lease, LeaseState, LeaseStatus, LockBackend, LockRequest, Release, Releasing,
    Term, Wait,
};
use orchestrix_locking::{
    BoxError, DistributedLock, DistributedLockProvider, FencingToken, LockError, LockOptions, Locking, Resource,
};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The provider: what users register.
#[derive(Debug, Clone)]
pub(crate) struct TableProvider(Arc<Table>);

impl TableProvider {
    pub(crate) fn new() -> Self {
        // Tokens rise over a restart of the process too, unless the wall clock is set back.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let fence = u64::try_from(since.as_micros()).unwrap_or_default() << 10;
        Self(Arc::new(Table(Mutex::new(Inner { queues: HashMap::new(), fence, closed: false, to_notify: Vec::new() }))))
    }
}

/// For the tests of this provider, which inspect its table.
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
        // Checks the options. Nothing is acquired yet.
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
            // A loss for the guard. Events and metrics report a close instead, so that a shutdown raises no alert.
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
    /// The waiters to notify after the mutex is released: a waker may drop a guard, whose drop needs the mutex.
    to_notify: Vec<Arc<TableLease>>,
}

/// One acquire: first an entry of the queue, then a lease.
#[derive(Debug)]
struct TableLease {
    state: LeaseState,
    options: LockOptions,
    /// Wakes the waiter, which then checks `state` again.
    changed: Notify,
    table: Arc<Table>,
}

impl Inner {
    /// Grants the lock to the entry that has just become the first of the queue.
    fn grant_first(&mut self, resource: &Resource) {
        let Some(queue) = self.queues.get(resource) else { return };
        let Some(first) = queue.front() else { return };
        self.fence += 1;
        let fence = FencingToken::new(self.fence).unwrap_or(FencingToken::MAX);
        let ttl = first.options.configured_ttl();
        let term = Term::new(Instant::now(), ttl).max_hold(first.options.configured_max_hold());
        // A lease renews itself here while its guard lives, since there is no server to ask. A provider on a server sends
        // renewals from a task of its own, and calls `LeaseState::renew` after each reply.
        let term = if first.options.configured_auto_renew() { term.self_renewing(ttl) } else { term };
        first.state.grant(fence, term);
        self.to_notify.push(Arc::clone(first));
        // The next waiter has to set its timer to the end of the new lease: the new holder may never be polled.
        if let Some(next) = queue.get(1) {
            self.to_notify.push(Arc::clone(next));
        }
    }

    /// Removes a lease from its queue, and grants the lock to the next entry if the first was removed.
    fn remove(&mut self, lease: &TableLease) {
        let resource = lease.state.resource();
        let Some(queue) = self.queues.get_mut(resource) else { return };
        let Some(index) = queue.iter().position(|other| std::ptr::eq(other.as_ref(), lease)) else { return };
        queue.remove(index);
        if queue.is_empty() {
            self.queues.remove(resource);
        } else if index == 0 {
            self.grant_first(resource);
        }
    }

    /// Removes a holder whose lease has ended. Called before each use of a queue, since no timer does it.
    fn remove_expired_holder(&mut self, resource: &Resource) {
        let first = self.queues.get(resource).and_then(VecDeque::front);
        if let Some(ended) = first.filter(|first| !first.state.is_held()).map(Arc::clone) {
            self.remove(&ended);
        }
    }
}

impl Table {
    /// Runs `change` under the mutex, and notifies waiters after it.
    fn update<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let (answer, to_notify) = {
            let mut inner = self.0.lock();
            let answer = change(&mut inner);
            (answer, std::mem::take(&mut inner.to_notify))
        };
        for lease in to_notify {
            lease.changed.notify_one();
        }
        answer
    }

    /// Joins the queue. An empty queue grants the lock at once. `None`: the lock is held, and the caller does not wait.
    fn join(self: &Arc<Self>, request: &LockRequest) -> Result<Option<Arc<TableLease>>, LockError> {
        self.update(|inner| self.join_inner(inner, request))
    }

    fn join_inner(
        self: &Arc<Self>,
        inner: &mut Inner,
        request: &LockRequest,
    ) -> Result<Option<Arc<TableLease>>, LockError> {
        let (resource, options) = (request.resource(), *request.configured_options());
        if inner.closed {
            return Err(LockError::Closed);
        }
        inner.remove_expired_holder(resource);
        let ahead = inner.queues.get(resource).map_or(0, VecDeque::len);
        if ahead > 0 && request.configured_wait() == Wait::No {
            return Ok(None);
        }
        if ahead > 0 && options.configured_max_waiters().is_some_and(|most| ahead > most) {
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

    /// When the holder's lease ends.
    fn holder_ends(&self, resource: &Resource) -> Option<Instant> {
        self.update(|inner| {
            inner.remove_expired_holder(resource);
            inner.queues.get(resource)?.front()?.state.ends()
        })
    }
}

impl LockBackend for Table {
    fn acquire(self: Arc<Self>, request: LockRequest) -> Acquiring {
        let until = request.configured_wait().deadline(Instant::now());
        // Joins the queue in the call and not at the first poll: the order is that of the calls.
        let lease = match self.join(&request) {
            Ok(Some(lease)) => lease,
            Ok(None) => return Acquiring::ready(Ok(None)),
            Err(error) => return Acquiring::ready(Err(error)),
        };
        if !lease.state.is_pending() {
            return Acquiring::ready(Ok(Some(lease.into())));
        }
        let mut queued = QueuedAcquire(Some(lease));
        Acquiring::pending(async move {
            loop {
                match queued.wait(until).await {
                    WaitResult::Granted(lease) => return Ok(Some(lease)),
                    WaitResult::TimedOut => return Ok(None),
                    // The provider was closed, or the lease ended before this task was polled. `join` tells which.
                    WaitResult::Ended => match self.join(&request)? {
                        Some(lease) => queued = QueuedAcquire(Some(lease)),
                        None => return Ok(None),
                    },
                }
            }
        })
    }
}

/// An acquire in the queue. Its drop is the cancellation.
struct QueuedAcquire(Option<Arc<TableLease>>);

enum WaitResult {
    Granted(GrantedLease),
    TimedOut,
    /// The lease ended, by its time or by a close, before this task was polled.
    Ended,
}

impl QueuedAcquire {
    async fn wait(&mut self, until: Option<Instant>) -> WaitResult {
        loop {
            let Some(lease) = self.0.clone() else { return WaitResult::Ended };
            let holder_ends = lease.table.holder_ends(lease.state.resource());
            match lease.state.status() {
                LeaseStatus::Pending => {}
                LeaseStatus::Held(_) => {
                    self.0 = None;
                    return WaitResult::Granted(lease.into());
                }
                _ => return WaitResult::Ended,
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return WaitResult::TimedOut;
            }
            let wake_at = until.into_iter().chain(holder_ends).min();
            tokio::select! {
                () = lease.changed.notified() => {}
                () = sleep_until_or_for_ever(wake_at) => {}
            }
        }
    }
}

impl Drop for QueuedAcquire {
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
        // Not under the mutex, since it wakes tasks that watch the lease.
        let extended = self.state.renew(now, now, duration);
        // The lease may end earlier now, so waiters have to set their timers again.
        self.table.update(|inner| {
            let queue = inner.queues.get(self.state.resource());
            inner.to_notify.extend(queue.into_iter().flatten().map(Arc::clone));
        });
        Box::pin(std::future::ready(Ok(extended)))
    }

    fn release(self: Arc<Self>) -> Releasing {
        let release = self.table.update(|inner| {
            // Decides, once, between a release and a loss. It also cancels an acquire that still waits.
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

    println!("A lease that is not renewed ends, and the next waiter has the lock:");
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
