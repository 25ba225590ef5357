//! The handles in a request's extensions: of the locks that it holds, and of those that layers outside hold for it.

use std::sync::Arc;

use ::http::Extensions;

use crate::lock::Held;
use crate::{LockHandle, LockSetHandle};

/// The handles of all layers but the innermost, whose first handle is the [`LockHandle`] extension itself. Present only on a
/// request that passed several layers.
#[derive(Debug, Clone, Default)]
struct Outer(Vec<LockHandle>);

/// Makes the handles of these locks the request's extensions: a [`LockHandle`] of the first one, and a [`LockSetHandle`] if
/// there are several. `with` is applied to each handle.
pub(super) fn insert_handles(extensions: &mut Extensions, held: &Held, with: impl Fn(LockHandle) -> LockHandle) {
    match held {
        Held::One(guard) => _ = extensions.insert(with(guard.handle())),
        Held::Set(set) => {
            let handles: Arc<[LockHandle]> = set.guards().iter().map(|guard| with(guard.handle())).collect();
            if let Some(first) = handles.first() {
                extensions.insert(first.clone());
            }
            extensions.insert(LockSetHandle::new(handles));
        }
    }
}

/// Keeps the handles of the layer outside before others replace them.
pub(super) fn keep_outer(extensions: &mut Extensions) {
    let Some(outer) = extensions.get::<LockHandle>() else { return };
    let outer = match extensions.get::<LockSetHandle>() {
        Some(set) => set.handles().to_vec(),
        None => vec![outer.clone()],
    };
    extensions.remove::<LockSetHandle>();
    extensions.get_or_insert_default::<Outer>().0.extend(outer);
}

/// The handles of all locks that are held for the request, those of the innermost layer first.
pub(super) fn held_by(extensions: &Extensions) -> impl Iterator<Item = &LockHandle> {
    let innermost = extensions.get::<LockHandle>();
    // Most requests pass no other layer, and then one lookup is enough.
    let (set, outer) = match innermost {
        Some(_) => (extensions.get::<LockSetHandle>(), extensions.get::<Outer>()),
        None => (None, None),
    };
    let innermost = match set {
        Some(set) => set.handles(),
        None => innermost.map(std::slice::from_ref).unwrap_or_default(),
    };
    innermost.iter().chain(outer.into_iter().flat_map(|outer| &outer.0))
}

impl LockSetHandle {
    /// The locks of an HTTP request: those that the innermost [`HttpLockLayer`](crate::HttpLockLayer) around the handler holds
    /// for it, in the byte order of their names. `None` if it needed none.
    ///
    /// For handlers that have no extractors, such as those of tonic. A request with several locks has a `LockSetHandle` in its
    /// extensions too; one with a single lock has only its [`LockHandle`] there.
    pub fn of_request(extensions: &Extensions) -> Option<Self> {
        let first = extensions.get::<LockHandle>()?;
        let set = extensions.get::<Self>();
        Some(set.cloned().unwrap_or_else(|| Self::new(Arc::new([first.clone()]))))
    }
}
