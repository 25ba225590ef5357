//! Real processes on a real server under faults, and a checker of what they saw.
//!
//! ```text
//! battery run [--seed N] [--seconds N] [--out DIR] [--json FILE]   workers, faults, the check, and a report
//!             [--topology single|sentinel|cluster]                 what the locks are on; for plan as well
//! battery control [--seed N] [--json FILE]                         the same load with and without fencing
//! battery mutants [--only NAME] [--seed N] [--json FILE]           whether wrong versions are rejected
//! battery plan [--seed N] [--seconds N]                            the faults of that seed, and when
//! battery check FILE...                                            a history that was kept
//! battery evidence --in DIR --out FILE                             a document from the figures of all tools
//! ```
//!
//! What happens, in the order of the modules:
//!
//! 1. [`nemesis`] makes a plan of faults from a seed, starts the server and the workers, and carries the plan out;
//! 2. each [`worker`] is a process: it takes, extends and gives back locks, updates [`store`]s under them, runs
//!    requests through a layer, and writes each step down as a line of its [`history`] before and after it;
//! 3. [`check`] reads the lines of all of them and decides P1 to P7;
//! 4. [`report`] says what was done and what was found.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts and times become figures of a few digits"
)]

mod args;
mod check;
mod commands;
mod history;
mod nemesis;
mod report;
mod store;
#[path = "../../support/redis/mod.rs"]
mod support;
mod worker;

use std::process::ExitCode;

use args::Command;

fn main() -> ExitCode {
    let done = match args::parse(std::env::args().skip(1)) {
        Ok(Command::Run(options)) => commands::run(&options),
        Ok(Command::Control(options)) => commands::control(&options),
        Ok(Command::Mutants(options)) => commands::mutants(&options),
        Ok(Command::Plan(options)) => commands::plan(&options),
        Ok(Command::Evidence { from, to }) => report::evidence(&from, &to),
        Ok(Command::Check(files)) => return check::command(files),
        Ok(Command::Worker(setup)) => return worker::run(&setup),
        Err(error) => {
            eprintln!("battery: {error}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("battery: {error}");
            ExitCode::from(2)
        }
    }
}
