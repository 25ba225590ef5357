//! Keys: which part of a request names its lock.
//!
//! | key | the value |
//! | --- | --- |
//! | [`header(name)`](header) | the header's value |
//! | [`path()`](path) | the path, not decoded |
//! | [`method_and_path()`](method_and_path) | `POST /orders/42` |
//! | [`constant(name)`](constant) | always `name` |
//! | `path_param(name)` | a decoded parameter of axum's route (feature `axum`) |
//! | `metadata(name)` | a gRPC metadata value, decoded if binary (feature `tonic`) |
//! | [`extension::<T>(read)`](extension()) | a value from an extension, such as the authenticated user |
//! | [`parts([…])`](parts) | the values of several keys, joined without collisions: one lock |
//! | [`all([…])`](all) | each of several keys: several locks, all or nothing |
//!
//! Values are not normalised, and queries are ignored. A request has the same name in every version of HTTP: see [`header`]
//! for the host. [`Key::prefixed`] puts a prefix before the value, so that account 7 and order 7 do not share a lock. A
//! name that is too long or otherwise invalid is refused with 400, before the provider is called.
//!
//! A closure over `&Request<B>` can be used in place of a key. It returns a [`Resource`](crate::Resource), a `String`, a
//! `&'static str`, a [`LockRequest`](crate::LockRequest), a `Vec` or an array of these (several locks), an `Option` (`None`: no
//! lock is needed) or a `Result` (`Err`: refused with 400).
//!
//! # Examples
//!
//! ```
//! use orchestrix_locking::key;
//!
//! let by_account = key::header("x-account").prefixed("account");
//! let by_tenant_and_path = key::parts([key::header("x-tenant"), key::path()]);
//! let by_request = |request: &http::Request<()>| request.headers().contains_key("x-exclusive").then_some("exclusive");
//! # let _ = (by_account, by_tenant_and_path, by_request);
//! ```

mod constructors;
mod error;
mod extension;
mod extract;
mod header_value;
#[cfg(feature = "tonic")]
mod metadata;
#[cfg(feature = "axum")]
mod path_param;
mod several;
mod source;
mod target;

#[cfg(feature = "tonic")]
pub use constructors::metadata;
#[cfg(feature = "axum")]
pub use constructors::path_param;
pub use constructors::{all, constant, extension, header, method_and_path, parts, path};
pub use error::KeyError;
pub use extract::HttpKey;
pub use several::Keys;
pub use source::Key;
pub(super) use target::path as path_of;
