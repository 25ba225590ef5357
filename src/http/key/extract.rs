//! [`HttpKey`]: what [`HttpLockLayer`](crate::HttpLockLayer) takes as a key.

use ::http::Request;

use crate::tower::{IntoResource, NamesLock};
use crate::{LockError, Resource};

/// Tells which lock a request needs. A [`Key`](super::Key), or a closure from `&Request<B>` to anything that is a
/// resource.
pub trait HttpKey<B> {
    /// The lock that `request` needs; `None` if it needs none. The request is the same afterwards.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidResource`] if the request does not say, or not well.
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
