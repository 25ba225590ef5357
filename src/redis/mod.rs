//! Locks across processes, on Redis or Valkey.

mod connection_string;
mod options;
mod settings;
#[cfg(test)]
mod settings_tests;
mod tls;

pub use options::RedisLockOptions;
