//! Callers whose time is up, and what they are told of who holds the lock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::entry::Entry;
use super::request::ASK_AGAIN;
use super::{AcquireSlot, Locks};
use crate::backend::{PackedInstant, tell_lease_left};
use crate::{LockError, Resource};

/// How much longer than it wanted to a caller waits for the server's word on who holds the lock, where that was asked just
/// now: between a release by a holder of this process and the answer to what follows. It looks at growing intervals, of
/// which this is the first.
const LONGEST_FOR_A_WORD: Duration = Duration::from_millis(100);
const SOONEST_FOR_A_WORD: Duration = Duration::from_millis(1);

/// What is known of who holds a lock.
enum Word {
    /// Somebody does.
    Held,
    /// Nothing, since the server is silent.
    Silent(LockError),
    /// Nothing yet.
    OnItsWay,
}

/// How a caller who gives up leaves.
pub(in crate::redis) enum GiveUp {
    /// Somebody else holds the lock, as the server said.
    Held,
    /// Nobody knows.
    Unknown(LockError),
    /// Not yet: the server was asked just now, and its word is on the way. Look again then.
    NotYet(Instant),
    /// The answer came at the last moment.
    Answered,
}

impl Locks {
    /// A caller's time is up, since `until`.
    pub(in crate::redis) fn give_up(
        &self,
        resource: &Resource,
        ticket: u64,
        waiter: &Arc<AcquireSlot>,
        until: Instant,
    ) -> GiveUp {
        let mut shard = self.shard(resource);
        let Some(entry) = shard.get_mut(resource) else { return GiveUp::Answered };
        let now = Instant::now();
        let word = self.word_on(entry, now);
        if let Word::OnItsWay = word {
            let over = now.saturating_duration_since(until);
            let longest = LONGEST_FOR_A_WORD.min(self.connection.settings().response_timeout / 2);
            if over < longest {
                return GiveUp::NotYet(until + (over * 2 + SOONEST_FOR_A_WORD).min(longest));
            }
        }
        if !entry.leave(ticket, waiter) {
            return GiveUp::Answered;
        }
        let lease_left = entry.lease_left(now);
        self.clean_up_entry(resource, &mut shard);
        match word {
            Word::Held => {
                if let Some(left) = lease_left {
                    tell_lease_left(left, waiter.options().get_ttl());
                }
                GiveUp::Held
            }
            Word::Silent(error) => GiveUp::Unknown(error),
            Word::OnItsWay => GiveUp::Unknown(self.silent_for(now.saturating_duration_since(until))),
        }
    }

    /// What is known of a lock for which a caller has waited in vain.
    ///
    /// That somebody else holds it is said by a lease of this process that lasts, or by the server, and by nothing else. A
    /// waiter that came behind a holder of this process has no word of the server once that has let go.
    fn word_on(&self, entry: &Entry, now: Instant) -> Word {
        if entry.is_held_here(now) {
            return Word::Held;
        }
        if let Some(error) = self.connection.silence() {
            return Word::Silent(error);
        }
        let since = |time: PackedInstant| PackedInstant::from(now).since(time);
        // Half the time after which the connection is taken for dead is too long for an answer on its way.
        let on_failure = self.connection.settings().response_timeout / 2;
        let request = entry.request();
        let silent = request.and_then(|request| request.in_flight).map(since);
        match request.and_then(|request| request.queued) {
            Some(queued) => {
                // It was to be asked again since. Connections may have come and gone meanwhile, and errors instead of a word.
                let age = since(queued.sent);
                let silent = silent.filter(|silent| *silent > on_failure);
                match silent.or_else(|| Some(age).filter(|age| *age > ASK_AGAIN + on_failure)) {
                    Some(silent) => Word::Silent(self.silent_for(silent)),
                    None => Word::Held,
                }
            }
            // Nobody was known to hold the lock when it was asked.
            None if request.is_some_and(|request| !request.is_waiting()) => {
                Word::Silent(self.silent_for(silent.unwrap_or_default()))
            }
            None if silent.is_some_and(|silent| silent > on_failure) => {
                Word::Silent(self.silent_for(silent.unwrap_or_default()))
            }
            None => Word::OnItsWay,
        }
    }

    fn silent_for(&self, silent: Duration) -> LockError {
        LockError::unavailable(format!(
            "redis at {} has not said for {} ms who holds the lock, and the caller's time is up",
            self.connection.settings().server,
            silent.as_millis()
        ))
    }
}
