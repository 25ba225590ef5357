//! [`IntoResource`]: what a layer's closure may return.

use crate::{BoxError, LockError, Resource};

/// What the closure of a layer may return for the name of a resource.
///
/// | returned | means |
/// | --- | --- |
/// | [`Resource`], `String`, `&'static str` | the name, validated |
/// | `Option<_>` | `None`: the request needs no lock and passes straight through |
/// | `Result<_, E>` | `Err`: the request is refused with [`LockError::InvalidResource`], `E` as its source |
///
/// The last two may be nested. Types of one's own can implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the name of a resource",
    note = "return an owned `String`, a `&'static str`, a `Resource`, or an `Option` or `Result` of one of them"
)]
pub trait IntoResource {
    /// The resource, or `None` if no lock is needed.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidResource`] if there is no valid name.
    fn into_resource(self) -> Result<Option<Resource>, LockError>;
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

impl<K: IntoResource> IntoResource for Option<K> {
    fn into_resource(self) -> Result<Option<Resource>, LockError> {
        self.map_or(Ok(None), K::into_resource)
    }
}

impl<K: IntoResource, E: Into<BoxError>> IntoResource for Result<K, E> {
    fn into_resource(self) -> Result<Option<Resource>, LockError> {
        match self {
            Ok(key) => key.into_resource(),
            Err(error) => Err(refused(error.into())),
        }
    }
}

/// A [`LockError`] is returned as it is: `Resource::try_from` in a closure gives the error that it gave there.
fn refused(error: BoxError) -> LockError {
    match error.downcast::<LockError>() {
        Ok(error) => *error,
        Err(error) => LockError::invalid_resource(error),
    }
}
