//! [`Key`]: a place in a request, and the name that is made of what stands there.

use std::borrow::Cow;
use std::iter::once;

use ::http::{HeaderName, Request};
use smol_str::{SmolStr, format_smolstr};

use super::extension::Extension;
use super::{HttpKey, KeyError, target};
use crate::{LockError, Resource};

/// Which part of a request names its lock. See the [module](super).
#[derive(Debug, Clone)]
#[must_use]
pub struct Key {
    source: Source,
    /// In the order of the calls. The last one comes first in the name.
    prefixes: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Source {
    Header(Result<HeaderName, KeyError>),
    Path,
    MethodAndPath,
    Constant(String),
    Extension(Extension),
    Parts(Vec<Key>),
    #[cfg(feature = "axum")]
    PathParam(super::path_param::PathParam),
    #[cfg(feature = "tonic")]
    BinaryMetadata(super::metadata::BinaryMetadata),
}

/// The value of a source for one request.
enum Value<'r> {
    Found(&'r str),
    /// Made for this request. A short value needs no allocation.
    Made(SmolStr),
    List(Vec<SmolStr>),
}

impl<'r> From<Cow<'r, str>> for Value<'r> {
    fn from(value: Cow<'r, str>) -> Self {
        match value {
            Cow::Borrowed(value) => Self::Found(value),
            Cow::Owned(value) => Self::Made(value.into()),
        }
    }
}

impl Key {
    pub(super) fn new(source: Source) -> Self {
        Self { source, prefixes: Vec::new() }
    }

    /// Puts `prefix` before the value, joined by [`Resource::from_parts`]. With [`parts`](super::parts) it comes before the
    /// first value. A second prefix comes before the name that the first one made.
    ///
    /// # Examples
    ///
    /// ```
    /// # use orchestrix_locking::{Resource, key};
    /// // A request with `x-account: 42` takes the lock of this name:
    /// let key = key::header("x-account").prefixed("account");
    /// let name = Resource::from_parts(["account", "42"])?;
    /// # let _ = key;
    /// # Ok::<(), orchestrix_locking::LockError>(())
    /// ```
    pub fn prefixed(mut self, prefix: impl Into<String>) -> Self {
        self.prefixes.push(prefix.into());
        self
    }

    /// The name that the request has.
    pub(super) fn name_in<B>(&self, request: &mut Request<B>) -> Result<Resource, LockError> {
        self.name(&self.value(request)?)
    }

    fn value<'r, B>(&'r self, request: &'r mut Request<B>) -> Result<Value<'r>, LockError> {
        Ok(match &self.source {
            Source::Header(name) => target::header(name.as_ref().map_err(Clone::clone)?, request)?.into(),
            Source::Path => target::path(request).into(),
            Source::MethodAndPath => {
                Value::Made(format_smolstr!("{} {}", target::method(request), target::path(request)))
            }
            Source::Constant(name) => Value::Found(name),
            Source::Extension(extension) => Value::Made(extension.value(request.extensions())?.into()),
            Source::Parts(keys) if keys.is_empty() => return Err(KeyError::NoParts.into()),
            Source::Parts(keys) => Value::List(keys.iter().map(|key| key.part(request)).collect::<Result<_, _>>()?),
            #[cfg(feature = "axum")]
            Source::PathParam(param) => Value::Made(param.value(request)?),
            #[cfg(feature = "tonic")]
            Source::BinaryMetadata(metadata) => Value::Made(metadata.value(request.headers())?.into()),
        })
    }

    fn name(&self, value: &Value<'_>) -> Result<Resource, LockError> {
        let name = match (self.prefixes.split_first(), value) {
            (None, Value::Found(value)) => Resource::try_from(*value),
            (None, Value::Made(value)) => Resource::checked(value.clone()),
            (None, Value::List(values)) => Resource::from_parts(values),
            (Some((first, more)), value) => {
                let name = match value {
                    Value::Found(value) => Resource::from_parts([first, *value]),
                    Value::Made(value) => Resource::from_parts([first, value.as_str()]),
                    Value::List(values) => {
                        Resource::from_parts(once(&**first).chain(values.iter().map(SmolStr::as_str)))
                    }
                };
                more.iter().try_fold(name?, |name, prefix| Resource::from_parts([prefix, name.as_str()]))
            }
        };
        match &self.source {
            Source::Constant(_) => name.map_err(|error| KeyError::InvalidConstant { reason: error.to_string() }.into()),
            _ => name,
        }
    }

    /// The key as one of several. Parts are validated as a whole, since a part alone need not be a valid name.
    fn part<B>(&self, request: &mut Request<B>) -> Result<SmolStr, LockError> {
        let is_plain = self.prefixes.is_empty() && !matches!(self.source, Source::Constant(_));
        match self.value(request)? {
            Value::Found(value) if is_plain => Ok(value.into()),
            Value::Made(value) if is_plain => Ok(value),
            value => Ok(self.name(&value)?.as_str().into()),
        }
    }
}

impl<B> HttpKey<B> for Key {
    fn resource(&self, request: &mut Request<B>) -> Result<Option<Resource>, LockError> {
        self.name_in(request).map(Some)
    }
}
