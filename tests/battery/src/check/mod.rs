//! Decides from a history whether the locks kept their promises.
//!
//! ```text
//! lines ─ operations ─ record of a round ─┬─ fences      P1  ─┬─ verdict
//!            (hold)       (faults)        ├─ overlaps    P2   │
//!                                         ├─ updates     P3   │
//!                                         ├─ owners      P4   │
//!                                         ├─ leftovers   P5   │
//!                                         ├─ order, overtaking  P6
//!                                         ├─ layer       P7   │
//!                                         └─ linear: a general checker, on samples
//! ```
//!
//! Everything is decided by sorting and one look through, since fences say in which order the locks were granted. A
//! violation is a proof: it names the lines that cannot all be, whatever was between them. What is not known counts as
//! what does no harm: a process that was killed may have been granted what it asked for, and let go of what it had.

mod checker;
mod command;
mod faults;
mod fences;
mod histogram;
mod hold;
mod layer;
mod leftovers;
mod linear;
mod operation;
mod operations;
mod order;
mod overlaps;
mod overtaking;
mod owners;
mod record;
mod scene;
mod statistics;
mod updates;
mod verdict;

#[cfg(test)]
mod bad;

#[allow(unused_imports, reason = "for programs that run a battery and report on it")]
pub(crate) use checker::Checker;
pub(crate) use command::command;
#[allow(unused_imports, reason = "for programs that run a battery and report on it")]
pub(crate) use verdict::{Judged, Property, Verdict};
