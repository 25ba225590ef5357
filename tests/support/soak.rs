//! How long a soak lasts, and what the process takes of the machine's memory.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part of it")]

/// By how much the process may grow from the middle of a soak to its end, in KiB. An allocator's own ups and downs stay
/// below it; one forgotten allocation in each of some ten thousand cycles does not.
pub(crate) const GROWTH: u64 = 4 * 1024;

/// How many cycles this variable asks for; `None` if it is not set.
pub(crate) fn asked(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|given| given.parse().unwrap())
}

/// The resident memory of this process in KiB, where the system tells.
pub(crate) fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Compares the process in the middle with itself at the end.
///
/// # Panics
///
/// If it has grown by more than [`GROWTH`].
pub(crate) fn has_not_grown(middle: Option<u64>, end: Option<u64>) {
    if let (Some(middle), Some(end)) = (middle, end) {
        assert!(end <= middle + GROWTH, "{middle} KiB in the middle, {end} KiB at the end");
    }
}
