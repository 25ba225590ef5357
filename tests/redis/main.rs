//! The Redis provider against real servers, each test with its own.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod assertions;
mod batching;
mod cancelling;
mod cancelling_others;
mod claim_leases;
mod close;
mod cluster;
mod commands;
mod crowd;
mod dependencies;
mod errors;
mod events;
#[path = "../support/evidence.rs"]
mod evidence;
mod fairness;
mod fixtures;
mod interop;
mod late_calls;
mod lease_length;
mod literal_keys;
#[cfg(feature = "tracing")]
#[path = "../support/log.rs"]
mod log;
mod long_queues;
mod modes;
mod names;
mod outages;
#[cfg(feature = "memory")]
mod paused_time;
mod permissions;
mod prefixes;
mod processes;
mod readiness;
mod replicas;
mod scripts;
#[cfg(all(feature = "axum", feature = "metrics", feature = "tracing"))]
mod secret_leaks;
mod sentinel;
mod sets;
mod soak;
#[path = "../support/soak.rs"]
mod soaking;
#[path = "../support/redis/mod.rs"]
mod support;
mod support_works;
