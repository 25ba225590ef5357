//! [`Process`]: the locks of a process, and what a driver does with them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::calls::{self as sent, Action};
use super::host::{Guard, SimulatedHost, SlotState};
use super::link::LinkId;
use crate::Resource;
use crate::engine::{
    AcquireResult, Actions, CallKind, Cancellations, Cancelled, Command, Context, Event, Lease as _, Lock, OwnerToken,
    ReleaseAnswer,
};
use crate::redis::connection::{self, Call, Caller, Redirect, Reply, SupervisorExit};
use crate::redis::discovery::cluster::SlotMap;
use crate::redis::driver::{Released, Replied};
use crate::redis::protocol::{Notification, Publishing};
use crate::redis::router::Router;

/// What has the place of a `Driver`.
pub(super) struct Process {
    pub(super) router: Arc<Router<Self>>,
    released: Released,
    inner: Mutex<Inner>,
}

/// What a driver has behind several mutexes.
pub(super) struct Inner {
    pub(super) host: SimulatedHost,
    pub(super) locks: Vec<Entry>,
    pub(super) cancellations: Cancellations,
    /// When a cancellation is to be sent again.
    pub(super) retries: BTreeSet<(Instant, [u8; OwnerToken::LENGTH])>,
    next_ticket: u64,
    /// Each call without a reply.
    unanswered: Vec<Asked>,
    next_asked: u64,
    /// The callers that have an answer since this was looked at, and whether they were granted the lock.
    pub(super) answered: Vec<(u64, bool)>,
    pub(super) broken: Vec<String>,
}

/// A call without a reply.
struct Asked {
    token: OwnerToken,
    /// The calls of a process are numbered in the order in which they are made.
    number: u64,
    /// It is the acquire of a request.
    is_request: bool,
    is_urgent: bool,
    /// The connection over which it was sent last.
    sent_over: Option<LinkId>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) resource: Resource,
    pub(super) lock: Lock<SimulatedHost>,
    pub(super) timer: Option<Instant>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").finish_non_exhaustive()
    }
}

impl Process {
    pub(super) fn new(host: SimulatedHost) -> Arc<Self> {
        let inner = Inner {
            locks: Vec::new(),
            cancellations: Cancellations::default(),
            retries: BTreeSet::new(),
            next_ticket: 0,
            unanswered: Vec::new(),
            next_asked: 0,
            answered: Vec::new(),
            broken: Vec::new(),
            host,
        };
        let router = Arc::clone(&inner.host.router);
        Arc::new(Self { router, released: Released::default(), inner: Mutex::new(inner) })
    }

    /// No reply is delivered meanwhile.
    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Makes this process's clock the one that leases and calls are read by.
    pub(super) fn enter(&self) {
        self.inner().host.enter();
    }

    pub(super) fn publishing(&self) -> Publishing {
        self.inner().host.publishing
    }

    pub(super) fn handle(&self, resource: &Resource, event: Event<'_, SimulatedHost>) {
        self.inner().handle(resource, event);
    }
}

impl Caller for Process {
    type CallKind = CallKind<SimulatedHost>;

    /// As `Driver::answered`.
    fn answered(self: &Arc<Self>, call: Call<Self::CallKind>, reply: Reply) {
        let mut inner = self.inner();
        inner.forget(call.command.token, call.command.is_urgent());
        let Call { command: Command { resource, token, step }, kind, repeated, .. } = call;
        let now = inner.host.now;
        let Inner { cancellations, host, .. } = &mut *inner;
        match Replied::read(kind, step, token, reply, repeated) {
            Replied::Lock(event) => inner.handle(&resource, event),
            Replied::Release { result, answer, keep } => {
                let kept_until = keep.map(|keep| now + keep.get());
                if result.is_err() {
                    let cancelled = cancellations.begin_for_release(&resource, token, kept_until, host, now);
                    inner.schedule_cancellation(token, cancelled);
                } else if self.router.has_several_servers() {
                    self.released.add(&resource, token, kept_until);
                }
                if let Some(answer) = answer {
                    _ = answer.send(result);
                }
            }
            Replied::Cancellation(reply) => {
                let several = self.router.has_several_servers();
                let resource = cancellations.resource(token).filter(|_| several).cloned();
                let kept_until = cancellations.kept_until(token);
                let cancelled = cancellations.replied(token, &reply, host, now);
                if let (Some(resource), Cancelled::Done) = (resource, cancelled) {
                    self.released.add(&resource, token, kept_until);
                }
                inner.schedule_cancellation(token, cancelled);
            }
        }
    }

    fn drained(&self) {}

    /// As `Driver::notified`.
    fn notified(self: &Arc<Self>, node: connection::Node, message: &str) {
        let (resource, event) = match Notification::read(message, self.router.first().keys()) {
            Some(Notification::Granted(resource, grant)) => (resource, Event::Granted(grant)),
            Some(Notification::Wanted(resource, token)) => (resource, Event::Wanted(token)),
            None => return,
        };
        if self.router.is_of(node, &resource) {
            self.handle(&resource, event);
        }
    }

    /// As `Driver::reconnected`.
    fn reconnected(self: &Arc<Self>, node: connection::Node) {
        let mut inner = self.inner();
        let now = inner.host.now;
        let concerns = |resource: &Resource| self.router.is_of(node, resource);
        inner.handle_each(|| Event::Reconnected, concerns);
        let mut commands: Vec<_> = inner.cancellations.all_again(now).collect();
        // In an order that the seed decides.
        commands.sort_by_key(|command| command.token.written());
        for command in commands {
            inner.push(command, CallKind::CancelAgain);
        }
        for (resource, token, kept_until) in self.released.to_repeat(node, self.router.server(node), concerns) {
            let Inner { cancellations, host, .. } = &mut *inner;
            let cancelled = cancellations.begin_for_release(&resource, token, kept_until, host, now);
            inner.schedule_cancellation(token, cancelled);
        }
    }

    fn redirected(self: &Arc<Self>, calls: Vec<(Call<Self::CallKind>, Redirect)>) {
        self.router.redirect(calls, self);
    }

    /// As `Driver::mapped`.
    fn mapped(self: &Arc<Self>, map: SlotMap) -> bool {
        for heir in self.router.update(map, self) {
            self.released.forget(heir);
            self.reconnected(heir);
        }
        !self.router.all_are(|connection| connection.is_within_reach())
    }

    fn lost_node(self: &Arc<Self>) {
        self.router.refresh();
    }

    fn supervisor_ended(self: &Arc<Self>, _exit: SupervisorExit) -> bool {
        false
    }
}

impl Inner {
    /// How many calls have no reply.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// Whether a call of this owner token has no reply.
    pub(super) fn is_asked(&self, token: OwnerToken) -> bool {
        self.unanswered.iter().any(|asked| asked.token == token)
    }

    /// These calls were sent as one batch (K2): those that free or keep a lock before those that acquire one, and an acquire
    /// that is sent again over the same connection before those that were made since and are sent for the first time.
    pub(super) fn sent(&mut self, link: LinkId, commands: &[sent::Command]) {
        let (mut acquires, mut newest) = (false, 0);
        for command in commands {
            let is_urgent = command.action != Action::Acquire;
            if is_urgent && acquires {
                self.broken.push("K2: a call that frees or keeps a lock is sent behind an acquire".to_owned());
            }
            acquires |= !is_urgent;
            for token in command.tokens().filter(|_| !is_urgent) {
                let is_it = |asked: &&mut Asked| !asked.is_urgent && asked.token.written()[..] == *token;
                let Some(asked) = self.unanswered.iter_mut().find(is_it) else { continue };
                if asked.sent_over.is_none() {
                    newest = newest.max(asked.number);
                } else if asked.sent_over == Some(link) && asked.number < newest {
                    self.broken.push("K2: an acquire is sent again behind newer ones".to_owned());
                }
                asked.sent_over = Some(link);
            }
        }
    }

    pub(super) fn push(&mut self, command: Command, kind: CallKind<SimulatedHost>) {
        self.next_asked += 1;
        self.unanswered.push(Asked {
            token: command.token,
            number: self.next_asked,
            is_request: matches!(kind, CallKind::Acquire),
            is_urgent: command.is_urgent(),
            sent_over: None,
        });
        self.host.router.enqueue(Call::new(command, kind));
    }

    /// A call has its reply, or was taken back.
    fn forget(&mut self, token: OwnerToken, is_urgent: bool) {
        if let Some(at) = self.unanswered.iter().position(|of| of.token == token && of.is_urgent == is_urgent) {
            self.unanswered.remove(at);
        } else {
            self.broken.push("K1: a call has two replies".to_owned());
        }
    }

    pub(super) fn handle_each<'a>(
        &mut self,
        event: impl Fn() -> Event<'a, SimulatedHost>,
        concerns: impl Fn(&Resource) -> bool,
    ) {
        let resources = self.locks.iter().map(|entry| &entry.resource).filter(|resource| concerns(resource));
        let resources: Vec<_> = resources.cloned().collect();
        for resource in resources {
            self.handle(&resource, event());
        }
    }

    /// As `Table::handle` and `Driver::perform` do it.
    pub(super) fn handle(&mut self, resource: &Resource, event: Event<'_, SimulatedHost>) {
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
            let withdrawn = self.host.router.withdraw(resource, token);
            if withdrawn.is_some() {
                self.forget(token, false);
            }
        }
        for call in actions.take_calls() {
            if let CallKind::Cancel { lease, unacknowledged } = &call.kind {
                self.cancellations.begin(resource, call.token, lease.get(), *unacknowledged, now);
                self.cancellations.keep(call.token, call.step.kept_until(now));
            }
            let command = Command { resource: resource.clone(), token: call.token, step: call.step };
            self.push(command, call.kind);
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
        for token in entry.lock.requests_in_flight() {
            let count = self.unanswered.iter().filter(|of| of.token == token && of.is_request).count();
            if count != 1 {
                self.broken.push(format!("{}: a request in flight has {count} acquires under way", entry.resource));
            }
        }
    }

    /// The guard releases.
    pub(super) fn release(&mut self, guard: &Guard) -> ReleaseAnswer {
        let mut answer = ReleaseAnswer::default();
        let resource = guard.0.state().resource().clone();
        self.handle(&resource, Event::Release { lease: &guard.0, answer: &mut answer });
        answer
    }

    fn perform(&mut self, mut actions: Actions<SimulatedHost>) {
        let mut returned = Vec::new();
        for (waiter, result) in actions.take_answers() {
            let granted = matches!(result, AcquireResult::Granted(_));
            let mut state = waiter.0.state.lock();
            if matches!(*state, SlotState::Pending) {
                *state = SlotState::Answered(result);
                self.answered.push((waiter.0.number, granted));
            } else if let AcquireResult::Granted(lease) = result {
                returned.push(lease);
            }
        }
        for lease in returned {
            _ = self.release(&Guard(lease));
        }
        for watchers in actions.watchers.drain(..) {
            watchers.wake();
        }
        for (extension, result) in actions.extensions.drain(..) {
            _ = extension.answer.send(result);
        }
    }

    fn schedule_cancellation(&mut self, token: OwnerToken, cancelled: Cancelled) {
        if let Cancelled::RetryAt(at) = cancelled {
            self.retries.insert((at, token.written()));
        }
    }
}
