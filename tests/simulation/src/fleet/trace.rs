//! [`Trace`]: what happened, in words.

use std::fmt;

use super::Time;

/// What happened, if it is written down.
#[derive(Debug, Default)]
pub struct Trace(Option<Vec<Line>>);

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Line {
    /// When.
    pub at: Time,
    /// In which process.
    pub process: Option<usize>,
    /// With which resource, if it concerns one alone.
    pub resource: Option<usize>,
    /// What.
    pub what: String,
}

impl Trace {
    pub(super) fn new(is_kept: bool) -> Self {
        Self(is_kept.then(Vec::new))
    }

    pub(super) fn note(
        &mut self,
        at: Time,
        process: Option<usize>,
        resource: Option<usize>,
        what: impl FnOnce() -> String,
    ) {
        if let Some(lines) = &mut self.0 {
            lines.push(Line { at, process, resource, what: what() });
        }
    }

    /// What concerns a resource, or every resource.
    pub fn of(&self, resource: Option<usize>) -> impl Iterator<Item = &Line> {
        let concerns = move |line: &&Line| resource.is_none() || line.resource.is_none() || line.resource == resource;
        self.0.iter().flatten().filter(concerns)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4}.{:06} ", self.at / 1_000_000, self.at % 1_000_000)?;
        match self.process {
            Some(process) => write!(f, "p{process}  ")?,
            None => f.write_str("    ")?,
        }
        if let Some(resource) = self.resource {
            write!(f, "r{resource} ")?;
        }
        f.write_str(&self.what)
    }
}
