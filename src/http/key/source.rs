//! [`Key`], and the functions that make one.

use ::http::{HeaderName, Request};

use super::{HttpKey, KeyError};
use crate::{LockError, Resource};

/// A place in a request at which the name of its lock stands. See the [module](super).
#[derive(Debug, Clone)]
#[must_use]
pub struct Key {
    source: Source,
    /// In the order in which they were given: the last one comes first in the name.
    prefixes: Vec<String>,
}

#[derive(Debug, Clone)]
enum Source {
    Header(Result<HeaderName, KeyError>),
    Path,
    MethodAndPath,
    Constant(String),
    #[cfg(feature = "axum")]
    PathParam(super::path_param::PathParam),
}

/// The value of the header `name`, which the request has to have once, not empty, and as UTF-8.
///
/// A repeated header is refused rather than read at its first place: the handler might read the other.
pub fn header(name: impl TryInto<HeaderName>) -> Key {
    Key::new(Source::Header(name.try_into().map_err(|_| KeyError::ImpossibleHeader)))
}

/// The request's path, without the query, as the client wrote it: `/a%62` and `/ab` are two keys.
///
/// With the `axum` feature it is the whole path inside a nested router too, where the request itself shows only
/// the rest.
pub fn path() -> Key {
    Key::new(Source::Path)
}

/// The request's method, a space and its [`path`], such as `POST /orders/42`.
pub fn method_and_path() -> Key {
    Key::new(Source::MethodAndPath)
}

/// One name for all requests: they run one after the other.
pub fn constant(name: impl Into<String>) -> Key {
    Key::new(Source::Constant(name.into()))
}

impl Key {
    fn new(source: Source) -> Self {
        Self { source, prefixes: Vec::new() }
    }

    #[cfg(feature = "axum")]
    pub(super) fn from_path_param(param: super::path_param::PathParam) -> Self {
        Self::new(Source::PathParam(param))
    }

    /// Puts `prefix` before the value, as [`Resource::from_parts`] joins the two.
    ///
    /// # Examples
    ///
    /// ```
    /// # use orchestrix_locking::{Resource, key};
    /// // The lock of a request with `x-account: 42` is the one that a job takes by this name:
    /// let key = key::header("x-account").prefixed("account");
    /// let name = Resource::from_parts(["account", "42"])?;
    /// # let _ = key;
    /// # Ok::<(), orchestrix_locking::LockError>(())
    /// ```
    pub fn prefixed(mut self, prefix: impl Into<String>) -> Self {
        self.prefixes.push(prefix.into());
        self
    }

    fn name(&self, value: &str) -> Result<Resource, LockError> {
        let Some((first, more)) = self.prefixes.split_first() else { return Resource::try_from(value) };
        let mut name = Resource::from_parts([first.as_str(), value])?;
        for prefix in more {
            name = Resource::from_parts([prefix.as_str(), name.as_str()])?;
        }
        Ok(name)
    }
}

impl<B> HttpKey<B> for Key {
    fn resource(&self, request: &mut Request<B>) -> Result<Option<Resource>, LockError> {
        let name = match &self.source {
            Source::Header(name) => self.name(header_value(name.as_ref().map_err(Clone::clone)?, request)?),
            Source::Path => self.name(path_of(request)),
            Source::MethodAndPath => {
                let value = format!("{} {}", request.method(), path_of(request));
                self.name(&value)
            }
            Source::Constant(name) => {
                self.name(name).map_err(|error| KeyError::InvalidConstant { reason: error.to_string() }.into())
            }
            #[cfg(feature = "axum")]
            Source::PathParam(param) => self.name(&param.value(request)?),
        };
        name.map(Some)
    }
}

fn header_value<'r, B>(name: &HeaderName, request: &'r Request<B>) -> Result<&'r str, KeyError> {
    let mut values = request.headers().get_all(name).iter();
    let value = values.next().ok_or_else(|| KeyError::MissingHeader { name: name.clone() })?;
    if values.next().is_some() {
        return Err(KeyError::RepeatedHeader { name: name.clone() });
    }
    // Not `to_str`, which takes nothing but ASCII.
    match std::str::from_utf8(value.as_bytes()) {
        // A prefix would make a valid name of it.
        Ok("") => Err(KeyError::EmptyHeader { name: name.clone() }),
        Ok(value) => Ok(value),
        Err(_) => Err(KeyError::HeaderNotUtf8 { name: name.clone() }),
    }
}

fn path_of<B>(request: &Request<B>) -> &str {
    #[cfg(feature = "axum")]
    if let Some(original) = request.extensions().get::<axum::extract::OriginalUri>() {
        return original.path();
    }
    request.uri().path()
}
