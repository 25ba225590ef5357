//! [`HttpKey`]: what [`HttpLockLayer`](crate::HttpLockLayer) takes as a key.

use ::http::Request;

use crate::tower::{IntoResource, LockRequests, NamesLock};
use crate::{LockError, Resource};

/// Names the locks that a request needs. A [`Key`](super::Key), several of them with [`all`](super::all), or a closure from `&Request<B>` to a type that implements
/// [`IntoResource`].
pub trait HttpKey<B> {
    /// The name of the lock that `request` needs, or `None` if it needs none. The request is not changed.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidResource`] if the request has no key, an invalid one, or several.
    fn resource(&self, request: &mut Request<B>) -> Result<Option<Resource>, LockError>;

    /// All locks that `request` needs. The layer calls this method. The default is what [`resource`](Self::resource) returns.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidResource`] if the request lacks a key, or has an invalid one.
    #[inline]
    fn locks(&self, request: &mut Request<B>) -> Result<LockRequests, LockError> {
        self.resource(request).map(LockRequests::from)
    }
}

impl<B, F> HttpKey<B> for F
where
    F: NamesLock<Request<B>, Name: IntoResource>,
{
    fn resource(&self, request: &mut Request<B>) -> Result<Option<Resource>, LockError> {
        self.name(request).into_resource()
    }

    #[inline]
    fn locks(&self, request: &mut Request<B>) -> Result<LockRequests, LockError> {
        self.name(request).into_locks()
    }
}
