//! Locks in memory, and what every provider is made of: names, options, registration, tokens.
#![cfg(feature = "memory")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::unchecked_time_subtraction,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

mod assertions;
mod bulk;
mod cancelling;
mod clocks;
mod crowd;
#[path = "../support/evidence.rs"]
mod evidence;
mod fencing;
mod model;
mod modes;
mod options;
mod polling;
mod registration;
mod request;
mod resource;
mod sets;
mod sharing;
mod soak;
#[path = "../support/soak.rs"]
mod soaking;
mod unpolled;
mod user_code;
