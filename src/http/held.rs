//! The locks that a request holds already, by layers outside.

use ::http::Extensions;

use crate::LockHandle;

/// The handles of all layers but the innermost, which has its own [`LockHandle`] among the extensions. Only a request
/// that came through several layers has any.
#[derive(Debug, Clone, Default)]
struct Outer(Vec<LockHandle>);

/// Puts the handle of a lock that was just taken where handlers find it.
pub(super) fn insert_handle(extensions: &mut Extensions, handle: LockHandle) {
    if let Some(outer) = extensions.insert(handle) {
        extensions.get_or_insert_default::<Outer>().0.push(outer);
    }
}

/// Keeps the handle that is there, for a lock of a layer outside, before another takes its place.
pub(super) fn keep_outer(extensions: &mut Extensions) {
    if let Some(outer) = extensions.get::<LockHandle>().cloned() {
        extensions.get_or_insert_default::<Outer>().0.push(outer);
    }
}

/// The handles of every lock that was taken for the request, the innermost first.
pub(super) fn held_by(extensions: &Extensions) -> impl Iterator<Item = &LockHandle> {
    let innermost = extensions.get::<LockHandle>();
    // A request of a single layer, nearly every one, needs no second look.
    let outer = innermost.and_then(|_| extensions.get::<Outer>());
    innermost.into_iter().chain(outer.into_iter().flat_map(|outer| &outer.0))
}
