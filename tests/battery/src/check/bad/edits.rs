//! Finding one's way in a history, and changing it.

use std::collections::HashMap;

use super::dice::Dice;
use super::right;
use crate::check::record::Place;
use crate::check::{Checker, Verdict};
use crate::history::{Event, Line};

/// A history that is being made a wrong one.
pub(super) struct Edited {
    pub(super) lines: Vec<Line>,
    pub(super) dice: Dice,
}

/// The lines of one grant, by their indices.
#[derive(Debug, Clone)]
pub(super) struct Of {
    pub(super) resource: String,
    pub(super) process: u32,
    pub(super) op: u64,
    pub(super) begin: usize,
    pub(super) waiting: Option<usize>,
    /// Granted, or the handler's beginning.
    pub(super) grant: usize,
    pub(super) handler: bool,
    pub(super) fence: u64,
    pub(super) lost: Option<usize>,
    /// About to be released, or the handler's end.
    pub(super) release: Option<usize>,
    pub(super) end: Option<usize>,
}

impl Edited {
    pub(super) fn new(seed: u64) -> Self {
        Self { lines: right::history(seed, false), dice: Dice::new(seed ^ 0xabcd) }
    }

    pub(super) fn at(&self, index: usize) -> u64 {
        self.lines[index].at
    }

    pub(super) fn event(&mut self, index: usize) -> &mut Event {
        &mut self.lines[index].event
    }

    pub(super) fn put(&mut self, at: u64, of: &Of, event: Event) {
        self.lines.push(Line { at, process: of.process, op: of.op, event });
    }

    /// Grants in the order of their fences, resource by resource.
    pub(super) fn grants(&self) -> Vec<Of> {
        let mut found = Vec::new();
        let mut of_op: HashMap<(u32, u64), Vec<usize>> = HashMap::new();
        for (index, line) in self.lines.iter().enumerate() {
            of_op.entry((line.process, line.op)).or_default().push(index);
        }
        for (grant, line) in self.lines.iter().enumerate() {
            let (fence, handler) = match &line.event {
                Event::Granted { fence, .. } => (fence.get(), false),
                Event::Handler { fence, .. } => (fence.get(), true),
                _ => continue,
            };
            let find = |what: fn(&Event) -> bool| {
                of_op[&(line.process, line.op)].iter().copied().find(|index| what(&self.lines[*index].event))
            };
            let begin = find(|event| matches!(event, Event::Acquire { .. } | Event::Request { .. })).unwrap();
            let (Event::Acquire { resource, .. } | Event::Request { resource, .. }) = &self.lines[begin].event else {
                unreachable!()
            };
            found.push(Of {
                resource: resource.clone(),
                process: line.process,
                op: line.op,
                begin,
                waiting: find(|event| matches!(event, Event::Waiting)),
                grant,
                handler,
                fence,
                lost: find(|event| matches!(event, Event::Lost { .. })),
                release: find(|event| matches!(event, Event::Release { .. } | Event::HandlerEnds { .. })),
                end: find(|event| matches!(event, Event::Released { .. } | Event::Answered { .. })),
            });
        }
        found.sort_by(|first, second| (&first.resource, first.fence).cmp(&(&second.resource, second.fence)));
        found
    }

    /// One of the pairs of consecutive grants of a resource for which it is true.
    pub(super) fn pair(&mut self, is: impl Fn(&Self, &Of, &Of) -> bool) -> Option<(Of, Of)> {
        let grants = self.grants();
        let pairs = grants.windows(2).filter(|pair| pair[0].resource == pair[1].resource);
        let pairs: Vec<_> = pairs.filter(|pair| is(self, &pair[0], &pair[1])).collect();
        self.dice.pick(&pairs).map(|pair| (pair[0].clone(), pair[1].clone()))
    }

    pub(super) fn grant(&mut self, is: impl Fn(&Self, &Of) -> bool) -> Option<Of> {
        let grants: Vec<_> = self.grants().into_iter().filter(|of| is(self, of)).collect();
        self.dice.pick(&grants).cloned()
    }

    /// One of the lines for which it is true.
    pub(super) fn line(&mut self, is: impl Fn(&Event) -> bool) -> Option<usize> {
        let found: Vec<usize> = (0..self.lines.len()).filter(|index| is(&self.lines[*index].event)).collect();
        self.dice.pick(&found).copied()
    }

    pub(super) fn remove(&mut self, is: impl Fn(&Line) -> bool) {
        self.lines.retain(|line| !is(line));
    }

    pub(super) fn judge(mut self) -> Verdict {
        self.lines.sort_by_key(|line| line.at);
        judge(self.lines)
    }
}

pub(super) fn judge(lines: impl IntoIterator<Item = Line>) -> Verdict {
    let mut checker = Checker::new();
    for (index, line) in lines.into_iter().enumerate() {
        let place = Place { file: line.process, line: index as u32 + 1 };
        checker.line(line, place);
    }
    checker.finish()
}

pub(super) fn is_held_when_released(history: &Edited, of: &Of) -> bool {
    of.release.is_some_and(|release| matches!(history.lines[release].event, Event::Release { held: true, .. }))
}
