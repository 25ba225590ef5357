//! Extending a lease because its guard asks for it.
//!
//! Of one tenure one extension is under way at a time. What is asked for meanwhile waits for its outcome, and then counts
//! from the moment at which it is sent. So there is one lease to go back to if the server refuses.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ownership::{Extending, Ownership};
use super::{CallKind, Command, Deferred, Extension, Locks, Step, minus_clock_drift};
use crate::backend::Lease;
use crate::redis::connection::Reply;
use crate::redis::lease::RedisLease;
use crate::redis::protocol::flag;
use crate::{LockError, Resource};

impl Locks {
    /// Asks for another end of a lease; the answer, or where it will come. `false` if the lock is not ours any more.
    pub(in crate::redis) fn extend(
        &self,
        lease: &Arc<RedisLease>,
        duration: Duration,
    ) -> Result<bool, oneshot::Receiver<Result<bool, LockError>>> {
        let resource = lease.state().resource();
        let mut shard = self.shard(resource);
        let Some((entry, after)) = shard.find(resource).filter(|_| lease.state().is_held()) else { return Ok(false) };
        let Some(ownership) = entry.ownership_held_by(lease) else { return Ok(false) };
        let (answer, answered) = oneshot::channel();
        let extension = Box::new(Extension { lease: Arc::clone(lease), duration, answer });
        match ownership.extending() {
            Some(extending) => extending.waiting.push_back(extension),
            None => self.begin_extension(resource, ownership, extension, VecDeque::new(), after),
        }
        Err(answered)
    }

    /// Sends an extension, behind which others wait.
    fn begin_extension(
        &self,
        resource: &Resource,
        ownership: &mut Ownership,
        extension: Box<Extension>,
        waiting: VecDeque<Box<Extension>>,
        after: &mut Deferred,
    ) {
        // It counts from the moment at which the server does it, and that may be long before its answer (R2).
        let (now, lease) = (Instant::now(), extension.duration);
        if ownership.extension_begins(now, lease, waiting) {
            _ = after.renew(&extension.lease, now, now, minus_clock_drift(lease));
            self.schedule(resource, ownership, now);
        }
        self.push_for(ownership, resource, Step::Reset { lease }, CallKind::Extend(extension));
    }

    pub(super) fn extend_answered(&self, command: &Command, extension: Box<Extension>, outcome: Reply) {
        let extended = self.extended(command, &extension, outcome);
        // Nobody is there to hear it if the guard's future was dropped; the lease is as the server said all the same.
        _ = extension.answer.send(extended);
    }

    fn extended(&self, command: &Command, extension: &Extension, outcome: Reply) -> Result<bool, LockError> {
        let Command { resource, token, .. } = command;
        let mut shard = self.shard(resource);
        let Some((entry, after)) = shard.find(resource) else { return Ok(false) };
        let Some(ownership) = entry.ownership_of(*token) else { return Ok(false) };
        let Some(extending) = ownership.extension_answered() else { return Ok(false) };
        let Extending { may_end, before, waiting } = *extending;
        let Extension { lease, duration, .. } = extension;
        let ours = ownership.holder.as_ref().is_some_and(|holder| Arc::ptr_eq(holder, lease));
        let now = Instant::now();
        let (answer, sent) = match outcome {
            Reply::Answered { answer, sent } => (flag(&answer), sent),
            // It has not run. An error of the server says so too: the script reads before it writes, and what it writes last
            // is the end of the lease (S4).
            Reply::Refused(error) => {
                self.restore(resource, ownership, before, now, after);
                self.extend_next(resource, ownership, waiting, after);
                return Err(error);
            }
            Reply::NotSent(error) => {
                self.restore(resource, ownership, before, now, after);
                after.extensions_failed(waiting, &error);
                return Err(error);
            }
            // What waits would wait as long again.
            Reply::Indeterminate { error } => {
                self.in_doubt(resource, ownership, (*duration, may_end), now, after);
                after.extensions_failed(waiting, &error);
                return Err(error);
            }
        };
        match answer {
            Ok(Some(_)) => {
                // For whoever holds it now: the server counts anew in any case.
                ownership.renewed(sent, *duration);
                let length = ownership.ends().saturating_duration_since(sent);
                let renewed = ownership.holder.as_ref().is_some_and(|holder| after.renew(holder, now, sent, length));
                if ownership.holder.is_some() && !renewed {
                    after.extensions_refused(waiting);
                    self.end_lost(resource, &mut shard, now);
                    return Ok(false);
                }
                let late = ownership.late_extension().filter(|late| ours && renewed && late < duration);
                self.schedule(resource, ownership, now);
                self.extend_next(resource, ownership, waiting, after);
                match late {
                    Some(late) => Err(LockError::unavailable(format!(
                        "the lease was extended, but an earlier extension to {late:?} was never answered, and may be done \
                         yet"
                    ))),
                    None => Ok(ours && renewed),
                }
            }
            Ok(None) => {
                after.extensions_refused(waiting);
                self.lose_ownership(resource, entry, now, after);
                self.clean_up_entry(resource, &mut shard);
                Ok(false)
            }
            // An answer that no script of ours gives says nothing of what was done.
            Err(error) => {
                self.in_doubt(resource, ownership, (*duration, may_end), now, after);
                after.extensions_failed(waiting, &error);
                Err(error)
            }
        }
    }

    /// The next of those that have waited, if whoever asked for it holds the lock still and waits for it.
    fn extend_next(
        &self,
        resource: &Resource,
        ownership: &mut Ownership,
        mut waiting: VecDeque<Box<Extension>>,
        after: &mut Deferred,
    ) {
        while let Some(next) = waiting.pop_front() {
            let holds = ownership.holder.as_ref().is_some_and(|holder| Arc::ptr_eq(holder, &next.lease));
            if holds && next.lease.state().is_held() && !next.answer.is_closed() {
                return self.begin_extension(resource, ownership, next, waiting, after);
            }
            after.extension_answered(next, Ok(false));
        }
    }

    /// The lease is as it was before it was to be shortened.
    fn restore(
        &self,
        resource: &Resource,
        ownership: &mut Ownership,
        before: Option<(Duration, Instant)>,
        now: Instant,
        after: &mut Deferred,
    ) {
        let Some(before) = before else { return };
        ownership.restored(before);
        if let Some(holder) = &ownership.holder {
            _ = after.renew(holder, now, now, ownership.ends().saturating_duration_since(now));
        }
        self.schedule(resource, ownership, now);
    }

    /// Nobody knows whether it was done: the earlier end is the one to believe in (R2).
    fn in_doubt(
        &self,
        resource: &Resource,
        ownership: &mut Ownership,
        (duration, may_end): (Duration, Instant),
        now: Instant,
        after: &mut Deferred,
    ) {
        if ownership.extension_in_doubt(duration, may_end)
            && let Some(holder) = &ownership.holder
        {
            _ = after.renew(holder, now, now, may_end.saturating_duration_since(now));
        }
        self.schedule(resource, ownership, now);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use ::redis::Value;

    use super::*;
    use crate::redis::connection::{Call, Caller};
    use crate::redis::engine::stage::{Stage, TTL};

    fn is_extension(kind: &CallKind) -> bool {
        matches!(kind, CallKind::Extend(_))
    }

    fn lease_of(call: &Call<CallKind>) -> Duration {
        let Step::Reset { lease } = call.command.step else { return Duration::ZERO };
        lease
    }

    fn refused() -> Reply {
        Reply::Refused(LockError::backend("refused"))
    }

    /// The server says no, or was not reached: the lease is what it was, for `is_held` and for the next of this process.
    #[tokio::test(start_paused = true)]
    async fn a_refused_shortening_changes_nothing() {
        for outcome in [refused(), Reply::NotSent(LockError::unavailable("away"))] {
            let stage = Stage::new();
            let guard = stage.held(&stage.resource);
            let ends = guard.expires_at();
            let mut extending = pin!(guard.extend(TTL / 30));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(extending.as_mut().poll(&mut cx).is_pending());
            assert!(guard.expires_at() < ends, "it may have been done");
            tokio::time::advance(TTL / 60).await;
            stage.locks().answered(stage.call(is_extension), outcome);
            assert!(matches!(extending.poll(&mut cx), Poll::Ready(Err(_))));
            assert_eq!(guard.expires_at(), ends);
            tokio::time::advance(TTL / 30).await;
            assert!(guard.is_held());
        }
    }

    /// The second counts from when it is sent, and if the first is refused, goes back to what was before both.
    #[tokio::test(start_paused = true)]
    async fn one_extension_is_under_way_at_a_time() {
        let stage = Stage::new();
        let guard = stage.held(&stage.resource);
        let ends = guard.expires_at();
        let mut cx = Context::from_waker(Waker::noop());
        let (mut first, mut second, mut third) =
            (pin!(guard.extend(TTL / 2)), pin!(guard.extend(TTL / 3)), pin!(guard.extend(TTL * 2)));
        for extending in [&mut first, &mut second] {
            assert!(extending.as_mut().poll(&mut cx).is_pending());
        }
        assert!(third.as_mut().poll(&mut cx).is_pending());
        let call = stage.call(is_extension);
        assert_eq!((lease_of(&call), stage.locks().connection.take_pushed().count()), (TTL / 2, 0));
        stage.locks().answered(call, refused());
        assert!(matches!(first.poll(&mut cx), Poll::Ready(Err(_))));

        let call = stage.call(is_extension);
        assert_eq!(lease_of(&call), TTL / 3);
        stage.locks().answered(call, refused());
        assert!(matches!(second.poll(&mut cx), Poll::Ready(Err(_))));
        assert_eq!(guard.expires_at(), ends);

        tokio::time::advance(TTL / 10).await;
        let sent = Instant::now();
        let call = stage.call(is_extension);
        stage.locks().answered(call, Reply::Answered { answer: Value::Int(1), sent });
        assert!(matches!(third.poll(&mut cx), Poll::Ready(Ok(true))));
        assert_eq!(guard.expires_at(), sent + minus_clock_drift(TTL * 2));
    }
}
