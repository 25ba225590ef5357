//! A real Redis server for a test, faults on the way to it, certificates, and a client of another make.
//!
//! - [`RedisServer`]: a `redis-server` process of the test's own, on a free loopback port. Starting one takes some
//!   10 ms, so each test has its own and nothing is shared. It ends with the test, however the test ends.
//! - [`SentinelSet`]: a primary, its replicas, and sentinels that promote one of them when the primary fails.
//! - [`RedisCluster`]: masters that have the slots among them, and their replicas.
//! - [`Proxy`]: stands between a client and a server and loses, delays, holds or cuts what passes.
//! - [`CommandLog`]: what clients sent to the server, without what scripts called.
//! - [`Certificates`]: good and bad ones for TLS.
//! - [`PlainLocker`]: locks a key as other programs do.
//! - [`FEWEST_COMMANDS`], [`MODE_COMMANDS`], [`FEWEST_KEYS`], [`INBOXES`]: what a user of the provider may do, as rules of an ACL.
//!
//! Processes and proxies live apart from the test's runtime: they work under paused time, and while the test blocks.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod builder;
mod certificates;
mod cluster;
mod command_log;
mod directory;
mod looks;
mod permissions;
mod plain_locker;
mod polls;
mod port;
mod proxy;
mod resp;
mod sentinel_set;
mod server;
mod supervisor;

pub(crate) use builder::RedisServerBuilder;
pub(crate) use certificates::{Certificates, Identity};
pub(crate) use cluster::{RedisCluster, RedisClusterBuilder};
pub(crate) use command_log::{ClientCommand, CommandLog};
pub(crate) use directory::TemporaryDirectory;
pub(crate) use permissions::{FEWEST_COMMANDS, FEWEST_KEYS, INBOXES, MODE_COMMANDS};
pub(crate) use plain_locker::PlainLocker;
pub(crate) use proxy::Proxy;
pub(crate) use resp::{NotResp, Piece, Splitter};
pub(crate) use sentinel_set::{SentinelSet, SentinelSetBuilder};
pub(crate) use server::RedisServer;
pub(crate) use supervisor::process_state;
