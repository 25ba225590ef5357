//! [`Upgrade`]: the lock of a request that asks for an upgrade of its connection.
//!
//! # How an upgraded connection keeps its lock
//!
//! After a 101 or a successful CONNECT, the server hands the connection to a task of the handler. The response has no body
//! then, and the layer sees neither the connection nor its end. It sees only its own [`LockHandle`]: while the task keeps
//! a clone, the connection is in use.
//!
//! So all handles of the request's locks and their clones share a [`Kept`]. When the response head comes and a clone is alive, the guard moves into
//! the `Kept`, and the drop of the last clone releases the lock. If no clone is alive, the lock would be free while the
//! connection is in use. The upgrade is refused instead. A [`Lost`](crate::Lost) signal does not count as a clone: a task
//! that only reports a loss may wait for it for ever.
//!
//! Only a request that asks for an upgrade gets a `Kept`. Other requests cost one lookup of a header.

use std::sync::{Arc, OnceLock, Weak};

use ::http::header::UPGRADE;
use ::http::{Extensions, HeaderValue, Method, Request, Version};

use super::framing::Framing;
use super::held::insert_handles;
use crate::lock::Held;
use crate::{LockError, LockHandle};

/// Knows whether a clone of a request's handle is alive.
#[derive(Debug, Clone)]
pub(super) struct Upgrade {
    kept: Arc<OnceLock<Weak<Kept>>>,
    /// False if the request offers only `h2c`, which is obsolete (RFC 9113, 3.1), and which some clients offer with every
    /// request.
    expected: bool,
}

impl Upgrade {
    /// `None` for a request that does not ask for an upgrade.
    pub(super) fn of_request<B>(request: &Request<B>) -> Option<Self> {
        let connects = request.method() == Method::CONNECT;
        // HTTP/2 and later have no such header.
        let offers = request.version() < Version::HTTP_2 && request.headers().contains_key(UPGRADE);
        if !connects && !offers {
            return None;
        }
        let h2c = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"h2c");
        let expected = connects || !request.headers().get_all(UPGRADE).iter().all(h2c);
        Some(Self { kept: Arc::default(), expected })
    }

    /// Whether a task of the handler may be given the connection although the layer replaces the handler's answer.
    pub(super) fn may_begin(&self, framing: &Framing) -> bool {
        self.expected || framing.is_upgrade()
    }

    /// The refusal of a HEAD request, before its handler runs. Its answer has no body, so [an error in the
    /// body](super::cut_off) cannot keep the connection from the handler's task. No protocol is upgraded to by HEAD.
    pub(super) fn refusal_of_head<B>(&self, request: &Request<B>) -> Option<LockError> {
        (self.expected && request.method() == Method::HEAD)
            .then(|| LockError::invalid_resource("a HEAD request cannot upgrade its connection"))
    }

    /// Puts handles that share a [`Kept`] into the request's extensions.
    pub(super) fn insert_handles(&self, held: &Held, extensions: &mut Extensions) {
        // A handle of a layer further outside, which keeps all locks of that layer. The task sees only the inner handles,
        // which keep both.
        let outer = extensions.remove::<LockHandle>();
        let kept = Arc::new(Kept { held: OnceLock::new(), _outer: outer });
        // Never set already: a request is passed on once.
        let _ = self.kept.set(Arc::downgrade(&kept));
        insert_handles(extensions, held, |handle| handle.keeping(Arc::clone(&kept) as _));
    }

    /// Leaves the locks to the clones of the handles. Returns them if none is alive.
    pub(super) fn leave_to_handles(&self, held: Held) -> Result<(), Held> {
        match self.kept.get().and_then(Weak::upgrade) {
            // If another task drops the last clone meanwhile, `kept` is the last reference, and its drop frees the lock.
            Some(kept) => kept.held.set(held),
            None => Err(held),
        }
    }

    /// The refusal of an upgrade whose handler kept no handle.
    pub(super) fn refusal() -> LockError {
        LockError::invalid_options(
            "hold_until",
            "BodyEnd, but the handler kept no LockHandle for the connection that it upgraded",
            "a LockHandle that the task of the upgraded connection keeps, or HoldUntil::Response, which frees the lock \
             when the upgrade is answered",
        )
    }
}

/// Shared by the handles of one request's locks. Fields are dropped in order of declaration: the inner lock is released
/// before the outer one.
#[derive(Debug)]
pub(super) struct Kept {
    /// Set when the connection is upgraded.
    held: OnceLock<Held>,
    _outer: Option<LockHandle>,
}
