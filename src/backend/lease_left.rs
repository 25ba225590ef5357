//! What is left of the lease of a holder who is not done in time: what a backend tells a layer beside `Ok(None)`.
//!
//! # How it works
//!
//! `Ok(None)` has no room for a hint, and a backend that is asked afterwards has forgotten the waiter, and with it what
//! the server said of the lock. So the hint goes beside the answer: the backend leaves it with the thread, in the same
//! call that gives the answer, and the layer takes it from there before that call returns. The layer clears the place
//! first, so that it never takes what was left for another.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static LEFT: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Tells for how long the holder's lease lasts yet. Called by a [`LockBackend`](super::LockBackend), in the poll in which
/// its future answers `Ok(None)`; after any other answer, and in any other place, it has no effect.
///
/// `HttpLockLayer` makes a `Retry-After` of it, but only where that is of use to a client. A holder who is alive renews
/// its lease when a third of it is over, and releases its lock long before the lease ends. So the lease counts only if
/// less than three fifths of `ttl` are left of it: then it is not renewed, most likely because its holder is gone. `ttl`
/// is the length of a lease of that lock; the waiter's own is the best guess, where the holder's is not known.
pub fn tell_lease_left(left: Duration, ttl: Duration) {
    LEFT.set(is_overdue(left, ttl).then_some(left));
}

/// Forgets what was told before.
pub(crate) fn clear() {
    LEFT.set(None);
}

/// What was told since it was cleared.
#[cfg(feature = "http")]
pub(crate) fn take() -> Option<Duration> {
    LEFT.take()
}

fn is_overdue(left: Duration, ttl: Duration) -> bool {
    left < ttl / 5 * 3
}

#[cfg(all(test, not(orchestrix_loom)))]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    #[test]
    fn a_lease_that_is_renewed_in_time_is_no_hint() {
        for (left, hint) in
            [(TTL, false), (TTL * 2 / 3, false), (TTL * 3 / 5, false), (TTL / 2, true), (Duration::ZERO, true)]
        {
            tell_lease_left(left, TTL);
            assert_eq!(LEFT.take(), hint.then_some(left));
        }
    }

    #[test]
    fn what_was_told_before_is_forgotten() {
        tell_lease_left(TTL / 3, TTL);
        clear();
        assert_eq!(LEFT.take(), None);
    }
}
