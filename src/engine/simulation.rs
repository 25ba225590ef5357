//! What the simulation looks at after every event.

use super::cancel::Cancellations;
use super::host::Host;
use super::lock::{Lock, State};
use super::owner_token::OwnerToken;

impl<H: Host> Lock<H> {
    /// Whether this owner token is that of the ownership or of the request.
    pub(crate) fn knows(&self, token: OwnerToken) -> bool {
        self.owned().is_some_and(|ownership| ownership.is_of(token))
            || self.request().is_some_and(|request| request.token == token)
    }

    /// The invariant that does not hold between two events, if there is one.
    pub(crate) fn broken_invariant(&self) -> Option<&'static str> {
        let callers = !self.waiters.is_empty();
        match &self.state {
            State::Free if callers => Some("R3: callers wait, and there is neither a request nor an ownership"),
            State::Requesting(request) if !callers && request.in_flight().is_none() => {
                Some("R3: a request waits in the server's queue, and no caller does here")
            }
            State::Free | State::Requesting(_) => None,
            State::Owned(ownership) if ownership.holder.is_none() && !callers => {
                Some("R5: an ownership has no holder, and no caller waits for it")
            }
            State::Owned(ownership) => match ownership.request() {
                Some(request) if !callers && request.in_flight().is_none() => {
                    Some("R3: a request behind an ownership waits, and no caller does here")
                }
                _ => None,
            },
        }
    }

    /// The request whose acquire is in flight.
    pub(crate) fn request_in_flight(&self) -> Option<OwnerToken> {
        self.request().filter(|request| request.in_flight().is_some()).map(|request| request.token)
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
