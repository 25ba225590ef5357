//! [`Node`]: one process.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ::redis::RedisError;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::host::{Answer, Caller, Guard, SimulatedHost, SimulatedWaiter, Slot, SlotState};
use super::link::HOST;
use super::process::Process;
use crate::backend::{PackedInstant, Release, WaiterAdmission, WaiterLimit};
use crate::engine::{
    AcquireResult, CallKind, Epoch, Event, ExtendAnswer, InboxId, Lease as _, OwnerToken, ReleaseAnswer,
};
use crate::redis::connection::{Connection, SimulatedLink};
use crate::redis::keys::Keys;
use crate::redis::options::RedisLockOptions;
use crate::redis::protocol::Publishing;
use crate::redis::router::Router;
use crate::redis::slot;
use crate::{BuildError, LockError, LockOptions, Resource};

/// One process and its provider.
#[derive(Debug)]
pub struct Node {
    pub(super) process: Arc<Process>,
    pub(super) links: Vec<SimulatedLink<Process>>,
    /// What the latest reply has said by which a connection is not to be used any more.
    pub(super) said: Option<RedisError>,
    /// Of its commands.
    pub(super) next_number: u64,
    next_caller: u64,
}

/// How a node is set up.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// The number of its inbox.
    pub inbox: u64,
    /// Decides its tokens and its jitter.
    pub seed: u64,
    /// Whether it may publish and hear notifications.
    pub publishing: bool,
    /// The server is a cluster, of which these are the ports of some nodes.
    pub cluster: Vec<u16>,
    /// The provider's options.
    pub provider: RedisLockOptions,
}

/// How much a node has at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after what is counted")]
pub struct NodeCounts {
    pub locks: usize,
    pub waiters: usize,
    pub cancellations: usize,
    pub timers: usize,
    pub calls: usize,
}

/// A release, until its result is known.
#[derive(Debug)]
pub struct Releasing(ReleaseAnswer);

impl Releasing {
    /// The result, once it is known.
    pub fn result(&mut self) -> Option<Result<Release, LockError>> {
        match &mut self.0 {
            ReleaseAnswer::Known(release) => Some(Ok(*release)),
            ReleaseAnswer::Asked(answered) => match answered.try_recv() {
                Ok(result) => Some(result),
                Err(oneshot::error::TryRecvError::Empty) => None,
                Err(oneshot::error::TryRecvError::Closed) => Some(Err(LockError::Closed)),
            },
        }
    }
}

/// An extension, until its result is known.
#[derive(Debug)]
pub struct Extending(ExtendAnswer);

impl Extending {
    /// The result, once it is known. `Ok(false)`: the lock is not ours any more.
    pub fn result(&mut self) -> Option<Result<bool, LockError>> {
        match &mut self.0 {
            ExtendAnswer::Lost => Some(Ok(false)),
            ExtendAnswer::Asked(answered) => match answered.try_recv() {
                Ok(result) => Some(result),
                Err(oneshot::error::TryRecvError::Empty) => None,
                Err(oneshot::error::TryRecvError::Closed) => Some(Ok(false)),
            },
        }
    }
}

impl Node {
    /// A process without any lock and without a connection.
    ///
    /// # Errors
    ///
    /// If the provider's options are wrong.
    pub fn new(options: &NodeOptions) -> Result<Self, BuildError> {
        let named: Vec<_> = options.cluster.iter().map(|port| format!("{HOST}:{port}")).collect();
        let mut provider = options.provider.clone();
        if !named.is_empty() {
            provider = provider.connection_string(format!("redis+cluster://{}", named.join(",")));
        }
        let settings = provider.settings()?;
        let inbox = InboxId::from(options.inbox);
        let first = Connection::new(settings.clone(), Keys::new(settings.prefix.as_str()), inbox);
        let process = Process::new(SimulatedHost {
            inbox,
            publishing: if options.publishing { Publishing::Allowed } else { Publishing::Refused },
            router: Arc::new(Router::new(first)),
            is_closed: false,
            waiter_limit: WaiterLimit::new(settings.max_waiters_in_total),
            now: PackedInstant::origin(),
            epoch: Epoch::default(),
            random: Cell::new(options.seed),
            settings,
        });
        process.enter();
        let links = SimulatedLink::new(process.router.first(), &process).into_iter().collect();
        Ok(Self { process, links, said: None, next_number: 0, next_caller: 0 })
    }

    /// What this process's clock says from now on, and in which epoch it does.
    pub fn set_clock(&mut self, now: Duration, epoch: u16) {
        let mut inner = self.process.inner();
        inner.host.now = PackedInstant::origin() + now;
        inner.host.epoch = Epoch(epoch);
        inner.host.enter();
    }

    /// The channel of this process's notifications.
    pub fn inbox(&self) -> String {
        let first = self.process.router.first();
        first.keys().inbox(first.inbox())
    }

    /// The keys of a resource on the server: the lock, the wait queue and the holders; and the counter of grants in its slot
    /// of a cluster.
    pub fn keys_of(&self, resource: &Resource) -> [String; 4] {
        let keys = self.process.router.first().keys();
        let of = keys.of(resource);
        [of.lock().to_owned(), of.queue().to_owned(), of.holders(), keys.fence_in_slot_of(&of)]
    }

    /// The slot of a resource in a cluster.
    pub fn slot_of(&self, resource: &Resource) -> u16 {
        slot::of(self.process.router.first().keys().of(resource).lock())
    }

    /// A caller wants the lock, and is ready to wait. `again`: its lease was over before it took it up.
    pub fn join(&mut self, resource: &Resource, options: LockOptions, again: bool) -> Caller {
        let waiter = self.new_waiter(options);
        let admission = if again { WaiterAdmission::Again } else { WaiterAdmission::New };
        let mut ticket = None;
        self.process.handle(resource, Event::Join { waiter: &waiter, admission, ticket: &mut ticket });
        Caller { waiter, resource: resource.clone(), ticket }
    }

    /// A caller wants the lock at once or not at all.
    pub fn try_now(&mut self, resource: &Resource, options: LockOptions) -> Caller {
        let waiter = self.new_waiter(options);
        self.process.handle(resource, Event::TryNow { waiter: &waiter });
        Caller { waiter, resource: resource.clone(), ticket: None }
    }

    fn new_waiter(&mut self, options: LockOptions) -> SimulatedWaiter {
        self.next_caller += 1;
        let state = Mutex::new(SlotState::Pending);
        SimulatedWaiter(Arc::new(Slot { number: self.next_caller, options, state }))
    }

    /// The number of the next caller.
    pub fn next_caller(&self) -> u64 {
        self.next_caller + 1
    }

    /// The answer, if there is one that the caller has not taken.
    pub fn answer(&mut self, caller: &Caller) -> Option<Answer> {
        let mut state = caller.waiter.0.state.lock();
        match std::mem::replace(&mut *state, SlotState::Gone) {
            SlotState::Answered(AcquireResult::Granted(lease)) => Some(Answer::Granted(Guard(lease))),
            SlotState::Answered(AcquireResult::Busy { .. }) => Some(Answer::Busy),
            SlotState::Answered(AcquireResult::Failed(error)) => Some(Answer::Failed(*error)),
            before => {
                *state = before;
                None
            }
        }
    }

    /// Whether the answer is there to be taken.
    pub fn is_answered(caller: &Caller) -> bool {
        matches!(*caller.waiter.0.state.lock(), SlotState::Answered(_))
    }

    /// The caller takes its lease up. `false` if that is over.
    pub fn take(&mut self, guard: &Guard) -> bool {
        self.process.enter();
        guard.0.0.is_taken.store(true, Relaxed);
        guard.0.state().is_held()
    }

    /// Whether the lock is this guard's, by its process's clock.
    pub fn is_held(&self, guard: &Guard) -> bool {
        self.process.enter();
        guard.0.state().is_held()
    }

    /// The caller's time has been up since `until`. Where this returns a time, the caller is to look again then.
    pub fn time_is_up(&mut self, caller: &Caller, until: Duration) -> Option<Duration> {
        let (ticket, until) = (caller.ticket?, PackedInstant::origin() + until);
        let mut again = None;
        let event = Event::TimeIsUp { ticket, waiter: &caller.waiter, until, again: &mut again };
        self.process.handle(&caller.resource, event);
        again.map(|again| again.saturating_duration_since(PackedInstant::origin()))
    }

    /// As `Driver::changes`.
    pub fn changes(&self, resource: &Resource) -> usize {
        self.process.router.with(resource, |connection| connection.changes())
    }

    /// As `Driver::was_kept_from_its_answer`.
    pub fn was_kept_from_its_answer(&self, resource: &Resource, changes: usize) -> bool {
        let inner = self.process.inner();
        self.process.router.with(resource, |connection| connection.has_changed_since(changes))
            && inner.locks.iter().any(|entry| entry.resource == *resource && entry.lock.is_asking())
    }

    /// The caller's future is dropped.
    pub fn leave(&mut self, caller: &Caller) {
        let left = std::mem::replace(&mut *caller.waiter.0.state.lock(), SlotState::Gone);
        if let SlotState::Answered(AcquireResult::Granted(lease)) = left {
            drop(self.release(&Guard(lease)));
        }
        if let Some(ticket) = caller.ticket {
            self.process.handle(&caller.resource, Event::Leave { ticket });
        }
    }

    /// The guard releases.
    pub fn release(&mut self, guard: &Guard) -> Releasing {
        Releasing(self.process.inner().release(guard))
    }

    /// The guard wants its lease to end so long from now.
    pub fn extend(&mut self, guard: &Guard, duration: Duration) -> Extending {
        let mut answer = ExtendAnswer::default();
        let resource = guard.0.state().resource().clone();
        self.process.handle(&resource, Event::Extend { lease: &guard.0, duration, answer: &mut answer });
        Extending(answer)
    }

    /// The provider closes.
    pub fn close(&mut self) {
        let mut inner = self.process.inner();
        inner.host.is_closed = true;
        inner.handle_each(|| Event::Close, |_| true);
    }

    /// Whether the provider is closed and has told the server everything: its tasks end then.
    pub fn has_ended(&self) -> bool {
        let inner = self.process.inner();
        inner.host.is_closed && inner.cancellations.len() == 0 && inner.unanswered() == 0
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Duration> {
        let inner = self.process.inner();
        let locks = inner.locks.iter().filter_map(|entry| entry.timer);
        let retries = inner.retries.first().map(|(at, _)| *at);
        let next = locks.chain(retries).min()?;
        Some(next.saturating_duration_since(PackedInstant::origin()))
    }

    /// Handles everything that is due by now.
    pub fn deadline_reached(&mut self) {
        let mut inner = self.process.inner();
        let now = inner.host.now;
        let mut due = Vec::new();
        for entry in &mut inner.locks {
            if entry.timer.take_if(|at| *at <= now).is_some() {
                due.push(entry.resource.clone());
            }
        }
        for resource in due {
            inner.handle(&resource, Event::DeadlineReached);
            let again = inner.locks.iter().find(|entry| entry.resource == resource).and_then(|entry| entry.timer);
            if again.is_some_and(|at| at <= now) {
                inner.broken.push(format!("{resource}: its deadline is still due after it was handled"));
            }
        }
        while let Some(&(at, written)) = inner.retries.first().filter(|(at, _)| *at <= now) {
            inner.retries.remove(&(at, written));
            let token = std::str::from_utf8(&written).ok().and_then(OwnerToken::parse);
            if let Some(command) = token.and_then(|token| inner.cancellations.due(token, now)) {
                inner.push(command, CallKind::CancelAgain);
            }
        }
    }

    /// The callers that have an answer since the last call, and whether they were granted the lock.
    pub fn take_answered(&mut self) -> Vec<(u64, bool)> {
        std::mem::take(&mut self.process.inner().answered)
    }

    /// The invariants that were seen broken since the last call.
    pub fn take_broken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.process.inner().broken)
    }

    /// Whether this process will see to what the server has of this owner token, as it is written there.
    pub fn knows(&self, token: &[u8]) -> bool {
        let Some(token) = std::str::from_utf8(token).ok().and_then(OwnerToken::parse) else { return false };
        let inner = self.process.inner();
        inner.locks.iter().any(|entry| entry.lock.knows(token))
            || inner.cancellations.knows(token)
            || inner.is_asked(token)
    }

    /// How many locks are held by a lease that neither a caller nor a guard has.
    pub fn forgotten_leases(&self) -> usize {
        let inner = self.process.inner();
        let holders = inner.locks.iter().flat_map(|entry| entry.lock.holders());
        holders.filter(|lease| Arc::strong_count(&lease.0) == 1).count()
    }

    /// How much this process has.
    pub fn counts(&self) -> NodeCounts {
        let inner = self.process.inner();
        NodeCounts {
            locks: inner.locks.len(),
            waiters: inner.host.waiter_limit.taken(),
            cancellations: inner.cancellations.all(),
            timers: inner.locks.iter().filter(|entry| entry.timer.is_some()).count() + inner.retries.len(),
            calls: inner.unanswered().max(usize::from(!self.process.router.first().is_drained())),
        }
    }
}
