//! Which mistakes of the crate the battery notices.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::properties::said;
use crate::check::{Property, Verdict};

/// Whether one of them was rejected.
#[derive(Debug, Serialize)]
pub(crate) struct Rejection {
    pub(crate) mutant: &'static str,
    /// What has to be violated by it.
    pub(crate) property: &'static str,
    pub(crate) killed: bool,
    pub(crate) violations: u64,
    pub(crate) seconds: f64,
    /// The first violation of that property in words.
    pub(crate) found: Option<String>,
    /// What else was violated.
    pub(crate) others: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct MutantsReport {
    pub(crate) mutants: Vec<Rejection>,
}

impl Rejection {
    pub(crate) fn new(mutant: &'static str, property: Property, verdict: &Verdict, elapsed: Duration) -> Self {
        let judged = verdict.of(property);
        let others = Property::ALL.into_iter().filter(|other| *other != property && verdict.of(*other).violations > 0);
        Self {
            mutant,
            property: said(property).0,
            killed: judged.violations > 0,
            violations: judged.violations,
            seconds: (elapsed.as_secs_f64() * 10.0).round() / 10.0,
            found: judged.violated.first().map(|finding| finding.what.clone()),
            others: others.map(|other| format!("{other:?}: {}", verdict.of(other).violations)).collect(),
        }
    }
}

impl MutantsReport {
    pub(crate) fn all_killed(&self) -> bool {
        self.mutants.iter().all(|mutant| mutant.killed)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mutant, property, violations, seconds, others, .. } = self;
        let outcome = if self.killed { "killed" } else { "SURVIVED" };
        write!(f, "{mutant:<32} {property:<8} {outcome:<9} {violations:>6} violations, {seconds} s")?;
        if !others.is_empty() {
            write!(f, "; beside {}", others.join(", "))?;
        }
        if let Some(found) = &self.found {
            write!(f, "\n    {found}")?;
        }
        Ok(())
    }
}

impl fmt::Display for MutantsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let killed = self.mutants.iter().filter(|mutant| mutant.killed).count();
        write!(f, "{killed} of {} mutants killed", self.mutants.len())
    }
}
