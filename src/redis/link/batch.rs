//! [`Batch`]: calls that go out together, in one pipeline.

use std::sync::Arc;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{Pipeline, RedisError, RedisResult, Value};
use tokio::time::Instant;

use super::failure::{Failure, given_up, refused};
use super::{Call, Caller, Link, Outcome};
use crate::mutant::{Mutant, is};
use crate::redis::script::{self, Publishing};

/// How often a call is sent again because the server had forgotten its script. Each time the scripts are loaded in
/// the same pipeline, so that more than one is a server that keeps none.
const MOST_FORGOTTEN: u8 = 3;

/// Calls on their way. If it is dropped before they have their answers, their outcome is unknown (K1).
pub(super) struct Batch<C: Caller> {
    link: Arc<Link<C>>,
    caller: Arc<C>,
    calls: Vec<Call<C::Purpose>>,
    pipeline: Pipeline,
    /// How many commands come before the calls.
    loads: usize,
    sent: Instant,
}

/// A batch with its answers. They are given in the order in which batches were sent, whichever is looked at first.
pub(super) struct Flown<C: Caller> {
    batch: Batch<C>,
    answers: RedisResult<Vec<Value>>,
}

impl<C: Caller> Flown<C> {
    /// Gives every call its outcome.
    pub(super) fn land(self) -> Landed {
        self.batch.land(self.answers)
    }
}

/// How a batch came back.
pub(super) enum Landed {
    /// Every call has its outcome.
    Well,
    /// The server had forgotten scripts; their calls are at the head of the queue again.
    Forgotten,
    /// The connection is not to be used any more.
    Broken(RedisError),
}

impl<C: Caller> Batch<C> {
    pub(super) fn new(
        link: &Arc<Link<C>>,
        caller: &Arc<C>,
        calls: Vec<Call<C::Purpose>>,
        publishing: Publishing,
        load: bool,
    ) -> Self {
        let mut pipeline = Pipeline::with_capacity(calls.len());
        let mut loads = 0;
        if load {
            for script in script::all() {
                pipeline.add_command(script.load());
                loads += 1;
            }
        }
        for call in &calls {
            call.command.write(&link.keys, publishing, &mut pipeline);
        }
        Self { link: Arc::clone(link), caller: Arc::clone(caller), calls, pipeline, loads, sent: Instant::now() }
    }

    /// Sends the calls, and waits for their answers.
    pub(super) async fn fly(mut self, mut connection: MultiplexedConnection) -> Flown<C> {
        // Before the first byte can be on its way: deadlines are counted from here.
        self.sent = Instant::now();
        let expected = self.loads + self.calls.len();
        let answers = connection.req_packed_commands(&self.pipeline, 0, expected).await;
        if is(Mutant::DeadlineFromAnswer) {
            self.sent = Instant::now();
        }
        Flown { batch: self, answers }
    }

    fn land(mut self, answers: RedisResult<Vec<Value>>) -> Landed {
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => {
                self.lose(&error);
                return Landed::Broken(error);
            }
        };
        let mut forgotten = Vec::new();
        let mut broken = None;
        let calls = std::mem::take(&mut self.calls);
        let mut answers = answers.into_iter().skip(self.loads);
        for mut call in calls {
            let outcome = match answers.next().map(Value::extract_error) {
                Some(Ok(answer)) => Outcome::Answered { answer, sent: self.sent },
                Some(Err(error)) if error.code() == Some("NOSCRIPT") && call.forgotten < MOST_FORGOTTEN => {
                    call.forgotten += 1;
                    forgotten.push(call);
                    continue;
                }
                Some(Err(error)) => {
                    let outcome = Outcome::Refused(refused(&self.link.settings, error.clone()));
                    if wants_another_connection(&error) {
                        broken = Some(error);
                    }
                    outcome
                }
                None => {
                    let error = RedisError::from((::redis::ErrorKind::Parse, "fewer answers than commands"));
                    let outcome = self.unknown(&error);
                    broken = Some(error);
                    outcome
                }
            };
            self.link.answer(&self.caller, call, outcome);
        }
        let reload = !forgotten.is_empty();
        self.link.put_back(forgotten);
        match broken {
            Some(error) => Landed::Broken(error),
            None if reload => Landed::Forgotten,
            None => Landed::Well,
        }
    }

    /// Nobody knows what became of these calls.
    fn lose(&mut self, error: &RedisError) {
        for call in std::mem::take(&mut self.calls) {
            self.link.answer(&self.caller, call, self.unknown(error));
        }
    }

    fn unknown(&self, error: &RedisError) -> Outcome {
        let failure = Failure::new(&self.link.settings, "waiting for an answer", error.clone(), self.sent);
        Outcome::Unknown { error: failure.to_error() }
    }
}

impl<C: Caller> Drop for Batch<C> {
    fn drop(&mut self) {
        if !self.calls.is_empty() {
            self.lose(&given_up());
        }
    }
}

/// Answers that another connection may not give: the server has become a replica, or wants to know who we are.
fn wants_another_connection(error: &RedisError) -> bool {
    matches!(error.code(), Some("READONLY" | "NOAUTH" | "WRONGPASS"))
}
