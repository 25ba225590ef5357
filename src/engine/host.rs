//! [`Host`]: what the engine needs of its driver.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::owner_token::{InboxId, OwnerToken};
use crate::backend::{LeaseState, WaiterLimit};
use crate::{FencingToken, LockError, LockMode, LockOptions, Resource};

/// What the engine has to know that only its driver can tell: time and chance, and how the connection to the server is.
/// None of it waits, and none of it calls back into the engine.
pub(crate) trait Host: fmt::Debug + Sized + 'static {
    /// One caller of an acquire, shared with the future that waits for its answer.
    type Waiter: Waiter<Lease = Self::Lease>;
    /// One granted lease, shared with its guard.
    type Lease: Lease;

    /// The present epoch of this machine's clocks.
    fn epoch(&self) -> Epoch;

    /// The name under which the server notifies this process.
    fn inbox(&self) -> InboxId;

    /// A new owner token, for a lock in this mode.
    fn new_token(&self, mode: LockMode) -> Result<OwnerToken, LockError>;

    /// A time that is up to a tenth shorter, so that many processes do not ask at once.
    fn jittered(&self, time: Duration) -> Duration;

    /// The provider is closed: nothing is acquired any more.
    fn is_closed(&self) -> bool;

    /// Why the server cannot be reached, if that is known.
    fn unreachable(&self, resource: &Resource) -> Option<LockError>;

    /// Why the server's last word is an old one, if there is no connection at present over which it could say another.
    fn silence(&self, resource: &Resource) -> Option<LockError>;

    /// Whether notifications reach this process at all.
    fn has_notifications(&self, resource: &Resource) -> bool;

    /// After how long without a reply a connection is taken for dead.
    fn response_timeout(&self) -> Duration;

    /// The lease of a lock that is granted by notification, until its first renewal.
    fn claim_lease(&self) -> Duration;

    /// How many callers may wait, over all resources.
    fn waiter_limit(&self) -> &Arc<WaiterLimit>;

    /// The server, as errors name it.
    fn server(&self) -> &str;
}

/// One caller of an acquire.
pub(crate) trait Waiter: Clone + fmt::Debug {
    type Lease;

    fn options(&self) -> &LockOptions;

    /// The caller has dropped its future. Its answer would not be taken any more.
    fn is_gone(&self) -> bool;

    /// The lease that this caller is granted: from when on, and for how long.
    fn lease(
        &self,
        resource: &Resource,
        fence: FencingToken,
        term: (Instant, Duration),
        permit: Option<u32>,
    ) -> Self::Lease;
}

/// One granted lease.
pub(crate) trait Lease: Clone + fmt::Debug {
    fn state(&self) -> &LeaseState;

    /// The length that renewals give it; `None` if it is not renewed.
    fn renewal(&self) -> Option<Duration>;

    /// Until when the name stays taken if it is released before.
    fn kept_until(&self) -> Option<Instant>;

    /// Whether its guard has been taken up by the caller. Before that it is not renewed.
    fn is_taken(&self) -> bool;

    /// Whether both are the same lease.
    fn is(&self, other: &Self) -> bool;
}

/// A time during which the monotonic and the wall clock of this machine have advanced alike. During a suspend the monotonic
/// clock may stand still, while the server's goes on: what the server said in another epoch may be much older than it seems.
/// The numbers wrap after 65 536 epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Epoch(pub(crate) u16);
