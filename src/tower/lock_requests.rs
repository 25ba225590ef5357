//! [`LockRequests`]: the locks that a request needs.

use crate::{LockError, LockRequest, Resource};

/// The locks that a request needs: none, one, or several at once. What [`IntoResource::into_locks`](super::IntoResource) and
/// `HttpKey::locks` return.
///
/// # Examples
///
/// ```
/// use orchestrix_locking::{LockError, LockMode, LockRequest, LockRequests, Resource};
///
/// let none = LockRequests::default();
/// let one = LockRequests::from(Resource::try_from("account:3")?);
/// let shared = LockRequest::try_from("plan")?.mode(LockMode::Shared);
/// let both: LockRequests = [shared, LockRequest::try_from("account:3")?].into_iter().collect();
/// # let _ = (none, one, both);
/// # Ok::<(), LockError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct LockRequests(pub(super) Needs);

/// A single name comes first: it needs no allocation.
#[derive(Debug, Clone, Default)]
pub(super) enum Needs {
    #[default]
    Nothing,
    Named(Resource),
    Listed(Vec<LockRequest>),
}

impl LockRequests {
    /// The name of a lock, for a caller that takes one at most.
    pub(crate) fn into_only(self) -> Result<Option<Resource>, LockError> {
        match self.0 {
            Needs::Nothing => Ok(None),
            Needs::Named(resource) => Ok(Some(resource)),
            Needs::Listed(mut requests) => {
                let only = requests.pop().map(LockRequest::into_resource);
                if requests.is_empty() {
                    Ok(only)
                } else {
                    Err(LockError::invalid_resource("several are named, where one is needed"))
                }
            }
        }
    }

    /// Whether no lock is needed.
    #[cfg(feature = "http")]
    pub(crate) fn is_empty(&self) -> bool {
        match &self.0 {
            Needs::Nothing => true,
            Needs::Named(_) => false,
            Needs::Listed(requests) => requests.is_empty(),
        }
    }
}

impl From<Resource> for LockRequests {
    #[inline]
    fn from(resource: Resource) -> Self {
        Self(Needs::Named(resource))
    }
}

impl From<Option<Resource>> for LockRequests {
    #[inline]
    fn from(resource: Option<Resource>) -> Self {
        Self(resource.map_or(Needs::Nothing, Needs::Named))
    }
}

impl From<LockRequest> for LockRequests {
    fn from(request: LockRequest) -> Self {
        Self(Needs::Listed(vec![request]))
    }
}

impl FromIterator<LockRequest> for LockRequests {
    fn from_iter<I: IntoIterator<Item = LockRequest>>(requests: I) -> Self {
        Self(Needs::Listed(requests.into_iter().collect()))
    }
}

/// Puts several lists together.
impl FromIterator<LockRequests> for LockRequests {
    fn from_iter<I: IntoIterator<Item = LockRequests>>(lists: I) -> Self {
        let requests = lists.into_iter().flat_map(|LockRequests(needs)| match needs {
            Needs::Nothing => Vec::new(),
            Needs::Named(resource) => vec![LockRequest::new(resource)],
            Needs::Listed(requests) => requests,
        });
        requests.collect()
    }
}
