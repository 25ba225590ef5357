//! `battery plan`: the faults of a seed.

use std::io::{self, Write};

use crate::args::Options;
use crate::nemesis::{CALM, Plan, ROUND};

/// As many rounds as fit into the time, but one at least.
pub(crate) fn plan(options: &Options) -> io::Result<bool> {
    let rounds = options.seconds.unwrap_or(60).saturating_mul(1_000).div_ceil(CALM + ROUND + 3_000).max(1);
    let seed = super::seed(options);
    let mut out = io::stdout().lock();
    writeln!(out, "seed {seed}")?;
    for round in Plan::new(options.topology, seed).take(usize::try_from(rounds).unwrap_or(usize::MAX)) {
        let moves = if round.clock_moves { ", its clock is moved" } else { "" };
        writeln!(out, "round {}, {} faults{moves}", round.number, round.faults.len())?;
        for fault in &round.faults {
            writeln!(out, "  {fault}")?;
        }
    }
    Ok(true)
}
