//! Seeds of the fleet: what they decide, and that nothing is violated.
#![allow(clippy::unwrap_used)]

use simulation::fleet::{Counts, Fault, FaultKind, Plan, run};
use simulation::scripts::Scripts;

/// The same seed makes the same run, event by event.
#[test]
fn a_seed_decides_everything() {
    let scripts = Scripts::compile().unwrap();
    let text = |seed| {
        let outcome = run(&Plan::new(seed), &scripts, true);
        outcome.trace.of(None).map(ToString::to_string).collect::<Vec<_>>()
    };
    for seed in [1, 5, 8] {
        let first = text(seed);
        assert!(first.len() > 50, "{}", first.len());
        assert!(first == text(seed), "seed {seed}");
    }
    assert!(text(1) != text(2));
}

/// A hundred seeds have every kind of fault and every kind of operation, and violate nothing.
#[test]
fn a_hundred_seeds_violate_nothing_and_have_everything() {
    const SEEDS: u64 = 100;
    let scripts = Scripts::compile().unwrap();
    let mut counts = Counts::default();
    for seed in 0..SEEDS {
        let outcome = run(&Plan::new(seed), &scripts, false);
        assert!(outcome.violations.is_empty(), "seed {seed}: {:?}", outcome.violations);
        counts.add(&outcome.counts);
    }
    assert!(counts.faults.iter().all(|count| *count > 0), "{:?}", counts.faults);
    // A run without them would violate nothing either.
    let Counts { granted, shared, permits, kept, busy, cancelled, extensions, releases, scripts, .. } = counts;
    // Only a third of the seeds have them.
    assert!(kept >= SEEDS / 4, "{kept} locks to stay taken for a time in {SEEDS} seeds");
    for (what, count) in [
        ("granted", granted),
        ("shared", shared),
        ("permits", permits),
        ("busy", busy),
        ("cancelled", cancelled),
        ("extensions", extensions),
        ("releases", releases),
        ("scripts", scripts),
    ] {
        assert!(count >= SEEDS, "{what}: {count} in {SEEDS} seeds");
    }
}

/// Fencing tokens may fall only where the server may lose their counter and its clock is set back.
#[test]
fn tokens_may_fall_only_where_data_may_be_lost_and_the_clock_is_set_back() {
    let may_fall = |kinds: &[FaultKind]| {
        let faults = kinds.iter().map(|kind| Fault { at: 0, server: 0, kind: *kind }).collect();
        Plan { faults, ..Plan::new(0) }.breaks_fences()
    };
    let (back, forward) = (FaultKind::ClockStep { by: -1 }, FaultKind::ClockStep { by: 1 });
    let restart = |keeps_data| FaultKind::Restart { time: 1, keeps_data };
    for loses in [restart(false), FaultKind::Failover { time: 1, lost: 1 }] {
        assert!(may_fall(&[back, loses]), "{loses:?}");
        assert!(!may_fall(&[forward, loses]), "{loses:?}");
        assert!(!may_fall(&[loses]), "{loses:?}");
    }
    assert!(!may_fall(&[back, restart(true)]));
    assert!(!may_fall(&[]));
}
