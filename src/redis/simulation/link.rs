//! [`LinkId`]: which of the connections of a process.

/// The host of every simulated server. They differ by their ports.
pub(super) const HOST: &str = "simulated";

/// One of the connections of a process, which it may have or be without at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub(super) u32);
