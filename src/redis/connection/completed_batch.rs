//! [`CompletedBatch`]: a batch that came back, and the reply to each of its calls.

use std::vec::IntoIter;

use ::redis::{RedisError, RedisResult, Value};

use super::batch::{Batch, SendMode};
use super::error_class::{ErrorClass, classify, may_be_of_one_lock, redirect, stopped};
use super::failure::{RUNNING, WAITING};
use super::{Call, Caller, Redirect, Reply};
use crate::redis::connection_string::Server;
use crate::redis::protocol::Answers;
use crate::sync;

/// How often a call is sent again because the server had no script for it. Each time the scripts are loaded in the same
/// pipeline. While a server works on a long pipeline another client may flush the scripts, and may do so several times in a
/// row. A server that has none after this many attempts keeps none.
const MAX_SCRIPT_RELOADS: u8 = 16;

/// What became of a batch.
pub(super) enum BatchResult {
    /// Every call has its reply.
    Delivered,
    /// Some calls have none and are at the head of the queue again, to be sent in this mode.
    Resend(SendMode),
    /// The connection is not to be used any more.
    Broken(RedisError),
}

/// What becomes of one call.
enum Outcome {
    Reply(Reply),
    /// It has not run, and is sent again.
    Resend,
    /// It has not run, or not to its end, and another node of the cluster may run it.
    Redirect(Redirect),
}

/// A batch whose commands have been answered. Its replies are delivered in the order in which its calls were sent.
pub(super) struct CompletedBatch<C: Caller> {
    batch: Batch<C>,
    /// Of the commands whose replies have not been delivered.
    answers: IntoIter<Value>,
    /// Of the present command: its answers, and how many of its calls have no reply.
    current: Answers,
    current_left: usize,
    /// The present command was refused and is sent again as one command for each of its calls.
    split_current: bool,
    resend: Vec<Call<C::CallKind>>,
    /// How those are sent.
    resend_mode: SendMode,
    /// Calls for other nodes of the cluster.
    redirected: Vec<(Call<C::CallKind>, Redirect)>,
    /// The whole pipeline has failed.
    failed: Option<RedisError>,
    /// Why the connection is not to be used any more.
    broken: Option<RedisError>,
}

impl<C: Caller> CompletedBatch<C> {
    pub(super) fn new(batch: Batch<C>, answers: RedisResult<Vec<Value>>) -> Self {
        let (answers, failed) = match answers {
            Ok(answers) => (answers, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut answers = answers.into_iter();
        answers.by_ref().take(batch.loads).for_each(drop);
        Self {
            batch,
            answers,
            current: Answers::new(None, 0),
            current_left: 0,
            split_current: false,
            resend: Vec::new(),
            resend_mode: SendMode::default(),
            redirected: Vec::new(),
            failed,
            broken: None,
        }
    }

    /// How many calls have no reply.
    pub(super) fn len(&self) -> usize {
        self.batch.calls.len()
    }

    /// Whether other calls may be sent before the rest of these replies is delivered: the connection is to be used further,
    /// and no call is to be sent again, which would have to go first (K2).
    pub(super) fn allows_sending(&self) -> bool {
        self.broken.is_none() && self.resend.is_empty()
    }

    /// Delivers so many replies at most. Returns what became of the batch once all are delivered.
    pub(super) fn deliver(&mut self, most: usize) -> Option<BatchResult> {
        if let Some(error) = self.failed.take() {
            self.batch.fail_unanswered(&error);
            return Some(BatchResult::Broken(error));
        }
        for _ in 0..most.min(self.len()) {
            if self.current_left == 0 {
                self.next_command();
            }
            let Some(mut call) = self.batch.calls.next() else { break };
            match self.reply_to(&mut call) {
                Outcome::Reply(reply) => self.batch.shared.answer(&self.batch.caller, call, reply),
                Outcome::Resend => self.resend.push(call),
                Outcome::Redirect(redirect) => self.redirected.push((call, redirect)),
            }
        }
        if self.len() > 0 {
            return None;
        }
        let redirected = std::mem::take(&mut self.redirected);
        if !redirected.is_empty() {
            self.batch.caller.redirected(redirected);
        }
        let unsent = std::mem::take(&mut self.resend);
        let sends_again = !unsent.is_empty();
        if sends_again {
            self.batch.shared.queue.lock().put_back(unsent);
        }
        Some(match self.broken.take() {
            Some(error) => BatchResult::Broken(error),
            None if sends_again => BatchResult::Resend(self.resend_mode),
            None => BatchResult::Delivered,
        })
    }

    /// What becomes of this call, the next of the present command.
    fn reply_to(&mut self, call: &mut Call<C::CallKind>) -> Outcome {
        self.current_left = self.current_left.saturating_sub(1);
        let shared = &self.batch.shared;
        let error = match self.current.next() {
            Some(_) if self.split_current => return Outcome::Resend,
            Some(Ok(answer)) => return Outcome::Reply(Reply::Answered { answer, sent: self.batch.sent }),
            Some(Err(error)) => error,
            None => {
                let error = RedisError::from((::redis::ErrorKind::Parse, "not as many answers as commands"));
                let failure = shared.failure(WAITING, error.clone());
                self.broken = Some(error);
                return Outcome::Reply(Reply::Indeterminate { error: failure.to_error() });
            }
        };
        match classify(&error, shared.in_cluster) {
            ErrorClass::NoScript if call.script_reloads < MAX_SCRIPT_RELOADS => {
                call.script_reloads += 1;
                self.resend_mode.load_scripts = true;
                return Outcome::Resend;
            }
            class @ (ErrorClass::NotHere | ErrorClass::Redirected) => {
                if class == ErrorClass::NotHere {
                    self.broken = Some(error.clone());
                }
                // A release may have freed the lock before it was stopped.
                call.repeated |= stopped(&error);
                if call.may_wait_for(sync::now(), shared.settings.response_timeout).is_none() {
                    return Outcome::Reply(call.unsent(shared.failure(RUNNING, error).to_error()));
                }
                return match (class, shared.node()) {
                    (ErrorClass::Redirected, Some(node)) => Outcome::Redirect(redirect_of(call, &error, &node)),
                    _ => Outcome::Resend,
                };
            }
            ErrorClass::NotAuthenticated => self.broken = Some(error.clone()),
            ErrorClass::NoScript | ErrorClass::Final => {}
        }
        Outcome::Reply(Reply::Refused(shared.failure(RUNNING, error).to_refusal()))
    }

    /// Goes on with the answers of the next command. It is for as many of the calls that are left as when it was encoded.
    fn next_command(&mut self) {
        let mode = self.batch.mode;
        self.current_left = mode.locks_in_next_command(self.batch.calls.as_slice());
        self.current = Answers::new(self.answers.next(), self.current_left);
        let refusal = self.current.refusal();
        let of_slots = !mode.fence_per_slot && refusal.is_some_and(|error| error.code() == Some("CROSSSLOT"));
        let of_several = self.current_left > 1 && refusal.is_some_and(may_be_of_one_lock);
        self.split_current = of_slots || of_several;
        self.resend_mode.one_lock_per_command |= self.split_current;
        self.resend_mode.fence_per_slot |= of_slots;
    }
}

/// How often a call follows the nodes at once that name another one. While a slot moves two of them may name each other.
const MAX_MOVES: u8 = 3;

fn redirect_of<K>(call: &mut Call<K>, error: &RedisError, node: &Server) -> Redirect {
    let redirect = redirect(error, node);
    call.moves = if redirect == Redirect::Later { 0 } else { call.moves + 1 };
    if call.moves > MAX_MOVES {
        call.moves = 0;
        return Redirect::Later;
    }
    redirect
}

impl<C: Caller> Drop for CompletedBatch<C> {
    fn drop(&mut self) {
        // The runtime ends. The replies are known, so they are delivered.
        while self.deliver(usize::MAX).is_none() {}
    }
}
