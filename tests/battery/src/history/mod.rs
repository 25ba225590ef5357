//! What the processes saw: one JSON line for each step.
//!
//! A line is written with one `write` before the step that it announces begins, or after the step that it tells of has
//! ended, so that it survives the process. All processes of a machine share the clock ([`clock::now`]).

pub(crate) mod clock;
mod journal;
mod line;
mod read;
#[cfg(test)]
mod tests;

pub(crate) use journal::Journal;
pub(crate) use line::{Event, Line, Outcome, Side};
pub(crate) use read::{File, ReadError};
