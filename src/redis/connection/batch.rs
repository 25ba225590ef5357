//! [`Batch`]: calls that go out together, in one pipeline.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::vec::IntoIter;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{Pipeline, RedisError, RedisResult, Value};
use tokio::time::Instant;

use super::failure::{Failure, given_up, refused, too_slow};
use super::reply::{Verdict, is_closed, is_of_several, verdict};
use super::{Call, Caller, Connection, Reply};
use crate::engine::Step;
use crate::redis::protocol::{self, Answers, MOST_IN_A_CALL, Manner, Publishing};

/// How often a call is sent again because the server had forgotten its script. Each time the scripts are loaded in the
/// same pipeline. Of a long one the server may read the rest after another client has flushed the scripts, and that
/// several times in a row if it goes on; as many times as this is a server that keeps none.
const MOST_FORGOTTEN: u8 = 16;

/// Calls on their way. What has no outcome when it is dropped has an unknown one (K1).
pub(super) struct Batch<C: Caller> {
    connection: Arc<Connection<C>>,
    caller: Arc<C>,
    calls: IntoIter<Call<C::CallKind>>,
    pipeline: Pipeline,
    /// How many commands come before the calls.
    loads: usize,
    /// How many calls go together in each of the commands after those.
    together: IntoIter<usize>,
    by_slot: bool,
    sent: Instant,
}

/// How a batch came back.
pub(super) enum BatchResult {
    /// Every call has its outcome.
    Well,
    /// Some have none, and are at the head of the queue again, to be sent in another way.
    Again(SendMode),
    /// The connection is not to be used any more.
    Broken(RedisError),
}

/// How calls are sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SendMode {
    /// The server has forgotten scripts, which are loaded first.
    pub(super) load: bool,
    /// Each call in a command of its own, since the server has refused one for several.
    pub(super) apart: bool,
    /// With the keys of a cluster, whose server has refused keys in several of its slots.
    pub(super) by_slot: bool,
}

impl<C: Caller> Batch<C> {
    pub(super) fn new(
        connection: &Arc<Connection<C>>,
        caller: &Arc<C>,
        calls: Vec<Call<C::CallKind>>,
        publishing: Publishing,
        way: SendMode,
    ) -> Self {
        let mut pipeline = Pipeline::with_capacity(calls.len());
        let loads = if way.load { protocol::load_all(&mut pipeline) } else { 0 };
        let most = if way.apart { 1 } else { MOST_IN_A_CALL };
        let by_slot = way.by_slot;
        let manner = Manner { publishing, claim: connection.settings.claim_lease(), by_slot };
        let mut together = Vec::new();
        let alike = calls.chunk_by(|one, next| one.command.step == next.command.step);
        for calls in alike.flat_map(|alike| alike.chunks(most)) {
            protocol::write(calls.iter().map(|call| &call.command), &connection.keys, manner, &mut pipeline);
            together.push(calls.len());
        }
        let (connection, caller) = (Arc::clone(connection), Arc::clone(caller));
        let (calls, together) = (calls.into_iter(), together.into_iter());
        Self { connection, caller, calls, pipeline, loads, together, by_slot, sent: Instant::now() }
    }

    /// Sends the calls, and waits for their answers.
    pub(super) async fn send(mut self, mut connection: MultiplexedConnection) -> CompletedBatch<C> {
        // Before the first byte can be on its way: deadlines are counted from here.
        self.sent = Instant::now();
        let expected = self.loads + self.together.len();
        let answers = connection.req_packed_commands(&self.pipeline, 0, expected).await;
        CompletedBatch::new(self, answers)
    }

    /// Nobody knows what became of the calls that are left.
    ///
    /// A release whose connection was closed is sent once more over the next one: it compares the owner's token, so that
    /// it cannot do harm, and its caller would only be told that it was not answered. The rest is for those to decide who
    /// made the calls. An acquire is not repeated here, since it could run twice, the second time after its release.
    fn lose(&mut self, error: &RedisError) {
        let mut again = Vec::new();
        while let Some(mut call) = self.calls.next() {
            if call.command.step == Step::Release && !call.repeated && is_closed(error) {
                call.repeated = true;
                again.push(call);
            } else {
                self.connection.answer(&self.caller, call, self.unknown(error));
            }
        }
        if !again.is_empty() {
            self.connection.put_back(again);
        }
    }

    fn unknown(&self, error: &RedisError) -> Reply {
        let failure = Failure::new(&self.connection.settings, "waiting for an answer", error.clone(), self.sent);
        Reply::Indeterminate { error: failure.to_error() }
    }
}

impl<C: Caller> Drop for Batch<C> {
    fn drop(&mut self) {
        if !self.calls.as_slice().is_empty() {
            let silent = self.connection.silent.load(SeqCst);
            self.lose(&if silent { too_slow() } else { given_up() });
        }
    }
}

/// A batch with its answers. They are given in the order in which batches were sent, whichever is looked at first.
pub(super) struct CompletedBatch<C: Caller> {
    batch: Batch<C>,
    /// Of the commands that have not been looked at.
    answers: IntoIter<Value>,
    /// Those of one command, for so many calls that have no outcome yet.
    of_one: Answers,
    left: usize,
    /// The command is to be sent again for each of its calls.
    apart: bool,
    again: Vec<Call<C::CallKind>>,
    way: SendMode,
    /// There are no answers.
    failed: Option<RedisError>,
    /// Its connection is not to be used any more.
    broken: Option<RedisError>,
}

impl<C: Caller> CompletedBatch<C> {
    fn new(batch: Batch<C>, answers: RedisResult<Vec<Value>>) -> Self {
        let (answers, failed) = match answers {
            Ok(answers) => (answers, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut answers = answers.into_iter();
        answers.by_ref().take(batch.loads).for_each(drop);
        let (of_one, way) = (Answers::of(None, 0), SendMode::default());
        Self { batch, answers, of_one, left: 0, apart: false, again: Vec::new(), way, failed, broken: None }
    }

    /// For how many calls there are outcomes to be told.
    pub(super) fn len(&self) -> usize {
        self.batch.calls.len()
    }

    /// Whether nothing has been found so far that is to be done before anything else is sent.
    pub(super) fn is_well(&self) -> bool {
        self.broken.is_none() && self.again.is_empty()
    }

    /// Gives their outcome to so many calls at most. Afterwards, once all have theirs, how the batch came back.
    pub(super) fn dispatch_replies(&mut self, most: usize) -> Option<BatchResult> {
        if let Some(error) = self.failed.take() {
            self.batch.lose(&error);
            return Some(BatchResult::Broken(error));
        }
        for _ in 0..most {
            let Some(call) = self.batch.calls.next() else { break };
            self.dispatch_reply(call);
        }
        if self.len() > 0 {
            return None;
        }
        let sent_again = !self.again.is_empty();
        self.batch.connection.put_back(std::mem::take(&mut self.again));
        Some(match self.broken.take() {
            Some(error) => BatchResult::Broken(error),
            None if sent_again => BatchResult::Again(self.way),
            None => BatchResult::Well,
        })
    }

    fn dispatch_reply(&mut self, mut call: Call<C::CallKind>) {
        if self.left == 0 {
            self.left = self.batch.together.next().unwrap_or_default();
            self.of_one = Answers::of(self.answers.next(), self.left);
            let refusal = self.of_one.refusal();
            let of_slots = !self.batch.by_slot && refusal.is_some_and(|error| error.code() == Some("CROSSSLOT"));
            let of_several = self.left > 1 && refusal.is_some_and(is_of_several);
            self.apart = of_slots || of_several;
            self.way.apart |= self.apart;
            self.way.by_slot |= of_slots;
        }
        self.left = self.left.saturating_sub(1);
        let settings = &self.batch.connection.settings;
        let outcome = match self.of_one.next() {
            Some(_) if self.apart => return self.again.push(call),
            Some(Ok(answer)) => Reply::Answered { answer, sent: self.batch.sent },
            Some(Err(error)) => match verdict(&error) {
                Verdict::Forgotten if call.forgotten < MOST_FORGOTTEN => {
                    call.forgotten += 1;
                    self.way.load = true;
                    return self.again.push(call);
                }
                Verdict::NotHere => {
                    let now = Instant::now();
                    self.broken = Some(error.clone());
                    if call.may_wait_for(now, settings.response_timeout).is_some() {
                        return self.again.push(call);
                    }
                    Reply::NotSent(Failure::new(settings, "running a command", error, now).to_error())
                }
                Verdict::AnotherConnection => {
                    self.broken = Some(error.clone());
                    Reply::Refused(refused(settings, error))
                }
                Verdict::Forgotten | Verdict::Final => Reply::Refused(refused(settings, error)),
            },
            None => {
                let error = RedisError::from((::redis::ErrorKind::Parse, "not as many answers as commands"));
                let outcome = self.batch.unknown(&error);
                self.broken = Some(error);
                outcome
            }
        };
        self.batch.connection.answer(&self.batch.caller, call, outcome);
    }
}

impl<C: Caller> Drop for CompletedBatch<C> {
    fn drop(&mut self) {
        // Its runtime ends: what is known is told.
        while self.dispatch_replies(usize::MAX).is_none() {}
    }
}
