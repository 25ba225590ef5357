//! [`SupervisorGuard`]: a connection that a task drives, and the calls that fail because they cannot be sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tokio::time::Instant;

use super::call::LONGEST_WAIT_FOR_A_SERVER;
use super::failure::{CONNECTING, Failure, connection_closed};
use super::{Caller, Condition, Connection, Generation, Redirect, SupervisorExit};
use crate::sync;

/// A connection that is driven by a task. The drop ends that, also if the task ends with its runtime or never began. If the
/// task was deposed before, the drop changes nothing.
pub(super) struct SupervisorGuard<C: Caller> {
    pub(super) connection: Arc<Connection<C>>,
    pub(super) caller: Arc<C>,
    pub(super) generation: Generation,
    /// The task has ended by itself, and not with its runtime.
    pub(super) finished: AtomicBool,
}

impl<C: Caller> SupervisorGuard<C> {
    /// Notes that the connection is retired and every call has its reply.
    pub(super) fn finish(&self) {
        self.finished.store(true, SeqCst);
    }

    /// Sets the condition, unless the supervisor was deposed (K6).
    pub(super) fn set_condition(&self, new: Condition) {
        let mut condition = self.connection.condition.lock();
        if self.connection.task.is_current(self.generation) {
            if new.is_change() {
                self.connection.changes.fetch_add(1, SeqCst);
            }
            *condition = new;
        }
    }

    /// Whether the connection is retired and no call waits to be sent.
    pub(super) fn has_nothing_left(&self) -> bool {
        self.connection.retired.load(SeqCst) && self.connection.is_queue_empty()
    }

    /// The condition after an attempt to connect that failed, if there has been no connection since then. Where there was one
    /// before, another server may be about to take its place: a failover is a wait (K4).
    pub(super) fn outage(&self, failure: Failure, since: Instant) -> Condition {
        if self.connection.connected_before.load(SeqCst)
            && sync::now().saturating_duration_since(since) < LONGEST_WAIT_FOR_A_SERVER
        {
            Condition::Interrupted(failure)
        } else {
            Condition::Down(failure)
        }
    }

    /// Fails the calls in the queue, since the server is out of reach. Where calls may wait for the next connection (K4),
    /// only those whose time is up fail; and none before the outcome of the first attempt. Returns when to call this again.
    pub(super) fn fail_waiting_calls(&self) -> Option<Instant> {
        if !self.connection.task.is_current(self.generation) {
            return None;
        }
        match self.connection.condition() {
            Condition::Broken(failure) | Condition::Interrupted(failure) => self.fail_overdue_calls(&failure),
            Condition::Down(failure) if failure.is_not_here() => self.fail_overdue_calls(&failure),
            Condition::Down(_) => {
                self.fail_all_calls();
                None
            }
            Condition::Starting | Condition::Up { .. } => None,
        }
    }

    /// Has the calls in the queue sent to the nodes that serve their slots now, since this one serves none any more.
    pub(super) fn redirect_queue(&self) {
        let calls = self.connection.take_all();
        if !calls.is_empty() {
            self.caller.redirected(calls.into_iter().map(|call| (call, Redirect::Later)).collect());
        }
    }

    fn fail_all_calls(&self) {
        let connection = &self.connection;
        loop {
            let calls = connection.queue.lock().take(usize::MAX);
            if calls.is_empty() {
                return;
            }
            let error = connection
                .disconnected_error()
                .unwrap_or_else(|| Failure::new(&connection.settings, CONNECTING, connection_closed()).to_error());
            for call in calls {
                let reply = call.unsent(error.clone());
                connection.answer(&self.caller, call, reply);
            }
        }
    }

    /// Returns when the time of the next call is up.
    pub(super) fn fail_overdue_calls(&self, failure: &Failure) -> Option<Instant> {
        let connection = &self.connection;
        let now = sync::now();
        let (mut kept, mut overdue, mut next) = (Vec::new(), Vec::new(), None);
        {
            // Under one hold of the mutex: a withdrawal finds each call that has not failed.
            let mut queue = connection.queue.lock();
            for mut call in queue.take(usize::MAX) {
                match call.may_wait_for(now, connection.settings.response_timeout) {
                    Some(left) => {
                        next = Some(next.map_or(now + left, |next: Instant| next.min(now + left)));
                        kept.push(call);
                    }
                    None => overdue.push(call),
                }
            }
            queue.put_back(kept);
        }
        for call in overdue {
            let reply = call.unsent(failure.to_error());
            connection.answer(&self.caller, call, reply);
        }
        next
    }
}

impl<C: Caller> Drop for SupervisorGuard<C> {
    fn drop(&mut self) {
        let connection = &self.connection;
        let exit = SupervisorExit {
            node: connection.number,
            runtime: connection.task.runtime(),
            within_reach: connection.is_within_reach(),
            may_block: connection.task.may_block_while_dropping(self.generation),
        };
        self.set_condition(Condition::Starting);
        let was_deposed = !connection.task.resign(self.generation);
        // Another task drives the connection, or did. If none does, what was in flight may have come back into the queue after
        // the one that deposed this task has looked at it.
        if was_deposed && (connection.task.is_taken() || connection.is_queue_empty()) {
            return;
        }
        // The queue is looked at after the resignation. A caller that found the connection driven a moment before did not
        // start another supervisor; its call is failed here (K1).
        let goes_on = !self.finished.load(SeqCst) && self.caller.supervisor_ended(exit);
        if !goes_on {
            self.fail_all_calls();
        }
    }
}
