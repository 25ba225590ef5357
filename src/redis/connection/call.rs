//! [`Call`]: one call of a script, and how long it waits to be run.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use super::Reply;
use crate::LockError;
use crate::backend::PackedInstant;
use crate::engine::{Command, Joining, Step};

/// How long an acquire that may wait for a holder also waits for a server that can grant it. The caller's own time-out ends
/// it earlier. After this time no other server is expected any more, and the call fails with its error.
pub(super) const LONGEST_WAIT_FOR_A_SERVER: Duration = Duration::from_secs(60);

/// One call of a script, and what it is made for.
#[derive(Debug)]
pub(in crate::redis) struct Call<P> {
    pub(in crate::redis) command: Command,
    pub(in crate::redis) kind: P,
    /// How often the server had lost the script.
    pub(super) script_reloads: u8,
    /// It was sent before, and may have run at least in part: over a connection that was closed (only a [release](Step::Release)).
    pub(in crate::redis) repeated: bool,
    /// How often nodes of the cluster have named another one in a row.
    pub(super) moves: u8,
    /// Since when it has waited for a connection on which the server runs it, if it has.
    waits_since: Option<Since>,
}

impl<P> Call<P> {
    pub(in crate::redis) fn new(command: Command, kind: P) -> Self {
        Self { command, kind, script_reloads: 0, repeated: false, moves: 0, waits_since: None }
    }

    /// The reply to a call that is not sent any more. One that was sent before may have run, at least in part (K3).
    pub(super) fn unsent(&self, error: LockError) -> Reply {
        if self.repeated { Reply::Indeterminate { error } } else { Reply::NotSent(error) }
    }

    /// For how long a call that has not run may still wait for another connection. `None` if its time is up.
    ///
    /// The time counts from the first call of this method, so that a call costs no look at the clock while the connection
    /// works.
    pub(super) fn may_wait_for(&mut self, now: Instant, response_timeout: Duration) -> Option<Duration> {
        let since = *self.waits_since.get_or_insert(Since::new(now));
        let longest = match self.command.step {
            Step::Acquire { joining: Joining::Queue { .. }, .. } => LONGEST_WAIT_FOR_A_SERVER,
            _ => response_timeout,
        };
        longest.checked_sub(since.elapsed(now)).filter(|left| !left.is_zero())
    }
}

/// A time not long ago, in milliseconds, which start again at zero every 49 days. It has four bytes, since there may be a
/// hundred thousand calls, and few of them use it.
#[derive(Debug, Clone, Copy)]
struct Since(NonZeroU32);

impl Since {
    fn new(now: Instant) -> Self {
        Self(NonZeroU32::new(milliseconds(now)).unwrap_or(NonZeroU32::MAX))
    }

    fn elapsed(self, now: Instant) -> Duration {
        let elapsed = milliseconds(now).wrapping_sub(self.0.get());
        // A test may have set its clock back.
        Duration::from_millis(if elapsed > u32::MAX / 2 { 0 } else { elapsed.into() })
    }
}

#[allow(clippy::cast_possible_truncation, reason = "only differences matter, and they wrap")]
fn milliseconds(now: Instant) -> u32 {
    let origin = PackedInstant::origin();
    // One of them is zero. A paused clock may lag behind the origin.
    let (after, before) = (now.saturating_duration_since(origin), origin.saturating_duration_since(now));
    (after.as_millis() as u32).wrapping_sub(before.as_millis() as u32).wrapping_add(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::LockMode;
    use crate::engine::{InboxId, OwnerToken};

    fn call(step: Step) -> Call<()> {
        let token = OwnerToken::random(InboxId::random().unwrap(), LockMode::Exclusive).unwrap();
        Call::new(Command { resource: "order:42".try_into().unwrap(), token, step }, ())
    }

    #[test]
    fn a_call_waits_for_the_response_time_out_and_one_that_joins_the_queue_for_longer() {
        let timeout = Duration::from_secs(1);
        let lease = timeout;
        let joining = Joining::Queue { deadline: None };
        for (step, longest) in [
            (Step::Acquire { lease, joining, whole: false }, LONGEST_WAIT_FOR_A_SERVER),
            (Step::Acquire { lease, joining: Joining::No, whole: false }, timeout),
            (Step::Release { keep: None }, timeout),
        ] {
            let (mut call, begun) = (call(step), Instant::now());
            assert_eq!(call.may_wait_for(begun, timeout), Some(longest));
            // In whole milliseconds.
            let (half, most) = (Duration::from_millis(500), Duration::from_millis(1));
            let left = call.may_wait_for(begun + half, timeout).unwrap();
            assert!(left + half <= longest + most && left + half + most >= longest, "{left:?}");
            assert_eq!(call.may_wait_for(begun + longest + most, timeout), None);
        }
    }

    #[test]
    fn a_call_that_has_run_in_part_is_in_doubt_when_it_is_not_sent_any_more() {
        let mut call = call(Step::Acquire {
            lease: Duration::from_secs(1),
            joining: Joining::Queue { deadline: None },
            whole: false,
        });
        assert!(matches!(call.unsent(LockError::Closed), Reply::NotSent(_)));
        call.repeated = true;
        assert!(matches!(call.unsent(LockError::Closed), Reply::Indeterminate { .. }));
    }

    #[test]
    fn milliseconds_that_wrap_are_still_counted() {
        let late = PackedInstant::origin() + Duration::from_millis(u64::from(u32::MAX) - 10);
        let since = Since::new(late);
        let elapsed = since.elapsed(late + Duration::from_millis(20));
        assert!((20..=21).contains(&elapsed.as_millis()), "{elapsed:?}");
        assert_eq!(since.elapsed(late.checked_sub(Duration::from_secs(1)).unwrap()), Duration::ZERO);
    }

    #[test]
    fn milliseconds_of_a_clock_that_lags_are_counted() {
        let early = PackedInstant::origin().checked_sub(Duration::from_millis(50)).unwrap();
        let elapsed = Since::new(early).elapsed(early + Duration::from_millis(70));
        assert!((69..=71).contains(&elapsed.as_millis()), "{elapsed:?}");
    }
}
