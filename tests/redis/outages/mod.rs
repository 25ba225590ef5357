//! What the provider promises when servers, networks and runtimes fail, one test for each fault.

mod answers;
mod connecting;
mod credentials;
mod cuts;
pub(super) mod ending;
mod full;
mod killed;
mod messages;
mod order;
mod refusals;
mod renewals;
mod replaced;
mod restarts;
mod runtimes;
pub(super) mod scene;
mod short_leases;
mod silence;
mod stopped;
mod undriven;
mod unreachable;
