//! `HttpLockLayer` on the wire: real servers and clients over loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod assertions;
mod body;
mod calls;
mod cancelling;
mod composed_keys;
mod composition;
mod disconnect;
mod grpc;
mod handlers;
mod keys;
mod lifetime;
#[cfg(feature = "tracing")]
#[path = "../support/log.rs"]
mod log;
mod mistakes;
mod multiplexing;
mod nested;
mod refusals;
mod release;
mod retry_after;
mod sets;
mod shutdown;
mod splitting;
mod storm;
mod support;
mod targets;
mod upgrade;
mod uploads;
mod vanishing;
mod wire;
