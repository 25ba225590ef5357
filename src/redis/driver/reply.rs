//! [`Replied`]: what the server's reply to a call means, and to whom.

use ::redis::Value;
use tokio::sync::oneshot;

use crate::LockError;
use crate::backend::Release;
use crate::engine::{self, CallKind, CancelReply, Event, Host, OwnerToken, Refusal, Step, TtlMillis};
use crate::redis::connection::{Reply, was_closed_before_reply};
use crate::redis::protocol::{acquired, cancel_reply, owner_reply};

/// The outcome of a call, for the part that asked for it.
pub(in crate::redis) enum Replied<'a, H: Host> {
    /// For the lock.
    Lock(Event<'a, H>),
    /// For a release, and for the caller that waits for it, if one does.
    Release {
        result: Result<Release, LockError>,
        answer: Option<oneshot::Sender<Result<Release, LockError>>>,
        /// For how long the name is to stay taken.
        keep: Option<TtlMillis>,
    },
    /// For a cancellation.
    Cancellation(engine::Reply<CancelReply>),
}

impl<H: Host> Replied<'_, H> {
    /// The reply to a call, which was `repeated` if the connection was closed before its first reply.
    pub(in crate::redis) fn read(
        kind: CallKind<H>,
        step: Step,
        token: OwnerToken,
        reply: Reply,
        repeated: bool,
    ) -> Self {
        Self::Lock(match (kind, step) {
            (CallKind::Acquire, _) => Event::AcquireReply { token, step, reply: read(reply, acquired) },
            (CallKind::Attempt(attempt, waiter), _) => {
                Event::AttemptReply { token, attempt, waiter, reply: read(reply, acquired) }
            }
            (CallKind::LocalHandover { permit }, Step::Reset { lease, floor }) => {
                Event::HandoverReply { token, lease, floor, permit, reply: read(reply, owner_reply) }
            }
            // Of the readers of this process, for one more.
            (CallKind::LocalHandover { permit }, Step::Renew { lease }) => {
                Event::HandoverReply { token, lease, floor: None, permit, reply: read(reply, owner_reply) }
            }
            (CallKind::Renew, Step::Renew { lease }) => {
                Event::RenewReply { token, lease, reply: read(reply, owner_reply) }
            }
            (CallKind::Extend(extension), _) => {
                Event::ExtendReply { token, extension, reply: read(reply, owner_reply) }
            }
            (CallKind::Check | CallKind::LocalHandover { .. } | CallKind::Renew, _) => {
                Event::CheckReply { token, reply: read(reply, owner_reply) }
            }
            (CallKind::Release(answer), step) => {
                return Self::Release { result: released(reply, repeated), answer: Some(answer), keep: keep(step) };
            }
            (CallKind::LetGo, step) => {
                return Self::Release { result: released(reply, false), answer: None, keep: keep(step) };
            }
            (CallKind::Cancel { .. } | CallKind::CancelAgain, _) => {
                return Self::Cancellation(read(reply, cancel_reply));
            }
        })
    }
}

/// A reply, whose value `decode` reads.
fn read<T>(reply: Reply, decode: impl FnOnce(&Value) -> Result<T, LockError>) -> engine::Reply<T> {
    match reply {
        Reply::Answered { answer, sent } => match decode(&answer) {
            Ok(result) => engine::Reply::Done { result, sent },
            Err(error) => engine::Reply::Garbled(error),
        },
        Reply::Refused(error) => {
            engine::Reply::Refused(Refusal { is_passing: is_passing(&error), has_not_run: has_not_run(&error), error })
        }
        Reply::NotSent(error) => engine::Reply::NotSent(error),
        Reply::Indeterminate { error } => {
            engine::Reply::Indeterminate { was_cut: was_closed_before_reply(&error), error }
        }
    }
}

/// For how long a release leaves the name taken.
fn keep(step: Step) -> Option<TtlMillis> {
    if let Step::Release { keep } = step { keep } else { None }
}

/// The reply to a release, which was `repeated` if the connection was closed before its first reply.
fn released(reply: Reply, repeated: bool) -> Result<Release, LockError> {
    match read(reply, owner_reply) {
        engine::Reply::Done { result: Some(_), .. } => Ok(Release::Released),
        // The lock was ours when the release was first sent. That it is gone is what the first one has done, if nothing else
        // has: it is free, as was asked for.
        engine::Reply::Done { result: None, .. } if repeated => Ok(Release::Released),
        engine::Reply::Done { result: None, .. } => Ok(Release::AlreadyLost),
        engine::Reply::Refused(Refusal { error, .. })
        | engine::Reply::Garbled(error)
        | engine::Reply::NotSent(error)
        | engine::Reply::Indeterminate { error, .. } => Err(error),
    }
}

/// Whether an error of the server is likely to pass: callers that wait go on waiting, and what has to be cancelled still
/// has to be.
fn is_passing(error: &LockError) -> bool {
    const PASSING: [&str; 6] = ["BUSY", "OOM", "MISCONF", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN"];
    code(error).is_some_and(|code| PASSING.contains(&code))
}

/// Whether the server refused before it began with the script.
fn has_not_run(error: &LockError) -> bool {
    const BEFORE_IT_BEGAN: [&str; 4] = ["BUSY", "NOAUTH", "NOPERM", "NOSCRIPT"];
    code(error).is_some_and(|code| BEFORE_IT_BEGAN.contains(&code)) && !error.to_string().contains("script: ")
}

/// The code of the server's error.
fn code(error: &LockError) -> Option<&str> {
    let source = std::error::Error::source(error).and_then(std::error::Error::source);
    source.and_then(|source| source.downcast_ref::<::redis::RedisError>()).and_then(::redis::RedisError::code)
}
