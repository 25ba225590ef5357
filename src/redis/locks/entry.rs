//! [`Entry`]: what is known of one resource.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::undoing::Doubt;
use super::worth;
use crate::FencingToken;
use crate::provider::Lease;
use crate::redis::agenda;
use crate::redis::lease::RedisLease;
use crate::redis::script::ServerTime;
use crate::redis::token::Token;
use crate::redis::waiter::Waiter;

/// How many leases may follow each other in this process while others wait, and for how long. Bounded by both: many
/// short holds cost the others little time, and a few long ones soon much.
const MOST_TURNS_BEFORE_OTHERS: u16 = 32;
const LONGEST_RUN_BEFORE_OTHERS: Duration = Duration::from_millis(5);

/// How long leases may follow each other in this process without a word from the server, which says whether others wait:
/// not everybody who waits can tell us.
const LONGEST_RUN_UNHEARD: Duration = Duration::from_secs(1);

/// Turns of a tenure are numbered in the lower ten bits of the fence (R6).
const TURNS: u16 = 1 << 10;

/// One resource, as this process is concerned with it.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) tenure: Option<Tenure>,
    pub(super) ask: Option<Ask>,
    /// Who waits here, by the order of arrival.
    waiters: BTreeMap<u64, Arc<Waiter>>,
    next_ticket: u64,
}

/// A lock that is ours on the server.
#[derive(Debug)]
pub(super) struct Tenure {
    pub(super) token: Token,
    fence: u64,
    turn: u16,
    /// The lease that the server was last asked for.
    pub(super) ttl: Duration,
    /// When it was asked for that, and so when we last heard whether others wait.
    heard: Instant,
    /// Its end, by our clock, and on the safe side (R2).
    pub(super) ends: Instant,
    /// Nobody has held it since the server was last asked for `ttl`.
    pub(super) fresh: bool,
    /// Who holds it; nobody while a lease for the next turn is asked for.
    pub(super) holder: Option<Arc<RedisLease>>,
    /// Since when others are known to wait, and how many turns there were since.
    others: Option<Run>,
    /// A renewal is under way.
    pub(super) renewing: bool,
    /// The extensions under way: of each, when it may have the lease end (R2). They may be shortenings.
    pub(super) extending: Vec<Instant>,
    /// The lease and its end from before it was shortened by extensions that the server has not answered yet.
    pub(super) before: Option<(Duration, Instant)>,
    /// The shortest lease that an extension without an answer has asked for. It may run yet, after others that were
    /// asked for since (R2).
    pub(super) late_extension: Option<Duration>,
    /// The lease of an acquire that may run yet, under this token: to be undone when the tenure has ended (R4).
    pub(super) late_acquire: Option<Duration>,
    /// When the server was asked for the present end.
    pub(super) counts_from: Instant,
    pub(super) due: Option<agenda::Entry>,
}

#[derive(Debug)]
struct Run {
    since: Instant,
    turns: u16,
}

/// The place in the server's queue that all waiters of this process share.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) token: Token,
    /// The lease that was asked for.
    pub(super) ttl: Duration,
    /// What its waiters have been told.
    pub(super) patience: Patience,
    /// When it was first asked.
    pub(super) begun: Instant,
    /// A call is under way, since this time.
    pub(super) in_flight: Option<Instant>,
    /// The server has said that somebody else holds the lock. What is known of our place since:
    pub(super) queued: Option<Queued>,
    /// Others wait for the lock that this ask has been granted: we have heard of them, and not of the grant.
    pub(super) wanted: bool,
    /// It was asked again, and not answered: that may run yet, also after the ask has ended.
    pub(super) late: bool,
    pub(super) due: Option<agenda::Entry>,
    /// How often it was asked again without messages; such waiters ask at growing intervals.
    pub(super) polls: u32,
}

/// What becomes of an ask that the server does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// It fails: nobody has ever said that somebody else holds the lock.
    New,
    /// It is asked again: its waiters wait already, for a holder of this process until now.
    Waiting,
}

/// What the server last said of our place in its queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queued {
    /// The deadline of our entry, by the server's clock in milliseconds.
    pub(super) deadline: u64,
    /// When it was asked, by our clock, and when it answered, by its own.
    pub(super) sent: Instant,
    pub(super) at: ServerTime,
}

impl Entry {
    /// A caller joins at the end of the line.
    pub(super) fn join(&mut self, waiter: Arc<Waiter>) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiters.insert(ticket, waiter);
        ticket
    }

    /// A caller leaves the line. `false` if it is not in it any more: its ticket may be another's by now, since an entry
    /// that was removed and made anew counts from the beginning.
    pub(super) fn leave(&mut self, ticket: u64, waiter: &Arc<Waiter>) -> bool {
        let its = self.waiters.get(&ticket).is_some_and(|other| Arc::ptr_eq(other, waiter));
        its && self.waiters.remove(&ticket).is_some()
    }

    pub(super) fn first(&self) -> Option<&Arc<Waiter>> {
        self.waiters.first_key_value().map(|(_, waiter)| waiter)
    }

    pub(super) fn pop(&mut self) -> Option<Arc<Waiter>> {
        self.waiters.pop_first().map(|(_, waiter)| waiter)
    }

    pub(super) fn waiters(&self) -> impl Iterator<Item = &Arc<Waiter>> {
        self.waiters.values()
    }

    pub(super) fn take_waiters(&mut self) -> impl Iterator<Item = Arc<Waiter>> + use<> {
        std::mem::take(&mut self.waiters).into_values()
    }

    /// How many wait. Whoever has asked for a lock that may be free waits for an answer, and not for a holder.
    pub(super) fn waiting(&self) -> usize {
        let asking = self.tenure.is_none() && self.ask.as_ref().is_some_and(|ask| !ask.is_waiting());
        self.waiters.len() - usize::from(asking && !self.waiters.is_empty())
    }

    /// Whether it can be removed (R5).
    pub(super) fn is_empty(&self) -> bool {
        self.tenure.is_none() && self.ask.is_none() && self.waiters.is_empty()
    }

    /// The tenure, if this token is its own.
    pub(super) fn tenure_of(&mut self, token: Token) -> Option<&mut Tenure> {
        self.tenure.as_mut().filter(|tenure| tenure.token == token)
    }

    /// The tenure, if this is its lease.
    pub(super) fn tenure_held_by(&mut self, lease: &Arc<RedisLease>) -> Option<&mut Tenure> {
        self.tenure.as_mut().filter(|tenure| tenure.holder.as_ref().is_some_and(|holder| Arc::ptr_eq(holder, lease)))
    }

    /// Whether this token is the tenure's.
    pub(super) fn has_tenure(&self, token: Token) -> bool {
        self.tenure.as_ref().is_some_and(|tenure| tenure.token == token)
    }

    /// Whether this token is the ask's.
    pub(super) fn has_ask(&self, token: Token) -> bool {
        self.ask.as_ref().is_some_and(|ask| ask.token == token)
    }

    /// Whether the lock is held in this process, and for some time yet.
    pub(super) fn is_held_here(&self, now: Instant) -> bool {
        self.tenure.as_ref().is_some_and(|tenure| tenure.lease_ends() > now)
    }

    /// The ask, if this token is its own.
    pub(super) fn ask_of(&mut self, token: Token) -> Option<&mut Ask> {
        self.ask.as_mut().filter(|ask| ask.token == token)
    }
}

impl Ask {
    /// Whether those who wait for it have been told that they do.
    pub(super) fn is_waiting(&self) -> bool {
        self.queued.is_some() || self.patience == Patience::Waiting
    }

    /// What is not known of it when it is undone.
    pub(super) fn doubt(&self) -> Doubt {
        if self.late { Doubt::More } else { Doubt::None }
    }

    /// The deadline of our entry in the server's queue as far as we know it: of old, if that is not at all.
    pub(super) fn known_deadline(&self) -> u64 {
        self.queued.map_or(0, |queued| queued.deadline)
    }
}

impl Tenure {
    /// A lock that the server has just granted, for `ttl` from `from` on by our clock.
    pub(super) fn new(token: Token, fence: u64, from: Instant, ttl: Duration, others_wait: bool) -> Self {
        let mut tenure = Self {
            token,
            fence,
            turn: 0,
            ttl,
            heard: from,
            ends: from + worth(ttl),
            fresh: true,
            holder: None,
            others: None,
            renewing: false,
            extending: Vec::new(),
            before: None,
            late_extension: None,
            late_acquire: None,
            counts_from: from,
            due: None,
        };
        if others_wait {
            tenure.others_wait(from);
        }
        tenure
    }

    /// The number of the present turn.
    pub(super) fn fencing_token(&self) -> FencingToken {
        FencingToken::saturating(self.fence << 10 | u64::from(self.turn))
    }

    /// The server counts `ttl` anew, from `sent` at the earliest; or less, if an extension under way says so.
    pub(super) fn renewed(&mut self, sent: Instant, ttl: Duration) {
        self.ttl = ttl;
        self.ends = self.extending.iter().copied().fold(sent + self.worth(ttl), Instant::min);
        self.counts_from = sent;
    }

    /// What a lease is worth, of this tenure.
    pub(super) fn worth(&self, lease: Duration) -> Duration {
        worth(self.late_extension.map_or(lease, |late| late.min(lease)))
    }

    /// Whether the server granted it before another one.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        self.fence < other.fence
    }

    /// It became known that other processes wait.
    pub(super) fn others_wait(&mut self, now: Instant) {
        if self.others.is_none() {
            self.others = Some(Run { since: now, turns: 0 });
        }
    }

    /// Whether the next caller of this process may have the lock before other processes.
    pub(super) fn may_turn(&self, now: Instant) -> bool {
        self.turn + 1 < TURNS
            && now < self.ends
            && now.saturating_duration_since(self.heard) < LONGEST_RUN_UNHEARD
            && self.others.as_ref().is_none_or(|run| {
                run.turns < MOST_TURNS_BEFORE_OTHERS && now.duration_since(run.since) < LONGEST_RUN_BEFORE_OTHERS
            })
    }

    /// The next turn begins.
    pub(super) fn turn(&mut self) {
        self.turn += 1;
        self.fresh = false;
        if let Some(run) = &mut self.others {
            run.turns += 1;
        }
    }

    /// Whether what is left of the lease is what a waiter would get from the server: as much as it asked for, or, if
    /// it renews its lease anyway, at least half of it.
    pub(super) fn is_enough_for(&self, waiter: &Waiter, now: Instant) -> bool {
        let options = waiter.options();
        options.get_ttl() == self.ttl
            && (self.fresh || options.get_auto_renew() && self.ends.saturating_duration_since(now) >= self.ttl / 2)
    }

    /// The end of the present lease: its own, if that is earlier.
    pub(super) fn lease_ends(&self) -> Instant {
        let limit = self.holder.as_ref().and_then(|holder| holder.state().limit());
        limit.map_or(self.ends, |limit| limit.min(self.ends))
    }
}
