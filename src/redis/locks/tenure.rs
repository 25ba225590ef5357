//! [`Tenure`]: a lock that is ours on the server.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::worth;
use crate::FencingToken;
use crate::mutant::{Mutant, is};
use crate::provider::Lease;
use crate::redis::agenda;
use crate::redis::lease::RedisLease;
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
        self.turn + 1 < TURNS && now < self.ends && (self.others_are_patient(now) || is(Mutant::CrowdKeepsOthersOut))
    }

    /// Whether other processes have not waited too long, as far as we have heard.
    fn others_are_patient(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) < LONGEST_RUN_UNHEARD
            && self.others.as_ref().is_none_or(|run| {
                run.turns < MOST_TURNS_BEFORE_OTHERS && now.duration_since(run.since) < LONGEST_RUN_BEFORE_OTHERS
            })
    }

    /// The next turn begins.
    pub(super) fn turn(&mut self) {
        if !is(Mutant::LocalTurnKeepsFence) {
            self.turn += 1;
        }
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
