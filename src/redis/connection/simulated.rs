//! [`SimulatedLink`]: a connection without a socket and without a task, for the simulation. It does what the
//! [supervisor](super::supervisor) and the [sender](super::sender) do, when it is told to.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use ::redis::{RedisError, Value};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use super::batch::{Batch, SendMode};
use super::completed_batch::{BatchResult, CompletedBatch};
use super::failure::{CONNECTING, Failure, connection_closed, timed_out};
use super::supervisor_guard::SupervisorGuard;
use super::{Caller, Condition, Connection};
use crate::engine::Step;
use crate::redis::protocol::Publishing;
use crate::sync;

thread_local! {
    /// Nothing runs in it. A connection is driven by a task of some runtime, and this is the one.
    static RUNTIME: Option<Runtime> = Builder::new_current_thread().build().ok();
}

/// What has the place of a supervisor.
pub(in crate::redis) struct SimulatedLink<C: Caller> {
    guard: SupervisorGuard<C>,
    in_flight: VecDeque<Flight<C>>,
    mode: SendMode,
    /// Since when there has been no connection.
    since: Instant,
}

/// A batch, and the replies to its commands as far as they have come.
struct Flight<C: Caller> {
    batch: Batch<C>,
    /// The number of its last command.
    last: u64,
    replies: Vec<Value>,
}

impl<C: Caller> fmt::Debug for SimulatedLink<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedLink").field("number", &self.connection().number).finish_non_exhaustive()
    }
}

/// One command of a batch.
pub(in crate::redis) struct SimulatedCommand {
    pub(in crate::redis) number: u64,
    pub(in crate::redis) step: Step,
    pub(in crate::redis) words: Vec<Vec<u8>>,
    /// The scripts are loaded before it.
    pub(in crate::redis) loads_scripts: bool,
}

impl<C: Caller> SimulatedLink<C> {
    /// `None` if the connection is driven already.
    pub(in crate::redis) fn new(connection: &Arc<Connection<C>>, caller: &Arc<C>) -> Option<Self> {
        let claim = |runtime: &Option<Runtime>| connection.task.claim(runtime.as_ref()?.handle());
        let generation = RUNTIME.with(claim)?;
        let (connection, caller) = (Arc::clone(connection), Arc::clone(caller));
        let mode = SendMode::new(connection.in_cluster, connection.in_cluster);
        let guard = SupervisorGuard { connection, caller, generation, finished: false.into() };
        // What is left when it is dropped fails, as at the end of a supervisor that has nothing left.
        guard.finish();
        Some(Self { guard, in_flight: VecDeque::new(), mode, since: sync::now() })
    }

    pub(in crate::redis) fn connection(&self) -> &Arc<Connection<C>> {
        &self.guard.connection
    }

    /// How many calls wait to be sent.
    pub(in crate::redis) fn waiting(&self) -> usize {
        self.connection().queue.lock().len()
    }

    /// Whether its node serves nothing any more, and no call is left.
    pub(in crate::redis) fn has_nothing_left(&self) -> bool {
        self.in_flight.is_empty() && self.guard.has_nothing_left()
    }

    /// Sends everything that waits as one batch. Numbers its commands from this one on.
    pub(in crate::redis) fn send(&mut self, publishing: Publishing, next: &mut u64) -> Vec<SimulatedCommand> {
        let SupervisorGuard { connection, caller, .. } = &self.guard;
        let calls = connection.take_all();
        if calls.is_empty() {
            return Vec::new();
        }
        let (mode, mut rest, mut steps) = (self.mode, calls.as_slice(), Vec::new());
        while let Some(first) = rest.first() {
            steps.push(first.command.step);
            rest = rest.get(mode.locks_in_next_command(rest)..).unwrap_or_default();
        }
        let batch = Batch::new(connection, caller, calls, publishing, mode);
        self.mode.load_scripts = false;
        let commands = batch.pipeline.cmd_iter().skip(batch.loads).zip(steps);
        let commands = commands.map(|(command, step)| {
            *next += 1;
            let words = command.args_iter().filter_map(|word| match word {
                ::redis::Arg::Simple(word) => Some(word.to_vec()),
                _ => None,
            });
            SimulatedCommand { number: *next, step, words: words.collect(), loads_scripts: mode.load_scripts }
        });
        let commands: Vec<_> = commands.collect();
        self.in_flight.push_back(Flight { replies: vec![Value::Nil; batch.loads], batch, last: *next });
        commands
    }

    /// When the oldest batch without its replies has them too late, and the number of its last command.
    pub(in crate::redis) fn overdue_at(&self) -> Option<(Instant, u64)> {
        let oldest = self.in_flight.front()?;
        Some((oldest.batch.sent + self.connection().settings.response_timeout, oldest.last))
    }

    /// The reply to a command. Replies come in the order of the commands. Once a batch has all of its replies they are
    /// delivered, and this returns whether the connection is to be used further.
    pub(in crate::redis) fn replied(&mut self, number: u64, reply: Value) -> Option<Result<(), RedisError>> {
        let oldest = self.in_flight.front_mut()?;
        oldest.replies.push(reply);
        if oldest.last != number {
            return None;
        }
        let Flight { batch, replies, .. } = self.in_flight.pop_front()?;
        Some(match CompletedBatch::new(batch, Ok(replies)).deliver(usize::MAX)? {
            BatchResult::Broken(error) => Err(error),
            BatchResult::Resend(mode) => {
                self.mode.add(mode);
                Ok(())
            }
            BatchResult::Delivered => Ok(()),
        })
    }

    /// There is a connection.
    pub(in crate::redis) fn connected(&mut self, publishing: Publishing) {
        let SupervisorGuard { connection, caller, .. } = &self.guard;
        self.mode = SendMode::new(connection.in_cluster, connection.in_cluster);
        self.guard.set_condition(Condition::Up { publishing });
        if connection.connected_before.swap(true, SeqCst) {
            caller.reconnected(connection.number);
        }
    }

    /// The connection is not used any more: the server is silent, or it was closed, or a reply says it.
    pub(in crate::redis) fn broke(&mut self, silent: bool, said: Option<RedisError>) {
        let connection = self.connection();
        let error = said.unwrap_or_else(|| if silent { timed_out() } else { connection_closed() });
        connection.silent.store(silent, SeqCst);
        // The drop of a batch ends its calls.
        drop(std::mem::take(&mut self.in_flight));
        self.since = sync::now();
        let connection = self.connection();
        connection.silent.store(false, SeqCst);
        let failure = connection.failure("keeping a connection", error).without_connection_since(self.since);
        self.guard.set_condition(Condition::Broken(failure));
        self.lost();
    }

    /// An attempt to connect has failed, or has had no outcome for as long as a call waits for a reply.
    pub(in crate::redis) fn is_out_of_reach(&mut self, silent: bool) {
        let error =
            if silent { timed_out() } else { std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into() };
        let failure = Failure::new(&self.connection().settings, CONNECTING, error);
        let failure = failure.without_connection_since(self.since);
        self.guard.set_condition(self.guard.outage(failure, self.since));
        if !silent {
            self.lost();
        }
    }

    fn lost(&self) {
        if self.connection().in_cluster {
            self.guard.caller.lost_node();
        }
    }

    /// Fails the calls whose time to wait for a connection is up.
    pub(in crate::redis) fn fail_waiting_calls(&self) {
        _ = self.guard.fail_waiting_calls();
    }

    /// Of the task of a cluster: the nodes have said which of them serves which slots. Calls of slots that none serves wait
    /// for the next map, or fail.
    pub(in crate::redis) fn mapped(&mut self, map: crate::redis::discovery::cluster::SlotMap) -> bool {
        let SupervisorGuard { connection, caller, .. } = &self.guard;
        connection.connected_before.store(true, SeqCst);
        self.guard.set_condition(Condition::Up { publishing: Publishing::Allowed });
        self.since = sync::now();
        let is_complete = !caller.mapped(map);
        let unserved = ::redis::make_extension_error("CLUSTERDOWN".to_owned(), None);
        _ = self.guard.fail_overdue_calls(&Failure::new(&connection.settings, CONNECTING, unserved));
        is_complete
    }

    /// Of the task of a cluster: whether the map of the slots is to be asked for.
    pub(in crate::redis) fn is_woken(&self) -> bool {
        self.connection().was_woken() || self.waiting() > 0
    }
}
