//! [`Checker`]: reads, and judges in rounds.

use std::path::PathBuf;

use super::fences::Highest;
use super::operations::Operations;
use super::record::{Place, Round};
use super::scene::{Scene, written};
use super::updates::Stored;
use super::verdict::{Finding, Verdict};
use super::{fences, layer, leftovers, linear, order, overlaps, overtaking, owners, updates};
use crate::history::{File, Line, ReadError};

/// Reads the files of a run, as far as they are written, and judges them.
///
/// A long run is judged in rounds, so that no more than a round is in memory: when every worker is quiet, what has come
/// since is [read](Self::read), then [judged](Self::round). What has to be known of the rounds before is kept: the
/// highest fence, and what was stored, of each resource; faults, and who is gone. An operation must not reach over the
/// end of a round, unless its process was killed at it.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    files: Vec<File>,
    names: Vec<PathBuf>,
    operations: Operations,
    carried: Vec<Carried>,
    verdict: Verdict,
}

/// What is kept of a resource from round to round.
#[derive(Debug, Default)]
struct Carried {
    highest: Highest,
    stored: Stored,
}

impl Checker {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds the file of a process, to be read from its beginning.
    pub(crate) fn add(&mut self, file: impl Into<PathBuf>) {
        let file = File::new(file);
        self.names.push(file.path().to_owned());
        self.files.push(file);
    }

    /// Reads what has been written since it was read last.
    ///
    /// # Errors
    /// If a file cannot be read, or a line is none of a history.
    pub(crate) fn read(&mut self) -> Result<(), ReadError> {
        let mut cut = 0;
        let mut files = std::mem::take(&mut self.files);
        let all = files.iter_mut().enumerate().try_for_each(|(number, file)| {
            cut += u64::from(file.read(|line_number, line| {
                self.line(line, Place { file: number as u32, line: line_number });
            })?);
            Ok(())
        });
        self.files = files;
        self.verdict.figures.cut_lines = cut;
        all
    }

    pub(super) fn line(&mut self, line: Line, place: Place) {
        let Verdict { lines, figures, .. } = &mut self.verdict;
        figures.lines += 1;
        lines.checked += 1;
        if let Err(what) = self.operations.add(line, place, figures) {
            let names = &self.names;
            lines.violation(|| Finding { what: what.to_owned(), lines: vec![written(place, names)] });
        }
    }

    /// Judges what was read since the last round.
    pub(crate) fn round(&mut self) {
        let round = self.operations.round(&mut self.verdict.figures);
        self.carried.resize_with(round.resources.len(), Carried::default);
        let scene = Scene { round: &round, operations: &self.operations, files: &self.names };
        for (resource, carried) in self.carried.iter_mut().enumerate() {
            let verdict = &mut self.verdict;
            let fenced = fences::judge(&scene, resource, &mut carried.highest, &mut verdict.fences);
            overlaps::judge(&scene, resource, fenced, verdict);
            updates::judge(&scene, resource, &mut carried.stored, &mut verdict.updates);
            owners::judge(&scene, resource, &mut verdict.owners);
            order::judge(&scene, resource, &mut verdict.order);
            overtaking::judge(&scene, resource, verdict);
            linear::judge(&scene, resource, verdict);
        }
        layer::judge(&scene, &mut self.verdict.layer);
        leftovers::judge(&scene, &mut self.verdict.leftovers);
        self.verdict.figures.add(&round);
        self.verdict.lost_updates = self.carried.iter().map(|carried| carried.stored.lost()).sum();
    }

    /// What was found so far.
    pub(crate) fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The last round, and what has to be there when all is over.
    pub(crate) fn finish(mut self) -> Verdict {
        self.round();
        if self.operations.is_complete() {
            let round = Round::default();
            let scene = Scene { round: &round, operations: &self.operations, files: &self.names };
            for (resource, carried) in self.carried.iter().enumerate() {
                updates::judge_end(&scene, resource, &carried.stored, &mut self.verdict.updates);
            }
        }
        self.verdict
    }
}
