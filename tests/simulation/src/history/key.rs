//! [`Key`]: a lock and its wait queue on the server, and what a call may do with them.

use orchestrix_locking::simulation::Action;

use super::{Property, Ran};

/// One lock on the server, at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key {
    /// The owner token.
    pub owner: Option<Vec<u8>>,
    /// When its lease ends, in milliseconds by the server's clock.
    pub expires_at: Option<i64>,
    /// What is left of it, in milliseconds.
    pub left: Option<i64>,
    /// The entries of the wait queue.
    pub queue: Vec<Waiting>,
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

impl Ran {
    /// What of it must not be.
    pub(super) fn violation(&self) -> Option<(Property, String)> {
        self.of_another_owner().or_else(|| self.of_the_order())
    }

    /// P4.
    fn of_another_owner(&self) -> Option<(Property, String)> {
        let Self { action, tokens, before, after, .. } = self;
        let broken = |what: &str| Some((Property::P4, format!("{action:?} {what}")));
        if after.owner.is_some() && after.expires_at.is_none() {
            return broken("leaves a lock without an expiry");
        }
        match &before.owner {
            Some(owner) if !tokens.contains(owner) => {
                if after.owner.as_ref() != Some(owner) {
                    return broken("took or freed a lock of another owner");
                }
                if after.expires_at != before.expires_at {
                    return broken("changed the lease of another owner");
                }
            }
            None if matches!(action, Action::Renew | Action::Reset | Action::Check) && after.owner.is_some() => {
                return broken("made a lock anew");
            }
            _ => {}
        }
        None
    }

    /// P6.
    fn of_the_order(&self) -> Option<(Property, String)> {
        let Self { action, tokens, before, after, .. } = self;
        let broken = |what: &str| Some((Property::P6, format!("{action:?} {what}")));
        let granted = after.owner.as_ref().filter(|_| after.owner != before.owner);
        let place = granted.and_then(|granted| before.queue.iter().position(|entry| entry.token == *granted));
        let others = || before.queue.iter().filter(|entry| !tokens.contains(&entry.token));
        if let Some(granted) = granted {
            let ahead = before.queue.get(..place.unwrap_or(before.queue.len()))?;
            if ahead.iter().any(|entry| entry.is_alive && !tokens.contains(&entry.token) && entry.token != *granted) {
                return broken("granted the lock to one that a live waiter is before in the queue");
            }
            if !tokens.contains(granted) {
                let Some(entry) = place.and_then(|place| before.queue.get(place)) else {
                    return broken("granted the lock to a token that did not ask for it");
                };
                if !entry.is_heard {
                    return broken("granted the lock to a process that does not hear it");
                }
                if after.left.is_none_or(|left| left > entry.claim.min(self.longest_claim)) {
                    return broken("granted another process more than its claim lease");
                }
            }
        }
        let is_there = |entry: &Waiting| after.queue.iter().any(|after| after.token == entry.token);
        if others().any(|entry| entry.is_alive && Some(&entry.token) != granted && !is_there(entry)) {
            return broken("removed the entry of a live waiter");
        }
        let frees = before.owner.as_ref().is_some_and(|owner| tokens.contains(owner)) && after.owner.is_none();
        let next = after.queue.iter().find(|entry| entry.is_alive);
        if frees && self.may_publish && next.is_some_and(|next| next.is_heard && !next.polls) {
            return broken("left the lock free, though a live waiter is in the queue");
        }
        None
    }
}
