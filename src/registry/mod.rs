//! Registration at start-up: a builder collects the providers once, and [`Locking`] makes their locks and layers.

mod build_error;
mod builder;
mod locking;

pub use build_error::{BuildError, BuildProblem};
pub use builder::LockingBuilder;
pub use locking::Locking;
