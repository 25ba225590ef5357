//! [`HttpKey`]: what [`HttpLockLayer`](crate::HttpLockLayer) takes as a key.

use ::http::Request;

use crate::tower::{IntoResource, NamesLock};
use crate::{LockError, Resource};

/// Names the lock that a request needs. A [`Key`](super::Key), or a closure from `&Request<B>` to a type that implements
/// [`IntoResource`].
pub trait HttpKey<B> {
    /// The name of the lock that `request` needs, or `None` if it needs none. The request is not changed.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidResource`] if the request has no key, or an invalid one.
    fn resource(&self, request: &mut Request<B>) -> Result<Option<Resource>, LockError>;
}

impl<B, F> HttpKey<B> for F
where
    F: NamesLock<Request<B>, Name: IntoResource>,
{
    fn resource(&self, request: &mut Request<B>) -> Result<Option<Resource>, LockError> {
        self.name(request).into_resource()
    }
}
