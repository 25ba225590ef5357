//! Where in a request the name of its lock stands.
//!
//! | key | the value |
//! | --- | --- |
//! | [`header(name)`](header) | the header's value |
//! | [`path()`](path) | the path, as the client wrote it |
//! | [`method_and_path()`](method_and_path) | `POST /orders/42` |
//! | [`constant(name)`](constant) | always `name` |
//! | `path_param(name)` | a parameter of axum's route, its percent encoding undone (feature `axum`) |
//!
//! Values are taken as they stand, and queries are ignored. [`Key::prefixed`] puts a name before the value, so
//! that two kinds of things that are numbered alike do not share a lock.
//!
//! A closure from `&Request<B>` does as well, and can return anything that is a resource: a
//! [`Resource`](crate::Resource), a `String`, a `&'static str`, an `Option` of these (`None`: no lock is needed)
//! or a `Result` (`Err`: refused with 400).
//!
//! # Examples
//!
//! ```
//! use orchestrix_locking::key;
//!
//! let by_account = key::header("x-account").prefixed("account");
//! let by_request = |request: &http::Request<()>| request.headers().contains_key("x-exclusive").then_some("exclusive");
//! # let _ = (by_account, by_request);
//! ```

mod error;
mod extract;
#[cfg(feature = "axum")]
mod path_param;
mod source;

pub use error::KeyError;
pub use extract::HttpKey;
#[cfg(feature = "axum")]
pub use path_param::path_param;
pub use source::{Key, constant, header, method_and_path, path};
