//! What all tasks of a worker share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use orchestrix_locking::{RedisLockOptions, RedisLockProvider, Resource};
use tokio::sync::RwLock;

use super::protocol::Setup;
use super::requests::Requests;
use crate::history::Journal;
use crate::store::Store;

#[derive(Debug)]
pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) journal: Arc<Journal>,
    pub(super) provider: RedisLockProvider,
    pub(super) requests: Requests,
    pub(super) store: Store,
    /// Read for as long as a task is about something; written while nothing is to be under way.
    pub(super) going: Arc<RwLock<()>>,
    /// Tasks that take long end early.
    pub(super) hurry: AtomicBool,
    pub(super) operations: AtomicU64,
}

impl World {
    /// # Errors
    ///
    /// A text that says what of the setup cannot be had.
    pub(super) async fn new(setup: Setup) -> Result<Self, String> {
        let journal = Journal::open(&setup.history, setup.process)
            .map_err(|error| format!("no history at {}: {error}", setup.history.display()))?;
        let journal = Arc::new(journal);
        let options = RedisLockOptions::default().connection_string(&setup.locks);
        let provider = RedisLockProvider::new(options).map_err(|error| format!("no provider: {error}"))?;
        let store = Store::connect(&setup.stores, setup.load.fencing)
            .await
            .map_err(|error| format!("no store at {}: {error}", setup.stores))?;
        let requests = Requests::new(&provider, &journal, Duration::from_millis(setup.load.ttl));
        Ok(Self {
            setup,
            journal,
            provider,
            requests,
            store,
            going: Arc::default(),
            hurry: AtomicBool::new(false),
            operations: AtomicU64::new(0),
        })
    }

    pub(super) fn ttl(&self) -> Duration {
        Duration::from_millis(self.setup.load.ttl)
    }

    pub(super) fn count(&self) {
        self.operations.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn hurries(&self) -> bool {
        self.hurry.load(Ordering::Relaxed)
    }

    /// Every name that this process ever locks.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let process = self.setup.process;
        let shared = (0..self.setup.load.shared).map(shared_name).chain((0..self.setup.load.long).map(long_name));
        shared.chain((0..self.setup.load.own).map(move |number| own_name(process, number)))
    }

    /// How many callers wait, over all names.
    pub(super) fn waiters(&self) -> usize {
        let resources = self.names().filter_map(|name| Resource::try_from(name).ok());
        resources.map(|resource| self.provider.waiters(&resource)).sum()
    }
}

pub(super) fn shared_name(number: u32) -> String {
    format!("shared:{number}")
}

pub(super) fn long_name(number: u32) -> String {
    format!("long:{number}")
}

pub(super) fn own_name(process: u32, number: u32) -> String {
    format!("own:{process}:{number}")
}
