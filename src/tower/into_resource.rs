//! [`NamesLock`] and [`IntoResource`]: the closure of a layer, and what it may return.

use super::LockRequests;
use crate::{BoxError, LockError, LockRequest, Resource};

/// A closure that names the lock which a request needs: every `Fn(&R) -> K`.
///
/// Users need not implement or call it. The layers ask for it in place of `Fn`, so that the compiler's error says what a
/// layer takes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which lock a `{R}` needs",
    label = "neither a key nor a closure that borrows a `{R}`",
    note = "for one lock for all requests: `key::constant(\"name\")` with `HttpLockLayer`, `|_: &{R}| \"name\"` with `LockLayer`",
    note = "for a lock by request: one of the functions of `key`, or a closure `|request: &{R}| …` whose argument has its type written down, and which returns an owned name"
)]
pub trait NamesLock<R> {
    /// What the closure returns.
    type Name;

    /// Calls the closure.
    fn name(&self, request: &R) -> Self::Name;
}

// For a type that is not a closure, the compiler's note about this impl does not help.
#[diagnostic::do_not_recommend]
impl<R, F, K> NamesLock<R> for F
where
    F: Fn(&R) -> K,
{
    type Name = K;

    #[inline]
    fn name(&self, request: &R) -> K {
        self(request)
    }
}

/// What the closure of a layer may return for the locks of a request.
///
/// | returned | means |
/// | --- | --- |
/// | [`Resource`], `String`, `&'static str` | the name, validated |
/// | [`LockRequest`] | the name, and options of its own; the layer's for the others, and the layer's wait |
/// | `Vec<_>`, `[_; N]` | several locks at once, all or nothing; an empty list needs no lock |
/// | `Option<_>` | `None`: the request needs no lock and passes straight through |
/// | `Result<_, E>` | `Err`: the request is refused with [`LockError::InvalidResource`], `E` as its source |
///
/// The last three may be nested. Your own types can implement it.
///
/// The locks of a list are a [`LockSet`](crate::LockSet): a name that comes again counts once, and more than 64 names, or one
/// name in two modes, are [`LockError::InvalidOptions`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the name of a resource",
    label = "what the layer's closure returns names no lock",
    note = "return an owned `String`, a `&'static str`, a `Resource`, a `LockRequest`, or a `Vec`, `Option` or `Result` of one of them",
    note = "the closure is not async: a layer outside can await what is needed and put it into the request's extensions"
)]
pub trait IntoResource: Sized {
    /// The resource, or `None` if no lock is needed.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidResource`] if there is no valid name, or if there are several.
    fn into_resource(self) -> Result<Option<Resource>, LockError>;

    /// All locks that are needed. The layers call this method. The default is what [`into_resource`](Self::into_resource)
    /// returns.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidResource`] if a name is not valid.
    #[inline]
    fn into_locks(self) -> Result<LockRequests, LockError> {
        self.into_resource().map(LockRequests::from)
    }
}

impl IntoResource for Resource {
    fn into_resource(self) -> Result<Option<Resource>, LockError> {
        Ok(Some(self))
    }
}

impl IntoResource for String {
    #[inline]
    fn into_resource(self) -> Result<Option<Resource>, LockError> {
        Resource::try_from(self).map(Some)
    }
}

impl IntoResource for &'static str {
    fn into_resource(self) -> Result<Option<Resource>, LockError> {
        Resource::from_static(self).map(Some)
    }
}

impl IntoResource for LockRequest {
    fn into_resource(self) -> Result<Option<Resource>, LockError> {
        Ok(Some(LockRequest::into_resource(self)))
    }

    fn into_locks(self) -> Result<LockRequests, LockError> {
        Ok(self.into())
    }
}

impl<K: IntoResource> IntoResource for Vec<K> {
    fn into_resource(self) -> Result<Option<Resource>, LockError> {
        self.into_locks()?.into_only()
    }

    fn into_locks(self) -> Result<LockRequests, LockError> {
        self.into_iter().map(K::into_locks).collect()
    }
}

impl<K: IntoResource, const N: usize> IntoResource for [K; N] {
    fn into_resource(self) -> Result<Option<Resource>, LockError> {
        self.into_locks()?.into_only()
    }

    fn into_locks(self) -> Result<LockRequests, LockError> {
        self.into_iter().map(K::into_locks).collect()
    }
}

impl<K: IntoResource> IntoResource for Option<K> {
    fn into_resource(self) -> Result<Option<Resource>, LockError> {
        self.map_or(Ok(None), K::into_resource)
    }

    #[inline]
    fn into_locks(self) -> Result<LockRequests, LockError> {
        self.map_or_else(|| Ok(LockRequests::default()), K::into_locks)
    }
}

impl<K: IntoResource, E: Into<BoxError>> IntoResource for Result<K, E> {
    fn into_resource(self) -> Result<Option<Resource>, LockError> {
        K::into_resource(self.map_err(|error| refused(error.into()))?)
    }

    #[inline]
    fn into_locks(self) -> Result<LockRequests, LockError> {
        K::into_locks(self.map_err(|error| refused(error.into()))?)
    }
}

/// A [`LockError`] is not wrapped again, so that the error of a `Resource::try_from` in the closure stays as it is.
fn refused(error: BoxError) -> LockError {
    match error.downcast::<LockError>() {
        Ok(error) => *error,
        Err(error) => LockError::invalid_resource(error),
    }
}
