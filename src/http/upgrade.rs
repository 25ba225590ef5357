//! [`Upgrade`]: the lock of a request that asks for an upgrade of its connection.
//!
//! # How an upgraded connection keeps its lock
//!
//! After a 101, or after a successful CONNECT, the server hands the connection to a task of the handler's. The response
//! has no body then, and the server shows a layer neither the connection nor its end. What a layer can see is its own
//! [`LockHandle`]: as long as the task keeps it, the connection is in use.
//!
//! So the clones of such a request's handle share a [`Kept`]. When the response head comes and one of them is alive, the
//! guard moves there, and the last of them to be dropped drops it. When none is alive, no task can have kept it: the lock
//! would be free while the connection is in use. The upgrade is refused instead. A [`Lost`](crate::Lost) signal does not
//! count, since a task that only reports a loss may wait for it for ever.
//!
//! Only requests that ask for an upgrade are counted, so that others pay for one look at their headers and for nothing
//! else.

use std::sync::{Arc, OnceLock, Weak};

use ::http::header::UPGRADE;
use ::http::{Extensions, HeaderValue, Method, Request, Version};

use super::framing::Framing;
use crate::{LockError, LockGuard, LockHandle};

/// Finds out whether handles are left of the lock of one request.
#[derive(Debug, Clone)]
pub(super) struct Upgrade {
    kept: Arc<OnceLock<Weak<Kept>>>,
    /// Whether more is asked for than `h2c`, which is obsolete (RFC 9113, 3.1), and which some clients offer with every
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

    /// Whether a task of the handler's may be given the connection though the handler's answer is replaced: it was an
    /// upgrade, or might have become one.
    pub(super) fn may_begin(&self, framing: &Framing) -> bool {
        self.expected || framing.is_upgrade()
    }

    /// Why a request with HEAD is refused before its handler runs: the answer to one has no body, and so the connection
    /// cannot be kept from the handler's task by [an error in it](super::cut_off). No protocol is upgraded to by HEAD.
    pub(super) fn refusal_of_head<B>(&self, request: &Request<B>) -> Option<LockError> {
        (self.expected && request.method() == Method::HEAD)
            .then(|| LockError::invalid_resource("a HEAD request cannot upgrade its connection"))
    }

    /// Puts a counted handle into the request's extensions.
    pub(super) fn insert_handle(&self, guard: &LockGuard, extensions: &mut Extensions) {
        // That of a layer further outside. Its lock is kept by the same task, which gets to see one handle alone.
        let outer = extensions.remove::<LockHandle>();
        let kept = Arc::new(Kept { guard: OnceLock::new(), _outer: outer });
        // Set once: a request is passed on once.
        let _ = self.kept.set(Arc::downgrade(&kept));
        extensions.insert(guard.handle().keeping(kept));
    }

    /// Leaves the lock to the handles that are alive. The guard comes back if there are none.
    pub(super) fn leave_to_handles(&self, guard: LockGuard) -> Result<(), LockGuard> {
        match self.kept.get().and_then(Weak::upgrade) {
            // If the last handle is dropped in another task just now, the guard goes with it at the end of this arm.
            Some(kept) => kept.guard.set(guard),
            None => Err(guard),
        }
    }

    /// Why an upgrade is refused whose handler kept no handle.
    pub(super) fn refusal() -> LockError {
        LockError::invalid_options(
            "hold_until",
            "BodyEnd, but the handler kept no LockHandle for the connection that it upgraded",
            "a LockHandle that the task of the upgraded connection keeps, or HoldUntil::Response, which frees the lock \
             when the upgrade is answered",
        )
    }
}

/// What the handles of one request keep.
///
/// The fields are in the order in which they have to be dropped: the inner lock goes before the outer one.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Set when the connection has been upgraded.
    guard: OnceLock<LockGuard>,
    _outer: Option<LockHandle>,
}
