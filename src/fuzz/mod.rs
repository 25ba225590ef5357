//! What is fuzzed: functions over bytes that have to hold for every input. Not part of the API.
//!
//! `tests/fuzz` calls them with what libFuzzer finds, `tests` here with the corpus and with random inputs on a stable
//! toolchain. Each asserts what is promised about its input, and what must never happen, which a panic is.

mod resource;
#[cfg(test)]
mod tests;

pub use self::resource::resource;
pub use crate::http::fuzz::header;
pub use crate::redis::fuzz::{connection_string, server_answer};

/// What is to hold for every input.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 4] = [
    ("resource", resource),
    ("connection_string", connection_string),
    ("server_answer", server_answer),
    ("header", header),
];
