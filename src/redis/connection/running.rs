//! [`Running`]: a link that is driven, and what becomes of calls that are not sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tokio::time::Instant;

use super::driver::Generation;
use super::failure::{Failure, given_up};
use super::{Caller, Condition, Connection, Left, Reply};

/// A link that is driven by a task. Dropped it is not any more, also if its task ends with its runtime, or never began;
/// and it is as it was if the task was deposed before.
pub(super) struct Running<C: Caller> {
    pub(super) connection: Arc<Connection<C>>,
    pub(super) caller: Arc<C>,
    pub(super) generation: Generation,
    /// The task has come to its end, and not its runtime.
    done: AtomicBool,
}

impl<C: Caller> Running<C> {
    pub(super) fn new(connection: &Arc<Connection<C>>, caller: &Arc<C>, generation: Generation) -> Self {
        Self {
            connection: Arc::clone(connection),
            caller: Arc::clone(caller),
            generation,
            done: AtomicBool::new(false),
        }
    }

    /// The link has been retired, and everything is answered.
    pub(super) fn done(&self) {
        self.done.store(true, SeqCst);
    }

    /// Sets how the connection is.
    pub(super) fn set(&self, condition: Condition) {
        self.connection.set_condition(self.generation, condition);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.connection.retired.load(SeqCst)
    }

    /// Whether there is nothing to do any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_retired() && self.connection.is_empty()
    }

    /// Tells those who have asked that the server is out of reach; or, while a call may wait for the next connection
    /// (K4), those whose time is up. When to look again.
    pub(super) fn refuse(&self) -> Option<Instant> {
        if !self.connection.driver.is_current(self.generation) {
            return None;
        }
        let waiting_for = match self.connection.condition() {
            Condition::Broken(failure) => Some(failure),
            Condition::Down(failure) if failure.is_not_here() => Some(failure),
            _ => None,
        };
        if let Some(failure) = waiting_for {
            return self.refuse_late(&failure);
        }
        self.refuse_all();
        None
    }

    /// Tells all pending calls that the server is out of reach.
    pub(super) fn refuse_all(&self) {
        let connection = &self.connection;
        loop {
            let calls = connection.take(usize::MAX);
            if calls.is_empty() {
                return;
            }
            let error = connection.silence().unwrap_or_else(|| {
                Failure::new(&connection.settings, "connecting", given_up(), Instant::now()).to_error()
            });
            for call in calls {
                connection.answer(&self.caller, call, Reply::NotSent(error.clone()));
            }
        }
    }

    /// Tells those whose time is up. When that of the next is.
    fn refuse_late(&self, failure: &Failure) -> Option<Instant> {
        let connection = &self.connection;
        let now = Instant::now();
        let (mut kept, mut late, mut next) = (Vec::new(), Vec::new(), None);
        for mut call in connection.take(usize::MAX) {
            match call.may_wait_for(now, connection.settings.response_timeout) {
                Some(left) => {
                    next = Some(next.map_or(now + left, |next: Instant| next.min(now + left)));
                    kept.push(call);
                }
                None => late.push(call),
            }
        }
        connection.put_back(kept);
        for call in late {
            connection.answer(&self.caller, call, Reply::NotSent(failure.to_error()));
        }
        next
    }
}

impl<C: Caller> Drop for Running<C> {
    fn drop(&mut self) {
        let connection = &self.connection;
        let left = Left {
            within_reach: connection.trouble().is_none(),
            may_block: connection.driver.may_block_while_dropping(self.generation),
        };
        self.set(Condition::Starting);
        if !connection.driver.resign(self.generation) {
            // Deposed: another task drives the link, or did.
            return;
        }
        // In this order: a call whose caller found the link driven a moment ago is refused here afterwards (K1).
        let goes_on = !self.done.load(SeqCst) && self.caller.abandoned(left);
        if !goes_on {
            self.refuse_all();
        }
    }
}
