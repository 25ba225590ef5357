//! [`Cancellations`]: acquires that are taken back, until the server has replied (R4).

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::command::{Command, Step, Unacknowledged};
use super::host::Host;
use super::owner_token::OwnerToken;
use super::reply::{CancelReply, Reply};
use super::ttl_millis::TtlMillis;
use crate::{LockOptions, Resource};

/// The first pause before a cancellation is sent again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two looks for an acquire that may run yet.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause where the server has not replied, or refuses: another waiter may need what is to be taken back.
const LONGEST_UNANSWERED_PAUSE: Duration = Duration::from_secs(1);

/// How often a cancellation that the server refuses is sent again, if the refusal does not pass by itself.
const MOST_REFUSALS: u32 = 5;

/// Everything that has to be taken back still, by its owner token.
#[derive(Debug, Default)]
pub(crate) struct Cancellations(pub(super) HashMap<OwnerToken, Cancellation>);

#[derive(Debug)]
pub(super) struct Cancellation {
    resource: Resource,
    /// How long after it ran the acquire's lease would end.
    lease: Duration,
    /// When it will have ended by itself. Counted from the server's first reply: a server that is stopped runs what it was
    /// sent when it goes on.
    until: Instant,
    unacknowledged: Unacknowledged,
    /// Until when the name stays taken, if it stands in for a release.
    kept_until: Option<Instant>,
    phase: Phase,
    /// The server has replied once.
    has_reply: bool,
    tries: u32,
    refusals: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    InFlight,
    /// It is sent again at this time.
    Waiting(Instant),
}

/// What becomes of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It is over.
    Done,
    /// It is due again then.
    RetryAt(Instant),
}

impl Cancellations {
    /// How many acquires are known to be there, or not known to be gone.
    pub(crate) fn len(&self) -> usize {
        self.0.values().filter(|cancellation| !cancellation.is_most_likely_over()).count()
    }

    /// The resource of a cancellation that is not over.
    pub(crate) fn resource(&self, token: OwnerToken) -> Option<&Resource> {
        self.0.get(&token).map(|cancellation| &cancellation.resource)
    }

    /// Until when the name of a cancellation stays taken, if it stands in for a release.
    pub(crate) fn kept_until(&self, token: OwnerToken) -> Option<Instant> {
        self.0.get(&token)?.kept_until
    }

    /// A cancellation is sent.
    pub(crate) fn begin(
        &mut self,
        resource: &Resource,
        token: OwnerToken,
        lease: Duration,
        unacknowledged: Unacknowledged,
        now: Instant,
    ) {
        let cancellation = self.0.entry(token).or_insert_with(|| Cancellation {
            resource: resource.clone(),
            lease,
            until: now + LockOptions::MAX_TTL,
            unacknowledged,
            kept_until: None,
            phase: Phase::InFlight,
            has_reply: false,
            tries: 0,
            refusals: 0,
        });
        cancellation.phase = Phase::InFlight;
        if unacknowledged > cancellation.unacknowledged {
            cancellation.unacknowledged = unacknowledged;
            cancellation.lease = lease;
        }
    }

    /// The name of a cancellation stays taken until then, if it is to.
    pub(crate) fn keep(&mut self, token: OwnerToken, until: Option<Instant>) {
        if let Some(cancellation) = self.0.get_mut(&token) {
            cancellation.kept_until = cancellation.kept_until.max(until);
        }
    }

    /// A release did not get through: the lock is taken back instead, after a pause or when there is a connection again. The
    /// name stays taken until then, if it is to.
    pub(crate) fn begin_for_release<H: Host>(
        &mut self,
        resource: &Resource,
        token: OwnerToken,
        kept_until: Option<Instant>,
        host: &H,
        now: Instant,
    ) -> Cancelled {
        self.begin(resource, token, LockOptions::MAX_TTL, Unacknowledged::None, now);
        self.keep(token, kept_until);
        self.retry(token, LONGEST_UNANSWERED_PAUSE, false, host, now)
    }

    /// The server has replied to a cancellation, or has not.
    pub(crate) fn replied<H: Host>(
        &mut self,
        token: OwnerToken,
        reply: &Reply<CancelReply>,
        host: &H,
        now: Instant,
    ) -> Cancelled {
        match reply {
            Reply::Done { result, .. } => {
                let Some(cancellation) = self.0.get_mut(&token) else { return Cancelled::Done };
                let inconclusive = match cancellation.unacknowledged {
                    Unacknowledged::None => false,
                    Unacknowledged::One => *result == CancelReply::Nothing,
                    Unacknowledged::Several => true,
                };
                if !inconclusive {
                    self.0.remove(&token);
                    return Cancelled::Done;
                }
                cancellation.has_reply = true;
                cancellation.until = cancellation.until.min(now + cancellation.lease + host.response_timeout());
                self.retry(token, LONGEST_PAUSE, false, host, now)
            }
            Reply::Refused(refusal) => self.retry(token, LONGEST_UNANSWERED_PAUSE, !refusal.is_passing, host, now),
            Reply::Garbled(_) | Reply::NotSent(_) | Reply::Indeterminate { .. } => {
                self.retry(token, LONGEST_UNANSWERED_PAUSE, false, host, now)
            }
        }
    }

    /// Sends it again after a pause, unless it is over by itself by now, or the server will never accept it.
    fn retry<H: Host>(
        &mut self,
        token: OwnerToken,
        longest: Duration,
        refused: bool,
        host: &H,
        now: Instant,
    ) -> Cancelled {
        let Some(cancellation) = self.0.get_mut(&token) else { return Cancelled::Done };
        cancellation.refusals += u32::from(refused);
        if now >= cancellation.until || cancellation.refusals > MOST_REFUSALS {
            self.0.remove(&token);
            return Cancelled::Done;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << cancellation.tries.min(16)).min(longest);
        cancellation.tries += 1;
        let until = now + host.jittered(pause);
        cancellation.phase = Phase::Waiting(until);
        Cancelled::RetryAt(until)
    }

    /// The time of a retry has come: the command to send, or `None` if there is nothing to do any more. A cancellation that
    /// was sent meanwhile, or waits for a later time, is left alone.
    pub(crate) fn due(&mut self, token: OwnerToken, now: Instant) -> Option<Command> {
        let cancellation = self.0.get_mut(&token)?;
        match cancellation.phase {
            Phase::Waiting(until) if until <= now => {}
            Phase::Waiting(_) | Phase::InFlight => return None,
        }
        if now >= cancellation.until {
            self.0.remove(&token);
            return None;
        }
        Some(cancellation.send_again(token, now))
    }

    /// There is a connection again: the commands that wait for a retry.
    pub(crate) fn all_again(&mut self, now: Instant) -> impl Iterator<Item = Command> {
        let waiting = self.0.iter_mut().filter(|(_, cancellation)| cancellation.phase != Phase::InFlight);
        waiting.map(move |(token, cancellation)| cancellation.send_again(*token, now))
    }
}

impl Cancellation {
    fn send_again(&mut self, token: OwnerToken, now: Instant) -> Command {
        self.phase = Phase::InFlight;
        let keep = self.kept_until.filter(|until| *until > now).map(|until| TtlMillis::from(until - now));
        Command { resource: self.resource.clone(), token, step: Step::Cancel { keep } }
    }

    /// Whether it only looks for an acquire that may run yet, and was not found so far: most likely there is none.
    fn is_most_likely_over(&self) -> bool {
        let waits = self.phase != Phase::InFlight;
        match self.unacknowledged {
            Unacknowledged::None => false,
            Unacknowledged::One => waits && self.tries > 0,
            // The others of several may well be there until the server has replied.
            Unacknowledged::Several => waits && self.has_reply,
        }
    }
}
