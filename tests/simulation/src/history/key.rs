//! [`Key`]: a lock and its wait queue on the server, and what a call may do with them.

use orchestrix_locking::LockMode;
use orchestrix_locking::simulation::Action;

use super::{Property, Ran};

/// One lock on the server, at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key {
    /// Those that hold it, each with a lease that lasts.
    pub holders: Vec<Holder>,
    /// The number of the phase, if it is shared.
    pub phase: Option<u64>,
    /// The entries of the wait queue.
    pub queue: Vec<Waiting>,
}

/// One that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The owner token, or what keeps the lock taken after a release: [`KEPT`](Self::KEPT) and the token.
    pub token: Vec<u8>,
    /// When its lease ends, in milliseconds by the server's clock.
    pub expires_at: Option<i64>,
    /// What is left of it, in milliseconds.
    pub left: Option<i64>,
    /// The number of its permit.
    pub permit: Option<u32>,
}

/// One entry of the wait queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Whose.
    pub token: Vec<u8>,
    /// The lease that it is granted, in milliseconds.
    pub claim: i64,
    /// Whether its deadline has not passed, and a connection hears its notifications (or it polls).
    pub is_alive: bool,
    /// Whether a connection hears its notifications.
    pub is_heard: bool,
    /// Whether it comes for the lock by itself.
    pub polls: bool,
}

impl Holder {
    /// What the name of one begins with that keeps a lock taken, without an owner. Of an exclusive lock it is the whole name.
    pub const KEPT: &[u8] = b"kept";

    fn is_kept(&self) -> bool {
        self.token.starts_with(Self::KEPT)
    }

    /// A lock that is said to be held by several, and is by none.
    fn is_marker(&self) -> bool {
        self.token.starts_with(b"shared:") || self.token == b"permits"
    }

    fn mode(&self) -> LockMode {
        mode_of(self.token.strip_prefix(b"kept:").unwrap_or(&self.token))
    }
}

/// The mode that an owner token says. All that is no owner token excludes everybody.
pub fn mode_of(token: &[u8]) -> LockMode {
    let permits = || u32::from_str_radix(std::str::from_utf8(token.get(18..23)?).ok()?, 16).ok();
    match token.get(17).filter(|_| token.len() == 49) {
        Some(b's') => LockMode::Shared,
        Some(b'p') => LockMode::Permits(permits().unwrap_or(0)),
        _ => LockMode::Exclusive,
    }
}

impl Key {
    fn holder(&self, token: &[u8]) -> Option<&Holder> {
        self.holders.iter().find(|holder| holder.token == token)
    }

    fn place(&self, token: &[u8]) -> Option<usize> {
        self.queue.iter().position(|entry| entry.token == token)
    }

    /// Whether one more may hold it in this mode.
    fn has_room(&self, mode: LockMode) -> bool {
        self.holders.iter().all(|holder| holder.mode().is_compatible_with(mode)) && is_within(mode, self.holders.len())
    }
}

/// Whether one more may hold a permit, as far as their number goes.
fn is_within(mode: LockMode, held: usize) -> bool {
    !matches!(mode, LockMode::Permits(permits) if usize::try_from(permits).is_ok_and(|permits| held >= permits))
}

impl Ran {
    /// What of it must not be.
    pub(super) fn violation(&self) -> Option<(Property, String)> {
        self.of_another_owner().or_else(|| self.of_the_modes()).or_else(|| self.of_the_order())
    }

    /// Those that hold the lock now and did not before, in the order in which they were granted it.
    fn granted(&self) -> Vec<&Holder> {
        let is_new =
            |holder: &&Holder| !holder.is_kept() && !holder.is_marker() && self.before.holder(&holder.token).is_none();
        let mut granted: Vec<_> = self.after.holders.iter().filter(is_new).collect();
        let turn = |holder: &Holder| self.tokens.iter().position(|token| *token == holder.token);
        granted.sort_by_key(|holder| (self.before.place(&holder.token).unwrap_or(usize::MAX), turn(holder)));
        granted
    }

    /// P4.
    fn of_another_owner(&self) -> Option<(Property, String)> {
        let Self { action, tokens, before, after, .. } = self;
        let broken = |what: &str| Some((Property::P4, format!("{action:?} {what}")));
        if after.holders.iter().any(|holder| holder.expires_at.is_none()) {
            return broken("leaves a lock without an expiry");
        }
        let is_left = |holder: &Holder| holder.is_marker() && before.holder(&holder.token).is_none();
        if after.holders.iter().any(is_left) {
            return broken("leaves a lock taken that nobody holds");
        }
        for holder in before.holders.iter().filter(|holder| !tokens.contains(&holder.token)) {
            match after.holder(&holder.token) {
                None => return broken("took or freed a lock of another owner"),
                Some(after) if after.expires_at != holder.expires_at || after.permit != holder.permit => {
                    return broken("changed the lease of another owner");
                }
                Some(_) => {}
            }
        }
        let keeps = matches!(action, Action::Renew | Action::Reset | Action::Check);
        if keeps && self.granted().iter().any(|holder| tokens.contains(&holder.token)) {
            return broken("made a lock anew");
        }
        None
    }

    /// P2, as the server has it.
    fn of_the_modes(&self) -> Option<(Property, String)> {
        let Self { action, tokens, before, after, .. } = self;
        let broken = |what: &str| Some((Property::P2, format!("{action:?} {what}")));
        let granted = self.granted();
        let mut held = after.clone();
        held.holders.retain(|holder| !granted.contains(&holder));
        for holder in granted {
            if !held.has_room(holder.mode()) {
                return broken("granted the lock beside those that it may not be held beside");
            }
            if let LockMode::Permits(_) = holder.mode() {
                let lowest =
                    (0..=u32::MAX).find(|number| held.holders.iter().all(|other| other.permit != Some(*number)));
                let place = before.place(&holder.token).unwrap_or(before.queue.len());
                // One that turns out to be dead had a permit for a moment; a call for several tokens frees one after the other.
                let may_be_higher = tokens.len() > 1 || before.queue.iter().take(place).any(|entry| !entry.is_heard);
                if holder.permit < lowest || holder.permit > lowest && !may_be_higher {
                    let (given, lowest) = (holder.permit, lowest.unwrap_or(0));
                    return broken(&format!("gave the permit {given:?}, and the lowest free one is {lowest}"));
                }
            }
            held.holders.push(holder.clone());
        }
        None
    }

    /// P6.
    fn of_the_order(&self) -> Option<(Property, String)> {
        let Self { action, tokens, before, after, .. } = self;
        let broken = |what: &str| Some((Property::P6, format!("{action:?} {what}")));
        let granted = self.granted();
        let is_granted = |token: &[u8]| granted.iter().any(|holder| holder.token == token);
        for holder in &granted {
            let place = before.place(&holder.token);
            let mut ahead = before.queue.iter().take(place.unwrap_or(before.queue.len()));
            if ahead.any(|entry| entry.is_alive && !tokens.contains(&entry.token) && !is_granted(&entry.token)) {
                return broken("granted the lock to one that a live waiter is before in the queue");
            }
            if tokens.contains(&holder.token) {
                continue;
            }
            let Some(entry) = place.and_then(|place| before.queue.get(place)) else {
                return broken("granted the lock to a token that did not ask for it");
            };
            if !entry.is_heard {
                return broken("granted the lock to a process that does not hear it");
            }
            if holder.left.is_none_or(|left| left > entry.claim.min(self.longest_claim)) {
                return broken("granted another process more than its claim lease");
            }
        }
        let mut others = before.queue.iter().filter(|entry| !tokens.contains(&entry.token));
        // An entry of a holder is one that its acquire has left when it ran twice.
        let still_waits = |entry: &Waiting| entry.is_alive && after.holder(&entry.token).is_none();
        if others.any(|entry| still_waits(entry) && after.place(&entry.token).is_none()) {
            return broken("removed the entry of a live waiter");
        }
        let is_gone = |token: &Vec<u8>| {
            before.holder(token).is_some() && after.holder(token).is_none()
                || before.place(token).is_some() && after.place(token).is_none()
        };
        let frees = matches!(action, Action::Release | Action::Cancel) && tokens.iter().any(is_gone);
        let next = after.queue.iter().find(|entry| entry.is_alive);
        let next = next.filter(|next| next.is_heard && !next.polls && after.has_room(mode_of(&next.token)));
        // A dead one is noticed when it is granted the lock. One that the lock has no room for is taken for alive meanwhile.
        let mut ahead = after.queue.iter().take_while(|entry| Some(*entry) != next);
        let next = next.filter(|_| !ahead.any(|entry| !entry.is_heard && !after.has_room(mode_of(&entry.token))));
        if frees && self.may_publish && next.is_some() {
            return broken("left the lock free, though a live waiter is in the queue");
        }
        None
    }
}
