//! [`Subject`]: what the kit has to know of a provider.

use std::future::Future;
use std::sync::Arc;

use crate::{DistributedLockProvider, Resource};

/// A provider under test, and a look into its backend. One is made for each case.
///
/// The methods may be written as `async fn`. The last three need not be written at all: then the cases that ask for
/// them prove nothing, and pass.
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

    /// One more provider on the same backend, as another process would have; `None`, the default, if locks are kept in
    /// the provider itself. From then on [`waiters`](Self::waiters) and [`leftovers`](Self::leftovers) count for all of
    /// them.
    fn another(&self) -> impl Future<Output = Option<Arc<dyn DistributedLockProvider>>> + Send {
        std::future::ready(None)
    }

    /// Ends the backend, starts it again without what it had in memory, and gives a provider on it, which may be the
    /// same; `None`, the default, if the test cannot do so.
    fn restart(&self) -> impl Future<Output = Option<Arc<dyn DistributedLockProvider>>> + Send {
        std::future::ready(None)
    }

    /// How many commands all providers have sent to the backend so far, for locks; `None`, the default, if nobody
    /// counts them, or if they have no bound worth a promise.
    fn commands(&self) -> impl Future<Output = Option<u64>> + Send {
        std::future::ready(None)
    }
}
