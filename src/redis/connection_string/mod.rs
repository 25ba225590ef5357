//! Connection strings, as URLs and in the form of StackExchange.Redis.
//!
//! `form` finds out which form a text has; `url`, `sentinel`, `unix` and `stackexchange` each read one, and all of them return a
//! `Target`. [`RedisLockOptions::connection_string`](super::RedisLockOptions::connection_string) documents the forms.
//!
//! Two rules keep passwords out of errors. No error repeats a value: it names the part, and says what is allowed there. And
//! an error repeats the name of an unknown option only if that cannot be a part of a password, see `mistake`.

mod form;
mod host;
mod mistake;
mod query;
mod query_options;
mod sentinel;
mod stackexchange;
mod stackexchange_options;
mod target;
#[cfg(test)]
mod tests;
mod unix;
mod url;
mod value;

pub(super) use form::parse;
pub(super) use target::{Credentials, Given, SentinelTarget, Server, Servers};
