//! The locks that layers outside hold for a request already.

use ::http::Extensions;

use crate::LockHandle;

/// The handles of all layers but the innermost, whose handle is the [`LockHandle`] extension itself. Present only on a
/// request that passed several layers.
#[derive(Debug, Clone, Default)]
struct Outer(Vec<LockHandle>);

/// Makes `handle` the request's [`LockHandle`] extension, and keeps the one of the layer outside, if there is one.
pub(super) fn insert_handle(extensions: &mut Extensions, handle: LockHandle) {
    if let Some(outer) = extensions.insert(handle) {
        extensions.get_or_insert_default::<Outer>().0.push(outer);
    }
}

/// Keeps the handle of the layer outside before another replaces it.
pub(super) fn keep_outer(extensions: &mut Extensions) {
    if let Some(outer) = extensions.get::<LockHandle>().cloned() {
        extensions.get_or_insert_default::<Outer>().0.push(outer);
    }
}

/// The handles of all locks that are held for the request, the innermost first.
pub(super) fn held_by(extensions: &Extensions) -> impl Iterator<Item = &LockHandle> {
    let innermost = extensions.get::<LockHandle>();
    // Most requests pass no other layer, and then one lookup is enough.
    let outer = innermost.and_then(|_| extensions.get::<Outer>());
    innermost.into_iter().chain(outer.into_iter().flat_map(|outer| &outer.0))
}
