//! What the program does: one file for each command that starts processes or prints a plan.

mod control;
mod directory;
mod mutants;
mod plan;
mod run;

pub(crate) use control::control;
pub(crate) use mutants::mutants;
pub(crate) use plan::plan;
pub(crate) use run::run;

use std::hash::{BuildHasher, RandomState};

use crate::args::Options;

/// The one that is asked for, else one of chance; it is said at the begin, so that a run can be had again.
fn seed(options: &Options) -> u64 {
    options.seed.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()) >> 32)
}
