//! [`LockRequest`]: what is locked, how, and how long its caller waits for it; and [`LockRequestRef`], by reference.

use std::borrow::Cow;

use super::{LockError, LockMode, LockOptions, Resource, Wait};

/// One lock that a caller asks for: its resource, its options, and the wait.
///
/// A [`LockBackend`](crate::provider::LockBackend) is given one for each acquire. All that belongs to a request is in
/// it, so that what may be asked for can grow without another change of that trait.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use orchestrix_locking::{LockError, LockOptions, LockRequest};
///
/// let request = LockRequest::try_from("order:42")?
///     .options(LockOptions::default().ttl(Duration::from_secs(10)))
///     .wait(Duration::from_secs(2));
/// assert_eq!(request.resource().as_str(), "order:42");
/// # Ok::<(), LockError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct LockRequest {
    resource: Resource,
    options: LockOptions,
    wait: Wait,
}

impl LockRequest {
    /// A request for the lock on `resource`, with the default options, and without waiting.
    #[inline]
    pub fn new(resource: impl Into<Resource>) -> Self {
        Self { resource: resource.into(), options: LockOptions::default(), wait: Wait::No }
    }

    /// The options with which the resource is locked. Their ranges are checked where the request is used.
    #[inline]
    pub fn options(mut self, options: LockOptions) -> Self {
        self.options = options;
        self
    }

    /// Who may hold the lock at the same time: as [`LockOptions::mode`], whose other options stay.
    #[inline]
    pub fn mode(mut self, mode: LockMode) -> Self {
        self.options = self.options.mode(mode);
        self
    }

    /// How long the caller waits: a [`Wait`], or a [`Duration`](std::time::Duration), of which zero is one attempt and
    /// [`MAX`](std::time::Duration::MAX) is as long as it takes. [`Wait::No`] unless set.
    #[inline]
    pub fn wait(mut self, wait: impl Into<Wait>) -> Self {
        self.wait = wait.into();
        self
    }

    /// What is to be locked.
    #[inline]
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The options that were set.
    #[inline]
    pub fn configured_options(&self) -> &LockOptions {
        &self.options
    }

    /// The wait that was set.
    #[inline]
    pub fn configured_wait(&self) -> Wait {
        self.wait
    }

    /// The same request by reference.
    #[inline]
    pub fn by_ref(&self) -> LockRequestRef<'_> {
        LockRequestRef::new(&self.resource, &self.options, self.wait)
    }

    /// The resource to be locked, for a caller that does not need the rest.
    #[inline]
    pub fn into_resource(self) -> Resource {
        self.resource
    }
}

/// A [`LockRequest`] by reference, for a backend that copies no more of it than it keeps.
#[derive(Debug, Clone, Copy)]
pub struct LockRequestRef<'a> {
    resource: &'a Resource,
    options: &'a LockOptions,
    wait: Wait,
}

impl<'a> LockRequestRef<'a> {
    #[inline]
    pub(crate) fn new(resource: &'a Resource, options: &'a LockOptions, wait: Wait) -> Self {
        Self { resource, options, wait }
    }

    /// What is to be locked.
    #[inline]
    pub fn resource(&self) -> &'a Resource {
        self.resource
    }

    /// The options that were set.
    #[inline]
    pub fn configured_options(&self) -> &'a LockOptions {
        self.options
    }

    /// The wait that was set.
    #[inline]
    pub fn configured_wait(&self) -> Wait {
        self.wait
    }

    /// The request itself.
    pub fn to_request(&self) -> LockRequest {
        LockRequest { resource: self.resource.clone(), options: *self.options, wait: self.wait }
    }
}

impl From<Resource> for LockRequest {
    fn from(resource: Resource) -> Self {
        Self::new(resource)
    }
}

impl From<&Resource> for LockRequest {
    fn from(resource: &Resource) -> Self {
        Self::new(resource)
    }
}

impl TryFrom<&str> for LockRequest {
    type Error = LockError;

    fn try_from(name: &str) -> Result<Self, LockError> {
        Resource::try_from(name).map(Self::new)
    }
}

impl TryFrom<String> for LockRequest {
    type Error = LockError;

    fn try_from(name: String) -> Result<Self, LockError> {
        Resource::try_from(name).map(Self::new)
    }
}

impl TryFrom<&String> for LockRequest {
    type Error = LockError;

    fn try_from(name: &String) -> Result<Self, LockError> {
        Resource::try_from(name).map(Self::new)
    }
}

impl TryFrom<Cow<'_, str>> for LockRequest {
    type Error = LockError;

    fn try_from(name: Cow<'_, str>) -> Result<Self, LockError> {
        Resource::try_from(name).map(Self::new)
    }
}
