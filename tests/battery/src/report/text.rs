//! Reports as text.

use std::fmt;

use super::control::ControlReport;
use super::run::RunReport;

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        writeln!(
            f,
            "seed {}, {} s, {} rounds, {} worker processes",
            self.seed, self.seconds, self.rounds, self.processes
        )?;
        writeln!(f, "{} operations, {} a second", self.operations, self.operations_per_second)?;
        for (kind, count) in &self.operations_by_kind {
            writeln!(f, "  {count:>10}  {kind}")?;
        }
        writeln!(f, "{} faults, {} of them not trusted", self.faults, self.untrusted_faults)?;
        for (kind, count) in &self.faults_by_kind {
            writeln!(f, "  {count:>10}  {kind}")?;
        }
        writeln!(
            f,
            "{} waits: median {} ms, p99 {} ms, longest {} ms",
            self.waits, self.wait_median, self.wait_p99, self.wait_longest
        )?;
        writeln!(
            f,
            "{} signals of loss, {} after the end of the lease; before it by {} ms on average, {} ms at least",
            self.lost_signals, self.lost_after_the_end, self.lost_lead_mean, self.lost_lead_shortest
        )?;
        writeln!(
            f,
            "{} certain holds; longest overlap, trusted or not, {} ms",
            self.certain_holds, self.longest_overlap
        )?;
        writeln!(f, "{} stale reads and writes refused", self.refused_stale)?;
        writeln!(f, "{} windows cross-checked", self.cross_checked_windows)?;
        writeln!(
            f,
            "{} waits decided P6 between processes, faults affected {} more; a waiter was overtaken at most {} times",
            self.overtaking_decided, self.overtaking_undecided, self.most_overtaken
        )?;
        writeln!(f, "{:>8} {:>10} {:>10} {:>8}", "", "checked", "violated", "excused")?;
        for found in &self.properties {
            let line = (found.property, found.checked, found.violations, found.excused);
            writeln!(f, "{:>8} {:>10} {:>10} {:>8}  {}", line.0, line.1, line.2, line.3, found.what)?;
            for violated in &found.violated {
                writeln!(f, "           {violated}")?;
            }
        }
        for failure in &self.failures {
            writeln!(f, "FAILED: {failure}")?;
        }
        if self.failures.is_empty() {
            writeln!(f, "everything holds")?;
        }
        Ok(())
    }
}

impl fmt::Display for ControlReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for (what, count) in [("without", self.writes_without_fencing), ("with", self.writes_with_fencing)] {
            writeln!(f, "{what} fencing: {count} writes")?;
        }
        writeln!(f, "lost updates without fencing: {}", self.lost_updates_without_fencing)?;
        writeln!(f, "lost updates with fencing: {}", self.lost_updates_with_fencing)?;
        writeln!(f, "stale reads and writes refused: {}", self.refused_stale)?;
        for failure in &self.failures {
            writeln!(f, "FAILED: {failure}")?;
        }
        Ok(())
    }
}
