//! [`LockLayer`], its service and its future. The guide for users is the public module [`middleware`](crate::middleware).

mod acquire_state;
mod config;
mod future;
mod into_resource;
mod layer;
mod lock_requests;
mod locked_call;
mod service;

#[cfg(feature = "http")]
pub(crate) use acquire_state::{AcquireState, Refused};
#[cfg(feature = "http")]
pub(crate) use config::LayerConfig;
pub use config::OnLost;
pub use future::ResponseFuture;
pub use into_resource::{IntoResource, NamesLock};
pub use layer::LockLayer;
pub use lock_requests::LockRequests;
#[cfg(feature = "http")]
pub(crate) use locked_call::{BeforeCall, LockedCall};
pub use service::LockService;
