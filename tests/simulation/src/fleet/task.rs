//! [`Task`]: a task of a process, and what it does with locks, as users' futures do it.

use std::time::Duration;

use orchestrix_locking::simulation::{Answer, Caller, Extending, Guard, Node, Releasing};
use orchestrix_locking::{LockError, LockMode, Release};

use super::clock::Clock;
use super::process::micros;
use super::world::World;
use super::{MILLISECOND, Operation, Time, Wait};
use crate::history::{CallerId, HoldId, Property, Record};

/// How often a caller whose time is up looks whether the connection is still being replaced.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a task does.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) operations: Vec<Operation>,
    pub(super) next: usize,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    /// It begins with the next operation then.
    Between(Option<Time>),
    Waiting(Box<Waiting>),
    Holding(Box<Holding>),
    Releasing {
        operation: u64,
        releasing: Releasing,
        result: Option<Result<Release, LockError>>,
    },
    Done,
}

/// An acquire.
#[derive(Debug)]
pub(super) struct Waiting {
    operation: u64,
    caller: Caller,
    wait: Wait,
    /// By the process's clock.
    until: Option<Duration>,
    least: Option<Duration>,
    changes: usize,
    was_late: bool,
    cancel_at: Option<Time>,
    /// In which epoch of the process's clock it was answered.
    answered: Option<u16>,
}

/// A hold.
#[derive(Debug)]
pub(super) struct Holding {
    operation: u64,
    hold: HoldId,
    mode: LockMode,
    guard: Guard,
    /// What the checker knows of its end.
    until: Time,
    /// The same by the process's clock, and the latest end that it may have.
    ends: Duration,
    longest: Duration,
    ends_at: Time,
    extend: Option<(Time, Duration)>,
    extending: Option<Extension>,
}

/// An extension that has not been answered, or whose result has not been looked at.
#[derive(Debug)]
struct Extension {
    operation: u64,
    extending: Extending,
    result: Option<Result<bool, LockError>>,
}

impl Task {
    pub(super) fn new(operations: Vec<Operation>) -> Self {
        Self { operations, next: 0, state: State::Between(None) }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The hold that it has.
    pub(super) fn hold(&self) -> Option<HoldId> {
        match &self.state {
            State::Holding(holding) => Some(holding.hold),
            _ => None,
        }
    }

    /// The resource of its present operation.
    fn resource(&self) -> Option<usize> {
        Some(self.operations.get(self.next.checked_sub(1)?)?.resource)
    }

    /// Its operations that have not ended.
    pub(super) fn open_operations(&self) -> Vec<u64> {
        match &self.state {
            State::Waiting(waiting) => vec![waiting.operation],
            State::Holding(holding) => holding.extending.iter().map(|extension| extension.operation).collect(),
            State::Releasing { operation, .. } => vec![*operation],
            State::Between(_) | State::Done => Vec::new(),
        }
    }

    /// Whether its caller is among those that have an answer now.
    pub(super) fn waits_for(&mut self, answered: &[(u64, bool)], epoch: u16) -> bool {
        let State::Waiting(waiting) = &mut self.state else { return false };
        let is_mine = answered.iter().any(|(number, _)| *number == waiting.caller.number());
        if is_mine {
            waiting.answered = Some(epoch);
        }
        is_mine
    }

    /// Whether a release or an extension has its result since the last look.
    pub(super) fn has_result(&mut self) -> bool {
        match &mut self.state {
            State::Releasing { releasing, result, .. } if result.is_none() => {
                *result = releasing.result();
                result.is_some()
            }
            State::Holding(holding) => match &mut holding.extending {
                Some(Extension { extending, result, .. }) if result.is_none() => {
                    *result = extending.result();
                    result.is_some()
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// What must not be of the end that is believed in, at this time of the process's clock.
    pub(super) fn wrong_end(&self, now: Duration) -> Option<&'static str> {
        let State::Holding(holding) = &self.state else { return None };
        let ends = holding.guard.ends();
        if ends > holding.longest {
            Some("a lease lasts longer than the longest hold")
        } else if holding.ends <= now && ends > now {
            Some("a lease that was over lasts again")
        } else {
            None
        }
    }

    /// The end that is believed in, if it is another one than the last time.
    pub(super) fn new_end(&mut self, clock: &Clock) -> Option<(HoldId, Time)> {
        let State::Holding(holding) = &mut self.state else { return None };
        holding.ends = holding.guard.ends();
        let until = clock.time_of(holding.ends);
        (std::mem::replace(&mut holding.until, until) != until).then_some((holding.hold, until))
    }
}

impl World<'_> {
    /// A task goes on.
    pub(super) fn task(&mut self, process: usize, task: usize) {
        // Taken out meanwhile. What it does is done to its process, which looks at its tasks afterwards.
        loop {
            let Some(of) = self.processes.get_mut(process).and_then(|of| of.tasks.get_mut(task)) else { return };
            let state = std::mem::replace(&mut of.state, State::Between(None));
            let (next, goes_on) = match state {
                State::Between(at) => self.between(process, task, at),
                State::Waiting(waiting) => self.waiting(process, task, waiting),
                State::Holding(holding) => self.holding(process, task, holding),
                State::Releasing { operation, releasing, mut result } => {
                    if result.take().is_some() {
                        self.see(Record::Finished { operation });
                        (State::Between(None), true)
                    } else {
                        (State::Releasing { operation, releasing, result }, false)
                    }
                }
                State::Done => (State::Done, false),
            };
            let Some(of) = self.processes.get_mut(process).and_then(|of| of.tasks.get_mut(task)) else { return };
            of.state = next;
            if !goes_on {
                // Its answer or its result may have come while it was taken out.
                let State::Done = of.state else { return self.look_again(process, task) };
                return;
            }
        }
    }

    /// A task that was taken out while its node did something: whether there is something for it by now.
    fn look_again(&mut self, process: usize, task: usize) {
        let Some(of) = self.processes.get_mut(process) else { return };
        let clock = of.clock;
        let Some(of) = of.tasks.get_mut(task) else { return };
        let answered = match &mut of.state {
            State::Waiting(waiting) if waiting.answered.is_none() && Node::is_answered(&waiting.caller) => {
                waiting.answered = Some(clock.epoch);
                true
            }
            _ => false,
        };
        let awake = answered || of.has_result();
        let end = of.new_end(&clock);
        if let Some((hold, until)) = end {
            self.see(Record::Until { hold, until });
        }
        if awake {
            let delay = self.wake_up();
            self.task_at(process, task, self.now + delay);
        }
    }

    fn new_operation(&mut self, process: usize, within: Time) -> u64 {
        self.next_operation += 1;
        let operation = self.next_operation;
        if let Some(of) = self.processes.get(process) {
            let process = of.id;
            // Deadlines are read by the process's clock, which may be slow, and messages and tasks take their time.
            let slack = within / 50 + 100 * MILLISECOND;
            self.see(Record::Began { operation, process, within: within.saturating_add(slack) });
        }
        operation
    }

    fn between(&mut self, process: usize, task: usize, at: Option<Time>) -> (State, bool) {
        let Some(of) = self.processes.get_mut(process).and_then(|of| of.tasks.get_mut(task)) else {
            return (State::Done, false);
        };
        let Some(operation) = of.operations.get(of.next) else { return (State::Done, false) };
        let at = at.unwrap_or(self.now + operation.pause);
        if self.now < at {
            self.task_at(process, task, at);
            return (State::Between(Some(at)), false);
        }
        of.next += 1;
        let operation = operation.clone();
        let waiting = self.acquire(process, &operation);
        let Some(waiting) = waiting else { return (State::Done, false) };
        if let Some(at) = waiting.cancel_at {
            self.task_at(process, task, at);
        }
        (State::Waiting(Box::new(waiting)), true)
    }

    /// As `AcquireFuture::begin`.
    fn acquire(&mut self, process: usize, operation: &Operation) -> Option<Waiting> {
        self.counts.acquires += 1;
        let timeout = self.plan.response_timeout;
        let of = self.processes.get(process)?;
        let (clock, changes) = (of.clock, of.node.changes(self.resources.get(operation.resource)?));
        let now = clock.now(self.now);
        let until = if let Wait::AtMost(time) = operation.wait { Some(now + time) } else { None };
        let within = match operation.wait {
            // It waits for a connection, and for a reply; and the same once more under another token.
            Wait::No => 4 * micros(timeout),
            Wait::AtMost(time) => micros(time.max(timeout)) + 100 * MILLISECOND,
            Wait::Forever => Time::MAX / 4,
        };
        let number = self.new_operation(process, within);
        let caller = self.begin_attempt(process, operation, operation.wait, false)?;
        Some(Waiting {
            operation: number,
            caller,
            wait: operation.wait,
            until,
            least: until.map(|_| now + timeout),
            changes,
            was_late: false,
            cancel_at: operation.cancel.map(|after| self.now + after),
            answered: None,
        })
    }

    fn begin_attempt(&mut self, process: usize, operation: &Operation, wait: Wait, again: bool) -> Option<Caller> {
        let resource = self.resource(operation.resource)?;
        let waits = wait != Wait::No;
        let options = if again { operation.options.max_waiters(None) } else { operation.options };
        // The node numbers its callers one after the other: recorded before it may answer.
        let of = self.processes.get(process)?;
        let caller = CallerId { process: of.id, number: of.node.next_caller() };
        self.see(Record::Came { caller, resource: operation.resource, waits });
        self.note(Some(process), Some(operation.resource), || {
            let (ttl, mode, at_least) =
                (options.configured_ttl(), options.configured_mode(), options.configured_at_least());
            let kept = if at_least.is_zero() { String::new() } else { format!(", at least {at_least:?}") };
            format!("caller {} wants it, {mode:?}, {wait:?}, ttl {ttl:?}{kept}", caller.number)
        });
        self.with_node(process, |node| match wait {
            Wait::No => node.try_now(&resource, options),
            Wait::AtMost(_) | Wait::Forever => node.join(&resource, options, again),
        })
    }

    fn present(&self, process: usize, task: usize) -> Option<Operation> {
        let task = self.processes.get(process)?.tasks.get(task)?;
        task.operations.get(task.next.checked_sub(1)?).cloned()
    }

    /// As `AcquireFuture::poll`.
    fn waiting(&mut self, process: usize, task: usize, mut waiting: Box<Waiting>) -> (State, bool) {
        let Some(operation) = self.present(process, task) else { return (State::Done, false) };
        let resource = operation.resource;
        let Some(of) = self.processes.get(process) else { return (State::Done, false) };
        let (id, clock) = (of.id, of.clock);
        let caller = CallerId { process: id, number: waiting.caller.number() };
        if waiting.cancel_at.is_some_and(|at| at <= self.now) {
            self.counts.cancelled += 1;
            self.note(Some(process), Some(resource), || format!("caller {} goes away", caller.number));
            self.see(Record::Left { caller });
            self.see(Record::Finished { operation: waiting.operation });
            self.with_node(process, |node| node.leave(&waiting.caller));
            return (State::Between(None), true);
        }
        match self.with_node(process, |node| node.answer(&waiting.caller)).flatten() {
            Some(Answer::Granted(guard)) => {
                // A future that has returned leaves its place, which is gone already.
                if self.with_node(process, |node| node.take(&guard)) == Some(true) {
                    self.see(Record::Finished { operation: waiting.operation });
                    let certain = waiting.answered.is_none_or(|epoch| epoch == clock.epoch);
                    return self.hold(process, task, &operation, guard, certain);
                }
                self.counts.late += 1;
                self.note(Some(process), Some(resource), || format!("caller {} took it too late", caller.number));
                self.with_node(process, |node| drop(node.release(&guard)));
                if waiting.wait == Wait::No || waiting.was_late {
                    self.see(Record::Finished { operation: waiting.operation });
                    return (State::Between(None), true);
                }
                let late = waiting.until.is_some_and(|until| clock.now(self.now) >= until);
                let wait = if late { Wait::No } else { waiting.wait };
                let by = 4 * self.response_timeout();
                self.see(Record::MayTakeLonger { operation: waiting.operation, by });
                let Some(caller) = self.begin_attempt(process, &operation, wait, true) else {
                    return (State::Done, false);
                };
                (waiting.caller, waiting.wait, waiting.was_late, waiting.answered) = (caller, wait, true, None);
                return (State::Waiting(waiting), true);
            }
            Some(answer) => {
                match &answer {
                    Answer::Busy => self.counts.busy += 1,
                    _ => self.counts.failed += 1,
                }
                self.note(Some(process), Some(resource), || match answer {
                    Answer::Failed(error) => format!("caller {} fails: {error}", caller.number),
                    _ => format!("caller {}: busy", caller.number),
                });
                self.see(Record::Left { caller });
                self.see(Record::Finished { operation: waiting.operation });
                return (State::Between(None), true);
            }
            None => {}
        }
        let Some(until) = waiting.until.filter(|_| waiting.wait != Wait::No) else {
            return (State::Waiting(waiting), false);
        };
        let now = clock.now(self.now);
        let mut up_at = until;
        if now >= until {
            let lock = self.resource(resource);
            let kept = self
                .processes
                .get(process)
                .zip(lock)
                .is_some_and(|(of, lock)| of.node.was_kept_from_its_answer(&lock, waiting.changes));
            if let Some(least) = waiting.least.filter(|least| *least > now && kept) {
                waiting.until = Some(least.min(now + LOOK_AGAIN));
                return (State::Waiting(waiting), true);
            }
            match self.with_node(process, |node| node.time_is_up(&waiting.caller, until)).flatten() {
                Some(again) => up_at = again,
                None => return (State::Waiting(waiting), false),
            }
        }
        // A timer is never early, and late by a millisecond at most.
        let at = clock.time_of(up_at).max(self.now) + self.random.u64(0..=MILLISECOND);
        self.task_at(process, task, at);
        (State::Waiting(waiting), false)
    }

    /// A hold begins.
    fn hold(
        &mut self,
        process: usize,
        task: usize,
        operation: &Operation,
        guard: Guard,
        certain: bool,
    ) -> (State, bool) {
        self.counts.granted += 1;
        let Some(of) = self.processes.get(process) else { return (State::Done, false) };
        let (until, fence, resource) = (of.clock.time_of(guard.ends()), guard.fence(), operation.resource);
        // The lower ten bits count the callers of the process that the server has granted it once.
        let counter = self.counter_of(resource);
        let granted = self.granted_at.range((counter, fence >> 10)..=(counter, u64::MAX)).next().map(|(_, at)| *at);
        let certain = certain && self.broken_at.is_none_or(|broken| granted.is_some_and(|granted| granted > broken));
        self.next_hold += 1;
        let hold = HoldId(self.next_hold);
        let left = until.saturating_sub(self.now);
        let (ends, now) = (guard.ends(), of.clock.now(self.now));
        let longest = operation.options.configured_max_hold().map_or(Duration::MAX, |longest| now + longest);
        let (mode, permit) = (operation.options.configured_mode(), guard.permit());
        self.counts.shared += u64::from(mode == LockMode::Shared);
        self.counts.permits += u64::from(matches!(mode, LockMode::Permits(_)));
        self.counts.kept += u64::from(guard.kept_until().is_some());
        // Clocks differ, and the server counts whole milliseconds.
        let inexact = micros(operation.options.configured_at_least()) / 50 + 5 * MILLISECOND;
        let kept_until = guard.kept_until().map(|until| of.clock.time_of(until).saturating_sub(inexact));
        let mut others = of.tasks.iter().filter_map(|task| match &task.state {
            State::Holding(holding) if task.resource() == Some(resource) => Some(holding),
            _ => None,
        });
        let excludes = |other: &Holding| !other.mode.is_compatible_with(mode);
        if others.any(|other| excludes(other) && of.node.is_held(&other.guard)) {
            self.broken(Property::P2, Some(resource), "two callers of one process hold it".to_owned());
        }
        self.note(Some(process), Some(resource), || {
            let permit = permit.map_or_else(String::new, |number| format!(" number {number}"));
            format!("HOLDS it, {mode:?}{permit}, fencing token {fence}, for {left} µs")
        });
        self.see(Record::Granted { hold, resource, fence, mode, permit, until, kept_until, certain });
        self.see(Record::Read { hold });
        let ends_at = self.now + operation.hold;
        let extend = operation.extend.map(|(after, to)| (self.now + after, to));
        for at in [Some(ends_at), extend.map(|(at, _)| at)].into_iter().flatten() {
            self.task_at(process, task, at);
        }
        let holding =
            Holding { operation: 0, hold, mode, guard, until, ends, longest, ends_at, extend, extending: None };
        (State::Holding(Box::new(holding)), false)
    }

    fn holding(&mut self, process: usize, task: usize, mut holding: Box<Holding>) -> (State, bool) {
        let Some(operation) = self.present(process, task) else { return (State::Done, false) };
        let resource = operation.resource;
        if let Some(Extension { operation, .. }) = holding.extending.take_if(|extension| extension.result.is_some()) {
            self.see(Record::Finished { operation });
        }
        if let Some((_, to)) = holding.extend.take_if(|(at, _)| *at <= self.now) {
            self.counts.extensions += 1;
            let within = 4 * self.response_timeout();
            let number = self.new_operation(process, within);
            self.note(Some(process), Some(resource), || format!("extends to {to:?}"));
            let extending = self.with_node(process, |node| node.extend(&holding.guard, to));
            holding.extending = extending.map(|extending| Extension { operation: number, extending, result: None });
        }
        if self.now < holding.ends_at {
            return (State::Holding(holding), false);
        }
        if let Some(Extension { operation, .. }) = holding.extending.take() {
            self.see(Record::Finished { operation });
        }
        self.counts.releases += 1;
        self.note(Some(process), Some(resource), || format!("releases {}", holding.guard.fence()));
        if holding.mode != LockMode::Shared {
            self.see(Record::Wrote { hold: holding.hold });
        }
        let released = self.with_node(process, |node| node.is_held(&holding.guard)) == Some(true);
        self.see(Record::Ended { hold: holding.hold, released });
        holding.operation =
            if operation.awaits_release { self.new_operation(process, 4 * self.response_timeout()) } else { 0 };
        let releasing = self.with_node(process, |node| node.release(&holding.guard));
        match releasing {
            Some(releasing) if operation.awaits_release => {
                (State::Releasing { operation: holding.operation, releasing, result: None }, false)
            }
            _ => (State::Between(None), true),
        }
    }
}
