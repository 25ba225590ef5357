//! The findings of both halves of a run together.

use serde::Serialize;

use crate::check::{Judged, Property, Verdict};

/// Of one property.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Found {
    pub(crate) property: &'static str,
    pub(crate) what: &'static str,
    /// Operations, or pairs of them, that it was asked of.
    pub(crate) checked: u64,
    pub(crate) violations: u64,
    /// Where it need not hold: under a fault that breaks it.
    pub(crate) excused: u64,
    /// Some of the violations in words, each with the lines that prove it.
    pub(crate) violated: Vec<String>,
}

pub(super) fn found(verdicts: &[&Verdict]) -> Vec<Found> {
    let of = |property| {
        let (name, what) = said(property);
        let judged: Vec<&Judged> = verdicts.iter().map(|verdict| verdict.of(property)).collect();
        let sum = |count: fn(&Judged) -> u64| judged.iter().map(|judged| count(judged)).sum();
        Found {
            property: name,
            what,
            checked: sum(|judged| judged.checked),
            violations: sum(|judged| judged.violations),
            excused: sum(|judged| judged.excused),
            violated: judged
                .iter()
                .flat_map(|judged| &judged.violated)
                .map(|finding| format!("{} [{}]", finding.what, finding.lines.join(" ")))
                .collect(),
        }
    };
    Property::ALL.into_iter().map(of).collect()
}

pub(super) fn said(property: Property) -> (&'static str, &'static str) {
    match property {
        Property::Lines => ("lines", "the history is whole"),
        Property::Fences => ("P1", "fences are unique and rise"),
        Property::Overlaps => ("P2", "certain holds never overlap"),
        Property::Updates => ("P3", "a fenced store loses no update"),
        Property::Owners => ("P4", "no process extends or releases another's lock"),
        Property::Leftovers => ("P5", "after the faults every lock is free and nothing is left"),
        Property::Order => ("P6", "first come, first served within a process"),
        Property::Overtaking => ("P6", "no waiter is overtaken for long by another process"),
        Property::Layer => ("P7", "the layer: each request is run or refused, one at a time"),
        Property::Linear => ("linear", "a general linearizability checker agrees on samples"),
    }
}
