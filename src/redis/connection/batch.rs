//! [`Batch`]: calls that are sent together, in one pipeline.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::vec::IntoIter;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Pipeline, RedisError};
use tokio::time::Instant;

use super::completed_batch::CompletedBatch;
use super::error_class::is_closed;
use super::failure::{WAITING, connection_closed, timed_out};
use super::shared::Shared;
use super::{Call, Caller, Reply};
use crate::engine::Step;
use crate::redis::protocol::{self, EncodeOptions, MAX_LOCKS_PER_COMMAND, Publishing};
use crate::sync;

/// Calls that are in flight. Those without a reply when it is dropped are in doubt (K1).
pub(super) struct Batch<C: Caller> {
    pub(super) shared: Arc<Shared<C>>,
    pub(super) caller: Arc<C>,
    /// Those without a reply.
    pub(super) calls: IntoIter<Call<C::CallKind>>,
    pub(super) pipeline: Pipeline,
    /// How many commands of the pipeline load scripts. They come first; the others are calls of a script.
    pub(super) loads: usize,
    pub(super) mode: SendMode,
    pub(super) sent: Instant,
}

/// How calls are sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SendMode {
    /// The scripts are loaded first, since the server had lost one.
    pub(super) load_scripts: bool,
    /// Each call is a command of its own, since the server has refused one for several locks.
    pub(super) one_lock_per_command: bool,
    /// With a fence for each slot, since the server of a cluster has refused keys in several of its slots.
    pub(super) fence_per_slot: bool,
}

impl SendMode {
    /// How the first calls over a connection are sent.
    pub(super) fn new(one_lock_per_command: bool, in_cluster: bool) -> Self {
        Self { load_scripts: false, one_lock_per_command, fence_per_slot: in_cluster }
    }

    /// What either of them asks for.
    pub(super) fn add(&mut self, other: Self) {
        self.load_scripts |= other.load_scripts;
        self.one_lock_per_command |= other.one_lock_per_command;
        self.fence_per_slot |= other.fence_per_slot;
    }

    /// How many of these calls, from the first on, go into one command.
    pub(super) fn locks_in_next_command<K>(self, calls: &[Call<K>]) -> usize {
        let Some(first) = calls.first() else { return 0 };
        let most = if self.one_lock_per_command { 1 } else { MAX_LOCKS_PER_COMMAND };
        calls.iter().take(most).take_while(|call| call.command.step == first.command.step).count()
    }
}

impl<C: Caller> Batch<C> {
    pub(super) fn new(
        shared: &Arc<Shared<C>>,
        caller: &Arc<C>,
        calls: Vec<Call<C::CallKind>>,
        publishing: Publishing,
        mode: SendMode,
    ) -> Self {
        let mut pipeline = Pipeline::with_capacity(calls.len());
        let loads = if mode.load_scripts { protocol::load_all(&mut pipeline) } else { 0 };
        let claim = shared.settings.claim_lease();
        let options = EncodeOptions { publishing, claim, fence_per_slot: mode.fence_per_slot };
        let mut rest = calls.as_slice();
        while !rest.is_empty() {
            let (together, others) = rest.split_at(mode.locks_in_next_command(rest));
            protocol::encode(together.iter().map(|call| &call.command), &shared.keys, options, &mut pipeline);
            rest = others;
        }
        let (shared, caller, calls) = (Arc::clone(shared), Arc::clone(caller), calls.into_iter());
        // Before the first byte can be on its way: deadlines are counted from here.
        Self { shared, caller, calls, pipeline, loads, mode, sent: sync::now() }
    }

    /// Sends the calls, and waits for the replies.
    pub(super) async fn send(self, mut connection: MultiplexedConnection) -> CompletedBatch<C> {
        let answers = connection.send_packed_commands(&self.pipeline, 0, self.pipeline.len()).await;
        CompletedBatch::new(self, answers)
    }

    /// Ends the calls that have no reply, since the connection failed: each is in doubt.
    ///
    /// The exception is a release whose connection was closed. It is sent once more over the next connection: it compares
    /// the owner's token, so that a second run does no harm, and without it the caller would only learn that there was no
    /// reply. What to do about other calls is the caller's decision. An acquire is not repeated here, since it could run
    /// twice, the second time after its release.
    pub(super) fn fail_unanswered(&mut self, error: &RedisError) {
        let mut resend = Vec::new();
        let failure = self.shared.failure(WAITING, error.clone());
        for mut call in self.calls.by_ref() {
            if matches!(call.command.step, Step::Release { .. }) && !call.repeated && is_closed(error) {
                call.repeated = true;
                resend.push(call);
            } else {
                self.shared.answer(&self.caller, call, Reply::Indeterminate { error: failure.to_error() });
            }
        }
        if !resend.is_empty() {
            self.shared.queue.lock().put_back(resend);
            // The next supervisor may have looked at the queue already, if this one was deposed.
            self.shared.wake_supervisor.notify_one();
        }
    }
}

impl<C: Caller> Drop for Batch<C> {
    fn drop(&mut self) {
        if !self.calls.as_slice().is_empty() {
            let silent = self.shared.silent.load(SeqCst);
            self.fail_unanswered(&if silent { timed_out() } else { connection_closed() });
        }
    }
}
