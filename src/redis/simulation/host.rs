//! [`SimulatedHost`], and what stands for a caller's future and for a guard.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::process::Process;
use crate::backend::{LeaseState, PackedInstant, Term, WaiterLimit};
use crate::engine::{AcquireResult, Epoch, Host, InboxId, Lease, OwnerToken, TtlMillis, Waiter};
use crate::redis::jitter::jittered_by;
use crate::redis::protocol::Publishing;
use crate::redis::router::Router;
use crate::redis::settings::Settings;
use crate::{FencingToken, LockError, LockMode, LockOptions, Resource, sync};

/// What the engine is told of this process.
pub(super) struct SimulatedHost {
    pub(super) inbox: InboxId,
    pub(super) settings: Settings,
    pub(super) publishing: Publishing,
    /// All connections of this process.
    pub(super) router: Arc<Router<Process>>,
    pub(super) is_closed: bool,
    pub(super) waiter_limit: Arc<WaiterLimit>,
    pub(super) now: Instant,
    pub(super) epoch: Epoch,
    pub(super) random: Cell<u64>,
}

impl SimulatedHost {
    /// The next number of a sequence that the seed decides (splitmix64).
    pub(super) fn random(&self) -> u64 {
        let seed = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(seed);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Makes this process's clock the one that leases are read by.
    pub(super) fn enter(&self) {
        sync::simulated::NOW.set(Some(self.now));
    }
}

impl fmt::Debug for SimulatedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedHost").field("inbox", &self.inbox).finish_non_exhaustive()
    }
}

impl Host for SimulatedHost {
    type Waiter = SimulatedWaiter;
    type Lease = SimulatedLease;

    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn inbox(&self) -> InboxId {
        self.inbox
    }

    fn new_token(&self, mode: LockMode) -> Result<OwnerToken, LockError> {
        let (high, low) = (self.random(), self.random());
        let [byte, ..] = high.to_be_bytes();
        let number = u128::from(high) << 64 | u128::from(low);
        let mut random = [byte >> 4; 17];
        let [_first, rest @ ..] = &mut random;
        *rest = number.to_ne_bytes();
        OwnerToken::of_random(self.inbox, mode, random)
    }

    fn jittered(&self, time: Duration) -> Duration {
        let [byte, ..] = self.random().to_le_bytes();
        jittered_by(byte, time)
    }

    fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn unreachable(&self, resource: &Resource) -> Option<LockError> {
        self.router.with(resource, |connection| connection.unreachable_error())
    }

    fn silence(&self, resource: &Resource) -> Option<LockError> {
        if self.router.is_unserved(resource) {
            return Some(LockError::unavailable("no node serves the slot of the name"));
        }
        self.router.with(resource, |connection| connection.disconnected_error())
    }

    fn has_notifications(&self, resource: &Resource) -> bool {
        !self.router.with(resource, |connection| connection.is_publishing_refused())
    }

    fn response_timeout(&self) -> Duration {
        self.settings.response_timeout
    }

    fn claim_lease(&self) -> Duration {
        self.settings.claim_lease()
    }

    fn waiter_limit(&self) -> &Arc<WaiterLimit> {
        &self.waiter_limit
    }

    fn server(&self) -> &'static str {
        "the simulation"
    }
}

/// One acquire of a caller, from its call to its answer: what an `AcquireFuture` has.
#[derive(Debug)]
pub struct Caller {
    pub(super) waiter: SimulatedWaiter,
    pub(super) resource: Resource,
    /// By which it leaves the local wait queue, if it waits.
    pub(super) ticket: Option<u64>,
}

impl Caller {
    /// Its number: the callers of a process are numbered in the order in which they came.
    pub fn number(&self) -> u64 {
        self.waiter.0.number
    }
}

/// What an acquire came to.
#[derive(Debug)]
pub enum Answer {
    /// The lock is the caller's, once it has [taken](super::Node::take) it.
    Granted(Guard),
    /// Another owner has it.
    Busy,
    /// It failed.
    Failed(LockError),
}

/// A lease that was granted.
#[derive(Debug, Clone)]
pub struct Guard(pub(super) SimulatedLease);

impl Guard {
    /// Its fencing token.
    pub fn fence(&self) -> u64 {
        self.0.state().fencing_token().get()
    }

    /// The number of its permit.
    pub fn permit(&self) -> Option<u32> {
        self.0.state().permit()
    }

    /// Until when the name stays taken after a release, as a time since the beginning by its process's clock.
    pub fn kept_until(&self) -> Option<Duration> {
        self.0.kept_until().map(|until| until.saturating_duration_since(PackedInstant::origin()))
    }

    /// The end that is believed in, as a time since the beginning by its process's clock. Looking changes nothing.
    pub fn ends(&self) -> Duration {
        let state = self.0.state();
        state.ends().map_or(Duration::MAX, |ends| ends.saturating_duration_since(PackedInstant::origin()))
    }
}

#[derive(Debug, Clone)]
pub(super) struct SimulatedWaiter(pub(super) Arc<Slot>);

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: u64,
    pub(super) options: LockOptions,
    pub(super) state: Mutex<SlotState>,
}

#[derive(Debug)]
pub(super) enum SlotState {
    Pending,
    Answered(AcquireResult<SimulatedLease>),
    Gone,
}

impl Waiter for SimulatedWaiter {
    type Lease = SimulatedLease;

    fn options(&self) -> &LockOptions {
        &self.0.options
    }

    fn is_gone(&self) -> bool {
        matches!(*self.0.state.lock(), SlotState::Gone)
    }

    fn lease(
        &self,
        resource: &Resource,
        fence: FencingToken,
        (from, length): (Instant, Duration),
        permit: Option<u32>,
    ) -> SimulatedLease {
        let options = self.options();
        let term = Term::new(from, length).max_hold(options.configured_max_hold());
        let state = LeaseState::held(resource.clone(), fence, term).in_mode(options.configured_mode());
        if let Some(permit) = permit {
            state.set_permit(permit);
        }
        let at_least = options.configured_at_least();
        SimulatedLease(Arc::new(LeaseParts {
            state,
            kept_until: (!at_least.is_zero()).then(|| from + at_least),
            renewal: options.configured_auto_renew().then(|| options.configured_ttl().into()),
            is_taken: AtomicBool::new(false),
        }))
    }
}

#[derive(Debug, Clone)]
pub(super) struct SimulatedLease(pub(super) Arc<LeaseParts>);

#[derive(Debug)]
pub(super) struct LeaseParts {
    state: LeaseState,
    renewal: Option<TtlMillis>,
    kept_until: Option<Instant>,
    pub(super) is_taken: AtomicBool,
}

impl Lease for SimulatedLease {
    fn state(&self) -> &LeaseState {
        &self.0.state
    }

    fn renewal(&self) -> Option<Duration> {
        self.0.renewal.map(TtlMillis::get)
    }

    fn kept_until(&self) -> Option<Instant> {
        self.0.kept_until
    }

    fn is_taken(&self) -> bool {
        self.0.is_taken.load(Relaxed)
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
