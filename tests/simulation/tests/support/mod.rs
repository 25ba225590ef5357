//! A real `redis-server` to compare with, and a client of it.

mod client;
#[path = "../../../support/redis/directory.rs"]
mod directory;
mod server;
#[path = "../../../support/redis/supervisor.rs"]
#[allow(dead_code, clippy::expect_used, reason = "it is the support of other tests, which need more of it")]
mod supervisor;

pub(crate) use client::Client;
pub(crate) use server::RedisServer;
