//! The figures of a control.

use serde::Serialize;

use crate::check::Verdict;

#[derive(Debug, Default, Serialize)]
pub(crate) struct ControlReport {
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) faults: u64,
    pub(crate) writes_without_fencing: u64,
    pub(crate) lost_updates_without_fencing: u64,
    pub(crate) writes_with_fencing: u64,
    pub(crate) lost_updates_with_fencing: u64,
    pub(crate) refused_stale: u64,
    pub(crate) failures: Vec<String>,
}

impl ControlReport {
    pub(crate) fn new(seed: u64, seconds: f64, faults: u64, without: &Verdict, with: &Verdict) -> Self {
        let mut failures = Vec::new();
        if without.lost_updates == 0 {
            failures.push("the test is too weak: nothing was lost without fencing".to_owned());
        }
        for (property, judged) in [("P1, fences", &with.fences), ("P3, updates", &with.updates)] {
            for found in &judged.violated {
                failures.push(format!("{property}, with fencing: {} [{}]", found.what, found.lines.join(" ")));
            }
        }
        if with.lost_updates > 0 {
            failures.push(format!("{} updates were lost with fencing", with.lost_updates));
        }
        Self {
            seed,
            seconds: (seconds * 10.0).round() / 10.0,
            faults,
            writes_without_fencing: without.figures.writes,
            lost_updates_without_fencing: without.lost_updates,
            writes_with_fencing: with.figures.writes,
            lost_updates_with_fencing: with.lost_updates,
            refused_stale: with.figures.refused_stale,
            failures,
        }
    }
}
