//! What is printed.

use std::process::ExitCode;
use std::time::Duration;

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
pub(crate) fn summary(seeds: u64, failed: u64, counts: &Counts, took: Duration) {
    let Counts { acquires, granted, busy, failed: errors, cancelled, late, extensions, releases, .. } = counts;
    println!(
        "{seeds} seeds, {} operations: {acquires} acquires ({granted} granted, {late} of them too late, {busy} busy, \
         {errors} failed, {cancelled} cancelled), {extensions} extensions, {releases} releases",
        counts.operations() + late
    );
    let hours = Duration::from_micros(counts.time).as_secs_f64() / 3_600.0;
    println!("{} events, {} scripts, {hours:.1} hours of virtual time", counts.events, counts.scripts);
    let faults = FaultKind::names().into_iter().zip(counts.faults).map(|(name, count)| format!("{name} {count}"));
    println!("faults: {}", faults.collect::<Vec<_>>().join(", "));
    println!("{} overlaps where the server had forgotten a lock", counts.overlaps);
    #[expect(clippy::cast_precision_loss, reason = "a figure to be read")]
    let per_second = counts.operations() as f64 / took.as_secs_f64().max(0.001);
    println!("{:.1} s, {per_second:.0} operations a second", took.as_secs_f64());
    println!("{failed} seeds with violations");
}
