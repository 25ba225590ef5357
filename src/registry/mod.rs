//! Registration at start-up: a builder collects the providers once, and [`Locking`] makes their locks and layers.

mod builder;
mod locking;

pub use builder::LockingBuilder;
pub use locking::Locking;
