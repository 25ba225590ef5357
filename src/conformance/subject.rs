//! [`Subject`]: what the kit needs to know of a provider.

use std::future::Future;
use std::sync::Arc;

use crate::{DistributedLockProvider, Resource};

/// Makes a provider under test, and inspects its backend. There is one for each case.
///
/// The methods may be written as `async fn`. The last three are optional. Without them, the cases that need them pass and
/// prove nothing.
pub trait Subject: Send + Sync + 'static {
    /// Makes the provider on a backend without locks. Called once per case, inside a tokio runtime.
    fn make(&self) -> impl Future<Output = Arc<dyn DistributedLockProvider>> + Send;

    /// How many callers wait for this resource at present. The holder does not count.
    ///
    /// A case that needs, say, three waiters polls this until it is three, instead of sleeping.
    fn waiters(&self, resource: &Resource) -> impl Future<Output = usize> + Send;

    /// How many entries, keys or the like the provider keeps at present for locks and waiters.
    ///
    /// Data that it keeps on purpose beyond the end of a lock, such as the last fence of a name, does not count.
    fn leftovers(&self) -> impl Future<Output = usize> + Send;

    /// Another provider on the same backend, as another process would have. `None`, the default, if the provider itself keeps
    /// the locks. From then on [`waiters`](Self::waiters) and [`leftovers`](Self::leftovers) count for all providers.
    fn another(&self) -> impl Future<Output = Option<Arc<dyn DistributedLockProvider>>> + Send {
        std::future::ready(None)
    }

    /// Restarts the backend without its data in memory, and returns a provider on it, which may be the same one. `None`, the
    /// default, if the test cannot do so.
    fn restart(&self) -> impl Future<Output = Option<Arc<dyn DistributedLockProvider>>> + Send {
        std::future::ready(None)
    }

    /// How many commands all providers have sent to the backend for locks so far. `None`, the default, if they are not
    /// counted, or have no bound that can be promised.
    fn commands(&self) -> impl Future<Output = Option<u64>> + Send {
        std::future::ready(None)
    }
}
