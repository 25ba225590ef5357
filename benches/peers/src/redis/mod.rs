//! Locks on Redis: who is measured, in which scenes, and how.

mod contenders;
mod pipelined;
mod raw;
mod round;
mod theirs;

pub(crate) mod ours;
pub(crate) mod scenes;

use std::future::Future;

use crate::Result;

pub(crate) use contenders::{Contender, contenders};
pub(crate) use raw::{Pings, connect, ping};
use round::run;
pub(crate) use round::{NAMES, Round};
pub(crate) use scenes::{Keys, SCENES, Scene};

/// One client object, as a process has it. Clones share it.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    type Lock: Lock;

    fn lock(&self, name: &str) -> Result<Self::Lock>;

    /// Lets go of everything.
    fn close(self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// What one task has in its hands.
pub(crate) trait Lock: Send + Sync + 'static {
    type Held: Send;

    /// Waits as long as it takes.
    fn acquire(&self) -> impl Future<Output = Result<Self::Held>> + Send;

    fn release(&self, held: Self::Held) -> impl Future<Output = Result<()>> + Send;

    /// For those that have one.
    fn fence(_held: &Self::Held) -> Option<u64> {
        None
    }
}
