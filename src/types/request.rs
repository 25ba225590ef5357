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
    set: OptionsSet,
    wait: Wait,
}

/// Which options the request itself has set. The others are those of whoever makes a lock of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OptionsSet {
    None,
    Mode,
    All,
}

impl LockRequest {
    /// A request for the lock on `resource`, with the default options, and without waiting.
    ///
    /// Where there are registered options or those of a layer, [`Locking::lock_all`](crate::Locking::lock_all) and the layers
    /// use them in place of what was not set here. How long they wait is said to them, and not by the request.
    #[inline]
    pub fn new(resource: impl Into<Resource>) -> Self {
        Self { resource: resource.into(), options: LockOptions::default(), set: OptionsSet::None, wait: Wait::No }
    }

    /// The options with which the resource is locked. Their ranges are checked where the request is used. A mode that was set
    /// before stays if these have the default, [`LockMode::Exclusive`].
    #[inline]
    pub fn options(mut self, options: LockOptions) -> Self {
        let mode = self.options.configured_mode();
        self.options = if options.configured_mode() == LockMode::Exclusive { options.mode(mode) } else { options };
        self.set = OptionsSet::All;
        self
    }

    /// Who may hold the lock at the same time: as [`LockOptions::mode`]. The other options stay.
    #[inline]
    pub fn mode(mut self, mode: LockMode) -> Self {
        self.options = self.options.mode(mode);
        if self.set == OptionsSet::None {
            self.set = OptionsSet::Mode;
        }
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

    /// The options that were set, and `defaults` for the others.
    pub(crate) fn options_or(&self, defaults: LockOptions) -> LockOptions {
        match self.set {
            OptionsSet::None => defaults,
            OptionsSet::Mode => defaults.mode(self.options.configured_mode()),
            OptionsSet::All => self.options,
        }
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
        LockRequest::new(self.resource).options(*self.options).wait(self.wait)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_request_has_what_it_sets_and_the_rest_of_others() -> Result<(), LockError> {
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(60));
        let defaults = LockOptions::default().ttl(long).mode(LockMode::permits(3));
        let request = LockRequest::try_from("name")?;
        assert_eq!(request.options_or(defaults), defaults);
        let shared = request.clone().mode(LockMode::Shared);
        assert_eq!(shared.options_or(defaults), defaults.mode(LockMode::Shared));
        let own = LockOptions::default().ttl(short);
        assert_eq!(request.clone().options(own).options_or(defaults), own);
        let kept = own.mode(LockMode::Shared);
        assert_eq!(shared.options(own).options_or(defaults), kept, "in whichever order");
        Ok(())
    }
}
