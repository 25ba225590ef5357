//! Which slots a node has at its start.

use std::hash::{BuildHasher, RandomState};
use std::ops::RangeInclusive;

use redis::pipe;

use super::super::RedisServer;
use super::super::polls::block_until;
use super::views::state;

/// What a node finds of a cluster when it starts: a master with all slots that nobody can reach, and itself as that one's
/// replica.
///
/// A master serves nothing in its first two seconds, in which it could hear that it was replaced. A replica is told from the
/// beginning that the cluster works, and still is when it becomes a master.
pub(in super::super) fn nodes_conf() -> String {
    let (own, nobody) = (new_id(), new_id());
    format!(
        "{own} 127.0.0.1:0@0 myself,slave {nobody} 0 0 0 connected\n\
         {nobody} 127.0.0.1:1@2 master - 0 0 0 connected 0-16383\n\
         vars currentEpoch 0 lastVoteEpoch 0\n"
    )
}

/// 40 hexadecimal digits that no other node has.
fn new_id() -> String {
    let part = |_| format!("{:08x}", RandomState::new().hash_one(()) >> 32);
    (0..5).map(part).collect()
}

impl RedisServer {
    /// Makes a node that has just started a master with these slots, or with none. It knows no other node then.
    ///
    /// `epoch` has to differ from those of the other masters, or they would have to be told apart when they meet.
    pub(crate) fn take_slots(&self, slots: &[RangeInclusive<u16>], epoch: usize) {
        block_until("a node serves", || match state(self) {
            state if state == "ok" => Ok(()),
            state => Err(format!("it is {state}: {}", self.log())),
        });
        let mut commands = pipe();
        commands.atomic().cmd("CLUSTER").arg("RESET").arg("SOFT");
        if !slots.is_empty() {
            commands.cmd("CLUSTER").arg("ADDSLOTSRANGE");
            for range in slots {
                commands.arg(range.start()).arg(range.end());
            }
            commands.cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(epoch);
        }
        self.ask_together(&commands);
    }
}
