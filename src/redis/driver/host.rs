//! What the engine is told of this process and its connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Driver;
use crate::backend::{Lease as _, LeaseState, Term, WaiterLimit};
use crate::engine::{Epoch, Host, InboxId, Lease, OwnerToken, Waiter};
use crate::redis::acquire_slot::AcquireSlot;
use crate::redis::jitter::jittered;
use crate::redis::lease::{LeaseOwner, RedisLease};
use crate::{FencingToken, LockError, LockMode, LockOptions, Resource};

impl<B: LeaseOwner> Host for Driver<B> {
    type Waiter = Arc<AcquireSlot<B>>;
    type Lease = Arc<RedisLease<B>>;

    fn epoch(&self) -> Epoch {
        self.clocks.epoch()
    }

    fn inbox(&self) -> InboxId {
        self.router.first().inbox()
    }

    fn new_token(&self, mode: LockMode) -> Result<OwnerToken, LockError> {
        OwnerToken::random(self.router.first().inbox(), mode)
    }

    fn jittered(&self, time: Duration) -> Duration {
        jittered(time)
    }

    fn is_closed(&self) -> bool {
        Driver::is_closed(self)
    }

    fn unreachable(&self, resource: &Resource) -> Option<LockError> {
        self.router.with(resource, |connection| connection.unreachable_error())
    }

    fn silence(&self, resource: &Resource) -> Option<LockError> {
        if self.router.is_unserved(resource) {
            let text = format!("redis at {}: no node serves the slot of the name", self.settings().server);
            return Some(LockError::unavailable(text));
        }
        self.router.with(resource, |connection| connection.disconnected_error())
    }

    fn has_notifications(&self, resource: &Resource) -> bool {
        !self.router.with(resource, |connection| connection.is_publishing_refused())
    }

    fn response_timeout(&self) -> Duration {
        self.settings().response_timeout
    }

    fn claim_lease(&self) -> Duration {
        self.settings().claim_lease()
    }

    fn waiter_limit(&self) -> &Arc<WaiterLimit> {
        &self.waiter_limit
    }

    fn server(&self) -> &str {
        self.settings().server.as_str()
    }
}

impl<B: LeaseOwner> Waiter for Arc<AcquireSlot<B>> {
    type Lease = Arc<RedisLease<B>>;

    fn options(&self) -> &LockOptions {
        AcquireSlot::options(self)
    }

    fn is_gone(&self) -> bool {
        AcquireSlot::is_gone(self)
    }

    fn lease(
        &self,
        resource: &Resource,
        fence: FencingToken,
        (from, length): (Instant, Duration),
        permit: Option<u32>,
    ) -> Arc<RedisLease<B>> {
        let options = self.options();
        let term = Term::new(from, length).max_hold(options.configured_max_hold());
        let state = LeaseState::held(resource.clone(), fence, term).in_mode(options.configured_mode());
        if let Some(permit) = permit {
            state.set_permit(permit);
        }
        RedisLease::new(state, from, options, Arc::clone(self.backend()))
    }
}

impl<B: LeaseOwner> Lease for Arc<RedisLease<B>> {
    fn state(&self) -> &LeaseState {
        (**self).state()
    }

    fn renewal(&self) -> Option<Duration> {
        RedisLease::renewal(self)
    }

    fn kept_until(&self) -> Option<Instant> {
        RedisLease::kept_until(self)
    }

    fn is_taken(&self) -> bool {
        RedisLease::is_taken(self)
    }

    fn is(&self, other: &Self) -> bool {
        Self::ptr_eq(self, other)
    }
}
