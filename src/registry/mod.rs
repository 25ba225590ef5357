//! Registration at start-up: providers go into a builder once, and [`Locking`] hands their locks out.
//!
//! `builder` collects, `problem` says what is wrong with what was collected, `locking` is what users keep.

mod build_error;
mod builder;
mod locking;

pub use build_error::{BuildError, BuildProblem};
pub use builder::LockingBuilder;
pub use locking::Locking;
