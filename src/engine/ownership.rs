//! [`Ownership`]: a lock whose key on the server carries an owner token of this process.

use std::collections::VecDeque;
use std::num::NonZeroU8;
use std::time::Duration;

use tokio::time::Instant;

use super::command::Extension;
use super::host::{Epoch, Host, Lease, Waiter};
use super::minus_clock_drift;
use super::owner_token::{InboxId, OwnerToken, Secret};
use super::reply::ServerTime;
use super::several::Several;
use super::ttl_millis::TtlMillis;
use crate::backend::PackedInstant;
use crate::{FencingToken, LockMode};

/// How many local hand-overs there may be while other processes wait, and for how long. Bounded by both: many short holds
/// cost the others little time, and a few long ones soon much.
const MOST_HANDOVERS_BEFORE_OTHERS: u8 = 32;
const LONGEST_RUN_BEFORE_OTHERS: Duration = Duration::from_millis(5);

/// For how long there may be local hand-overs without a message from the server, which says whether others wait: not every
/// waiter can notify us.
const LONGEST_RUN_UNHEARD: Duration = Duration::from_secs(1);

/// Renewals are put together: a process that holds many locks renews those that are due at about the same time in the same
/// pipelines. A lease is renewed earlier by this part of it at most, and by no more than this time: renewals that are due at
/// once go before everything else that the server is asked, and take memory until they are answered.
const TOGETHER: u32 = 100;
const LONGEST_TOGETHER: Duration = Duration::from_millis(10);

/// The lower ten bits of a fencing token count the holders of one ownership (R6).
const HOLDER_BITS: u32 = 10;
const LAST_HOLDER: u64 = (1 << HOLDER_BITS) - 1;

/// A lock that is ours on the server. Kept in few bytes, since one process may hold very many.
#[derive(Debug)]
pub(super) struct Ownership<H: Host> {
    secret: Secret,
    /// The server's number, and in its lower bits that of the present holder (R6).
    number: u64,
    /// The lease that the server was last asked for.
    ttl: TtlMillis,
    /// Its end by our clock, on the safe side (R2).
    ends: PackedInstant,
    /// When the server was asked for the present end.
    counts_from: PackedInstant,
    /// The callers that hold the lock: more than one only if it is shared. None while it is being handed over.
    pub(super) holders: Several<H::Lease>,
    unsettled: Option<Box<Unsettled<H>>>,
    /// Until when the next holder may be a caller of this process, as far as is known of others.
    local_until: PackedInstant,
    /// How many local hand-overs there were since others are known to wait, counted from one.
    handovers_before_others: Option<NonZeroU8>,
    in_flight: InFlight,
    /// When the server was asked for the lease that a holder began with.
    epoch: Epoch,
}

/// What is not settled with the server. Very few ownerships have any of it.
#[derive(Debug)]
struct Unsettled<H: Host> {
    extending: Option<Box<Extending<H>>>,
    /// The shortest lease of an unacknowledged extension. It may run yet, after others that were asked for since (R2).
    late_extension: Option<Duration>,
    /// The lease of an unacknowledged acquire of this owner token: to be cancelled when the ownership has ended (R4).
    late_acquire: Option<Duration>,
    /// A renewal is due, and was not possible or did not get through. It is tried again at this time.
    retry_at: Option<PackedInstant>,
    /// Until when the name stays taken, whatever its holders do.
    kept_until: Option<PackedInstant>,
}

/// Which calls are in flight, in one byte.
#[derive(Debug, Clone, Copy)]
struct InFlight(u8);

impl InFlight {
    const RENEWAL: u8 = 1;
    /// On behalf of the next holder: for a lease, or whether others wait for a lock that is shared.
    const HANDOVER: u8 = 2;

    fn has(self, call: u8) -> bool {
        self.0 & call != 0
    }

    fn set(&mut self, call: u8, is_in_flight: bool) {
        self.0 = if is_in_flight { self.0 | call } else { self.0 & !call };
    }
}

/// A lease as the server counts it: its length, when it was asked for, and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    ttl: TtlMillis,
    from: PackedInstant,
    ends: PackedInstant,
}

/// The extension in flight, of which there is one at a time.
#[derive(Debug)]
pub(super) struct Extending<H: Host> {
    /// The lease's end may be this one, or later.
    pub(super) may_end: Instant,
    /// The lease without the extension, if that may be a shortening. Until the reply the earlier end is the one to believe
    /// in (R2).
    pub(super) before: Option<Counted>,
    /// Extensions that are sent once this one has its outcome.
    pub(super) waiting: VecDeque<Box<Extension<H>>>,
}

impl<H: Host> Default for Unsettled<H> {
    fn default() -> Self {
        Self { extending: None, late_extension: None, late_acquire: None, retry_at: None, kept_until: None }
    }
}

impl<H: Host> Ownership<H> {
    /// A lock that the server has just granted, for `ttl` from `from` on by our clock, in this epoch.
    pub(super) fn new(
        token: OwnerToken,
        fence: u64,
        (from, epoch): (Instant, Epoch),
        ttl: Duration,
        others_wait: bool,
    ) -> Self {
        let mut ownership = Self {
            secret: token.secret(),
            number: fence << HOLDER_BITS,
            ttl: ttl.into(),
            ends: (from + minus_clock_drift(ttl)).into(),
            counts_from: from.into(),
            holders: Several::None,
            unsettled: None,
            // The server has just said whether others wait.
            local_until: (from + LONGEST_RUN_UNHEARD).into(),
            handovers_before_others: None,
            in_flight: InFlight(0),
            epoch,
        };
        if others_wait {
            ownership.others_wait(from);
        }
        ownership
    }

    /// A lock that was granted by notification, from `from` on by our clock: for `ttl`, of which the server counts no more
    /// than `claim` before it hears that we have it. So a frozen process does not keep the lock for longer than that.
    pub(super) fn claimed(
        token: OwnerToken,
        fence: u64,
        (from, epoch): (Instant, Epoch),
        (ttl, claim): (Duration, Duration),
        others_wait: bool,
    ) -> Self {
        let mut ownership = Self::new(token, fence, (from, epoch), ttl, others_wait);
        ownership.ends = (from + minus_clock_drift(ttl.min(claim))).into();
        ownership
    }

    /// Its owner token; `inbox` is that of this process.
    pub(super) fn token(&self, inbox: InboxId) -> OwnerToken {
        self.secret.of(inbox)
    }

    /// The secret of its owner token, by which it is found.
    pub(super) fn secret(&self) -> Secret {
        self.secret
    }

    /// Who may hold the lock at the same time.
    pub(super) fn mode(&self) -> LockMode {
        self.secret.mode()
    }

    fn is_shared_mode(&self) -> bool {
        self.mode() == LockMode::Shared
    }

    /// Whether a caller of this process holds it.
    pub(super) fn is_held(&self) -> bool {
        !self.holders.is_empty()
    }

    /// Whether this lease is that of a holder.
    pub(super) fn is_held_by(&self, lease: &H::Lease) -> bool {
        self.holders.iter().any(|holder| holder.is(lease))
    }

    /// The fencing token of the present holder.
    pub(super) fn fencing_token(&self) -> FencingToken {
        FencingToken::saturating(self.number)
    }

    /// Whether a renewal is in flight.
    pub(super) fn is_renewing(&self) -> bool {
        self.in_flight.has(InFlight::RENEWAL)
    }

    pub(super) fn set_renewing(&mut self, is_renewing: bool) {
        self.in_flight.set(InFlight::RENEWAL, is_renewing);
    }

    /// The server is asked, in this epoch, on behalf of the next holder.
    pub(super) fn handover_begins(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.in_flight.set(InFlight::HANDOVER, true);
    }

    /// The server has replied, or has not.
    pub(super) fn handover_ended(&mut self) {
        self.in_flight.set(InFlight::HANDOVER, false);
    }

    /// Whether the server is being asked on behalf of the next holder.
    pub(super) fn is_handing_over(&self) -> bool {
        self.in_flight.has(InFlight::HANDOVER)
    }

    /// The name stays taken until then, whatever its holders do.
    pub(super) fn keep_until(&mut self, until: Instant) {
        let kept = &mut self.unsettled.get_or_insert_default().kept_until;
        *kept = Some(kept.map_or(until.into(), |kept| kept.max(until.into())));
    }

    /// For how long the name stays taken yet, whatever its holders do.
    pub(super) fn kept_for(&self, now: Instant) -> Option<Duration> {
        let until = self.unsettled.as_ref()?.kept_until?;
        Some(until.since(now.into())).filter(|rest| !rest.is_zero())
    }

    /// The lease that the server was last asked for.
    pub(super) fn ttl(&self) -> Duration {
        self.ttl.get()
    }

    /// Its end, by our clock.
    pub(super) fn ends(&self) -> Instant {
        self.ends.instant()
    }

    /// When the server was asked for that end.
    pub(super) fn counts_from(&self) -> Instant {
        self.counts_from.instant()
    }

    /// When something has to be done for it next, if nothing happens before: a renewal, or the end of a lease.
    pub(super) fn deadline(&self) -> Instant {
        let end = self.lease_ends();
        let Some(ttl) = self.renewal().filter(|_| !self.is_renewing()) else { return end };
        let Some(due) = self.renewal_due(ttl) else { return end };
        let retry_at = self.unsettled.as_ref().and_then(|unsettled| unsettled.retry_at);
        retry_at.map_or(due, |retry_at| due.max(retry_at.instant())).min(end)
    }

    /// The length that renewals give the lease: the longest that a holder wants.
    pub(super) fn renewal(&self) -> Option<Duration> {
        self.holders.iter().filter_map(Lease::renewal).max()
    }

    /// The time at which two thirds of the lease are left, or a little before. An extension to a longer lease puts it off.
    /// `None` if no renewal carries a lease further.
    pub(super) fn renewal_due(&self, ttl: Duration) -> Option<Instant> {
        let ends = self.renewable_end()?;
        Some(together(ends.checked_sub(self.length(ttl) / 3 * 2).unwrap_or(ends), ttl))
    }

    /// The first end of a lease that a renewal carries further.
    fn renewable_end(&self) -> Option<Instant> {
        let renewed = self.holders.iter().filter(|holder| holder.renewal().is_some());
        let ends = renewed.filter_map(|holder| {
            let end = self.end_of(holder);
            holder.state().limit().is_none_or(|limit| limit > end).then_some(end)
        });
        ends.min()
    }

    /// The end of a holder's lease, but for its own limit. Leases of readers who share an ownership have ends of their own.
    fn end_of(&self, holder: &H::Lease) -> Instant {
        if !self.is_shared_mode() {
            return self.ends();
        }
        holder.state().ends().map_or(self.ends(), |end| end.min(self.ends()))
    }

    /// A renewal that is due is tried again at this time.
    pub(super) fn retry_renewal_at(&mut self, time: Instant) {
        self.unsettled.get_or_insert_default().retry_at = Some(time.into());
    }

    /// The server has counted a lease anew for the next holder: no shorter than that of present ones.
    pub(super) fn renewed_for_next(&mut self, sent: Instant, ttl: Duration) {
        if !self.is_held() || sent + self.minus_clock_drift(ttl) > self.ends() {
            self.renewed(sent, ttl);
        }
    }

    /// The server counts `ttl` anew, from `sent` at the earliest; or less, if an extension in flight says so.
    pub(super) fn renewed(&mut self, sent: Instant, ttl: Duration) {
        let mut counted =
            Counted { ttl: ttl.into(), from: sent.into(), ends: (sent + self.minus_clock_drift(ttl)).into() };
        if let Some(extending) = self.extending() {
            let may_end = extending.may_end.into();
            extending.before = Some(counted).filter(|counted| may_end < counted.ends);
            counted.ends = counted.ends.min(may_end);
        }
        self.count(counted);
        if let Some(unsettled) = &mut self.unsettled {
            unsettled.retry_at = None;
            self.tidy();
        }
    }

    /// For how long a lease of this ownership may be believed in, by a caller that asks for `ttl`. Less, while the server
    /// counts a shorter one: the claim lease, or that of an extension.
    pub(super) fn length(&self, ttl: Duration) -> Duration {
        minus_clock_drift(ttl).min(self.ends.since(self.counts_from))
    }

    /// For how long a lease of this ownership may be believed in: no longer than an extension that may run yet allows.
    pub(super) fn minus_clock_drift(&self, lease: Duration) -> Duration {
        minus_clock_drift(self.late_extension().map_or(lease, |late| late.min(lease)))
    }

    /// Whether an extension is in flight, so that the lease's end is not known exactly.
    pub(super) fn is_extending(&self) -> bool {
        self.unsettled.as_ref().is_some_and(|unsettled| unsettled.extending.is_some())
    }

    pub(super) fn extending(&mut self) -> Option<&mut Extending<H>> {
        self.unsettled.as_mut()?.extending.as_deref_mut()
    }

    /// An extension to `lease` is sent. `true` if it may be a shortening: then what was known of the lease until now is
    /// [kept](Extending::before).
    pub(super) fn extension_begins(
        &mut self,
        now: Instant,
        lease: Duration,
        waiting: VecDeque<Box<Extension<H>>>,
    ) -> bool {
        let may_end = now + minus_clock_drift(lease);
        let counted = Counted { ttl: self.ttl, from: self.counts_from, ends: self.ends };
        let before = Some(counted).filter(|_| may_end < self.ends());
        if before.is_some() {
            self.count(Counted { ttl: lease.into(), from: now.into(), ends: may_end.into() });
        }
        let extending = Extending { may_end, before, waiting };
        self.unsettled.get_or_insert_default().extending = Some(Box::new(extending));
        before.is_some()
    }

    /// The extension in flight has its outcome.
    pub(super) fn extension_answered(&mut self) -> Option<Box<Extending<H>>> {
        let extending = self.unsettled.as_mut()?.extending.take();
        self.tidy();
        extending
    }

    /// What is believed of the lease from now on.
    pub(super) fn count(&mut self, Counted { ttl, from, ends }: Counted) {
        self.ttl = ttl;
        self.counts_from = from;
        self.ends = ends;
    }

    /// An extension is in doubt: it may have run, and may run yet. Its end is believed in already if it is the earlier one
    /// (R2), and from now on nothing lasts longer than it.
    pub(super) fn extension_in_doubt(&mut self, duration: Duration) {
        let late = &mut self.unsettled.get_or_insert_default().late_extension;
        *late = Some(late.map_or(duration, |late| late.min(duration)));
    }

    /// The shortest lease of an extension that may run yet.
    pub(super) fn late_extension(&self) -> Option<Duration> {
        self.unsettled.as_ref()?.late_extension
    }

    /// An acquire of this lease and this owner token may run yet.
    pub(super) fn acquire_in_doubt(&mut self, lease: Duration) {
        self.unsettled.get_or_insert_default().late_acquire = Some(lease);
    }

    /// The lease of an acquire that may run yet.
    pub(super) fn late_acquire(&self) -> Option<Duration> {
        self.unsettled.as_ref()?.late_acquire
    }

    /// Frees what is kept for nothing unsettled.
    fn tidy(&mut self) {
        self.unsettled.take_if(|unsettled| {
            let Unsettled { extending, late_extension, late_acquire, retry_at, kept_until } = &**unsettled;
            let settled = extending.is_none() && late_extension.is_none() && late_acquire.is_none();
            settled && retry_at.is_none() && kept_until.is_none()
        });
    }

    /// Whether its drop may run code of a user: that of a lease's watchers, or of an extension's future.
    pub(super) fn is_shared(&self) -> bool {
        self.is_held() || self.unsettled.is_some()
    }

    /// Whether it was asked for in this epoch.
    pub(super) fn is_of_epoch(&self, epoch: Epoch) -> bool {
        self.epoch == epoch
    }

    /// Whether both can be ours: in compatible modes, and readers in one phase.
    pub(super) fn can_be_held_beside(&self, other: &Self) -> bool {
        let one_phase = !self.is_shared_mode() || self.number >> HOLDER_BITS == other.number >> HOLDER_BITS;
        self.mode().is_compatible_with(other.mode()) && one_phase
    }

    /// Whether the server granted it before the other one.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        self.number >> HOLDER_BITS < other.number >> HOLDER_BITS
    }

    /// Whether the server said something after this grant: the number of a grant is the server's time, or higher.
    pub(super) fn was_granted_before(&self, at: ServerTime) -> bool {
        self.number >> HOLDER_BITS < at.0
    }

    /// It became known that other processes wait.
    pub(super) fn others_wait(&mut self, now: Instant) {
        if self.handovers_before_others.is_none() {
            self.handovers_before_others = Some(NonZeroU8::MIN);
            self.local_until = self.local_until.min((now + LONGEST_RUN_BEFORE_OTHERS).into());
        }
    }

    /// The server has said that no others wait, of a lock that is shared: until it has to be asked again, more readers of
    /// this process may join.
    pub(super) fn nobody_waits(&mut self, sent: Instant) {
        self.handovers_before_others = None;
        self.local_until = self.local_until.max((sent + LONGEST_RUN_UNHEARD).into());
    }

    /// Whether a reader may join the readers of this process, without a message to the server. `None`: the server has to be
    /// asked whether others wait.
    pub(super) fn may_join(&self, now: Instant) -> Option<bool> {
        if self.handovers_before_others.is_some() {
            return Some(false);
        }
        (PackedInstant::from(now) < self.local_until).then_some(true)
    }

    /// Whether the next holder may be a caller of this process, before other processes.
    pub(super) fn may_hand_over(&self, now: Instant) -> bool {
        let is_last = self.number & LAST_HOLDER == LAST_HOLDER;
        !is_last && now < self.ends() && self.others_can_wait(now)
    }

    /// Whether other processes have not waited for too long, as far as is known.
    fn others_can_wait(&self, now: Instant) -> bool {
        PackedInstant::from(now) < self.local_until
            && self.handovers_before_others.is_none_or(|handovers| handovers.get() <= MOST_HANDOVERS_BEFORE_OTHERS)
    }

    /// The next holder is a caller of this process.
    pub(super) fn next_holder(&mut self) {
        self.number += 1;
        self.handovers_before_others = self.handovers_before_others.map(|handovers| handovers.saturating_add(1));
    }

    /// Whether what is left of the lease is what a waiter would get from the server: as much as it asked for, or, if it
    /// renews its lease anyway, at least half of it; of a claim lease too, which its renewal makes whole. `is_fresh`: the
    /// server was asked for it just now, and no caller has held it since. A lease that was asked for in another epoch is not
    /// known to be left.
    pub(super) fn is_enough_for(&self, waiter: &H::Waiter, is_fresh: bool, now: Instant, epoch: Epoch) -> bool {
        let options = waiter.options();
        let ttl = options.configured_ttl();
        if self.epoch != epoch {
            return false;
        }
        if self.is_shared_mode() {
            // Readers with leases of different lengths share the longest.
            let asked = minus_clock_drift(ttl);
            let needed = if options.configured_auto_renew() { asked / 2 } else { asked };
            let is_granted_whole = || options.configured_auto_renew() || self.is_whole();
            return self.ends.since(now.into()) >= needed || is_fresh && self.ttl >= ttl.into() && is_granted_whole();
        }
        if self.ttl != ttl.into() {
            return false;
        }
        let length = self.length(self.ttl.get());
        let half_is_left = || self.ends.since(now.into()) >= length / 2;
        is_fresh && self.is_whole() || options.configured_auto_renew() && (is_fresh || half_is_left())
    }

    /// Whether the lease is as whole as the server's can be believed in: it is no claim lease, and no extension that may run yet
    /// makes it shorter.
    fn is_whole(&self) -> bool {
        self.length(self.ttl.get()) == self.minus_clock_drift(self.ttl.get())
    }

    /// When the first lease of a holder ends: by its own limit, if that is earlier than the ownership's end.
    pub(super) fn lease_ends(&self) -> Instant {
        let ends = self.holders.iter().map(|holder| {
            let end = self.end_of(holder);
            holder.state().limit().map_or(end, |limit| limit.min(end))
        });
        ends.min().unwrap_or(self.ends())
    }
}

/// The time just before `due` at which leases of this length are renewed: the same for all that are due soon after each
/// other.
fn together(due: Instant, ttl: Duration) -> Instant {
    let step = (ttl / TOGETHER).min(LONGEST_TOGETHER).as_nanos().max(1);
    let beyond = due.saturating_duration_since(PackedInstant::origin()).as_nanos() % step;
    u64::try_from(beyond).ok().and_then(|beyond| due.checked_sub(Duration::from_nanos(beyond))).unwrap_or(due)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::engine::testing::Nothing;

    const TTL: Duration = Duration::from_secs(30);

    fn ownership(from: Instant) -> Ownership<Nothing> {
        let token = OwnerToken::parse("0123456789abcdef.0123456789abcdef0123456789abcdef").unwrap();
        Ownership::new(token, 7, (from, Epoch::default()), TTL, false)
    }

    /// R6: the last holder of an ownership has the last number below that of the next ownership's first.
    #[tokio::test(start_paused = true)]
    async fn fencing_tokens_rise_from_holder_to_holder_and_end_before_the_next_ownerships() {
        let now = Instant::now();
        let mut ownership = ownership(now);
        let mut last = ownership.fencing_token();
        assert_eq!(last.get(), 7 << 10);
        while ownership.may_hand_over(now) {
            ownership.next_holder();
            assert!(ownership.fencing_token() > last);
            last = ownership.fencing_token();
        }
        assert_eq!(last.get(), (8 << 10) - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn others_wait_for_five_milliseconds_or_thirty_two_hand_overs() {
        let granted = Instant::now();
        let heard = granted + Duration::from_micros(400_300);
        let mut of_time = ownership(granted);
        of_time.others_wait(heard);
        of_time.others_wait(heard + Duration::from_millis(3));
        assert!(of_time.may_hand_over(heard + Duration::from_micros(4_999)));
        assert!(!of_time.may_hand_over(heard + Duration::from_millis(5)), "counted from the first notice");

        let mut of_handovers = ownership(granted);
        (0..40).for_each(|_| of_handovers.next_holder());
        of_handovers.others_wait(heard);
        let mut handovers = 0;
        while of_handovers.may_hand_over(heard) {
            of_handovers.next_holder();
            handovers += 1;
        }
        assert_eq!(handovers, 32, "hand-overs before others waited do not count");

        let unheard = ownership(granted);
        assert!(unheard.may_hand_over(granted + Duration::from_millis(999)));
        assert!(
            !unheard.may_hand_over(granted + Duration::from_secs(1)),
            "the server has not said for too long whether others wait"
        );
    }

    /// R2: while an extension is under way the earlier end is the one to believe in; refused, it has changed nothing.
    #[tokio::test(start_paused = true)]
    async fn an_extension_under_way_bounds_the_end_and_leaves_nothing_behind() {
        let now = Instant::now();
        let (short, long) = (Duration::from_secs(5), Duration::from_secs(60));
        let mut ownership = ownership(now);
        assert!(!ownership.extension_begins(now, long, VecDeque::new()), "no shortening");
        assert_eq!(
            (ownership.ends(), ownership.extension_answered().unwrap().before),
            (now + minus_clock_drift(TTL), None)
        );

        assert!(ownership.extension_begins(now, short, VecDeque::new()));
        assert_eq!(ownership.ends(), now + minus_clock_drift(short));
        let before = ownership.extension_answered().unwrap().before.unwrap();
        let counted = Counted { ttl: TTL.into(), from: now.into(), ends: (now + minus_clock_drift(TTL)).into() };
        assert_eq!(before, counted);
        assert!(!ownership.is_extending() && ownership.unsettled.is_none());
        ownership.count(before);
        assert_eq!((ownership.ttl(), ownership.ends()), (TTL, now + minus_clock_drift(TTL)));

        // What the server says of the lease meanwhile is what there is to go back to.
        assert!(ownership.extension_begins(now, short, VecDeque::new()));
        ownership.renewed(now, long);
        assert_eq!(ownership.ends(), now + minus_clock_drift(short));
        let counted = Counted { ttl: long.into(), ends: (now + minus_clock_drift(long)).into(), ..counted };
        assert_eq!(ownership.extension_answered().unwrap().before, Some(counted));

        ownership.extension_in_doubt(short);
        ownership.renewed(now, TTL);
        assert_eq!(ownership.ends(), now + minus_clock_drift(short), "it may run yet");
    }
}
