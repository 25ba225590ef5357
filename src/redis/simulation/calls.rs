//! [`Calls`]: the calls that wait to be sent, and those in flight.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use super::host::SimulatedHost;
use crate::engine::{self, CallKind, Step};
use crate::redis::connection::{self, CallQueue};
use crate::redis::keys::Keys;
use crate::redis::protocol::{EncodeOptions, MAX_LOCKS_PER_COMMAND, encode};

/// One call of a script, for one lock or for several, as it is on its way to the server.
#[derive(Debug, Clone)]
pub struct Command {
    /// By which its reply is told.
    pub number: u64,
    /// What it is about.
    pub action: Action,
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

/// One call, and what its reply is for.
pub(super) type Call = connection::Call<CallKind<SimulatedHost>>;

/// Calls that went out as one command.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) calls: Vec<Call>,
    pub(super) at: Instant,
}

/// The real queue, and the commands without a reply.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) queue: CallQueue<CallKind<SimulatedHost>>,
    pub(super) in_flight: BTreeMap<u64, Sent>,
    next_number: u64,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self { queue: CallQueue::new(), in_flight: BTreeMap::new(), next_number: 0 }
    }

    pub(super) fn push(&mut self, command: engine::Command, kind: CallKind<SimulatedHost>) {
        self.queue.push_back(Call::new(command, kind));
    }

    /// Every call without a reply.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Call> {
        self.queue.iter().chain(self.in_flight.values().flat_map(|sent| &sent.calls))
    }

    /// Sends everything that waits. Neighbours of the same step go in one command.
    pub(super) fn send(&mut self, keys: &Keys, options: EncodeOptions, now: Instant) -> Vec<Command> {
        let mut rest: VecDeque<_> = self.queue.take(usize::MAX).into();
        let mut commands = Vec::new();
        while let Some(first) = rest.pop_front() {
            let step = first.command.step;
            let mut calls = vec![first];
            while calls.len() < MAX_LOCKS_PER_COMMAND && rest.front().is_some_and(|next| next.command.step == step) {
                calls.extend(rest.pop_front());
            }
            let mut pipeline = ::redis::Pipeline::new();
            encode(calls.iter().map(|call| &call.command), keys, options, &mut pipeline);
            self.next_number += 1;
            let number = self.next_number;
            commands.extend(pipeline.cmd_iter().filter_map(|command| in_words(command, number, step)));
            self.in_flight.insert(number, Sent { calls, at: now });
        }
        commands
    }
}

/// `EVALSHA digest count key… argument…`
fn in_words(command: &::redis::Cmd, number: u64, step: Step) -> Option<Command> {
    let mut words = command.args_iter().filter_map(|word| match word {
        ::redis::Arg::Simple(word) => Some(word.to_vec()),
        _ => None,
    });
    let mut text = || String::from_utf8(words.next()?).ok();
    let (_evalsha, digest, count) = (text()?, text()?, text()?.parse().ok()?);
    let keys = words.by_ref().take(count).collect();
    let action = match step {
        Step::Acquire { .. } => Action::Acquire,
        Step::Renew { .. } => Action::Renew,
        Step::Reset { .. } => Action::Reset,
        Step::Check => Action::Check,
        Step::Release => Action::Release,
        Step::Cancel | Step::Leave { .. } => Action::Cancel,
    };
    Some(Command { number, action, digest, keys, args: words.collect() })
}
