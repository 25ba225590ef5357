//! Runs seeds of the simulation, and says what was seen.
//!
//!     cargo run --release -p simulation -- --seeds 2000

mod args;
mod report;
mod shrink;

use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use simulation::fleet::{Plan, run};
use simulation::scripts::Scripts;

use args::Args;
use report::Summary;

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
    let (mut summary, begun) = (Summary::default(), Instant::now());
    for seed in args.first..args.first.saturating_add(args.seeds) {
        let plan = Plan::new(seed);
        let outcome = run(&plan, &scripts, false);
        summary.add(&plan, &outcome);
        if outcome.violations.is_empty() {
            continue;
        }
        if summary.failed <= args.most_shown {
            report::violation(seed, &outcome, &scripts);
        }
        if summary.failed >= args.most_failures {
            break;
        }
    }
    summary.took = begun.elapsed();
    summary.print();
    if let Some(path) = &args.json
        && let Err(error) = fs::write(path, format!("{:#}\n", summary.figures()))
    {
        eprintln!("{}: {error}", path.display());
        return ExitCode::from(2);
    }
    if let Some(empty) = summary.emptiness() {
        eprintln!("{empty}");
        return ExitCode::FAILURE;
    }
    if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
