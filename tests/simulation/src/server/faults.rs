//! What happens to a server: it ends and comes back, loses its last writes, is full, or becomes a replica.

use super::Server;
use super::keyspace::{Entry, Keyspace};

/// Whether a server takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// It does.
    #[default]
    Master,
    /// It refuses them, and leaves it to its master to remove what has expired.
    Replica,
}

/// The keys of a server at some time: what a replica had of it, or what was on its disk.
#[derive(Debug, Clone)]
pub struct Snapshot(Keyspace);

impl Server {
    /// The keys as they are now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.keyspace.clone())
    }

    /// Another process takes the server's place, and has these keys: a replica that had not heard of the last writes, or
    /// the same server after a restart from its disk. It knows no script and has no subscriber.
    pub fn restore(&mut self, snapshot: Snapshot) {
        self.lose_connections();
        self.keyspace = snapshot.0;
    }

    /// The process ends and comes back with every key that it had.
    pub fn restart_with_data(&mut self) {
        self.lose_connections();
    }

    /// The process ends and comes back with no key at all.
    pub fn restart_without_data(&mut self) {
        self.lose_connections();
        self.keyspace = Keyspace::default();
    }

    /// Whether the memory is full (`maxmemory`, with the policy `noeviction`). Then a script is refused the first write
    /// that may take more memory; after any other write it is refused none.
    pub fn set_memory_full(&mut self, full: bool) {
        self.memory_is_full = full;
    }

    /// These keys are being moved to another server of the cluster: a script is stopped that looks for one that is not here.
    pub fn set_moving(&mut self, keys: Vec<Vec<u8>>) {
        self.moving = keys.into_iter().collect();
    }

    /// A key goes over to another server (`MIGRATE`), unless it has expired.
    pub fn take(&mut self, key: &[u8]) -> Option<Entry> {
        let entry = self.entry(key)?.clone();
        self.keyspace.remove(key);
        Some(entry)
    }

    /// A key comes from another server.
    pub fn restore_key(&mut self, key: &[u8], entry: Entry) {
        self.keyspace.set(key, entry);
    }

    /// Forgets every script (`SCRIPT FLUSH`).
    pub fn flush_scripts(&mut self) {
        self.known_scripts.clear();
    }

    /// Makes it a replica, or a master again.
    pub fn set_role(&mut self, role: Role) {
        self.role = role;
    }

    /// Subscriptions, scripts, and messages that have not been taken end with the process; what its memory was full of
    /// does not.
    fn lose_connections(&mut self) {
        self.subscribers.clear();
        self.published.clear();
        self.known_scripts.clear();
    }
}
