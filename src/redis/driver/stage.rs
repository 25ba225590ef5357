//! [`Stage`]: a provider for tests that play its server.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::redis::Value;
use tokio::time::Instant;

use super::Driver;
use crate::backend::{GrantedLease, WaiterAdmission};
use crate::engine::{self, Event, Grant, Lock, OwnerToken};
use crate::redis::RedisLockOptions;
use crate::redis::acquire_slot::{AcquireResult, AcquireSlot};
use crate::redis::backend::Backend;
use crate::redis::connection::{Call, Caller, Reply};
use crate::{LockGuard, LockOptions, Resource};

/// The kind of a call of this provider.
pub(super) type CallKind = engine::CallKind<Driver<Backend>>;

pub(super) const TTL: Duration = Duration::from_secs(30);

/// A provider whose server is played by the test. No call is sent, since no task drives the connection.
pub(super) struct Stage {
    pub(super) backend: Arc<Backend>,
    /// The resource that most tests use.
    pub(super) resource: Resource,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::with(&RedisLockOptions::default())
    }

    pub(super) fn with(options: &RedisLockOptions) -> Self {
        let backend = Backend::new(options.settings().unwrap()).unwrap();
        Self { backend, resource: Resource::try_from("account-1").unwrap() }
    }

    pub(super) fn driver(&self) -> &Arc<Driver<Backend>> {
        self.backend.driver()
    }

    pub(super) fn options() -> LockOptions {
        LockOptions::default().ttl(TTL)
    }

    /// The owner token under which the lock is held.
    pub(super) fn token(&self) -> OwnerToken {
        let inbox = self.driver().router.first().inbox();
        let token = |lock: &Lock<Driver<Backend>>| lock.owner_token(lock.holders().next()?, inbox);
        self.driver().table.look(&self.resource, token).flatten().unwrap()
    }

    /// The queued call of this kind for the resource. All other queued calls are discarded.
    pub(super) fn call(&self, is: impl Fn(&CallKind) -> bool) -> Call<CallKind> {
        self.call_for(&self.resource, is)
    }

    pub(super) fn call_for(&self, resource: &Resource, is: impl Fn(&CallKind) -> bool) -> Call<CallKind> {
        self.driver()
            .router
            .first()
            .take_queued()
            .find(|call| call.command.resource == *resource && is(&call.kind))
            .unwrap()
    }

    pub(super) fn answers(&self, call: Call<CallKind>, answer: Value) {
        self.driver().answered(call, Reply::Answered { answer, sent: Instant::now() });
    }

    /// A notification arrives that the lock was granted under this token.
    pub(super) fn notifies_of_grant(&self, token: OwnerToken, at: u64) {
        self.notifies_of_grant_with(token, 7, at);
    }

    /// The same with this number.
    pub(super) fn notifies_of_grant_with(&self, token: OwnerToken, fence: u64, at: u64) {
        let grant = Grant { token, fence, at: engine::ServerTime(at), others_wait: false, permit: None };
        self.driver().handle(&self.resource, Event::Granted(grant));
    }

    /// A caller joins the wait queue. Returns its ticket.
    pub(super) fn joins(&self, resource: &Resource, waiter: &Arc<AcquireSlot<Backend>>) -> u64 {
        let (admission, mut ticket) = (WaiterAdmission::New, None);
        self.driver().handle(resource, Event::Join { waiter, admission, ticket: &mut ticket });
        ticket.unwrap()
    }

    /// A caller tries to acquire the lock without waiting.
    pub(super) fn tries_now(&self, waiter: &Arc<AcquireSlot<Backend>>) {
        self.driver().handle(&self.resource, Event::TryNow { waiter });
    }

    /// A new caller that waits in the queue.
    pub(super) fn queued_waiter(&self, resource: &Resource) -> Arc<AcquireSlot<Backend>> {
        let waiter = AcquireSlot::new(Self::options(), Arc::clone(&self.backend));
        self.joins(resource, &waiter);
        waiter
    }

    /// Holds a lock that the server grants at once.
    pub(super) fn held(&self, resource: &Resource) -> LockGuard {
        let waiter = self.queued_waiter(resource);
        self.answers(self.call_for(resource, |kind| matches!(kind, CallKind::Acquire)), Value::Int(1_000));
        Self::taken(&waiter).unwrap()
    }

    /// The lock that a caller was granted, if it has been.
    pub(super) fn taken(waiter: &AcquireSlot<Backend>) -> Option<LockGuard> {
        match waiter.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(AcquireResult::Granted(lease)) => {
                assert!(lease.take());
                Some(GrantedLease::new(lease).into())
            }
            Poll::Ready(other) => panic!("it has another answer: {other:?}"),
            Poll::Pending => None,
        }
    }
}
