//! The driver of a provider's locks: it runs the [engine] against a Redis server.
//!
//! All that can happen to a lock comes here: callers call, the [connection](super::connection) passes replies and
//! notifications on, the [timer queue](super::timer_queue) says that a deadline has come. Each becomes an event, which is
//! handled under the mutex of the lock's shard. What follows happens in two steps:
//!
//! 1. Under the mutex: calls are queued, so that the server is asked in the order in which things happened here, and the
//!    lock's timer is set.
//! 2. Once the mutex is free: queued calls are sent, callers answered, watchers woken, leases dropped. Any of these may run
//!    code of a user, which may release a lock of the same shard. In debug builds it is asserted that the mutex is free.
//!
//! Nothing here waits.

#[cfg(test)]
mod attempt_tests;
mod close;
mod drain_thread;
mod drain_wait;
#[cfg(test)]
mod extend_tests;
mod host;
#[cfg(test)]
mod notification_tests;
mod released;
#[cfg(test)]
mod renew_tests;
mod reply;
#[cfg(test)]
mod request_tests;
mod serve;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod suspend_tests;
mod table;
mod takeover;
#[cfg(test)]
mod user_code_tests;
mod watches;
mod work;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::drain_wait::Drain;
#[cfg(not(feature = "__simulation"))]
use self::released::Released;
#[cfg(feature = "__simulation")]
pub(super) use self::released::Released;
#[cfg(not(feature = "__simulation"))]
use self::reply::Replied;
#[cfg(feature = "__simulation")]
pub(super) use self::reply::Replied;
use self::table::Table;
use self::watches::Watches;
use self::work::Work;
use super::clocks::Clocks;
use super::connection::{Call, Caller, Connection, Node, Redirect, Reply, SupervisorExit, TaskSlot};
use super::discovery::cluster::SlotMap;
use super::keys::Keys;
use super::lease::{LeaseOwner, RedisLease};
use super::protocol::Notification;
use super::router::Router;
use super::runtimes::Runtimes;
use super::settings::Settings;
use super::timer_queue::{self, TimerQueue};
use crate::backend::{Lease as _, Release, Releasing, WaiterLimit};
use crate::engine::{
    self, CallKind, CancelReply, Cancellations, Cancelled, Command, Event, ExtendAnswer, InboxId, Lock, OwnerToken,
    ReleaseAnswer, TtlMillis,
};
use crate::{LockError, Resource};

/// Every lock of one provider.
pub(super) struct Driver<B: LeaseOwner> {
    pub(super) router: Router<Self>,
    table: Table<B>,
    cancellations: Mutex<Cancellations>,
    timers: TimerQueue<TimerEvent>,
    /// Which task runs the timer queue.
    timer_task: Arc<TaskSlot>,
    watches: Watches,
    drain: Drain,
    runtimes: Runtimes,
    closed: AtomicBool,
    clocks: Clocks,
    /// Over all resources.
    waiter_limit: Arc<WaiterLimit>,
    released: Released,
}

/// What is due at a time.
#[derive(Debug)]
enum TimerEvent {
    /// The deadline of a lock: by the hash of its resource, and by the timer that is noted there.
    Lock(u64),
    /// A cancellation is to be sent again.
    Cancel(Box<OwnerToken>),
}

impl<B: LeaseOwner> Driver<B> {
    pub(super) fn new(settings: Settings) -> Result<Self, LockError> {
        let keys = Keys::new(settings.prefix.as_str());
        let waiter_limit = WaiterLimit::new(settings.max_waiters_in_total);
        let released = Released::default();
        let connection = Connection::new(settings, keys, InboxId::random()?);
        Ok(Self {
            router: Router::new(connection),
            table: Table::new(),
            cancellations: Mutex::default(),
            timers: TimerQueue::new(),
            timer_task: Arc::default(),
            watches: Watches::default(),
            drain: Drain::default(),
            runtimes: Runtimes::default(),
            closed: AtomicBool::new(false),
            clocks: Clocks::new(),
            waiter_limit,
            released,
        })
    }

    /// A guard is done with its lease.
    pub(super) fn release(&self, lease: &Arc<RedisLease<B>>) -> Releasing {
        let mut answer = ReleaseAnswer::default();
        self.handle(lease.state().resource(), Event::Release { lease, answer: &mut answer });
        match answer {
            ReleaseAnswer::Known(release) => Releasing::ready(Ok(release)),
            // Without an answer only if the provider is gone, and with it its connection.
            ReleaseAnswer::Asked(answered) => {
                Releasing::pending(async move { answered.await.unwrap_or(Err(LockError::Closed)) })
            }
        }
    }

    /// A guard wants its lease to end so long from now.
    pub(super) fn extend(&self, lease: &Arc<RedisLease<B>>, duration: Duration) -> ExtendAnswer {
        let mut answer = ExtendAnswer::default();
        self.handle(lease.state().resource(), Event::Extend { lease, duration, answer: &mut answer });
        answer
    }

    /// Hands an event to a resource's lock, and does what follows.
    pub(super) fn handle(&self, resource: &Resource, event: Event<'_, Self>) {
        let mut work = Work::default();
        self.table.handle(self, resource, event, &mut work);
        self.perform(work);
    }

    /// A timer is due.
    fn due(&self, timer: timer_queue::Entry, event: TimerEvent) {
        match event {
            TimerEvent::Lock(hash) => {
                let mut work = Work::default();
                self.table.deadline_reached(self, hash, timer, &mut work);
                self.perform(work);
            }
            TimerEvent::Cancel(token) => {
                let due = self.cancellations.lock().due(*token, Instant::now());
                match due {
                    Some(command) => {
                        self.router.enqueue(Call::new(command, CallKind::CancelAgain));
                        self.router.flush();
                    }
                    // It is over by itself, perhaps.
                    None => self.end_if_told(),
                }
            }
        }
    }

    /// A release has a reply, or has none.
    fn release_replied(
        &self,
        resource: &Resource,
        token: OwnerToken,
        result: Result<Release, LockError>,
        answer: Option<oneshot::Sender<Result<Release, LockError>>>,
        keep: Option<TtlMillis>,
    ) {
        let now = Instant::now();
        let kept_until = keep.map(|keep| now + keep.get());
        if result.is_err() {
            // In the background, until it is answered or the lease has ended by itself (R4).
            let cancelled = {
                let mut cancellations = self.cancellations.lock();
                cancellations.begin_for_release(resource, token, kept_until, self, now)
            };
            self.schedule_cancellation(token, cancelled);
        } else if self.router.has_several_servers() {
            self.released.add(resource, token, kept_until);
        }
        if let Some(answer) = answer {
            _ = answer.send(result);
        }
    }

    /// A cancellation has a reply, or has none.
    fn cancel_replied(&self, token: OwnerToken, reply: &engine::Reply<CancelReply>) {
        let (resource, kept_until, cancelled) = {
            let mut cancellations = self.cancellations.lock();
            let kept_until = cancellations.kept_until(token);
            let resource = cancellations.resource(token).filter(|_| self.router.has_several_servers()).cloned();
            (resource, kept_until, cancellations.replied(token, reply, self, Instant::now()))
        };
        if let (Some(resource), Cancelled::Done) = (resource, cancelled) {
            self.released.add(&resource, token, kept_until);
        }
        self.schedule_cancellation(token, cancelled);
    }

    fn schedule_cancellation(&self, token: OwnerToken, cancelled: Cancelled) {
        match cancelled {
            Cancelled::Done => {}
            Cancelled::RetryAt(at) => _ = self.timers.add(at, TimerEvent::Cancel(Box::new(token))),
        }
    }

    /// Sends every cancellation again that waits for a retry.
    fn cancel_all_again(&self) {
        let commands: Vec<_> = self.cancellations.lock().all_again(Instant::now()).collect();
        for command in commands {
            self.router.enqueue(Call::new(command, CallKind::CancelAgain));
        }
        self.router.flush();
    }

    /// Whether there is no cancellation of an acquire that is known to be there.
    fn all_cancelled(&self) -> bool {
        self.cancellations.lock().len() == 0
    }

    /// How many resources this process holds or wants.
    pub(super) fn len(&self) -> usize {
        self.table.len() + self.cancellations.lock().len()
    }

    /// How many callers of this process wait for a resource.
    pub(super) fn waiters(&self, resource: &Resource) -> usize {
        self.table.look(resource, Lock::waiting).unwrap_or(0)
    }

    /// How many callers of this process wait.
    pub(super) fn waiters_in_total(&self) -> usize {
        self.waiter_limit.taken()
    }

    /// Whether a caller may have to wait a little beyond its own time: it has no answer yet, and the connection was closed,
    /// or its server could not do it, since there had been so many changes.
    pub(super) fn was_kept_from_its_answer(&self, resource: &Resource, changes: usize) -> bool {
        self.router.with(resource, |connection| connection.has_changed_since(changes))
            && self.table.look(resource, Lock::is_asking) == Some(true)
    }

    /// How often the connection for this resource has been replaced.
    pub(super) fn changes(&self, resource: &Resource) -> usize {
        self.router.with(resource, |connection| connection.changes())
    }

    /// The token under which this process owns the lock of a lease.
    pub(super) fn owner_token(&self, lease: &Arc<RedisLease<B>>) -> Option<OwnerToken> {
        let inbox = self.router.first().inbox();
        self.table.look(lease.state().resource(), |lock| lock.owner_token(lease, inbox)).flatten()
    }

    pub(super) fn settings(&self) -> &Settings {
        self.router.first().settings()
    }

    /// The runtimes of the guards of this provider's locks.
    pub(super) fn runtimes(&self) -> &Runtimes {
        &self.runtimes
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }
}

impl<B: LeaseOwner> fmt::Debug for Driver<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("server", &self.settings().server).finish_non_exhaustive()
    }
}

impl<B: LeaseOwner> Caller for Driver<B> {
    type CallKind = CallKind<Self>;

    fn answered(self: &Arc<Self>, call: Call<Self::CallKind>, reply: Reply) {
        let Call { command, kind, repeated, .. } = call;
        let Command { resource, token, step } = command;
        match Replied::read(kind, step, token, reply, repeated) {
            Replied::Lock(event) => self.handle(&resource, event),
            Replied::Release { result, answer, keep } => self.release_replied(&resource, token, result, answer, keep),
            Replied::Cancellation(reply) => self.cancel_replied(token, &reply),
        }
    }

    fn drained(&self) {
        self.end_if_told();
    }

    fn notified(self: &Arc<Self>, node: Node, message: &str) {
        let (resource, event) = match Notification::read(message, self.router.first().keys()) {
            Some(Notification::Granted(resource, grant)) => (resource, Event::Granted(grant)),
            Some(Notification::Wanted(resource, token)) => (resource, Event::Wanted(token)),
            None => return,
        };
        if self.router.is_of(node, &resource) {
            self.handle(&resource, event);
        }
    }

    fn reconnected(self: &Arc<Self>, node: Node) {
        let concerns = |resource: &Resource| self.router.is_of(node, resource);
        self.table.handle_each(self, || Event::Reconnected, concerns);
        self.cancel_all_again();
        // After a pause: holders whose grants the failover has undone are told of it before others are granted their locks.
        for (resource, token, kept_until) in self.released.to_repeat(node, self.router.server(node), concerns) {
            let now = Instant::now();
            let cancelled =
                self.cancellations.lock().begin_for_release(&resource, token, kept_until, self.as_ref(), now);
            self.schedule_cancellation(token, cancelled);
        }
    }

    fn redirected(self: &Arc<Self>, calls: Vec<(Call<Self::CallKind>, Redirect)>) {
        self.router.redirect(calls, self);
    }

    fn mapped(self: &Arc<Self>, map: SlotMap) -> bool {
        for heir in self.router.update(map, self) {
            // It was connected to before it had the slots of another node: its locks are looked up now.
            self.released.forget(heir);
            self.reconnected(heir);
        }
        // One that has no slot any more is not waited for.
        !self.router.servers().iter().all(|connection| connection.is_within_reach())
    }

    fn lost_node(self: &Arc<Self>) {
        self.router.refresh();
    }

    fn supervisor_ended(self: &Arc<Self>, exit: SupervisorExit) -> bool {
        // One node that is out of reach says nothing of the others.
        let others_are = |connection: &Connection<Self>| connection.number != exit.node && connection.is_within_reach();
        let reachable = self.router.is_cluster() && self.router.servers().iter().any(|node| others_are(node));
        // The tasks of the other connections end as well, one after the other. The first one waits for what is to be sent
        // over all of them, which is sent only once they have ended.
        for connection in self.router.all() {
            if let Some(ending) = connection.task().present_in(exit.runtime) {
                connection.depose(ending);
            }
        }
        let others = self.serve_elsewhere();
        let within_reach = exit.within_reach || reachable;
        let exit = SupervisorExit { within_reach, ..exit };
        self.drain_after_a_runtime(exit, others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::acquire_slot::AcquireSlot;
    use crate::redis::backend::Backend;

    /// What a process keeps of each lock that it holds, of which there may be a hundred thousand. An allocator adds eight
    /// bytes to each allocation and rounds it up to sixteen; a few bytes more here may be sixteen there.
    #[test]
    fn what_is_kept_by_the_hundred_thousand_is_small() {
        let counts = 2 * size_of::<usize>();
        assert!(size_of::<table::Entry<Backend>>() <= 136, "{}", size_of::<table::Entry<Backend>>());
        assert!(size_of::<Lock<Driver<Backend>>>() <= 96, "{}", size_of::<Lock<Driver<Backend>>>());
        assert!(size_of::<RedisLease<Backend>>() + counts <= 152, "{}", size_of::<RedisLease<Backend>>() + counts);
        // Gone with the answer. What has its place afterwards should fill it, or the rest of it is never used again: they
        // are allocated in sixteens like the entry and the lease.
        assert!(size_of::<AcquireSlot<Backend>>() + counts <= 136, "{}", size_of::<AcquireSlot<Backend>>() + counts);
        assert!(size_of::<TimerEvent>() <= 16, "{}", size_of::<TimerEvent>());
        assert!(
            size_of::<Call<CallKind<Driver<Backend>>>>() <= 112,
            "{}",
            size_of::<Call<CallKind<Driver<Backend>>>>()
        );
    }
}
