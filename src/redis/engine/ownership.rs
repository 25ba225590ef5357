//! [`Ownership`]: a lock that is ours on the server.

use std::collections::VecDeque;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Extension, minus_clock_drift};
use crate::FencingToken;
use crate::backend::{Lease, PackedInstant};
use crate::redis::acquire_slot::AcquireSlot;
use crate::redis::clocks::Epoch;
use crate::redis::lease::RedisLease;
use crate::redis::timer_queue;
use crate::redis::token::{InboxId, Secret, Token};
use crate::redis::ttl_millis::TtlMillis;

/// How many leases may follow each other in this process while others wait, and for how long. Bounded by both: many
/// short holds cost the others little time, and a few long ones soon much.
const MOST_TURNS_BEFORE_OTHERS: u8 = 32;
const LONGEST_RUN_BEFORE_OTHERS: Duration = Duration::from_millis(5);

/// How long leases may follow each other in this process without a word from the server, which says whether others wait:
/// not everybody who waits can tell us.
const LONGEST_RUN_UNHEARD: Duration = Duration::from_secs(1);

/// Turns of a tenure are numbered in the lower ten bits of the fence (R6).
const TURN_BITS: u32 = 10;
const LAST_TURN: u64 = (1 << TURN_BITS) - 1;

/// A lock that is ours on the server. What is in it is kept in few bytes: there may be very many tenures.
#[derive(Debug)]
pub(super) struct Ownership {
    secret: Secret,
    /// The server's number, and in its lower bits that of the present turn (R6).
    number: u64,
    /// The lease that the server was last asked for.
    ttl: TtlMillis,
    /// Its end, by our clock, and on the safe side (R2).
    ends: PackedInstant,
    /// When the server was asked for the present end.
    counts_from: PackedInstant,
    /// Who holds it; nobody while a lease for the next turn is asked for.
    pub(super) holder: Option<Arc<RedisLease>>,
    unsettled: Option<Box<Unsettled>>,
    pub(super) due: Option<timer_queue::Entry>,
    /// Until when the next turn may be a caller's of this process, as far as we have heard of others.
    turns_until: PackedInstant,
    /// How many turns there were since others are known to wait, counted from one.
    turns_before_others: Option<NonZeroU8>,
    marks: Marks,
    /// When the server was asked for a lease that a turn began with, by both clocks.
    epoch: Epoch,
}

/// What is so or not so of a tenure, in one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marks(u8);

impl Marks {
    const FRESH: Self = Self(1);
    const RENEWING: Self = Self(2);
    /// It was granted by notification, and the server counts the claim lease still: `ends` is the end of that.
    const CLAIMING: Self = Self(4);

    fn has(self, mark: Self) -> bool {
        self.0 & mark.0 != 0
    }

    fn set(&mut self, mark: Self, is_so: bool) {
        self.0 = if is_so { self.0 | mark.0 } else { self.0 & !mark.0 };
    }
}

/// What is not settled with the server. Very few tenures have any of it.
#[derive(Debug, Default)]
struct Unsettled {
    extending: Option<Box<Extending>>,
    /// The shortest lease that an extension without an answer has asked for. It may run yet, after others that were
    /// asked for since (R2).
    late_extension: Option<Duration>,
    /// The lease of an acquire that may run yet, under this token: to be undone when the tenure has ended (R4).
    late_acquire: Option<Duration>,
}

/// The extension that is under way, of which there is one at a time.
#[derive(Debug)]
pub(super) struct Extending {
    /// Its end may be this one, or later.
    pub(super) may_end: Instant,
    /// The lease and its end without it, if it may be a shortening: then what is believed is the shorter one (R2).
    pub(super) before: Option<(Duration, Instant)>,
    /// Those that are to be sent when this one has its outcome.
    pub(super) waiting: VecDeque<Box<Extension>>,
}

impl Ownership {
    /// A lock that the server has just granted, for `ttl` from `from` on by our clock, in this epoch.
    pub(super) fn new(
        token: Token,
        fence: u64,
        (from, epoch): (Instant, Epoch),
        ttl: Duration,
        others_wait: bool,
    ) -> Self {
        let mut ownership = Self {
            secret: token.secret(),
            number: fence << TURN_BITS,
            ttl: ttl.into(),
            ends: (from + minus_clock_drift(ttl)).into(),
            counts_from: from.into(),
            holder: None,
            unsettled: None,
            due: None,
            // The server said just now whether others wait.
            turns_until: (from + LONGEST_RUN_UNHEARD).into(),
            turns_before_others: None,
            marks: Marks::FRESH,
            epoch,
        };
        if others_wait {
            ownership.others_wait(from);
        }
        ownership
    }

    /// A lock that was granted by notification from `from` on by our clock: for `ttl`, of which the server counts no more
    /// than `claim` before it hears that we have it. A process that is frozen does not keep it for longer.
    pub(super) fn claimed(
        token: Token,
        fence: u64,
        (from, epoch): (Instant, Epoch),
        (ttl, claim): (Duration, Duration),
        others_wait: bool,
    ) -> Self {
        let mut ownership = Self::new(token, fence, (from, epoch), ttl, others_wait);
        ownership.marks.set(Marks::CLAIMING, claim < ttl);
        ownership.ends = (from + minus_clock_drift(ttl.min(claim))).into();
        ownership
    }

    /// Its token; `inbox` is that of this process.
    pub(super) fn token(&self, inbox: InboxId) -> Token {
        self.secret.of(inbox)
    }

    /// Whether this token is its own.
    pub(super) fn is_of(&self, token: Token) -> bool {
        self.secret == token.secret()
    }

    /// The number of the present turn.
    pub(super) fn fencing_token(&self) -> FencingToken {
        FencingToken::saturating(self.number)
    }

    /// Whether nobody has held it since the server was last asked for its lease.
    fn is_fresh(&self) -> bool {
        self.marks.has(Marks::FRESH)
    }

    /// Whether the server counts the claim lease still.
    fn is_claiming(&self) -> bool {
        self.marks.has(Marks::CLAIMING)
    }

    pub(super) fn set_fresh(&mut self, is_fresh: bool) {
        self.marks.set(Marks::FRESH, is_fresh);
    }

    /// Whether a renewal is under way.
    pub(super) fn is_renewing(&self) -> bool {
        self.marks.has(Marks::RENEWING)
    }

    pub(super) fn set_renewing(&mut self, is_renewing: bool) {
        self.marks.set(Marks::RENEWING, is_renewing);
    }

    /// The server is asked, in this epoch, for the lease of the next turn.
    pub(super) fn asked_in(&mut self, epoch: Epoch) {
        self.epoch = epoch;
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

    /// The server counts `ttl` anew, from `sent` at the earliest; or less, if an extension under way says so.
    pub(super) fn renewed(&mut self, sent: Instant, ttl: Duration) {
        let mut ends = sent + self.minus_clock_drift(ttl);
        if let Some(extending) = self.extending() {
            extending.before = Some((ttl, ends)).filter(|_| extending.may_end < ends);
            ends = ends.min(extending.may_end);
        }
        self.ttl = ttl.into();
        self.ends = ends.into();
        self.counts_from = sent.into();
        self.marks.set(Marks::CLAIMING, false);
    }

    /// How long the lease is worth that the server counts at present, to one who asks for `ttl`.
    pub(super) fn length(&self, ttl: Duration) -> Duration {
        if self.is_claiming() { self.ends.since(self.counts_from) } else { minus_clock_drift(ttl) }
    }

    /// What a lease is worth, of this tenure.
    pub(super) fn minus_clock_drift(&self, lease: Duration) -> Duration {
        minus_clock_drift(self.late_extension().map_or(lease, |late| late.min(lease)))
    }

    /// Whether an extension is under way, so that the lease's end is not known.
    pub(super) fn is_extending(&self) -> bool {
        self.unsettled.as_ref().is_some_and(|unsettled| unsettled.extending.is_some())
    }

    pub(super) fn extending(&mut self) -> Option<&mut Extending> {
        self.unsettled.as_mut()?.extending.as_deref_mut()
    }

    /// An extension to a lease is sent. `true` if it may be a shortening: then what was known of the lease until now is
    /// [kept](Extending::before).
    pub(super) fn extension_begins(
        &mut self,
        now: Instant,
        lease: Duration,
        waiting: VecDeque<Box<Extension>>,
    ) -> bool {
        let may_end = now + minus_clock_drift(lease);
        let before = Some((self.ttl.get(), self.ends())).filter(|(_, ends)| may_end < *ends);
        if before.is_some() {
            self.ttl = lease.into();
            self.ends = may_end.into();
            self.counts_from = now.into();
        }
        let extending = Extending { may_end, before, waiting };
        self.unsettled.get_or_insert_default().extending = Some(Box::new(extending));
        before.is_some()
    }

    /// The extension that was under way has its outcome.
    pub(super) fn extension_answered(&mut self) -> Option<Box<Extending>> {
        let unsettled = self.unsettled.as_mut()?;
        let extending = unsettled.extending.take();
        self.unsettled.take_if(|unsettled| unsettled.late_extension.is_none() && unsettled.late_acquire.is_none());
        extending
    }

    /// The lease is again what it was.
    pub(super) fn restored(&mut self, (ttl, ends): (Duration, Instant)) {
        self.ttl = ttl.into();
        self.ends = ends.into();
    }

    /// An extension has no answer: it may have run, and may run yet. `true` if its end is the earlier one, and so the one
    /// to believe in (R2).
    pub(super) fn extension_in_doubt(&mut self, duration: Duration, may_end: Instant) -> bool {
        let late = &mut self.unsettled.get_or_insert_default().late_extension;
        *late = Some(late.map_or(duration, |late| late.min(duration)));
        let earlier = may_end < self.ends();
        if earlier {
            self.ends = may_end.into();
        }
        earlier
    }

    /// The shortest lease of an extension that may run yet.
    pub(super) fn late_extension(&self) -> Option<Duration> {
        self.unsettled.as_ref()?.late_extension
    }

    /// An acquire of this lease may run yet.
    pub(super) fn acquire_in_doubt(&mut self, lease: Duration) {
        self.unsettled.get_or_insert_default().late_acquire = Some(lease);
    }

    /// The lease of an acquire that may run yet.
    pub(super) fn late_acquire(&self) -> Option<Duration> {
        self.unsettled.as_ref()?.late_acquire
    }

    /// Whether there are others to whom its end is of interest: a lease, or what is not settled.
    pub(super) fn is_shared(&self) -> bool {
        self.holder.is_some() || self.unsettled.is_some()
    }

    /// Whether the server granted it before another one.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        self.number >> TURN_BITS < other.number >> TURN_BITS
    }

    /// It became known that other processes wait.
    pub(super) fn others_wait(&mut self, now: Instant) {
        if self.turns_before_others.is_none() {
            self.turns_before_others = Some(NonZeroU8::MIN);
            self.turns_until = self.turns_until.min((now + LONGEST_RUN_BEFORE_OTHERS).into());
        }
    }

    /// Whether the next caller of this process may have the lock before other processes.
    pub(super) fn may_turn(&self, now: Instant) -> bool {
        let is_last = self.number & LAST_TURN == LAST_TURN;
        !is_last && now < self.ends() && self.others_are_patient(now)
    }

    /// Whether other processes have not waited too long, as far as we have heard.
    fn others_are_patient(&self, now: Instant) -> bool {
        PackedInstant::from(now) < self.turns_until
            && self.turns_before_others.is_none_or(|turns| turns.get() <= MOST_TURNS_BEFORE_OTHERS)
    }

    /// The next turn begins.
    pub(super) fn turn(&mut self) {
        self.number += 1;
        self.set_fresh(false);
        self.turns_before_others = self.turns_before_others.map(|turns| turns.saturating_add(1));
    }

    /// Whether what is left of the lease is what a waiter would get from the server: as much as it asked for, or, if
    /// it renews its lease anyway, at least half of it; of a claim lease too, which its renewal makes whole. What was asked
    /// for in another epoch is not known to be left.
    pub(super) fn is_enough_for(&self, waiter: &AcquireSlot, now: Instant, epoch: Epoch) -> bool {
        if self.epoch != epoch {
            return false;
        }
        let options = waiter.options();
        let half_left = || self.ends.since(now.into()) >= self.length(self.ttl.get()) / 2;
        let whole = self.is_fresh() && !self.is_claiming();
        self.ttl == options.get_ttl().into() && (whole || options.get_auto_renew() && (self.is_fresh() || half_left()))
    }

    /// The end of the present lease: its own, if that is earlier.
    pub(super) fn lease_ends(&self) -> Instant {
        let limit = self.holder.as_ref().and_then(|holder| holder.state().limit());
        limit.map_or(self.ends(), |limit| limit.min(self.ends()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    fn ownership(from: Instant) -> Ownership {
        let token = Token::parse("0123456789abcdef.0123456789abcdef0123456789abcdef").unwrap();
        Ownership::new(token, 7, (from, Epoch::default()), TTL, false)
    }

    /// R6: the last turn of a tenure is the last number below the next tenure's first.
    #[tokio::test(start_paused = true)]
    async fn fences_rise_from_turn_to_turn_and_end_before_the_next_tenures() {
        let now = Instant::now();
        let mut ownership = ownership(now);
        let mut last = ownership.fencing_token();
        assert_eq!(last.get(), 7 << 10);
        while ownership.may_turn(now) {
            ownership.turn();
            assert!(ownership.fencing_token() > last);
            last = ownership.fencing_token();
        }
        assert_eq!(last.get(), (8 << 10) - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn others_wait_for_five_milliseconds_or_thirty_two_turns() {
        let granted = Instant::now();
        let heard = granted + Duration::from_micros(400_300);
        let mut of_time = ownership(granted);
        of_time.others_wait(heard);
        of_time.others_wait(heard + Duration::from_millis(3));
        assert!(of_time.may_turn(heard + Duration::from_micros(4_999)));
        assert!(!of_time.may_turn(heard + Duration::from_millis(5)), "counted from the first word");

        let mut of_turns = ownership(granted);
        (0..40).for_each(|_| of_turns.turn());
        of_turns.others_wait(heard);
        let mut turns = 0;
        while of_turns.may_turn(heard) {
            of_turns.turn();
            turns += 1;
        }
        assert_eq!(turns, 32, "turns before anybody waited do not count");

        let unheard = ownership(granted);
        assert!(unheard.may_turn(granted + Duration::from_millis(999)));
        assert!(!unheard.may_turn(granted + Duration::from_secs(1)), "nobody could tell us");
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
        assert_eq!(before, (TTL, now + minus_clock_drift(TTL)));
        assert!(!ownership.is_extending() && ownership.unsettled.is_none());
        ownership.restored(before);
        assert_eq!((ownership.ttl(), ownership.ends()), before);

        // What the server says of the lease meanwhile is what there is to go back to.
        assert!(ownership.extension_begins(now, short, VecDeque::new()));
        ownership.renewed(now, long);
        assert_eq!(ownership.ends(), now + minus_clock_drift(short));
        assert_eq!(ownership.extension_answered().unwrap().before, Some((long, now + minus_clock_drift(long))));

        assert!(
            !ownership.extension_in_doubt(short, now + minus_clock_drift(short)),
            "it is the end that is believed in already"
        );
        ownership.renewed(now, TTL);
        assert_eq!(ownership.ends(), now + minus_clock_drift(short), "it may run yet");
    }
}
