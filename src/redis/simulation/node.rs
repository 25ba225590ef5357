//! [`Node`]: one process.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::calls::{Call, Calls};
use super::host::{Answer, Caller, Condition, Guard, SimulatedHost, SimulatedWaiter, Slot, SlotState};
use crate::backend::{PackedInstant, Release, WaiterAdmission, WaiterLimit};
use crate::engine::{
    AcquireResult, Actions, CallKind, Cancellations, Cancelled, Command, Context, Epoch, Event, ExtendAnswer, InboxId,
    Lease as _, Lock, OwnerToken, ReleaseAnswer,
};
use crate::redis::connection::Reply;
use crate::redis::driver::Replied;
use crate::redis::keys::Keys;
use crate::redis::options::RedisLockOptions;
use crate::redis::protocol::{Notification, Publishing};
use crate::{BuildError, LockError, LockOptions, Resource};

/// One process and its provider.
#[derive(Debug)]
pub struct Node {
    pub(super) host: SimulatedHost,
    pub(super) keys: Keys,
    pub(super) calls: Calls,
    pub(super) connected_before: bool,
    /// When the latest connection broke.
    pub(super) broke: Option<Instant>,
    /// How often a connection was closed or made.
    pub(super) changes: usize,
    locks: Vec<Entry>,
    cancellations: Cancellations,
    /// When a cancellation is to be sent again.
    retries: BTreeSet<(Instant, [u8; OwnerToken::LENGTH])>,
    next_ticket: u64,
    next_caller: u64,
    /// The callers that have an answer since this was looked at, and whether they were granted the lock.
    answered: Vec<(u64, bool)>,
    /// The owner tokens of acquires whose replies are about to be delivered.
    pub(super) delivering: Vec<OwnerToken>,
    broken: Vec<String>,
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

#[derive(Debug)]
struct Entry {
    resource: Resource,
    lock: Lock<SimulatedHost>,
    timer: Option<Instant>,
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
        let settings = options.provider.settings()?;
        let host = SimulatedHost {
            inbox: InboxId::from(options.inbox),
            publishing: if options.publishing { Publishing::Allowed } else { Publishing::Refused },
            condition: Condition::Starting,
            is_closed: false,
            waiter_limit: WaiterLimit::new(settings.max_waiters_in_total),
            now: PackedInstant::origin(),
            epoch: Epoch::default(),
            random: Cell::new(options.seed),
            settings,
        };
        Ok(Self {
            keys: Keys::new(host.settings.prefix.as_str()),
            host,
            calls: Calls::new(),
            connected_before: false,
            broke: None,
            changes: 0,
            locks: Vec::new(),
            cancellations: Cancellations::default(),
            retries: BTreeSet::new(),
            next_ticket: 0,
            next_caller: 0,
            answered: Vec::new(),
            delivering: Vec::new(),
            broken: Vec::new(),
        })
    }

    /// What this process's clock says from now on, and in which epoch it does.
    pub fn set_clock(&mut self, now: Duration, epoch: u16) {
        self.host.now = PackedInstant::origin() + now;
        self.host.epoch = Epoch(epoch);
        self.host.enter();
    }

    /// The channel of this process's notifications.
    pub fn inbox(&self) -> String {
        self.keys.inbox(self.host.inbox)
    }

    /// The keys of a resource on the server: the lock and the wait queue.
    pub fn keys_of(&self, resource: &Resource) -> [String; 2] {
        let keys = self.keys.of(resource);
        [keys.lock().to_owned(), keys.queue().to_owned()]
    }

    /// A caller wants the lock, and is ready to wait. `again`: its lease was over before it took it up.
    pub fn join(&mut self, resource: &Resource, options: LockOptions, again: bool) -> Caller {
        let waiter = self.new_waiter(options);
        let admission = if again { WaiterAdmission::Again } else { WaiterAdmission::New };
        let mut ticket = None;
        self.handle(resource, Event::Join { waiter: &waiter, admission, ticket: &mut ticket });
        Caller { waiter, resource: resource.clone(), ticket }
    }

    /// A caller wants the lock at once or not at all.
    pub fn try_now(&mut self, resource: &Resource, options: LockOptions) -> Caller {
        let waiter = self.new_waiter(options);
        self.handle(resource, Event::TryNow { waiter: &waiter });
        Caller { waiter, resource: resource.clone(), ticket: None }
    }

    fn new_waiter(&mut self, options: LockOptions) -> SimulatedWaiter {
        self.next_caller += 1;
        let state = RefCell::new(SlotState::Pending);
        SimulatedWaiter(Rc::new(Slot { number: self.next_caller, options, state }))
    }

    /// The number of the next caller.
    pub fn next_caller(&self) -> u64 {
        self.next_caller + 1
    }

    /// The answer, if there is one that the caller has not taken.
    pub fn answer(&mut self, caller: &Caller) -> Option<Answer> {
        let mut state = caller.waiter.0.state.borrow_mut();
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
        matches!(*caller.waiter.0.state.borrow(), SlotState::Answered(_))
    }

    /// The caller takes its lease up. `false` if that is over.
    pub fn take(&mut self, guard: &Guard) -> bool {
        self.host.enter();
        guard.0.0.is_taken.set(true);
        guard.0.state().is_held()
    }

    /// Whether the lock is this guard's, by its process's clock.
    pub fn is_held(&self, guard: &Guard) -> bool {
        self.host.enter();
        guard.0.state().is_held()
    }

    /// The caller's time has been up since `until`. Where this returns a time, the caller is to look again then.
    pub fn time_is_up(&mut self, caller: &Caller, until: Duration) -> Option<Duration> {
        let (ticket, until) = (caller.ticket?, PackedInstant::origin() + until);
        let mut again = None;
        let event = Event::TimeIsUp { ticket, waiter: &caller.waiter, until, again: &mut again };
        self.handle(&caller.resource, event);
        again.map(|again| again.saturating_duration_since(PackedInstant::origin()))
    }

    /// How often a connection was closed or made.
    pub fn changes(&self) -> usize {
        self.changes
    }

    /// As `Driver::was_kept_from_its_answer`.
    pub fn was_kept_from_its_answer(&self, resource: &Resource, changes: usize) -> bool {
        let is_other = match self.host.condition {
            Condition::Broken { silent } => !silent,
            Condition::Interrupted => true,
            Condition::Down { is_not_here } => is_not_here,
            Condition::Starting | Condition::Up => self.changes != changes,
        };
        let asking = self.locks.iter().any(|entry| entry.resource == *resource && entry.lock.is_asking());
        is_other && asking
    }

    /// The caller's future is dropped.
    pub fn leave(&mut self, caller: &Caller) {
        let left = std::mem::replace(&mut *caller.waiter.0.state.borrow_mut(), SlotState::Gone);
        if let SlotState::Answered(AcquireResult::Granted(lease)) = left {
            drop(self.release(&Guard(lease)));
        }
        if let Some(ticket) = caller.ticket {
            self.handle(&caller.resource, Event::Leave { ticket });
        }
    }

    /// The guard releases.
    pub fn release(&mut self, guard: &Guard) -> Releasing {
        let mut answer = ReleaseAnswer::default();
        let resource = guard.0.state().resource().clone();
        self.handle(&resource, Event::Release { lease: &guard.0, answer: &mut answer });
        Releasing(answer)
    }

    /// The guard wants its lease to end so long from now.
    pub fn extend(&mut self, guard: &Guard, duration: Duration) -> Extending {
        let mut answer = ExtendAnswer::default();
        let resource = guard.0.state().resource().clone();
        self.handle(&resource, Event::Extend { lease: &guard.0, duration, answer: &mut answer });
        Extending(answer)
    }

    /// The provider closes.
    pub fn close(&mut self) {
        self.host.is_closed = true;
        self.handle_each(|| Event::Close);
    }

    /// Whether the provider is closed and has told the server everything: its tasks end then.
    pub fn has_ended(&self) -> bool {
        self.host.is_closed && self.cancellations.len() == 0 && self.calls.iter().next().is_none()
    }

    /// A notification came.
    pub fn notified(&mut self, message: &str) {
        match Notification::read(message, &self.keys) {
            Some(Notification::Granted(resource, grant)) => self.handle(&resource, Event::Granted(grant)),
            Some(Notification::Wanted(resource, token)) => self.handle(&resource, Event::Wanted(token)),
            None => {}
        }
    }

    pub(super) fn reconnected(&mut self) {
        self.handle_each(|| Event::Reconnected);
        let mut commands: Vec<_> = self.cancellations.all_again().collect();
        // In an order that the seed decides.
        commands.sort_by_key(|command| command.token.written());
        for command in commands {
            self.calls.push(command, CallKind::CancelAgain);
        }
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Duration> {
        let locks = self.locks.iter().filter_map(|entry| entry.timer);
        let retries = self.retries.first().map(|(at, _)| *at);
        let next = locks.chain(retries).min()?;
        Some(next.saturating_duration_since(PackedInstant::origin()))
    }

    /// Handles everything that is due by now.
    pub fn deadline_reached(&mut self) {
        let now = self.host.now;
        let due: Vec<_> = self.locks.iter_mut().filter(|entry| entry.timer.is_some_and(|at| at <= now)).collect();
        let due: Vec<_> = due
            .into_iter()
            .map(|entry| {
                entry.timer = None;
                entry.resource.clone()
            })
            .collect();
        for resource in due {
            self.handle(&resource, Event::DeadlineReached);
            let again = self.locks.iter().find(|entry| entry.resource == resource).and_then(|entry| entry.timer);
            if again.is_some_and(|at| at <= now) {
                self.broken.push(format!("{resource}: its deadline is still due after it was handled"));
            }
        }
        while let Some(&(at, written)) = self.retries.first().filter(|(at, _)| *at <= now) {
            self.retries.remove(&(at, written));
            let token = std::str::from_utf8(&written).ok().and_then(OwnerToken::parse);
            if let Some(command) = token.and_then(|token| self.cancellations.due(token, now)) {
                self.calls.push(command, CallKind::CancelAgain);
            }
        }
    }

    /// The callers that have an answer since the last call, and whether they were granted the lock.
    pub fn take_answered(&mut self) -> Vec<(u64, bool)> {
        std::mem::take(&mut self.answered)
    }

    /// The invariants that were seen broken since the last call.
    pub fn take_broken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.broken)
    }

    /// Whether this process will see to what the server has of this owner token, as it is written there.
    pub fn knows(&self, token: &[u8]) -> bool {
        let Some(token) = std::str::from_utf8(token).ok().and_then(OwnerToken::parse) else { return false };
        self.locks.iter().any(|entry| entry.lock.knows(token))
            || self.cancellations.knows(token)
            || self.calls.iter().any(|call| call.command.token == token)
    }

    /// How many locks are held by a lease that neither a caller nor a guard has.
    pub fn forgotten_leases(&self) -> usize {
        let holders = self.locks.iter().filter_map(|entry| entry.lock.holder());
        holders.filter(|lease| Rc::strong_count(&lease.0) == 1).count()
    }

    /// How much this process has.
    pub fn counts(&self) -> NodeCounts {
        NodeCounts {
            locks: self.locks.len(),
            waiters: self.host.waiter_limit.taken(),
            cancellations: self.cancellations.all(),
            timers: self.locks.iter().filter(|entry| entry.timer.is_some()).count() + self.retries.len(),
            calls: self.calls.iter().count(),
        }
    }

    fn handle_each<'a>(&mut self, event: impl Fn() -> Event<'a, SimulatedHost>) {
        let resources: Vec<_> = self.locks.iter().map(|entry| entry.resource.clone()).collect();
        for resource in resources {
            self.handle(&resource, event());
        }
    }

    /// As `Table::handle` and `Driver::perform` do it.
    fn handle(&mut self, resource: &Resource, event: Event<'_, SimulatedHost>) {
        self.host.enter();
        let at = self.locks.iter().position(|entry| entry.resource == *resource);
        let mut entry = match at {
            Some(at) => self.locks.remove(at),
            None => Entry { resource: resource.clone(), lock: Lock::default(), timer: None },
        };
        let mut actions = Actions::default();
        let now = self.host.now;
        entry.lock.handle(event, &mut Context::new(&self.host, resource, now, &mut self.next_ticket, &mut actions));
        if actions.reschedule {
            entry.timer = entry.lock.deadline();
        }
        if entry.timer != entry.lock.deadline() {
            self.broken.push(format!("{resource}: the timer is not that of the deadline"));
        }
        if let Some(broken) = entry.lock.broken_invariant() {
            self.broken.push(format!("{resource}: {broken}"));
        }
        if let Some(token) = actions.withdraw.take() {
            drop(self.calls.queue.remove_acquire(token));
        }
        for call in actions.take_calls() {
            if let CallKind::Cancel { lease, unacknowledged } = &call.kind {
                self.cancellations.begin(resource, call.token, lease.get(), *unacknowledged, now);
            }
            let command = Command { resource: resource.clone(), token: call.token, step: call.step };
            self.calls.push(command, call.kind);
        }
        self.check_request_in_flight(&entry);
        if !entry.lock.is_idle() {
            self.locks.push(entry);
        } else if entry.timer.is_some() {
            self.broken.push(format!("{resource}: a lock that is free has a timer"));
        }
        self.perform(actions);
    }

    /// A request that is in flight has one acquire under way.
    fn check_request_in_flight(&mut self, entry: &Entry) {
        let Some(token) = entry.lock.request_in_flight() else { return };
        let is_its_own = |call: &&Call| call.command.token == token && matches!(call.kind, CallKind::Acquire);
        let count = self.calls.iter().filter(is_its_own).count() + usize::from(self.delivering.contains(&token));
        if count != 1 {
            self.broken.push(format!("{}: a request in flight has {count} acquires under way", entry.resource));
        }
    }

    fn perform(&mut self, mut actions: Actions<SimulatedHost>) {
        let mut returned = Vec::new();
        for (waiter, result) in actions.take_answers() {
            let granted = matches!(result, AcquireResult::Granted(_));
            let mut state = waiter.0.state.borrow_mut();
            if matches!(*state, SlotState::Pending) {
                *state = SlotState::Answered(result);
                self.answered.push((waiter.0.number, granted));
            } else if let AcquireResult::Granted(lease) = result {
                returned.push(lease);
            }
        }
        for lease in returned {
            drop(self.release(&Guard(lease)));
        }
        for watchers in actions.watchers.drain(..) {
            watchers.wake();
        }
        for (extension, result) in actions.extensions.drain(..) {
            _ = extension.answer.send(result);
        }
    }

    /// As `Driver::answered` does it.
    pub(super) fn answered(&mut self, call: Call, reply: Reply) {
        self.delivering.retain(|token| *token != call.command.token);
        let Call { command: Command { resource, token, step }, kind, repeated, .. } = call;
        match Replied::read(kind, step, token, reply, repeated) {
            Replied::Lock(event) => self.handle(&resource, event),
            Replied::Release { result, answer } => {
                if result.is_err() {
                    let cancelled = self.cancellations.begin_for_release(&resource, token, &self.host, self.host.now);
                    self.schedule_cancellation(token, cancelled);
                }
                if let Some(answer) = answer {
                    _ = answer.send(result);
                }
            }
            Replied::Cancellation(reply) => {
                let cancelled = self.cancellations.replied(token, &reply, &self.host, self.host.now);
                self.schedule_cancellation(token, cancelled);
            }
        }
    }

    fn schedule_cancellation(&mut self, token: OwnerToken, cancelled: Cancelled) {
        if let Cancelled::RetryAt(at) = cancelled {
            self.retries.insert((at, token.written()));
        }
    }
}
