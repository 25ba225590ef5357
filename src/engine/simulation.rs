//! What the simulation looks at after every event.

use super::cancel::Cancellations;
use super::host::{Host, Waiter};
use super::lock::Lock;
use super::owner_token::OwnerToken;
use super::ownership::Ownership;

impl<H: Host> Lock<H> {
    /// Whether this owner token is that of an ownership or of a request.
    pub(crate) fn knows(&self, token: OwnerToken) -> bool {
        self.ownership(token.secret()).is_some() || self.requests.iter().any(|request| request.token == token)
    }

    /// The invariant that does not hold between two events, if there is one.
    pub(crate) fn broken_invariant(&self) -> Option<&'static str> {
        let (waiters, mode) =
            (self.waiters.iter().count(), self.waiters.first().map(|first| first.options().configured_mode()));
        let idle_requests = self.requests.iter().filter(|request| request.in_flight().is_none());
        if idle_requests.clone().any(|request| Some(request.token.mode()) != mode) || idle_requests.count() > waiters {
            return Some("R3: a request waits in the server's queue, and no caller does here");
        }
        if waiters > 0 && self.requests.is_empty() && self.ownerships.is_empty() {
            return Some("R3: callers wait, and there is neither a request nor an ownership");
        }
        let unheld = || self.ownerships.iter().filter(|ownership| !ownership.is_held());
        if unheld().any(|ownership| Some(ownership.mode()) != mode || !ownership.is_handing_over())
            || unheld().count() > waiters
        {
            return Some("R5: an ownership has no holder, and no caller waits for it");
        }
        let modes = || self.ownerships.iter().map(Ownership::mode);
        if modes().enumerate().any(|(at, one)| modes().skip(at + 1).any(|other| !one.is_compatible_with(other))) {
            return Some("R1: two ownerships that cannot be held together");
        }
        None
    }

    /// The requests whose acquires are in flight.
    pub(crate) fn requests_in_flight(&self) -> impl Iterator<Item = OwnerToken> {
        self.requests.iter().filter(|request| request.in_flight().is_some()).map(|request| request.token)
    }
}

impl Cancellations {
    /// Whether anything of this owner token is being taken back.
    pub(crate) fn knows(&self, token: OwnerToken) -> bool {
        self.0.contains_key(&token)
    }

    /// How many there are, those included that are most likely over.
    pub(crate) fn all(&self) -> usize {
        self.0.len()
    }
}
