//! A model of one Redis server, of version 7.0.
//!
//! A [`Server`] is plain data: keys, subscriptions, a clock that only [`set_time`](Server::set_time) moves. Cloning it is
//! cheap, and so is throwing it away for the next seed. The scripts are compiled once, in an [`Interpreter`], and any
//! server may run them.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `keyspace` | keys, their values, their expiry |
//! | `commands` | what the scripts call, and what a foreign program may call beside them |
//! | `script` | running a script: what Lua finds, how its errors are told |
//! | `value` | replies, and what Lua makes of them |
//! | `faults` | restarts, failovers, a full memory, a replica |
//!
//! What is not modelled is refused as [`ServerError::NotModelled`], which no real server answers: a simulation that
//! meets it is to stop.

mod commands;
mod faults;
mod keyspace;
mod script;
mod value;

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

pub use faults::{Role, Snapshot};
pub use keyspace::{Entry, OtherType, Score, Value};
pub use script::{Interpreter, Script};
pub use value::Reply;

use keyspace::Keyspace;

/// One server.
#[derive(Debug, Clone, Default)]
pub struct Server {
    keyspace: Keyspace,
    /// Microseconds since 1970.
    now: u64,
    /// What `TIME` tells the next script, the first of it last.
    times_in_script: Vec<u64>,
    subscribers: BTreeMap<Vec<u8>, BTreeSet<ClientId>>,
    published: Vec<Published>,
    /// The digests of the scripts that it has been told.
    known_scripts: BTreeSet<String>,
    memory_is_full: bool,
    role: Role,
    /// Keys of a slot of a cluster that is being moved to another server.
    moving: BTreeSet<Vec<u8>>,
}

/// One connection to the server that may have subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// A message that was published, in the order of publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The inbox.
    pub channel: Vec<u8>,
    /// What it was told.
    pub payload: Vec<u8>,
    /// Who was subscribed to it then. The server has written it to these before it writes the reply of the call that
    /// published it.
    pub receivers: Vec<ClientId>,
}

/// What a call comes to that has no reply.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ServerError {
    /// The server answers with an error. Its text, which begins with its code.
    #[error("{0}")]
    Refused(String),
    /// The model does not know what a server would do: a mistake in the simulation, and no fault of a server.
    #[error("not modelled: {0}")]
    NotModelled(String),
}

impl ServerError {
    /// What the error begins with, such as `WRONGTYPE`.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(text) => text.split(' ').next(),
            Self::NotModelled(_) => None,
        }
    }
}

impl Server {
    /// An empty server whose clock stands at this time, in microseconds since 1970.
    pub fn new(now: u64) -> Self {
        Self { now, ..Self::default() }
    }

    /// Microseconds since 1970.
    pub fn time(&self) -> u64 {
        self.now
    }

    /// Sets the clock, forwards or backwards. A key that has expired goes when it is next looked at, or with
    /// [`expire`](Self::expire): one that nothing looked at lives again if the clock goes back before.
    pub fn set_time(&mut self, now: u64) {
        self.now = now;
    }

    /// What `TIME` tells the next script, call by call; the last of them stays. Without this the clock stands still in a
    /// script. Redis 7.0 looks at the clock anew for each `TIME`; only what has expired is settled when a script begins.
    pub fn set_times_in_script(&mut self, times: &[u64]) {
        self.times_in_script = times.iter().rev().copied().collect();
    }

    /// Removes every key that has expired, as a server does now and then by itself.
    pub fn expire(&mut self) {
        if self.role == Role::Master {
            self.keyspace.remove_expired(self.milliseconds());
        }
    }

    /// Runs a script (`EVAL`). Nothing else happens meanwhile.
    ///
    /// # Errors
    ///
    /// If the script failed. What it did until then stays done.
    pub fn eval(&mut self, script: &Script, keys: &[&[u8]], args: &[&[u8]]) -> Result<Reply, ServerError> {
        self.load_script(script);
        self.run(script, keys, args)
    }

    /// Runs a script by its digest (`EVALSHA`).
    ///
    /// # Errors
    ///
    /// As [`eval`](Self::eval); and if the server does not know the script.
    pub fn eval_by_digest(&mut self, script: &Script, keys: &[&[u8]], args: &[&[u8]]) -> Result<Reply, ServerError> {
        if !self.known_scripts.contains(script.digest()) {
            return Err(ServerError::Refused("NOSCRIPT No matching script. Please use EVAL.".to_owned()));
        }
        self.run(script, keys, args)
    }

    fn run(&mut self, script: &Script, keys: &[&[u8]], args: &[&[u8]]) -> Result<Reply, ServerError> {
        let outcome = script.run(self, keys, args);
        self.times_in_script.clear();
        outcome
    }

    /// Tells the server a script (`SCRIPT LOAD`).
    pub fn load_script(&mut self, script: &Script) {
        if !self.known_scripts.contains(script.digest()) {
            self.known_scripts.insert(script.digest().to_owned());
        }
    }

    /// Runs one command that a client sent, such as a program of another make.
    ///
    /// # Errors
    ///
    /// If the server refuses it.
    pub fn command(&mut self, words: &[&[u8]]) -> Result<Reply, ServerError> {
        commands::run_for_client(self, words)
    }

    /// Subscribes a client to an inbox.
    pub fn subscribe(&mut self, client: ClientId, channel: &[u8]) {
        self.subscribers.entry(channel.to_owned()).or_default().insert(client);
    }

    /// Whether a message to this inbox has a receiver.
    pub fn is_heard(&self, channel: &[u8]) -> bool {
        self.subscribers.contains_key(channel)
    }

    /// Whether one of these keys is being moved to another server, and is not here.
    fn has_moved(&self, keys: &[&[u8]]) -> bool {
        !self.moving.is_empty() && keys.iter().any(|key| self.moving.contains(*key) && self.entry(key).is_none())
    }

    /// Who is subscribed to an inbox.
    pub fn receivers(&self, channel: &[u8]) -> impl Iterator<Item = ClientId> {
        self.subscribers.get(channel).into_iter().flatten().copied()
    }

    /// Ends one subscription.
    pub fn unsubscribe(&mut self, client: ClientId, channel: &[u8]) {
        if let Some(clients) = self.subscribers.get_mut(channel) {
            clients.remove(&client);
            if clients.is_empty() {
                self.subscribers.remove(channel);
            }
        }
    }

    /// Ends all subscriptions of a client whose connection the server knows to be gone.
    pub fn disconnect(&mut self, client: ClientId) {
        self.subscribers.retain(|_, clients| {
            clients.remove(&client);
            !clients.is_empty()
        });
    }

    /// What was published since the last time that this was called.
    pub fn take_published(&mut self) -> Vec<Published> {
        std::mem::take(&mut self.published)
    }

    /// Every key that has not expired, in the order of the keys. Looking at them here changes nothing.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.keyspace.live(self.milliseconds())
    }

    /// One key that has not expired. Looking at it here changes nothing.
    pub fn entry(&self, key: &[u8]) -> Option<&Entry> {
        self.keyspace.get(key).filter(|entry| !entry.has_expired(self.milliseconds()))
    }

    /// Puts a value there, whatever was there before, as no command of the model does.
    pub fn put(&mut self, key: &[u8], value: Value) {
        self.keyspace.set(key, Entry { value, expires_at: None });
    }

    /// Lets a key end at this time, in milliseconds since 1970, if it is there.
    pub fn set_expiry(&mut self, key: &[u8], at: Option<i64>) {
        if let Some(entry) = self.keyspace.get_mut(key) {
            entry.expires_at = at;
        }
    }

    /// The clock that keys expire by.
    fn milliseconds(&self) -> i64 {
        i64::try_from(self.now / 1000).unwrap_or(i64::MAX)
    }

    /// The key as a command finds it. Looking at one that has expired removes it; a replica leaves that to its master.
    fn look_up(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let now = self.milliseconds();
        if self.keyspace.get(key)?.has_expired(now) {
            if self.role == Role::Master {
                self.keyspace.remove(key);
            }
            return None;
        }
        self.keyspace.get_mut(key)
    }

    /// Returns to how many it went.
    fn publish(&mut self, channel: &[u8], payload: &[u8]) -> usize {
        let receivers: Vec<_> = self.subscribers.get(channel).into_iter().flatten().copied().collect();
        let heard = receivers.len();
        self.published.push(Published { channel: channel.to_owned(), payload: payload.to_owned(), receivers });
        heard
    }
}
