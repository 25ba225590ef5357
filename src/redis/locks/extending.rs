//! Extending a lease because its guard asks for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Command, Extension, Locks, Purpose, Step, worth};
use crate::LockError;
use crate::provider::Lease;
use crate::redis::lease::RedisLease;
use crate::redis::link::Outcome;
use crate::redis::script::flag;

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
        let Some(tenure) = entry.tenure_held_by(lease) else { return Ok(false) };
        // It counts from the moment at which the server does it, and that may be long before its answer (R2).
        let now = Instant::now();
        let may_end = now + worth(duration);
        if tenure.extension_begins(may_end) {
            tenure.renewed(now, duration);
            _ = after.renew(lease, now, now, worth(duration));
            self.schedule(resource, tenure, now);
        }
        let (answer, answered) = oneshot::channel();
        let purpose = Purpose::Extend(Box::new(Extension { lease: Arc::clone(lease), duration, may_end, answer }));
        self.push_for(tenure, resource, Step::Reset { lease: duration }, purpose);
        Err(answered)
    }

    pub(super) fn extend_answered(&self, command: &Command, extension: Extension, outcome: Outcome) {
        let Extension { lease, duration, may_end, answer } = extension;
        let extended = self.extended(command, &lease, (duration, may_end), outcome);
        // Nobody is there to hear it if the guard's future was dropped; the lease is as the server said all the same.
        _ = answer.send(extended);
    }

    fn extended(
        &self,
        command: &Command,
        lease: &Arc<RedisLease>,
        (duration, may_end): (Duration, Instant),
        outcome: Outcome,
    ) -> Result<bool, LockError> {
        let Command { resource, token, .. } = command;
        let mut shard = self.shard(resource);
        let Some((entry, after)) = shard.find(resource) else { return Ok(false) };
        let Some(tenure) = entry.tenure_of(*token) else { return Ok(false) };
        let ours = tenure.holder.as_ref().is_some_and(|holder| Arc::ptr_eq(holder, lease));
        let before = tenure.extension_answered(may_end, !matches!(outcome, Outcome::NotSent(_)));
        let now = Instant::now();
        let extended = match outcome {
            Outcome::Answered { answer, sent } => match flag(&answer) {
                Ok(Some(_)) => {
                    // For whoever holds it now: the server counts anew in any case.
                    tenure.renewed(sent, duration);
                    let length = tenure.ends().saturating_duration_since(sent);
                    let renewed = tenure.holder.as_ref().is_some_and(|holder| after.renew(holder, now, sent, length));
                    if tenure.holder.is_some() && !renewed {
                        self.end_lost(resource, &mut shard, now);
                        return Ok(false);
                    }
                    match tenure.late_extension().filter(|late| ours && renewed && *late < duration) {
                        Some(late) => Err(LockError::unavailable(format!(
                            "the lease was extended, but an earlier extension to {late:?} was never answered, and may \
                             be done yet"
                        ))),
                        None => Ok(ours && renewed),
                    }
                }
                Ok(None) => {
                    self.lose_tenure(resource, entry, now, after);
                    self.settle(resource, &mut shard);
                    return Ok(false);
                }
                Err(error) => Err(error),
            },
            Outcome::Refused(error) => Err(error),
            Outcome::NotSent(error) => {
                if let Some(before) = before {
                    tenure.restored(before);
                    if let Some(holder) = &tenure.holder {
                        _ = after.renew(holder, now, now, tenure.ends().saturating_duration_since(now));
                    }
                }
                Err(error)
            }
            Outcome::Unknown { error } => {
                if tenure.extension_in_doubt(duration, may_end)
                    && let Some(holder) = &tenure.holder
                {
                    _ = after.renew(holder, now, now, may_end.saturating_duration_since(now));
                }
                Err(error)
            }
        };
        self.schedule(resource, tenure, now);
        extended
    }
}
