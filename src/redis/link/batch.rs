//! [`Batch`]: calls that go out together, in one pipeline.

use std::sync::Arc;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{Pipeline, RedisError, RedisResult, Value};
use tokio::time::Instant;

use super::failure::{Failure, given_up, refused};
use super::{Call, Caller, Link, Outcome};
use crate::mutant::{Mutant, is};
use crate::redis::script::{self, Answers, MOST_IN_A_CALL, Publishing};

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
    /// How many calls go together in each of the commands after those.
    together: Vec<usize>,
    sent: Instant,
}

/// A batch with its answers. They are given in the order in which batches were sent, whichever is looked at first.
pub(super) struct Flown<C: Caller> {
    batch: Batch<C>,
    answers: RedisResult<Vec<Value>>,
}

impl<C: Caller> Flown<C> {
    pub(super) fn len(&self) -> usize {
        self.batch.calls.len()
    }

    /// Gives every call its outcome.
    pub(super) fn land(self) -> Landed {
        self.batch.land(self.answers)
    }
}

/// How a batch came back.
pub(super) enum Landed {
    /// Every call has its outcome.
    Well,
    /// Some have none, and are at the head of the queue again, to be sent in another way.
    Again(Way),
    /// The connection is not to be used any more.
    Broken(RedisError),
}

/// How calls are sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Way {
    /// The server has forgotten scripts, which are loaded first.
    pub(super) load: bool,
    /// Each call in a command of its own, since the server has refused one for several.
    pub(super) apart: bool,
}

impl<C: Caller> Batch<C> {
    pub(super) fn new(
        link: &Arc<Link<C>>,
        caller: &Arc<C>,
        calls: Vec<Call<C::Purpose>>,
        publishing: Publishing,
        way: Way,
    ) -> Self {
        let mut pipeline = Pipeline::with_capacity(calls.len());
        let loads = if way.load { script::load_all(&mut pipeline) } else { 0 };
        let most = if way.apart { 1 } else { MOST_IN_A_CALL };
        let mut together = Vec::new();
        let alike = calls.chunk_by(|one, next| one.command.step == next.command.step);
        for calls in alike.flat_map(|alike| alike.chunks(most)) {
            script::write(calls.iter().map(|call| &call.command), &link.keys, publishing, &mut pipeline);
            together.push(calls.len());
        }
        let (link, caller) = (Arc::clone(link), Arc::clone(caller));
        Self { link, caller, calls, pipeline, loads, together, sent: Instant::now() }
    }

    /// Sends the calls, and waits for their answers.
    pub(super) async fn fly(mut self, mut connection: MultiplexedConnection) -> Flown<C> {
        // Before the first byte can be on its way: deadlines are counted from here.
        self.sent = Instant::now();
        let expected = self.loads + self.together.len();
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
        let mut again = Vec::new();
        let mut way = Way::default();
        let mut broken = None;
        let mut calls = std::mem::take(&mut self.calls).into_iter();
        let mut answers = answers.into_iter().skip(self.loads);
        for together in std::mem::take(&mut self.together) {
            let mut answers = Answers::of(answers.next(), together);
            let of_several = together > 1 && answers.refusal().is_some_and(is_of_several);
            let apart = of_several && !is(Mutant::RefusedTogetherIsRefused);
            way.apart |= apart;
            for mut call in calls.by_ref().take(together) {
                let outcome = match answers.next() {
                    Some(_) if apart => {
                        again.push(call);
                        continue;
                    }
                    Some(Ok(answer)) => Outcome::Answered { answer, sent: self.sent },
                    Some(Err(error)) if error.code() == Some("NOSCRIPT") && call.forgotten < MOST_FORGOTTEN => {
                        call.forgotten += 1;
                        way.load = true;
                        again.push(call);
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
                        let error = RedisError::from((::redis::ErrorKind::Parse, "not as many answers as commands"));
                        let outcome = self.unknown(&error);
                        broken = Some(error);
                        outcome
                    }
                };
                self.link.answer(&self.caller, call, outcome);
            }
        }
        let sent_again = !again.is_empty();
        self.link.put_back(again);
        match broken {
            Some(error) => Landed::Broken(error),
            None if sent_again => Landed::Again(way),
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

/// Refusals of a command for several locks that one for each of them need not meet: they are in different slots of a
/// cluster, or one of them is a name that we may not use. The server says so before it begins with the script.
fn is_of_several(error: &RedisError) -> bool {
    matches!(error.code(), Some("CROSSSLOT" | "NOPERM"))
}
