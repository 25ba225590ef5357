//! The remaining lease of the holder, which a backend reports to a layer in addition to `Ok(None)`.
//!
//! # How it works
//!
//! `Ok(None)` cannot carry a hint. The backend cannot be asked afterwards either: it has removed the waiter by then,
//! and with it what the server said of the lock. So the backend stores the hint in a thread-local, in the same poll in
//! which it returns `Ok(None)`, and the layer takes it right after that poll, on the same thread. The layer clears the
//! thread-local before the poll, so that it never takes the hint of another acquire.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static LEASE_LEFT: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Reports how long the holder's lease still lasts. A [`LockBackend`](super::LockBackend) calls it in the poll in which
/// its future returns `Ok(None)`. With any other result, and at any other time, it has no effect.
///
/// `HttpLockLayer` computes `Retry-After` from it, but only if that helps the client. A live holder renews its lease
/// when a third of it is over, and releases the lock long before the lease ends. So the hint is used only if less than
/// three fifths of `ttl` are left: then the lease was not renewed, most likely because its holder is gone. `ttl` is the
/// length of the holder's lease; pass the waiter's own `ttl` if the holder's is not known.
pub fn tell_lease_left(left: Duration, ttl: Duration) {
    LEASE_LEFT.set(is_renewal_overdue(left, ttl).then_some(left));
}

/// Discards the hint of an earlier acquire.
pub(crate) fn clear() {
    LEASE_LEFT.set(None);
}

/// Takes the hint that was reported since the last [`clear`].
#[cfg(feature = "http")]
pub(crate) fn take() -> Option<Duration> {
    LEASE_LEFT.take()
}

fn is_renewal_overdue(left: Duration, ttl: Duration) -> bool {
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
            assert_eq!(LEASE_LEFT.take(), hint.then_some(left));
        }
    }

    #[test]
    fn a_cleared_hint_is_gone() {
        tell_lease_left(TTL / 3, TTL);
        clear();
        assert_eq!(LEASE_LEFT.take(), None);
    }
}
