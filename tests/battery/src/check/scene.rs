//! What the properties are judged by: a round's record, and how to speak of it.

use std::path::PathBuf;

use super::operations::Operations;
use super::record::{Place, Round};
use super::verdict::Finding;

pub(super) struct Scene<'a> {
    pub(super) round: &'a Round,
    pub(super) operations: &'a Operations,
    pub(super) files: &'a [PathBuf],
}

impl Scene<'_> {
    /// A finding about a resource.
    pub(super) fn about(&self, resource: usize, what: impl std::fmt::Display, places: &[Place]) -> Finding {
        self.finding(format!("{}: {what}", self.operations.name(resource)), places)
    }

    pub(super) fn finding(&self, what: String, places: &[Place]) -> Finding {
        Finding { what, lines: places.iter().map(|place| written(*place, self.files)).collect() }
    }

    /// Whether a fault that the lock does not withstand is on, or was within the resource's longest lease.
    pub(super) fn excuse(&self, resource: usize, at: u64) -> bool {
        self.round.faults.excuse(at, self.operations.lease(resource))
    }

    /// Whether a fault touches a process at some time, as far as the resource is concerned.
    pub(super) fn touch(&self, resource: usize, process: u32, from: u64, to: u64) -> bool {
        self.round.faults.touch(process, from, to, self.operations.lease(resource))
    }
}

pub(super) fn written(place: Place, files: &[PathBuf]) -> String {
    let file = files.get(place.file as usize).map_or_else(|| "?".into(), |file| file.display().to_string());
    format!("{file}:{}", place.line)
}

/// Nanoseconds as milliseconds.
pub(super) fn ms(time: u64) -> String {
    format!("{}.{:06} ms", time / 1_000_000, time % 1_000_000)
}
