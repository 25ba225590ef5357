//! The Redis provider against real servers, each test with its own.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod outages;
mod review;
mod scripts;
#[path = "../support/redis/mod.rs"]
mod support;
mod support_works;
