//! The Redis provider against real servers, each test with its own.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod assertions;
#[cfg(all(feature = "axum", feature = "metrics", feature = "tracing"))]
mod canary;
mod cancelling;
mod cancelling_others;
mod checks;
mod close;
mod commands;
mod crowd;
mod errors;
mod events;
#[path = "../support/evidence.rs"]
mod evidence;
mod frozen;
mod long_queues;
mod names;
mod others;
mod outages;
#[cfg(feature = "memory")]
mod paused;
mod permissions;
mod prefixes;
mod processes;
mod review;
mod scripts;
mod soak;
#[path = "../support/soak.rs"]
mod soaking;
mod steps;
#[path = "../support/redis/mod.rs"]
mod support;
mod support_works;
mod together;
