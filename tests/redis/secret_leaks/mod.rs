//! Secrets that are looked for in everything that comes out: a password with a mark in it, and the tokens of owners.
//!
//! A provider with that password goes through every error there is, on real servers and on one that lies. What it
//! shows of that (errors with their causes, `Debug`, events, metrics, answers to HTTP and gRPC) is kept, and scanned.

mod errors;
mod liar;
mod lies;
mod outputs;
mod rounds;
mod strings;
