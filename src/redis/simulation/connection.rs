//! What becomes of calls, as `redis::connection` decides it.

use std::time::Duration;

use ::redis::Value;

use super::calls::{Call, Command};
use super::host::{Condition, out_of_reach};
use super::node::Node;
use crate::backend::PackedInstant;
use crate::engine::{CallKind, Step};
use crate::redis::connection::{
    ErrorClass, Failure, LONGEST_WAIT_FOR_A_SERVER, RUNNING, Reply, WAITING, classify, connection_closed, timed_out,
};
use crate::redis::protocol::{Answers, EncodeOptions};

impl Node {
    /// Sends everything that waits to be sent, over a connection that is up.
    pub fn send(&mut self) -> Vec<Command> {
        let options = EncodeOptions {
            publishing: self.host.publishing,
            claim: self.host.settings.claim_lease(),
            fence_per_slot: false,
        };
        self.calls.send(&self.keys, options, self.host.now)
    }

    /// How many calls wait to be sent.
    pub fn waiting(&self) -> usize {
        self.calls.queue.len()
    }

    /// When a command without a reply has none in time.
    pub fn overdue_since(&self, command: u64) -> Duration {
        let sent = self.calls.in_flight.get(&command).map(|sent| sent.at + self.host.settings.response_timeout);
        sent.map_or(Duration::ZERO, |at| at.saturating_duration_since(PackedInstant::origin()))
    }

    /// The oldest command without a reply.
    pub fn oldest_in_flight(&self) -> Option<u64> {
        self.calls.in_flight.keys().next().copied()
    }

    /// The reply to a command, in the bytes of the protocol. `false` if the connection is not to be used any more.
    pub fn replied(&mut self, command: u64, reply: &[u8]) -> bool {
        self.host.enter();
        let Some(sent) = self.calls.in_flight.remove(&command) else { return true };
        let reply: Option<Value> = ::redis::parse_redis_value(reply).ok();
        let mut answers = Answers::new(reply, sent.calls.len());
        let (mut again, mut usable) = (Vec::new(), true);
        let (now, timeout) = (self.host.now, self.host.settings.response_timeout);
        self.deliver(&sent.calls);
        for mut call in sent.calls {
            let error = match answers.next() {
                Some(Ok(answer)) => {
                    self.answered(call, Reply::Answered { answer, sent: sent.at });
                    continue;
                }
                Some(Err(error)) => error,
                None => ::redis::RedisError::from((::redis::ErrorKind::Parse, "not as many answers as commands")),
            };
            match classify(&error, false) {
                ErrorClass::NoScript => again.push(call),
                ErrorClass::NotHere => {
                    usable = false;
                    if call.may_wait_for(now, timeout).is_some() {
                        again.push(call);
                    } else {
                        self.answered(call, Reply::NotSent(out_of_reach()));
                    }
                }
                ErrorClass::NotAuthenticated | ErrorClass::Redirected | ErrorClass::Final => {
                    let error = Failure::new(&self.host.settings, RUNNING, error).to_refusal();
                    self.answered(call, Reply::Refused(error));
                }
            }
        }
        self.calls.queue.put_back(again);
        self.delivering.clear();
        usable
    }

    /// The connection was closed; or it is given up, since the server is silent.
    pub fn disconnected(&mut self, silent: bool) {
        self.host.enter();
        self.host.condition = Condition::Broken { silent };
        self.broke = Some(self.host.now);
        self.changes += usize::from(!silent);
        let mut again = Vec::new();
        let lost = std::mem::take(&mut self.calls.in_flight);
        for sent in lost.values() {
            self.deliver(&sent.calls);
        }
        for sent in lost.into_values() {
            for mut call in sent.calls {
                if call.command.step == Step::Release && !call.repeated && !silent {
                    call.repeated = true;
                    again.push(call);
                } else {
                    let error = if silent { timed_out() } else { connection_closed() };
                    let error = Failure::new(&self.host.settings, WAITING, error).to_error();
                    self.answered(call, Reply::Indeterminate { error });
                }
            }
        }
        self.calls.queue.put_back(again);
    }

    /// An attempt to connect failed. `is_not_here`: the server is there, and does not run calls.
    pub fn is_out_of_reach(&mut self, is_not_here: bool) {
        self.host.enter();
        let waits = self.broke.is_some_and(|broke| self.host.now < broke + LONGEST_WAIT_FOR_A_SERVER);
        self.host.condition = if waits { Condition::Interrupted } else { Condition::Down { is_not_here } };
    }

    /// There is a connection, over which this process is notified.
    pub fn connected(&mut self) {
        self.host.enter();
        self.host.condition = Condition::Up;
        self.changes += 1;
        if std::mem::replace(&mut self.connected_before, true) {
            self.reconnected();
        }
    }

    /// Fails the calls that do not wait for a connection any longer. To be called while there is none.
    pub fn fail_waiting_calls(&mut self) {
        self.host.enter();
        let all = match self.host.condition {
            Condition::Up => return,
            Condition::Starting
            | Condition::Broken { .. }
            | Condition::Interrupted
            | Condition::Down { is_not_here: true } => false,
            Condition::Down { is_not_here: false } => true,
        };
        let (mut kept, mut failed) = (Vec::new(), Vec::new());
        let (now, timeout) = (self.host.now, self.host.settings.response_timeout);
        for mut call in self.calls.queue.take(usize::MAX) {
            if !all && call.may_wait_for(now, timeout).is_some() { kept.push(call) } else { failed.push(call) }
        }
        self.calls.queue.put_back(kept);
        self.deliver(&failed);
        for call in failed {
            self.answered(call, Reply::NotSent(out_of_reach()));
        }
    }

    /// These are about to be told what became of them.
    fn deliver(&mut self, calls: &[Call]) {
        let acquires = calls.iter().filter(|call| matches!(call.kind, CallKind::Acquire));
        self.delivering.extend(acquires.map(|call| call.command.token));
    }
}
