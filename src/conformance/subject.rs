//! [`Subject`]: what the kit has to know of a provider.

use std::future::Future;
use std::sync::Arc;

use crate::{DistributedLockProvider, Resource};

/// A provider under test, and a look into its backend. One is made for each case.
///
/// The methods may be written as `async fn`.
pub trait Subject: Send + Sync + 'static {
    /// Makes the provider, on a backend without any locks. Called once for each case, inside a tokio runtime.
    fn make(&self) -> impl Future<Output = Arc<dyn DistributedLockProvider>> + Send;

    /// How many wait for this resource at present, the holder not counted.
    ///
    /// The cases ask for it over and over where they need "three are in the queue by now", so that none has
    /// to sleep and hope.
    fn waiters(&self, resource: &Resource) -> impl Future<Output = usize> + Send;

    /// How many entries, keys or the like the provider keeps at present for locks and for those who wait.
    ///
    /// What it keeps on purpose beyond a lock's end, such as the last fence of a name, is not counted.
    fn leftovers(&self) -> impl Future<Output = usize> + Send;
}
