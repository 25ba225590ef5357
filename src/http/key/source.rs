//! [`Key`], and the functions that make one.

use std::borrow::Cow;
use std::iter::once;

use ::http::{HeaderMap, HeaderName, HeaderValue, Request};
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
enum Source {
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

/// The value of the header `name`. The request must have it exactly once, and it must be UTF-8 and not empty.
///
/// A repeated header is refused with 400: the handler might read the other value.
///
/// `host` is the authority that the request is sent to, in every version of HTTP:
///
/// - It is the authority of the request's target: the pseudo-header `:authority` in HTTP/2, the absolute form in HTTP/1.
///   If the target has none, it is the header `Host`.
/// - It is in lower case, without user information.
/// - The port is part of it if the client wrote one: `example.com` and `example.com:443` are two names.
/// - A header `Host` that differs from the target's authority is refused with 400, since the handler may read the header.
///
/// The parts of a `cookie` that HTTP/2 has split are joined again. Pseudo-headers such as `:path` are not headers: see
/// [`path`] and [`method_and_path`].
pub fn header(name: impl TryInto<HeaderName>) -> Key {
    Key::new(Source::Header(name.try_into().map_err(|_| KeyError::ImpossibleHeader)))
}

/// The request's path without the query, not decoded: `/a%62` and `/ab` are two keys.
///
/// Routers decode paths, so both may be one route. If a client could gain by writing a path in another way, use
/// `path_param`, which is decoded.
///
/// A CONNECT has no path. Its target is used instead, such as `example.com:443`, in the form of `host` in [`header`].
///
/// With the `axum` feature it is the whole path in a nested router too, where the request shows only the rest.
pub fn path() -> Key {
    Key::new(Source::Path)
}

/// The request's method, a space and its [`path`], such as `POST /orders/42`.
///
/// An extended CONNECT (RFC 8441), which opens a web socket over HTTP/2, is named as a GET: over HTTP/1 it would be one.
pub fn method_and_path() -> Key {
    Key::new(Source::MethodAndPath)
}

/// One name for all requests. They run one after the other.
pub fn constant(name: impl Into<String>) -> Key {
    Key::new(Source::Constant(name.into()))
}

/// The values of several keys as one name, joined by [`Resource::from_parts`]: requests with different values never share a
/// lock. Every key must have a value.
///
/// # Examples
///
/// ```
/// # use orchestrix_locking::{Resource, key};
/// // A request with `x-tenant: shop` and `x-order: 42` takes the lock of this name:
/// let key = key::parts([key::header("x-tenant"), key::header("x-order")]).prefixed("order");
/// let name = Resource::from_parts(["order", "shop", "42"])?;
/// # let _ = key;
/// # Ok::<(), orchestrix_locking::LockError>(())
/// ```
pub fn parts(keys: impl IntoIterator<Item = Key>) -> Key {
    Key::new(Source::Parts(keys.into_iter().collect()))
}

impl Key {
    fn new(source: Source) -> Self {
        Self { source, prefixes: Vec::new() }
    }

    #[cfg(feature = "axum")]
    pub(super) fn from_path_param(param: super::path_param::PathParam) -> Self {
        Self::new(Source::PathParam(param))
    }

    pub(super) fn from_extension(extension: Extension) -> Self {
        Self::new(Source::Extension(extension))
    }

    #[cfg(feature = "tonic")]
    pub(super) fn from_binary_metadata(metadata: super::metadata::BinaryMetadata) -> Self {
        Self::new(Source::BinaryMetadata(metadata))
    }

    #[cfg(feature = "tonic")]
    pub(super) fn impossible_header() -> Self {
        Self::new(Source::Header(Err(KeyError::ImpossibleHeader)))
    }

    /// Puts `prefix` before the value, joined by [`Resource::from_parts`]. With [`parts`] it comes before the first value. A
    /// second prefix comes before the name that the first one made.
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
        self.name(&self.value(request)?).map(Some)
    }
}

pub(super) fn header_value<'r>(name: &HeaderName, headers: &'r HeaderMap) -> Result<&'r str, KeyError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(|| KeyError::MissingHeader { name: name.clone() })?;
    if values.next().is_some() {
        return Err(KeyError::RepeatedHeader { name: name.clone() });
    }
    text_of(name, value)
}

pub(super) fn text_of<'r>(name: &HeaderName, value: &'r HeaderValue) -> Result<&'r str, KeyError> {
    // Not `to_str`, which accepts only ASCII.
    match std::str::from_utf8(value.as_bytes()) {
        // With a prefix an empty value would be a valid name.
        Ok("") => Err(KeyError::EmptyHeader { name: name.clone() }),
        Ok(value) => Ok(value),
        Err(_) => Err(KeyError::HeaderNotUtf8 { name: name.clone() }),
    }
}
