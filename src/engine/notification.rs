//! What other processes tell ours: that a lock is handed to it, or that they wait for one of its locks.

use std::time::Duration;

use tokio::time::Instant;

use super::command::{Step, Unacknowledged};
use super::context::Context;
use super::event::Grant;
use super::host::{Epoch, Host};
use super::lock::Lock;
use super::owner_token::OwnerToken;
use super::ownership::Ownership;
use super::reply::ServerTime;
use super::request::PendingRequest;
use crate::LockOptions;
use crate::backend::PackedInstant;

impl<H: Host> Lock<H> {
    /// The lock is ours: the process that held it has handed it on.
    pub(super) fn granted_by_notification(&mut self, grant: Grant, cx: &mut Context<'_, H>) {
        let Grant { token, fence, at, others_wait, permit } = grant;
        let epoch = cx.host.epoch();
        let Some(request) = self.request_of(token) else {
            // Known already from a reply that overtook the notification; or no caller here wants it any more. It is
            // cancelled already, or will be: once more does no harm (R4).
            if self.ownership_of(token).is_none() {
                let lease = LockOptions::MAX_TTL.into();
                cx.actions.cancel(token, Step::Cancel { keep: None }, lease, Unacknowledged::None);
            }
            return;
        };
        if !is_recent(request, cx.now, epoch) || is_older_than_the_last_word(request, at) {
            // The reply says it exactly. The server keeps the lock for us until then.
            if let Some(request) = self.request_of(token).filter(|request| request.in_flight().is_some()) {
                request.notified = true;
            }
            return self.request_this_again(token, cx);
        }
        // It was asked again, which may not be sent yet. The answer is here; and sent after the release, which is urgent,
        // the acquire would join the queue for no caller.
        if request.in_flight().is_some() {
            cx.actions.withdraw = Some(token);
        }
        let from = granted_since(request, at, cx.now);
        // A name that is to stay taken is granted for the whole time at once.
        let claim = if request.at_least.is_some() { request.ttl.get() } else { cx.host.claim_lease() };
        let lease = (request.ttl.get(), claim);
        self.granted(Ownership::claimed(token, fence, (from, epoch), lease, others_wait), permit, cx);
    }

    /// Other processes wait for a lock that is ours.
    pub(super) fn wanted_by_others(&mut self, token: OwnerToken, cx: &mut Context<'_, H>) {
        if let Some(ownership) = self.ownership_of(token) {
            ownership.others_wait(cx.now);
        } else if let Some(request) = self.request_of(token) {
            // The contention notice arrived before the grant. It is applied when the grant arrives.
            request.wanted = true;
        }
    }
}

/// Whether the server's last word on our place in its queue is so recent that a grant may be counted from it. It is, unless
/// this process or its connection stood still since: then the two clocks may have parted, and a server's clock that was set
/// forward would make the lease seem longer than it is. Both of our clocks are asked how long ago the word was, since the
/// monotonic one stands still with the machine.
fn is_recent(request: &PendingRequest, now: Instant, epoch: Epoch) -> bool {
    const LONGEST: Duration = Duration::from_secs(1);
    request.heard_in == epoch
        && request.queued.is_none_or(|queued| PackedInstant::from(now).since(queued.sent) <= LONGEST)
}

/// Whether the grant was before the server's last word on our place in its queue: that another owner holds the lock. Then
/// the notification is late, and the grant was over by that time; or the server's clock was set back since.
fn is_older_than_the_last_word(request: &PendingRequest, at: ServerTime) -> bool {
    request.queued.is_some_and(|queued| at < queued.at)
}

/// The earliest time, by our clock, at which a lease can have begun of which a notification tells.
///
/// The notification may be late, so that the time of its arrival is of no use alone. The server's clock says how long after
/// our last question the grant was, and our clock when that question was sent: earlier than the server read its clock. A
/// five-hundredth is taken off for what the two clocks may differ by in between.
fn granted_since(request: &PendingRequest, at: ServerTime, arrived: Instant) -> Instant {
    let Some(queued) = request.queued else { return request.begun.instant() };
    let since = at.since(queued.at);
    (queued.sent.instant() + since - since / 500).min(arrived)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::engine::command::OnServerFailure;
    use crate::engine::request::Queued;

    const TTL: Duration = Duration::from_secs(30);

    fn request() -> PendingRequest {
        let options = LockOptions::default().ttl(TTL);
        let token = OwnerToken::parse("0123456789abcdef.0123456789abcdef0123456789abcdef").unwrap();
        PendingRequest::new(token, &options, OnServerFailure::Fail, Instant::now(), Epoch::default())
    }

    /// What a process hears that stood still for longer than waiters rely on messages is asked about once more.
    #[tokio::test(start_paused = true)]
    async fn only_a_recent_word_is_counted_from() {
        let mut request = request();
        let sent = request.begun.instant();
        assert!(
            is_recent(&request, sent + Duration::from_secs(9), request.epoch),
            "before the first word it is counted from the question"
        );
        request.queued = Some(Queued { deadline: 0, sent: sent.into(), at: ServerTime(1) });
        assert!(is_recent(&request, sent + Duration::from_secs(1), request.epoch));
        assert!(!is_recent(&request, sent + Duration::from_millis(1_001), request.epoch));
    }

    /// A grant that was over before the server said that another owner holds the lock is not counted from that word.
    #[tokio::test(start_paused = true)]
    async fn a_grant_from_before_the_last_word_is_asked_about() {
        let mut request = request();
        assert!(
            !is_older_than_the_last_word(&request, ServerTime(1)),
            "before the first word there is none to compare"
        );
        request.queued = Some(Queued { deadline: 0, sent: request.begun, at: ServerTime(1_000_000) });
        assert!(is_older_than_the_last_word(&request, ServerTime(999_999)));
        assert!(!is_older_than_the_last_word(&request, ServerTime(1_000_000)));
    }

    /// A message that is an hour late grants a lease that is over.
    #[tokio::test(start_paused = true)]
    async fn a_late_message_does_not_make_a_lease_longer() {
        let mut request = request();
        let sent = request.begun.instant();
        request.queued = Some(Queued { deadline: 0, sent: sent.into(), at: ServerTime(1_000_000_000) });
        let grant = ServerTime(1_000_000_000 + 5_000_000);
        let in_time = granted_since(&request, grant, sent + Duration::from_secs(6));
        assert!(in_time <= sent + Duration::from_secs(5) && in_time > sent + Duration::from_millis(4_980));
        let late = granted_since(&request, grant, sent + Duration::from_secs(3_600));
        assert_eq!(late, in_time, "it counts from the grant, whenever the message came");
        let early = granted_since(&request, grant, sent + Duration::from_secs(1));
        assert_eq!(early, sent + Duration::from_secs(1), "a server's clock that ran ahead counts from the arrival");
        request.queued = None;
        assert_eq!(
            granted_since(&request, grant, sent + Duration::from_secs(1)),
            sent,
            "without an answer, from the request"
        );
    }
}
