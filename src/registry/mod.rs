//! Registration at start-up: providers go into a builder once, and [`Locking`] hands their locks out.
//!
//! `builder` collects, `problem` says what is wrong with what was collected, `locking` is what users keep.

mod builder;
mod locking;
mod problem;

pub use builder::LockingBuilder;
pub use locking::Locking;
pub use problem::{BuildError, BuildProblem};
