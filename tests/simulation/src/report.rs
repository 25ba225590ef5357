//! What is printed.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Map, Value, json};
use simulation::fleet::{Counts, FaultKind, Outcome, Plan, run};
use simulation::history::Violation;
use simulation::scripts::Scripts;

use crate::shrink::shrink;

/// How much of a trace is shown at most.
const LINES: usize = 120;

/// A seed that failed: what was seen, and the shortest trace that shows it.
pub(crate) fn violation(seed: u64, outcome: &Outcome, scripts: &Scripts) {
    let Some(first) = outcome.violations.first() else { return };
    println!("seed {seed}: {first}");
    let (plan, steps) = shrink(&Plan::new(seed), first.property, scripts);
    let outcome = run(&plan, scripts, true);
    let Some(first) = outcome.violations.first() else { return };
    println!(
        "shortest found in {steps} runs: {} processes, {} operations, {} faults: {first}",
        plan.processes.len(),
        plan.operations(),
        plan.faults.len()
    );
    print_trace(&outcome, first);
    println!("run it again: cargo run --release -p simulation -- --first {seed} --seeds 1");
    println!("all of it:    cargo run --release -p simulation -- --trace {seed}");
}

fn print_trace(outcome: &Outcome, violation: &Violation) {
    let lines: Vec<_> = outcome.trace.of(violation.resource).collect();
    let left_out = lines.len().saturating_sub(LINES);
    if left_out > 0 {
        println!("… {left_out} lines before");
    }
    lines.iter().skip(left_out).for_each(|line| println!("{line}"));
}

/// One seed, and everything that happens in it.
pub(crate) fn trace(seed: u64, scripts: &Scripts) -> ExitCode {
    let outcome = run(&Plan::new(seed), scripts, true);
    outcome.trace.of(None).for_each(|line| println!("{line}"));
    outcome.violations.iter().for_each(|violation| println!("{violation}"));
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What there was in all.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// How many seeds were run.
    seeds: u64,
    /// Those of them in which fencing tokens may fall.
    tokens_may_fall: u64,
    /// Those of them with violations.
    pub(crate) failed: u64,
    violations: usize,
    counts: Counts,
    pub(crate) took: Duration,
}

impl Summary {
    /// Adds a seed's run.
    pub(crate) fn add(&mut self, plan: &Plan, outcome: &Outcome) {
        self.seeds += 1;
        self.tokens_may_fall += u64::from(plan.breaks_fences());
        self.failed += u64::from(!outcome.violations.is_empty());
        self.violations += outcome.violations.len();
        self.counts.add(&outcome.counts);
    }

    /// Why it says nothing that no seed has failed.
    pub(crate) fn emptiness(&self) -> Option<&'static str> {
        if self.seeds == 0 {
            Some("no seed was run: nothing was checked")
        } else if self.counts.granted == 0 {
            Some("no lock was granted: nothing was checked")
        } else {
            None
        }
    }

    pub(crate) fn print(&self) {
        let Self { seeds, counts, .. } = self;
        let Counts { acquires, granted, busy, failed: errors, cancelled, late, extensions, releases, .. } = counts;
        println!(
            "{seeds} seeds, {} operations: {acquires} acquires ({granted} granted, {late} of them too late, {busy} busy, \
             {errors} failed, {cancelled} cancelled), {extensions} extensions, {releases} releases",
            counts.operations() + late
        );
        let Counts { shared, permits, kept, .. } = counts;
        println!("of those granted {shared} shared, {permits} permits, {kept} to stay taken for a time");
        println!("{} events, {} scripts, {:.1} hours of virtual time", counts.events, counts.scripts, self.hours());
        println!("{} seeds on a cluster, whose nodes did not run {} commands", counts.clusters, counts.redirected);
        let faults = self.faults().map(|(name, count)| format!("{name} {count}"));
        println!("faults: {}", faults.collect::<Vec<_>>().join(", "));
        println!("{} overlaps where the server had forgotten a lock", counts.overlaps);
        println!("{} seeds in which fencing tokens may fall", self.tokens_may_fall);
        println!("{:.1} s, {:.0} operations a second", self.took.as_secs_f64(), self.per_second());
        println!("{} seeds with violations", self.failed);
    }

    /// The figures, for `battery evidence`.
    pub(crate) fn figures(&self) -> Value {
        let counts = &self.counts;
        let faults: Map<String, Value> = self.faults().map(|(name, count)| (name.to_owned(), count.into())).collect();
        json!({
            "seeds": self.seeds,
            "seeds_in_which_tokens_may_fall": self.tokens_may_fall,
            "violations": self.violations,
            "operations": counts.operations() + counts.late,
            "acquires": counts.acquires,
            "granted": counts.granted,
            "granted_shared": counts.shared,
            "granted_permits": counts.permits,
            "granted_to_stay_taken": counts.kept,
            "granted_too_late": counts.late,
            "busy": counts.busy,
            "failed": counts.failed,
            "cancelled": counts.cancelled,
            "extensions": counts.extensions,
            "releases": counts.releases,
            "events": counts.events,
            "scripts": counts.scripts,
            "seeds_on_a_cluster": counts.clusters,
            "commands_redirected": counts.redirected,
            "overlaps_excused": counts.overlaps,
            "virtual_hours": rounded(self.hours()),
            "seconds": rounded(self.took.as_secs_f64()),
            "operations_per_second": self.per_second().round(),
            "faults": counts.faults.iter().sum::<u64>(),
            "faults_by_kind": faults,
        })
    }

    fn faults(&self) -> impl Iterator<Item = (&'static str, u64)> {
        FaultKind::names().into_iter().zip(self.counts.faults)
    }

    fn hours(&self) -> f64 {
        Duration::from_micros(self.counts.time).as_secs_f64() / 3_600.0
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure to be read")]
    fn per_second(&self) -> f64 {
        self.counts.operations() as f64 / self.took.as_secs_f64().max(0.001)
    }
}

/// To one digit behind the point.
fn rounded(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_seed_or_a_grant_nothing_was_checked() {
        let of =
            |seeds, granted| Summary { seeds, counts: Counts { granted, ..Counts::default() }, ..Summary::default() };
        assert!(of(0, 0).emptiness().is_some_and(|text| text.contains("no seed")));
        assert!(of(7, 0).emptiness().is_some_and(|text| text.contains("no lock was granted")));
        assert_eq!(of(7, 1).emptiness(), None);
    }
}
