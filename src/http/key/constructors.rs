//! The functions that make a [`Key`].

use ::http::HeaderName;

use super::extension::Extension;
#[cfg(feature = "tonic")]
use super::metadata::BinaryMetadata;
#[cfg(feature = "axum")]
use super::path_param::PathParam;
use super::source::{Key, Source};
use super::{KeyError, Keys};

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

/// The values of several keys as one name, joined by [`Resource::from_parts`](crate::Resource::from_parts): requests with
/// different values never share a lock. Every key must have a value.
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

/// A lock for each of several keys. All of the locks are taken at once, or none: see [`LockSet`](crate::LockSet). Two keys with
/// the same name are one lock. Every key must have a value. No keys need no lock, and at most 64 names may be locked at once.
///
/// # Examples
///
/// ```
/// # use orchestrix_locking::key;
/// // A transfer locks both accounts:
/// let accounts = key::all([key::header("x-from"), key::header("x-to")].map(|key| key.prefixed("account")));
/// # let _ = accounts;
/// ```
pub fn all(keys: impl IntoIterator<Item = Key>) -> Keys {
    Keys(keys.into_iter().collect())
}

/// The value that `read` takes from the request's extension of type `T`. It must not be empty.
///
/// For keys that the client must not choose: a layer outside authenticates the request and puts what it knows into the
/// extensions. A request without the extension did not come through that layer. That is a mistake in the program, and is
/// answered with 500.
///
/// If some requests need no lock, use a closure over the request instead.
///
/// # Examples
///
/// ```
/// use orchestrix_locking::key;
///
/// #[derive(Clone)]
/// struct User {
///     tenant: String,
/// }
///
/// let by_tenant = key::extension::<User>(|user| user.tenant.clone()).prefixed("tenant");
/// # let _ = by_tenant;
/// ```
pub fn extension<T: Send + Sync + 'static>(read: impl Fn(&T) -> String + Send + Sync + 'static) -> Key {
    Key::new(Source::Extension(Extension::new(read)))
}

/// The parameter `name` of the route that axum matched, percent-decoded once. Works in nested routers too.
///
/// The layer must be inside the routing: add it with `Router::route_layer`, `Router::layer`, `MethodRouter::route_layer` or
/// `MethodRouter::layer`. A parameter that the route does not have is a mistake in the program, and is answered with 500.
#[cfg(feature = "axum")]
pub fn path_param(name: impl Into<String>) -> Key {
    Key::new(Source::PathParam(PathParam { name: name.into().into() }))
}

/// The gRPC metadata `name`. The call must have it exactly once, and it must not be empty.
///
/// ASCII metadata is used like a [`header`]. Metadata whose name ends with `-bin` is base64 on the wire, with or without
/// padding. It is decoded, so both spellings are one key. A value that is not base64, or that does not encode UTF-8, is
/// refused with `INVALID_ARGUMENT`.
#[cfg(feature = "tonic")]
pub fn metadata(name: impl TryInto<HeaderName>) -> Key {
    match name.try_into() {
        Ok(name) if name.as_str().ends_with("-bin") => Key::new(Source::BinaryMetadata(BinaryMetadata { name })),
        Ok(name) => header(name),
        Err(_) => Key::new(Source::Header(Err(KeyError::ImpossibleHeader))),
    }
}
