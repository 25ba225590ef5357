//! Letting a lock go: to the next who waits here, or to the server.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::entry::OnServerFailure;
use super::{CallKind, Command, Locks, Step};
use crate::LockError;
use crate::backend::{Lease, Release, Releasing};
use crate::redis::connection::Reply;
use crate::redis::lease::RedisLease;
use crate::redis::protocol::flag;

impl Locks {
    /// A guard is done with its lock.
    pub(in crate::redis) fn release(&self, lease: &Arc<RedisLease>) -> Releasing {
        let resource = lease.state().resource();
        let mut shard = self.shard(resource);
        let now = Instant::now();
        let released = lease.state().release_at(now);
        let held = shard.find(resource).filter(|(entry, _)| entry.ownership.is_some());
        let Some((entry, after)) = held else { return Releasing::ready(Ok(released)) };
        let Some(ownership) = entry.ownership_held_by(lease) else { return Releasing::ready(Ok(released)) };
        ownership.holder = None;
        let someone_waits = entry.first().is_some();
        let answer = if released == Release::AlreadyLost {
            self.end_ownership(resource, entry, after);
            self.send_request_if_needed(resource, entry, OnServerFailure::Retry, now, after);
            Releasing::ready(Ok(Release::AlreadyLost))
        } else if let Some(ownership) =
            entry.ownership.as_mut().filter(|ownership| someone_waits && ownership.may_turn(now))
        {
            ownership.turn();
            self.grant_next_local(resource, entry, now, after);
            Releasing::ready(Ok(Release::Released))
        } else {
            let (answer, answered) = oneshot::channel();
            if let Some(ownership) = entry.ownership.take() {
                self.remove_timer(ownership.due);
                self.push_for(&ownership, resource, Step::Release, CallKind::Release(answer));
                self.cancel_unacknowledged(resource, &ownership);
                after.drop_later(ownership);
            }
            // Behind the release, on the same connection: whoever waits elsewhere comes first.
            self.send_request_if_needed(resource, entry, OnServerFailure::Retry, now, after);
            // Without an answer only if the provider is gone, and with it its connection.
            Releasing::pending(async move { answered.await.unwrap_or(Err(LockError::Closed)) })
        };
        self.clean_up_entry(resource, &mut shard);
        answer
    }

    pub(super) fn release_answered(
        &self,
        command: &Command,
        answer: Option<oneshot::Sender<Result<Release, LockError>>>,
        outcome: Reply,
    ) {
        let released = match outcome {
            Reply::Answered { answer, .. } => {
                flag(&answer).map(|ours| if ours.is_some() { Release::Released } else { Release::AlreadyLost })
            }
            Reply::Refused(error) | Reply::NotSent(error) | Reply::Indeterminate { error } => Err(error),
        };
        if released.is_err() {
            // In the background, until it is answered or the lease has ended by itself (R4).
            self.cancel_release(&command.resource, command.token);
        }
        self.end_if_told();
        if let Some(answer) = answer {
            _ = answer.send(released);
        }
    }
}
