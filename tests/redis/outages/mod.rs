//! What the provider promises when servers, networks and runtimes fail, one test for each fault.

mod answers;
mod connecting;
mod credentials;
mod cuts;
mod full;
mod killed;
mod messages;
mod refusals;
mod renewals;
mod restarts;
mod runtimes;
pub(super) mod scene;
mod short_leases;
mod silence;
mod stopped;
mod unreachable;
