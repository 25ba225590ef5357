//! Faults of a Sentinel set or a cluster. Each is over when another failover would succeed.

use std::io;

use redis::cmd;

use super::plan::Planned;
use super::topology::Locks;
use super::{Kind, World};
use crate::support::{RedisCluster, SentinelSet};

const SHARDS: u64 = 3;
const SLOTS: u64 = 16_384;
/// The locks whose slots are moved at a time.
const MOVED: u64 = 3;

/// What was done and is to be undone.
#[derive(Debug, Default)]
pub(super) struct Begun {
    /// The node that was the primary.
    primary: usize,
    /// Slots that are being moved: from which node, and to which one.
    moves: Vec<(u16, usize, usize)>,
}

/// Returns when there is another primary.
pub(super) fn begin(fault: &Planned, world: &World) -> io::Result<Begun> {
    match &world.locks {
        Locks::Sentinel(set) => of_set(fault, set),
        Locks::Cluster(cluster) => of_cluster(fault, cluster),
        Locks::Single(_) => Ok(Begun::default()),
    }
}

/// Returns when all nodes run and the replicas are in sync.
pub(super) fn end(fault: &Planned, begun: &Begun, world: &World) -> io::Result<()> {
    match &world.locks {
        Locks::Sentinel(set) => {
            match fault.kind {
                Kind::PrimaryKilled => set.start_again(begun.primary),
                Kind::PrimaryFrozen => set.resume(begun.primary),
                _ => {}
            }
            runtime()?.block_on(set.until_replica(begun.primary));
        }
        Locks::Cluster(cluster) => {
            match fault.kind {
                Kind::PrimaryKilled => cluster.start_again(begun.primary),
                Kind::PrimaryFrozen => cluster.resume(begun.primary),
                _ => {}
            }
            for (slot, from, to) in &begun.moves {
                cluster.end_move(*slot, *to);
                cluster.move_slot(*slot, *from);
            }
            runtime()?.block_on(cluster.until_complete());
        }
        Locks::Single(_) => {}
    }
    Ok(())
}

fn of_set(fault: &Planned, set: &SentinelSet) -> io::Result<Begun> {
    let runtime = runtime()?;
    let primary = match fault.kind {
        Kind::PrimaryKilled => set.kill_primary(),
        Kind::PrimaryFrozen => set.stop_primary(),
        _ => runtime.block_on(set.fail_over()),
    };
    runtime.block_on(set.until_promoted(primary));
    Ok(Begun { primary, moves: Vec::new() })
}

fn of_cluster(fault: &Planned, cluster: &RedisCluster) -> io::Result<Begun> {
    if fault.kind == Kind::SlotsMoved {
        return Ok(Begun { primary: 0, moves: begin_moves(fault, cluster) });
    }
    let shard = fault.parameter % SHARDS;
    let slot = u16::try_from(SLOTS * shard / SHARDS + SLOTS / SHARDS / 2).map_err(io::Error::other)?;
    let primary = cluster.master_of_slot(slot);
    match fault.kind {
        Kind::PrimaryKilled => cluster.kill(primary),
        Kind::PrimaryFrozen => cluster.stop(primary),
        _ => _ = cluster.fail_over_by_hand(shard as usize),
    }
    runtime()?.block_on(cluster.until_served(slot, primary));
    Ok(Begun { primary, moves: Vec::new() })
}

/// The slots of some locks that the workers use. Both nodes answer for each until its move has ended.
fn begin_moves(fault: &Planned, cluster: &RedisCluster) -> Vec<(u16, usize, usize)> {
    let mut moves: Vec<(u16, usize, usize)> = Vec::new();
    for number in fault.parameter..fault.parameter + MOVED {
        let Some(node) = cluster.nodes().first() else { break };
        let slot: u16 = node.ask(cmd("CLUSTER").arg("KEYSLOT").arg(format!("orchestrix:lock:shared:{number}")));
        let from = cluster.master_of_slot(slot);
        let others = (1..SHARDS).map(|step| (u64::from(slot) + step * SLOTS / SHARDS) % SLOTS);
        let others = others.filter_map(|slot| u16::try_from(slot).ok()).map(|slot| cluster.master_of_slot(slot));
        let Some(to) = others.into_iter().find(|other| *other != from) else { continue };
        if moves.iter().all(|(moved, ..)| *moved != slot) {
            cluster.begin_move(slot, to);
            moves.push((slot, from, to));
        }
    }
    moves
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
