//! The values that every part uses: resources, options, fencing tokens, errors.

mod error;
mod fencing_token;
mod options;
mod resource;

pub use error::{BoxError, Cause, LockError, RefusedValue};
pub use fencing_token::{FencingToken, ParseFencingTokenError};
pub use options::LockOptions;
pub(crate) use options::check_lease;
pub use resource::{Resource, ResourceError};
