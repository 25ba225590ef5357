//! [`Keys`]: several locks for one request.

use ::http::Request;

use super::{HttpKey, Key};
use crate::tower::LockRequests;
use crate::{LockError, LockRequest, Resource};

/// Keys that name a lock each. All of the locks are taken at once, or none. Made by [`all`](super::all).
#[derive(Debug, Clone)]
#[must_use]
pub struct Keys(pub(super) Vec<Key>);

impl<B> HttpKey<B> for Keys {
    /// The name, if there is one key at most.
    fn resource(&self, request: &mut Request<B>) -> Result<Option<Resource>, LockError> {
        self.locks(request)?.into_only()
    }

    fn locks(&self, request: &mut Request<B>) -> Result<LockRequests, LockError> {
        let Self(keys) = self;
        keys.iter().map(|key| key.name_in(request).map(LockRequest::new)).collect()
    }
}
