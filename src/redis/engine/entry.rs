//! [`Entry`]: what is known of one resource.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::cancel::Unacknowledged;
use super::ownership::Ownership;
use crate::Resource;
use crate::backend::{PackedInstant, WaiterLimit, WaiterPermit};
use crate::redis::acquire_slot::AcquireSlot;
use crate::redis::clocks::Epoch;
use crate::redis::lease::RedisLease;
use crate::redis::protocol::ServerTime;
use crate::redis::timer_queue;
use crate::redis::token::Token;
use crate::redis::ttl_millis::TtlMillis;

/// One resource, as this process is concerned with it. There may be very many that are held and wanted by nobody else, so
/// that what is known of those who want it has a place of its own.
#[derive(Debug)]
pub(super) struct Entry {
    resource: Resource,
    pub(super) ownership: Option<Ownership>,
    /// Somebody wants it, or the server was asked for it.
    queue: Option<Box<Queue>>,
}

/// Those who want a lock that somebody else has, and the place in the server's queue that they share.
#[derive(Debug, Default)]
struct Queue {
    request: Option<PendingRequest>,
    /// Who waits here, by the order of arrival.
    waiters: BTreeMap<u64, Place>,
    next_ticket: u64,
}

/// A place in the line of this process.
#[derive(Debug)]
struct Place {
    waiter: Arc<AcquireSlot>,
    /// Given back with the place, however that ends. The first who asks for a lock that may be free takes none before
    /// the server has said that it is not.
    permit: Option<WaiterPermit>,
}

/// The place in the server's queue that all waiters of this process share.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub(super) token: Token,
    /// The lease that was asked for.
    pub(super) ttl: TtlMillis,
    /// What its waiters have been told.
    pub(super) on_failure: OnServerFailure,
    /// When it was first asked.
    pub(super) begun: PackedInstant,
    /// A call is under way, since this time.
    pub(super) in_flight: Option<PackedInstant>,
    /// When it was last asked, by both clocks.
    pub(super) epoch: Epoch,
    /// The server has said that somebody else holds the lock. What is known of our place since:
    pub(super) queued: Option<Queued>,
    /// What was left of the holder's lease then, if it has an end.
    pub(super) lease_left: Option<TtlMillis>,
    /// Others wait for the lock that this ask has been granted: we have heard of them, and not of the grant.
    pub(super) wanted: bool,
    /// It was asked again, and not answered: that may run yet, also after the ask has ended.
    pub(super) late: bool,
    pub(super) due: Option<timer_queue::Entry>,
    /// How often it was asked again without messages, at growing intervals, or lost its entry in the queue while it lived.
    pub(super) polls: u8,
}

/// Where a line ended at some time. In few bytes, since it goes with a call: two ends of one line that are compared are
/// never two thousand million callers apart.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::redis) struct QueueEnd(u32);

/// What becomes of an ask that the server does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnServerFailure {
    /// It fails: nobody has ever said that somebody else holds the lock.
    Fail,
    /// The same, and it was asked anew once, since the connection was closed before an answer.
    Anew,
    /// It is asked again: its waiters wait already, for a holder of this process until now.
    Retry,
}

/// What the server last said of our place in its queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queued {
    /// The deadline of our entry, by the server's clock in milliseconds.
    pub(super) deadline: u64,
    /// When it was asked, by our clock, and when it answered, by its own.
    pub(super) sent: PackedInstant,
    pub(super) at: ServerTime,
}

impl Entry {
    /// In bytes, what those who want a lock take beside their places.
    #[cfg(test)]
    pub(super) fn queue_size() -> usize {
        size_of::<Queue>()
    }

    pub(super) fn new(resource: Resource) -> Self {
        Self { resource, ownership: None, queue: None }
    }

    pub(super) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// A caller joins at the end of the line.
    pub(super) fn join(&mut self, waiter: Arc<AcquireSlot>, permit: Option<WaiterPermit>) -> u64 {
        let queue = self.queue.get_or_insert_default();
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.waiters.insert(ticket, Place { waiter, permit });
        ticket
    }

    /// A caller leaves the line. `false` if it is not in it any more: its ticket may be another's by now, since a queue
    /// that was removed and made anew counts from the beginning.
    pub(super) fn leave(&mut self, ticket: u64, waiter: &Arc<AcquireSlot>) -> bool {
        let Some(queue) = &mut self.queue else { return false };
        let its = queue.waiters.get(&ticket).is_some_and(|place| Arc::ptr_eq(&place.waiter, waiter));
        let left = its && queue.waiters.remove(&ticket).is_some();
        self.tidy();
        left
    }

    pub(super) fn first(&self) -> Option<&Arc<AcquireSlot>> {
        self.first_before(None)
    }

    /// Where the line ends: whoever comes now stands behind it.
    pub(super) fn end_of_line(&self) -> QueueEnd {
        self.queue.as_ref().map_or(QueueEnd::default(), |queue| QueueEnd::before(queue.next_ticket))
    }

    /// The first in line, if it stood before this end. Where the line was gone meanwhile, and is another now, the first of
    /// that may count as one who did.
    pub(super) fn first_before(&self, end: Option<QueueEnd>) -> Option<&Arc<AcquireSlot>> {
        let (ticket, place) = self.queue.as_ref()?.waiters.first_key_value()?;
        end.is_none_or(|end| end.is_behind(*ticket)).then_some(&place.waiter)
    }

    pub(super) fn pop(&mut self) -> Option<Arc<AcquireSlot>> {
        let first = self.queue.as_mut()?.waiters.pop_first().map(|(_, place)| place.waiter);
        self.tidy();
        first
    }

    /// The first in line waits from now on: the server has said that somebody else holds the lock. `false` if there is
    /// no room for it.
    pub(super) fn permit_first(&mut self, waiter_limit: &Arc<WaiterLimit>) -> bool {
        let Some(queue) = &mut self.queue else { return true };
        let Some(mut first) = queue.waiters.first_entry() else { return true };
        let place = first.get_mut();
        if place.permit.is_none() {
            place.permit = waiter_limit.enter();
        }
        place.permit.is_some()
    }

    pub(super) fn waiters(&self) -> impl Iterator<Item = &Arc<AcquireSlot>> {
        self.queue.iter().flat_map(|queue| queue.waiters.values()).map(|place| &place.waiter)
    }

    pub(super) fn take_waiters(&mut self) -> impl Iterator<Item = Arc<AcquireSlot>> + use<> {
        let waiters = self.queue.as_mut().map(|queue| std::mem::take(&mut queue.waiters)).unwrap_or_default();
        self.tidy();
        waiters.into_values().map(|place| place.waiter)
    }

    /// How many wait. Whoever has asked for a lock that may be free waits for an answer, and not for a holder.
    pub(super) fn waiting(&self) -> usize {
        let Some(queue) = &self.queue else { return 0 };
        let asking = self.ownership.is_none() && queue.request.as_ref().is_some_and(|request| !request.is_waiting());
        queue.waiters.len() - usize::from(asking && !queue.waiters.is_empty())
    }

    /// Whether it can be removed (R5).
    pub(super) fn is_empty(&self) -> bool {
        self.ownership.is_none() && self.queue.is_none()
    }

    /// Frees what is kept for a queue that is not there.
    fn tidy(&mut self) {
        self.queue.take_if(|queue| queue.waiters.is_empty() && queue.request.is_none());
    }

    /// The tenure, if this token is its own.
    pub(super) fn ownership_of(&mut self, token: Token) -> Option<&mut Ownership> {
        self.ownership.as_mut().filter(|ownership| ownership.is_of(token))
    }

    /// The tenure, if this is its lease.
    pub(super) fn ownership_held_by(&mut self, lease: &Arc<RedisLease>) -> Option<&mut Ownership> {
        self.ownership
            .as_mut()
            .filter(|ownership| ownership.holder.as_ref().is_some_and(|holder| Arc::ptr_eq(holder, lease)))
    }

    /// Whether this token is the tenure's.
    pub(super) fn has_ownership(&self, token: Token) -> bool {
        self.ownership.as_ref().is_some_and(|ownership| ownership.is_of(token))
    }

    /// The ask, if there is one.
    pub(super) fn request(&self) -> Option<&PendingRequest> {
        self.queue.as_ref()?.request.as_ref()
    }

    pub(super) fn request_mut(&mut self) -> Option<&mut PendingRequest> {
        self.queue.as_mut()?.request.as_mut()
    }

    pub(super) fn begin_request(&mut self, request: PendingRequest) {
        self.queue.get_or_insert_default().request = Some(request);
    }

    /// Ends the ask.
    pub(super) fn take_request(&mut self) -> Option<PendingRequest> {
        let request = self.queue.as_mut()?.request.take();
        self.tidy();
        request
    }

    /// Whether this token is the ask's.
    pub(super) fn has_request(&self, token: Token) -> bool {
        self.request().is_some_and(|request| request.token == token)
    }

    /// Whether it has put this on the agenda.
    pub(super) fn waits_for(&self, due: timer_queue::Entry) -> bool {
        let of_tenure = self.ownership.as_ref().and_then(|ownership| ownership.due);
        of_tenure == Some(due) || self.request().and_then(|request| request.due) == Some(due)
    }

    /// Whether a caller of this process holds the lock, and for some time yet.
    pub(super) fn is_held_here(&self, now: Instant) -> bool {
        self.ownership.as_ref().is_some_and(|ownership| ownership.holder.is_some() && ownership.lease_ends() > now)
    }

    /// What is left of the holder's lease as far as we know, if it has an end.
    pub(super) fn lease_left(&self, now: Instant) -> Option<Duration> {
        if let Some(ownership) = &self.ownership {
            return Some(ownership.lease_ends().saturating_duration_since(now));
        }
        let request = self.request()?;
        let queued = request.queued?;
        Some(request.lease_left?.get().saturating_sub(PackedInstant::from(now).since(queued.sent)))
    }

    /// The ask, if this token is its own.
    pub(super) fn request_of(&mut self, token: Token) -> Option<&mut PendingRequest> {
        self.request_mut().filter(|request| request.token == token)
    }
}

impl QueueEnd {
    #[allow(clippy::cast_possible_truncation, reason = "the lower half is what is compared")]
    fn before(ticket: u64) -> Self {
        Self(ticket as u32)
    }

    fn is_behind(self, ticket: u64) -> bool {
        let ahead = self.0.wrapping_sub(Self::before(ticket).0);
        ahead != 0 && ahead <= u32::MAX / 2
    }
}

impl PendingRequest {
    /// Whether those who wait for it have been told that they do.
    pub(super) fn is_waiting(&self) -> bool {
        self.queued.is_some() || self.on_failure == OnServerFailure::Retry
    }

    /// What is not known of it when it is undone.
    pub(super) fn unacknowledged(&self) -> Unacknowledged {
        if self.late { Unacknowledged::More } else { Unacknowledged::None }
    }

    /// The deadline of our entry in the server's queue as far as we know it: of old, if that is not at all.
    pub(super) fn known_deadline(&self) -> u64 {
        self.queued.map_or(0, |queued| queued.deadline)
    }
}
