//! Real processes on a real server under faults, and a checker of what they saw.
//!
//! ```text
//! battery run [--seed N] [--seconds N] [--out DIR]   workers, faults, the check, and a report
//! battery control [--seed N] [--seconds N]           the same load with and without fencing
//! battery plan --seed N [--seconds N]                the faults of that seed, and when
//! battery check FILE...                              a history that was kept
//! ```
//!
//! What happens, in the order of the modules:
//!
//! 1. [`nemesis`] makes a plan of faults from a seed, starts the server and the workers, and carries the plan out;
//! 2. each [`worker`] is a process: it takes, extends and gives back locks, updates [`store`]s under them, runs
//!    requests through a layer, and writes each step down as a line of its [`history`] before and after it;
//! 3. [`check`] reads the lines of all of them and decides P1 to P7;
//! 4. [`report`] says what was done and what was found.

mod check;
mod history;
mod nemesis;
mod report;
mod store;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("check") {
        return check::command(arguments);
    }
    eprintln!("battery check FILE...");
    ExitCode::from(2)
}
