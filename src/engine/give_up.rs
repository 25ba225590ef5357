//! Callers whose time is up, and what they are told of the lock's holder.

use std::time::Duration;

use tokio::time::Instant;

use super::acquire::RECHECK;
use super::action::AcquireResult;
use super::context::Context;
use super::host::{Host, Waiter};
use super::lock::Lock;
use super::ownership::Ownership;
use super::request::PendingRequest;
use super::ttl_millis::TtlMillis;
use crate::backend::PackedInstant;
use crate::{LockError, LockMode};

/// For how long beyond its time a caller waits for the server's word on the holder, where the server was asked just now:
/// between a release by a holder of this process and the reply to what follows. It looks at growing intervals, of which this
/// is the first.
const LONGEST_FOR_A_REPLY: Duration = Duration::from_millis(100);
const SOONEST_FOR_A_REPLY: Duration = Duration::from_millis(1);

/// What is known of a lock's holder.
enum Holder {
    /// Another caller or process holds the lock.
    Known,
    /// Nothing is known, since the server is silent.
    Silent(LockError),
    /// Nothing is known yet: the server was asked just now.
    ReplyPending,
}

impl<H: Host> Lock<H> {
    /// A caller's time has been up since `until`. It leaves with an answer; or, where this returns a time, it is to look
    /// again then. If it is not in the queue any more, its answer came at the last moment.
    pub(super) fn give_up(
        &mut self,
        ticket: u64,
        waiter: &H::Waiter,
        until: Instant,
        cx: &mut Context<'_, H>,
    ) -> Option<Instant> {
        let over = cx.now.saturating_duration_since(until);
        let holder = self.what_is_known_of_the_holder(waiter.options().configured_mode(), cx);
        if let Holder::ReplyPending = holder {
            let longest = LONGEST_FOR_A_REPLY.min(cx.host.response_timeout() / 2);
            if over < longest {
                return Some(until + (over * 2 + SOONEST_FOR_A_REPLY).min(longest));
            }
        }
        if self.waiters.leave(ticket) {
            match holder {
                Holder::Known => {
                    let lease_left = self.lease_left(cx.now).map(TtlMillis::from);
                    cx.actions.answer(waiter.clone(), AcquireResult::Busy { lease_left });
                }
                Holder::Silent(error) => cx.actions.fail(waiter.clone(), error),
                Holder::ReplyPending => cx.actions.fail(waiter.clone(), silent_for(over, cx.host)),
            }
        }
        None
    }

    /// What is known of the holder of a lock for which a caller has waited in vain.
    ///
    /// A lease of this process that lasts says that another holds it, or the server does, and nothing else. A waiter that
    /// came behind a holder of this process has no word of the server once that one has released.
    fn what_is_known_of_the_holder(&self, mode: LockMode, cx: &Context<'_, H>) -> Holder {
        if self.is_held_against(mode, cx.now) {
            return Holder::Known;
        }
        if let Some(error) = cx.host.silence(cx.resource) {
            return Holder::Silent(error);
        }
        let since = |time: PackedInstant| PackedInstant::from(cx.now).since(time);
        let silent = |time: Duration| Holder::Silent(silent_for(time, cx.host));
        // Half the time after which a connection is taken for dead is too long for a reply that is on its way.
        let too_long = cx.host.response_timeout() / 2;
        // The last word of the server is that to the newest request.
        let request = self.last_request();
        let in_flight = request.and_then(PendingRequest::in_flight).map(since);
        let overdue = in_flight.filter(|time| *time > too_long);
        match request.and_then(|request| request.queued) {
            Some(queued) => {
                // It was to be asked again since. Connections may have come and gone meanwhile, and errors instead of a word.
                let age = since(queued.sent);
                overdue.or(Some(age).filter(|age| *age > RECHECK + too_long)).map_or(Holder::Known, silent)
            }
            // The lock was not known to be held when it was asked for.
            None if self.is_asking() => silent(in_flight.unwrap_or_default()),
            None => overdue.map_or(Holder::ReplyPending, silent),
        }
    }

    /// The request of which the server's last word is known.
    fn last_request(&self) -> Option<&PendingRequest> {
        let requests = || self.requests.iter();
        requests()
            .filter(|request| request.queued.is_some())
            .max_by_key(|request| request.queued.map(|queued| queued.sent))
            .or_else(|| requests().next())
    }

    /// What is left of the holder's lease as far as is known, if it has an end.
    fn lease_left(&self, now: Instant) -> Option<Duration> {
        let ours = self.ownerships.iter().filter(|ownership| ownership.is_held()).map(Ownership::lease_ends).max();
        if let Some(ends) = ours {
            return Some(ends.saturating_duration_since(now));
        }
        let request = self.last_request()?;
        let queued = request.queued?;
        Some(request.lease_left?.get().saturating_sub(PackedInstant::from(now).since(queued.sent)))
    }
}

fn silent_for<H: Host>(silent: Duration, host: &H) -> LockError {
    LockError::unavailable(format!(
        "redis at {} has not said for {} ms who holds the lock, and the caller's time is up",
        host.server(),
        silent.as_millis()
    ))
}
