//! A number for each resource, on a server of its own, that refuses stale fences, from readers too.
//!
//! A resource is one hash, `store:RESOURCE`: `value`, and `fence`, the highest that was ever presented. Without
//! fencing the same scripts take whatever comes, and the fence is only noted.

mod connection;

pub(crate) use connection::{Answer, Store};
