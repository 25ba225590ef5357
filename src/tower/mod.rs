//! [`LockLayer`] and what it is made of. Its guide is the public module [`middleware`](crate::middleware).

mod acquire_state;
mod config;
mod future;
mod into_resource;
mod layer;
mod locked_call;
mod response_state;
mod service;

#[cfg(feature = "http")]
pub(crate) use acquire_state::AcquireState;
#[cfg(feature = "http")]
pub(crate) use config::LayerConfig;
pub use config::OnLost;
pub use future::ResponseFuture;
pub use into_resource::{IntoResource, NamesLock};
pub use layer::LockLayer;
#[cfg(feature = "http")]
pub(crate) use locked_call::{Enter, LockedCall};
#[cfg(feature = "http")]
pub(crate) use response_state::{ResponseState, ResponseStateProjection, ResponseStateTaken};
pub use service::LockService;
