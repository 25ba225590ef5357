//! The test suite that every provider must pass. For authors of providers.
//!
//! Implement [`Subject`], which makes the provider and inspects its backend, and call
//! [`conformance_tests!`](crate::conformance_tests) in a test file. It makes one test per case:
//!
//! ```
//! # #[cfg(feature = "memory")]
//! # mod kit {
//! use std::sync::Arc;
//! use orchestrix_locking::conformance::Subject;
//! use orchestrix_locking::{DistributedLockProvider, InMemoryLockProvider, Resource};
//!
//! #[derive(Default)]
//! struct Memory(InMemoryLockProvider);
//!
//! impl Subject for Memory {
//!     async fn make(&self) -> Arc<dyn DistributedLockProvider> {
//!         Arc::new(self.0.clone())
//!     }
//!     async fn waiters(&self, resource: &Resource) -> usize {
//!         self.0.inspect(resource).map_or(0, |lock| lock.waiters)
//!     }
//!     async fn leftovers(&self) -> usize {
//!         self.0.len()
//!     }
//! }
//!
//! orchestrix_locking::conformance_tests!(Memory::default());
//! # }
//! ```
//!
//! A failing case panics with the promise that was broken. Cases run in real time with short leases, since a backend may be
//! remote and have a clock of its own. They can run concurrently.
//!
//! | file | promises |
//! | --- | --- |
//! | `exclusion` | one holder at a time, also among providers; names are independent |
//! | `waiting` | time-outs |
//! | `order` | first come, first served |
//! | `cancelling` | a dropped acquire leaves nothing behind |
//! | `expiry` | an expired lease changes nothing |
//! | `extending` | extension, renewal, the longest hold |
//! | `loss` | the loss signal |
//! | `fencing` | tokens rise, also over a restart |
//! | `sets` | several locks at once |
//! | `limits` | bad names and options, the limit on waiters |
//! | `budgets` | the number of commands |
//! | `lifecycle` | threads without a runtime, and closing |
//! | `shared` | readers hold together, writers alone; none starves |
//! | `permits` | so many permits, each with a number and a lease of its own |
//! | `at_least` | a lock stays taken for its least time |
//!
//! The last three are groups for what a provider may lack. It says so in [`LockBackend::supports`], and then its locks with
//! such options are [`LockError::Unsupported`](crate::LockError::Unsupported): the cases of the group pass and prove nothing.
//! To run some groups alone, name them: `conformance_tests!(Memory::default(), shared, permits)`. The group `sets`
//! takes several exclusive locks at once, and that of all other cases is `exclusive`.
//!
//! [`cases`] returns them as a list, to run them in another way.
//!
//! [`LockBackend::supports`]: crate::provider::LockBackend::supports
#![expect(clippy::panic, reason = "a test kit reports by panicking")]
#![allow(clippy::missing_panics_doc, reason = "every case panics when its promise is broken")]

mod at_least;
mod budgets;
mod cancelling;
mod case;
mod exclusion;
mod expiry;
mod extending;
mod fencing;
mod lifecycle;
mod limits;
mod loss;
mod order;
mod permits;
mod scene;
mod sets;
mod shared;
mod subject;
mod waiting;

pub use at_least::*;
pub use budgets::*;
pub use cancelling::*;
pub use case::{Case, cases, run};
pub use exclusion::*;
pub use expiry::*;
pub use extending::*;
pub use fencing::*;
pub use lifecycle::*;
pub use limits::*;
pub use loss::*;
pub use order::*;
pub use permits::*;
pub use sets::*;
pub use shared::*;
pub use subject::Subject;
pub use waiting::*;
