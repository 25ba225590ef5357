//! Letting a lock go: to the next who waits here, or to the server.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::entry::Patience;
use super::{Command, Locks, Purpose, Step};
use crate::LockError;
use crate::mutant::{Mutant, is};
use crate::provider::{Lease, Release, Releasing};
use crate::redis::lease::RedisLease;
use crate::redis::link::Outcome;
use crate::redis::script::flag;

impl Locks {
    /// A guard is done with its lock.
    pub(in crate::redis) fn release(&self, lease: &Arc<RedisLease>) -> Releasing {
        let resource = lease.state().resource();
        let mut shard = self.shard(resource);
        let now = Instant::now();
        let released = lease.state().release_at(now);
        let held = shard.find(resource).filter(|(entry, _)| entry.tenure.is_some());
        let Some((entry, after)) = held else { return Releasing::ready(Ok(released)) };
        let Some(tenure) = entry.tenure_held_by(lease) else { return Releasing::ready(Ok(released)) };
        tenure.holder = None;
        let someone_waits = entry.first().is_some();
        let answer = if released == Release::AlreadyLost {
            self.end_tenure(resource, entry, after);
            self.ask_if_needed(resource, entry, Patience::Waiting, now, after);
            Releasing::ready(Ok(Release::AlreadyLost))
        } else if let Some(tenure) = entry.tenure.as_mut().filter(|tenure| someone_waits && tenure.may_turn(now)) {
            tenure.turn();
            self.serve_next(resource, entry, now, after);
            Releasing::ready(Ok(Release::Released))
        } else {
            let (answer, answered) = oneshot::channel();
            if let Some(tenure) = entry.tenure.take() {
                self.forget_due(tenure.due);
                self.push_for(&tenure, resource, Step::Release, Purpose::Release(answer));
                self.undo_late(resource, &tenure);
                after.drop_later(tenure);
            }
            // Behind the release, on the same connection: whoever waits elsewhere comes first.
            self.ask_if_needed(resource, entry, Patience::Waiting, now, after);
            // Without an answer only if the provider is gone, and with it its connection.
            Releasing::pending(async move { answered.await.unwrap_or(Err(LockError::Closed)) })
        };
        self.settle(resource, &mut shard);
        answer
    }

    pub(super) fn release_answered(
        &self,
        command: &Command,
        answer: Option<oneshot::Sender<Result<Release, LockError>>>,
        outcome: Outcome,
    ) {
        let released = match outcome {
            Outcome::Answered { answer, .. } => {
                flag(&answer).map(|ours| if ours.is_some() { Release::Released } else { Release::AlreadyLost })
            }
            Outcome::Refused(error) | Outcome::NotSent(error) | Outcome::Unknown { error } => Err(error),
        };
        if released.is_err() && !is(Mutant::LostReleaseIsForgotten) {
            // In the background, until it is answered or the lease has ended by itself (R4).
            self.undo_release(&command.resource, command.token);
        }
        self.end_if_told();
        if let Some(answer) = answer {
            _ = answer.send(released);
        }
    }
}
