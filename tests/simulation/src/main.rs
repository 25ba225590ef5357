//! Runs seeds of the simulation, and says what was seen.
//!
//!     cargo run --release -p simulation -- --seeds 2000

mod args;
mod report;
mod shrink;

use std::process::ExitCode;
use std::time::Instant;

use simulation::fleet::{Counts, Plan, run};
use simulation::scripts::Scripts;

use args::Args;

fn main() -> ExitCode {
    let args = match Args::read(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(problem) => {
            eprintln!("{problem}\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    let scripts = match Scripts::compile() {
        Ok(scripts) => scripts,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    if let Some(seed) = args.trace {
        return report::trace(seed, &scripts);
    }
    let (mut counts, mut failed, begun) = (Counts::default(), 0_u64, Instant::now());
    let mut ran = 0;
    for seed in args.first..args.first.saturating_add(args.seeds) {
        let outcome = run(&Plan::new(seed), &scripts, false);
        ran += 1;
        counts.add(&outcome.counts);
        if outcome.violations.is_empty() {
            continue;
        }
        failed += 1;
        if failed <= args.most_shown {
            report::violation(seed, &outcome, &scripts);
        }
        if failed >= args.most_failures {
            break;
        }
    }
    report::summary(ran, failed, &counts, begun.elapsed());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
