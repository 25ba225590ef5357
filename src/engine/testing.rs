//! What tests of the engine need.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Epoch, Host, InboxId, Lease, OwnerToken, Waiter};
use crate::backend::{LeaseState, WaiterLimit};
use crate::{FencingToken, LockError, LockMode, LockOptions, Resource};

/// A host of values that are never asked for anything.
#[derive(Debug)]
pub(super) enum Nothing {}

impl Host for Nothing {
    type Waiter = Never;
    type Lease = Never;

    fn epoch(&self) -> Epoch {
        match *self {}
    }

    fn inbox(&self) -> InboxId {
        match *self {}
    }

    fn new_token(&self, _: LockMode) -> Result<OwnerToken, LockError> {
        match *self {}
    }

    fn jittered(&self, _: Duration) -> Duration {
        match *self {}
    }

    fn is_closed(&self) -> bool {
        match *self {}
    }

    fn unreachable(&self, _resource: &Resource) -> Option<LockError> {
        match *self {}
    }

    fn silence(&self, _resource: &Resource) -> Option<LockError> {
        match *self {}
    }

    fn has_notifications(&self, _resource: &Resource) -> bool {
        match *self {}
    }

    fn response_timeout(&self) -> Duration {
        match *self {}
    }

    fn claim_lease(&self) -> Duration {
        match *self {}
    }

    fn waiter_limit(&self) -> &Arc<WaiterLimit> {
        match *self {}
    }

    fn server(&self) -> &str {
        match *self {}
    }
}

/// No caller, and no lease.
#[derive(Debug, Clone)]
pub(super) enum Never {}

impl Waiter for Never {
    type Lease = Self;

    fn options(&self) -> &LockOptions {
        match *self {}
    }

    fn is_gone(&self) -> bool {
        match *self {}
    }

    fn lease(&self, _: &Resource, _: FencingToken, _: (Instant, Duration), _: Option<u32>) -> Self {
        match *self {}
    }
}

impl Lease for Never {
    fn state(&self) -> &LeaseState {
        match *self {}
    }

    fn renewal(&self) -> Option<Duration> {
        match *self {}
    }

    fn kept_until(&self) -> Option<Instant> {
        match *self {}
    }

    fn is_taken(&self) -> bool {
        match *self {}
    }

    fn is(&self, _: &Self) -> bool {
        match *self {}
    }
}
