//! Connection strings, as URLs and in the form of StackExchange.Redis.
//!
//! `form` tells which of them a text is, `url`, `unix` and `stackexchange` read one each, and all of them make a
//! [`Target`]. [`RedisLockOptions::connection_string`](super::RedisLockOptions::connection_string) says what each form
//! may hold.
//!
//! Two rules keep passwords out of what is printed. No error repeats a value: it names the part, and says what is
//! allowed there. And the name of an unknown option is repeated only where it cannot be a piece of a password, see
//! `mistake`.

mod form;
mod host;
mod mistake;
mod query;
mod query_options;
mod stackexchange;
mod stackexchange_options;
mod target;
#[cfg(test)]
mod tests;
mod unix;
mod url;
mod value;

pub(super) use form::parse;
pub(super) use target::{Given, Server, Target};
