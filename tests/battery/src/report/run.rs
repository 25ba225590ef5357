//! The figures of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::properties::{Found, found};
use crate::check::Verdict;
use crate::nemesis::{Ended, Round, Topology};

/// Kinds of operations without a reply of Redis, or whose caller gave up.
const UNANSWERED: [&str; 7] = [
    "acquires_failed",
    "acquires_given_up",
    "acquires_unknown",
    "extensions_failed",
    "releases_failed",
    "store_unknown",
    "requests_not_run",
];

/// Pairs that decide P6 between processes, for each round. On an otherwise idle machine there are about 15, since
/// fewer waits last long there.
const LEAST_DECIDED: u64 = 3;

/// Times in milliseconds, unless they say otherwise.
#[derive(Debug, Default, Serialize)]
pub(crate) struct RunReport {
    #[serde(skip_serializing_if = "Topology::is_single")]
    pub(crate) topology: Topology,
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) rounds: u64,
    pub(crate) processes: u64,
    pub(crate) faults: u64,
    pub(crate) untrusted_faults: u64,
    pub(crate) faults_by_kind: BTreeMap<String, u64>,
    /// Those that Redis has answered, and the checker has judged. What failed, was given up or is unknown is counted
    /// by its kind alone.
    pub(crate) operations: u64,
    pub(crate) operations_per_second: f64,
    pub(crate) operations_by_kind: BTreeMap<&'static str, u64>,
    /// Of the acquires that waited, where clocks are not moved.
    pub(crate) waits: u64,
    pub(crate) wait_median: f64,
    pub(crate) wait_p99: f64,
    pub(crate) wait_longest: f64,
    pub(crate) certain_holds: u64,
    /// Holds that ended as a loss while their holder looked.
    pub(crate) lost_signals: u64,
    /// From the signal to the end of the lease as its holder knew it; negative: after it.
    pub(crate) lost_lead_shortest: f64,
    pub(crate) lost_lead_mean: f64,
    pub(crate) lost_after_the_end: u64,
    /// Stale reads and writes that the stores refused.
    pub(crate) refused_stale: u64,
    pub(crate) longest_overlap: f64,
    pub(crate) cross_checked_windows: u64,
    /// P6 between processes: pairs of a wait and another process that served late-comers meanwhile, which no fault
    /// touched, and which one did; and how often at most a waiter of the former was overtaken.
    pub(crate) overtaking_decided: u64,
    pub(crate) overtaking_undecided: u64,
    pub(crate) most_overtaken: u64,
    pub(crate) violations: u64,
    pub(crate) properties: Vec<Found>,
    /// What the run itself failed to do.
    pub(crate) failures: Vec<String>,
}

impl RunReport {
    pub(crate) fn new(topology: Topology, seed: u64) -> Self {
        Self { topology, seed, ..Self::default() }
    }

    /// One more round.
    pub(crate) fn add(&mut self, ended: &Ended) {
        self.rounds += 1;
        self.processes += ended.processes;
        for (kind, count) in &ended.faults {
            *self.faults_by_kind.entry(kind.clone()).or_default() += count;
            self.faults += count;
        }
    }

    /// What is known so far. `steady`: the half whose clock is right.
    pub(crate) fn sum(&mut self, steady: &Verdict, moving: &Verdict, elapsed: Duration) {
        let both = [&steady.figures, &moving.figures];
        self.operations_by_kind.clear();
        for figures in both {
            for (kind, count) in [
                ("acquires_granted", figures.granted),
                ("acquires_not_granted", figures.not_granted),
                ("acquires_failed", figures.failed),
                ("acquires_given_up", figures.given_up),
                ("acquires_unknown", figures.unknown),
                ("extensions", figures.extended + figures.not_extended),
                ("extensions_failed", figures.extension_failed),
                ("releases", figures.released + figures.already_lost),
                ("releases_failed", figures.release_failed),
                ("reads", figures.reads),
                ("writes", figures.writes),
                ("refused_as_stale", figures.refused_stale),
                ("store_unknown", figures.store_unknown),
                ("requests_run", figures.handler_runs),
                ("requests_not_run", figures.requests.saturating_sub(figures.handler_runs)),
            ] {
                *self.operations_by_kind.entry(kind).or_default() += count;
            }
        }
        let answered = self.operations_by_kind.iter().filter(|(kind, _)| !UNANSWERED.contains(kind));
        self.operations = answered.map(|(_, count)| count).sum();
        self.seconds = (elapsed.as_secs_f64() * 10.0).round() / 10.0;
        self.operations_per_second = (self.operations as f64 / elapsed.as_secs_f64()).round();
        self.untrusted_faults = both.iter().map(|figures| figures.untrusted_faults).sum();
        let wait = &steady.figures.wait;
        self.waits = wait.count;
        (self.wait_median, self.wait_p99, self.wait_longest) = (ms(wait.median), ms(wait.p99), ms(wait.longest));
        self.certain_holds = both.iter().map(|figures| figures.certain_holds).sum();
        self.lost_signals = both.iter().map(|figures| figures.lost).sum();
        let leads = both.map(|figures| figures.lost_before_deadline);
        let with_some = || leads.iter().filter(|lead| lead.count > 0);
        let weighted: f64 = with_some().map(|lead| lead.mean as f64 * lead.count as f64).sum();
        self.lost_lead_shortest = signed_ms(with_some().map(|lead| lead.shortest).min().unwrap_or(0) as f64);
        self.lost_lead_mean = signed_ms(weighted / self.lost_signals.max(1) as f64);
        self.lost_after_the_end = leads.iter().map(|lead| lead.late).sum();
        self.refused_stale = both.iter().map(|figures| figures.refused_stale).sum();
        self.longest_overlap = ms(both.iter().map(|figures| figures.longest_overlap).max().unwrap_or(0));
        self.cross_checked_windows = both.iter().map(|figures| figures.linear_windows).sum();
        self.overtaking_decided = steady.overtaking.checked + moving.overtaking.checked;
        self.overtaking_undecided = both.iter().map(|figures| figures.overtaking_undecided).sum();
        self.most_overtaken = both.iter().map(|figures| figures.most_overtaken).max().unwrap_or(0);
        self.properties = found(&[steady, moving]);
        self.violations = self.properties.iter().map(|found| found.violations).sum();
    }

    /// Whether all is as it has to be: every kind of fault was there, each property was asked of something and holds,
    /// and so many operations and faults were reached. What is not is added to the failures.
    pub(crate) fn judge(&mut self, least_operations: u64, least_faults: u64) -> bool {
        let mut failures = Vec::new();
        for kind in self.topology.kinds() {
            if !self.faults_by_kind.contains_key(&kind.name()) {
                failures.push(format!("no fault of the kind {}", kind.name()));
            }
        }
        for found in &self.properties {
            if found.violations > 0 {
                failures.push(format!("{}, {}: {} violations", found.property, found.what, found.violations));
            }
            if found.checked == 0 {
                failures.push(format!("{}, {}: nothing was there to be checked", found.property, found.what));
            }
        }
        for (what, count, least) in [
            ("operations", self.operations, least_operations),
            ("faults", self.faults, least_faults),
            (
                "decided pairs of P6 between processes",
                self.overtaking_decided,
                if self.topology.is_single() { LEAST_DECIDED * self.rounds } else { 0 },
            ),
        ] {
            if count < least {
                failures.push(format!("only {count} {what}, and not {least}"));
            }
        }
        self.failures.extend(failures);
        self.failures.is_empty()
    }

    pub(crate) fn progress(&self, round: &Round) -> String {
        let clock = if round.clock_moves { ", with its clock moved" } else { "" };
        format!(
            "{:>6.0} s: round {}{clock}: {} faults; so far {} faults, {} operations, {} violations",
            self.seconds,
            round.number,
            round.faults.len(),
            self.faults,
            self.operations,
            self.violations
        )
    }
}

/// Of nanoseconds, to the microsecond.
fn ms(nanoseconds: u64) -> f64 {
    signed_ms(nanoseconds as f64)
}

fn signed_ms(nanoseconds: f64) -> f64 {
    (nanoseconds / 1_000.0).round() / 1_000.0
}
