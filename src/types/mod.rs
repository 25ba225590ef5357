//! The values that every part uses: names of resources, options, requests, fencing tokens, errors.

mod build_error;
mod error;
mod fencing_token;
mod mode;
mod options;
mod request;
mod resource;
mod wait;

pub use build_error::{BuildError, BuildProblem};
pub use error::{BoxError, Cause, LockError, RefusedValue};
pub use fencing_token::{FencingToken, ParseFencingTokenError};
pub use mode::LockMode;
pub use options::LockOptions;
pub(crate) use options::check_lease;
pub use request::{LockRequest, LockRequestRef};
pub use resource::{Resource, ResourceError};
pub use wait::Wait;
pub(crate) use wait::time_after;
