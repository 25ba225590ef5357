//! How much was done, and how long it took.

use serde::Serialize;

use super::histogram::{Histogram, Summary};
use super::record::{Round, StoreEnd};

/// What was done, for the report. Times in nanoseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) lines: u64,
    /// Files that end within a line: their writer was killed there.
    pub(crate) cut_lines: u64,
    pub(crate) processes: u64,
    pub(crate) processes_gone: u64,
    pub(crate) resources: u64,
    pub(crate) faults: u64,
    pub(crate) untrusted_faults: u64,
    pub(crate) granted: u64,
    pub(crate) not_granted: u64,
    pub(crate) failed: u64,
    pub(crate) given_up: u64,
    /// Acquires of which no end is known.
    pub(crate) unknown: u64,
    pub(crate) extended: u64,
    pub(crate) not_extended: u64,
    pub(crate) extension_failed: u64,
    pub(crate) released: u64,
    pub(crate) already_lost: u64,
    pub(crate) release_failed: u64,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    /// Reads and writes that the store refused.
    pub(crate) refused_stale: u64,
    /// Reads and writes without an answer.
    pub(crate) store_unknown: u64,
    pub(crate) requests: u64,
    pub(crate) handler_runs: u64,
    /// From the first poll to the grant, of acquires that waited.
    pub(crate) wait: Summary,
    /// From the grant to the last moment at which it certainly was held.
    pub(crate) hold: Summary,
    pub(crate) certain_holds: u64,
    pub(crate) certain_time: u64,
    /// The longest time that two holds overlapped, trusted or not.
    pub(crate) longest_overlap: u64,
    /// The most grants that one other process had while a task waited that had come before they were asked for, and no
    /// fault touched them.
    pub(crate) most_overtaken: u64,
    /// Pairs of a wait and another process that served late-comers meanwhile, of which a fault touched one.
    pub(crate) overtaking_undecided: u64,
    pub(crate) lost: u64,
    /// From the signal to the end of the lease as it was known before: negative where the signal came after it.
    pub(crate) lost_before_deadline: Lead,
    /// From the signal to the next grant: positive where the holder knew before.
    pub(crate) lost_before_next: Lead,
    /// Windows that the general checker was asked about.
    pub(crate) linear_windows: u64,
    #[serde(skip)]
    waits: Histogram,
    #[serde(skip)]
    holds: Histogram,
}

/// How long before something else something was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Lead {
    pub(crate) count: u64,
    pub(crate) shortest: i64,
    pub(crate) mean: i64,
    pub(crate) longest: i64,
    /// How often it was not before it.
    pub(crate) late: u64,
    #[serde(skip)]
    sum: i128,
}

impl Lead {
    fn add(&mut self, first: u64, second: u64) {
        let lead = i64::try_from(i128::from(second) - i128::from(first)).unwrap_or(i64::MAX);
        self.shortest = if self.count == 0 { lead } else { self.shortest.min(lead) };
        self.longest = if self.count == 0 { lead } else { self.longest.max(lead) };
        self.count += 1;
        self.late += u64::from(lead < 0);
        self.sum += i128::from(lead);
        self.mean = i64::try_from(self.sum / i128::from(self.count)).unwrap_or(0);
    }
}

impl Figures {
    /// Adds what was done in a round. Grants are in the order of their fences.
    pub(super) fn add(&mut self, round: &Round) {
        for resource in &round.resources {
            for (index, grant) in resource.grants.iter().enumerate() {
                if grant.handler {
                    self.handler_runs += 1;
                } else {
                    self.granted += 1;
                    if let Some(waiting) = grant.waiting {
                        self.waits.add(grant.granted.saturating_sub(waiting));
                    }
                }
                if grant.certain {
                    let time = grant.until.saturating_sub(grant.granted);
                    self.certain_holds += 1;
                    self.certain_time += time;
                    self.holds.add(time);
                }
                if let Some(lost) = grant.lost {
                    self.lost += 1;
                    self.lost_before_deadline.add(lost.at, lost.deadline);
                    if let Some(next) = resource.grants.get(index + 1) {
                        self.lost_before_next.add(lost.at, next.granted);
                    }
                }
            }
            for store in &resource.stores {
                match store.end {
                    StoreEnd::Done { .. } if store.write => self.writes += 1,
                    StoreEnd::Done { .. } => self.reads += 1,
                    StoreEnd::Refused { .. } => self.refused_stale += 1,
                    StoreEnd::Unknown => self.store_unknown += 1,
                }
            }
        }
        self.requests += round.requests.len() as u64;
        self.wait = self.waits.summary();
        self.hold = self.holds.summary();
    }
}
