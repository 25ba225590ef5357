//! [`Command`]: one call of a script, as it is on its way to the server.

use crate::engine::Step;
use crate::redis::connection::SimulatedCommand;

/// One call of a script, for one lock or for several, as it is on its way to the server.
#[derive(Debug, Clone)]
pub struct Command {
    /// By which its reply is told.
    pub number: u64,
    /// What it is about.
    pub action: Action,
    /// The scripts are loaded before it.
    pub loads_scripts: bool,
    /// The digest of the script.
    pub digest: String,
    /// The script's keys.
    pub keys: Vec<Vec<u8>>,
    /// The script's arguments.
    pub args: Vec<Vec<u8>>,
}

/// What a command does with each of its locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "called as in the protocol")]
pub enum Action {
    Acquire,
    Renew,
    Reset,
    Check,
    Release,
    Cancel,
}

impl Command {
    /// The owner token of each of its locks.
    pub fn tokens(&self) -> impl Iterator<Item = &[u8]> {
        self.locks().map(|(_, token)| token)
    }

    /// The key of each of its locks, and the owner token.
    pub fn locks(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        // A call for one lock names the key of its holders as well.
        let is_for_one = self.keys.get(2).is_some_and(|key| key.ends_with(b"{h}:q"));
        let count = if is_for_one { 1 } else { self.keys.len() / 2 };
        let tokens = self.args.iter().skip(1).take(count);
        self.keys.iter().step_by(2).zip(tokens).map(|(lock, token)| (lock.as_slice(), token.as_slice()))
    }

    /// `EVALSHA digest count key… argument…`
    pub(super) fn read(command: SimulatedCommand) -> Option<Self> {
        let SimulatedCommand { number, step, words, loads_scripts } = command;
        let mut words = words.into_iter();
        let mut text = || String::from_utf8(words.next()?).ok();
        let (_evalsha, digest, count) = (text()?, text()?, text()?.parse().ok()?);
        let keys = words.by_ref().take(count).collect();
        let action = match step {
            Step::Acquire { .. } => Action::Acquire,
            Step::Renew { .. } => Action::Renew,
            Step::Reset { .. } => Action::Reset,
            Step::Check => Action::Check,
            Step::Release { .. } => Action::Release,
            Step::Cancel { .. } | Step::Leave { .. } => Action::Cancel,
        };
        Some(Self { number, action, loads_scripts, digest, keys, args: words.collect() })
    }
}
