//! [`Store`]: what locks are for: one counter for each resource, which holders read and write with their fencing tokens.

use std::collections::BTreeMap;

use super::HoldId;

/// Refuses fencing tokens lower than the highest that it has seen.
#[derive(Debug, Default)]
pub(super) struct Store {
    highest: u64,
    value: u64,
    read: BTreeMap<HoldId, u64>,
}

impl Store {
    pub(super) fn read(&mut self, hold: HoldId, fence: u64) {
        if fence >= self.highest {
            self.highest = fence;
            self.read.insert(hold, self.value);
        }
    }

    /// `false` if an update between the read and this write is lost.
    pub(super) fn write(&mut self, hold: HoldId, fence: u64) -> bool {
        let Some(read) = self.read.remove(&hold) else { return true };
        if fence < self.highest {
            return true;
        }
        let kept = self.value == read;
        self.value = read + 1;
        kept
    }
}
