//! What plans promise.

use std::collections::BTreeSet;

use super::{LONG_ROUND, Plan, ROUND, WORKERS};
use crate::nemesis::{Kind, Topology};

/// The rounds of the short form, for many seeds.
#[test]
fn every_kind_is_there_and_enough_of_them() {
    for seed in 0..300 {
        let rounds: Vec<_> = Plan::new(Topology::Single, seed).take(4).collect();
        let kinds: BTreeSet<Kind> = rounds.iter().flat_map(|round| &round.faults).map(|fault| fault.kind).collect();
        assert_eq!(kinds, BTreeSet::from_iter(Topology::Single.kinds()), "seed {seed}");
        let count: usize = rounds.iter().map(|round| round.faults.len()).sum();
        assert!(count >= 100, "seed {seed}: {count}");
    }
}

#[test]
fn a_seed_is_one_plan() {
    let [one, again] = [7, 7].map(|seed| Plan::new(Topology::Single, seed).take(6).collect::<Vec<_>>());
    assert_eq!(one, again);
    assert_ne!(one, Plan::new(Topology::Single, 8).take(6).collect::<Vec<_>>());
}

/// Data is never lost where a clock is moved, and nothing outlasts its round.
#[test]
fn lost_data_and_moved_clocks_are_kept_apart() {
    for round in Plan::new(Topology::Single, 3).take(40) {
        let other = if round.clock_moves { Kind::loses_data } else { Kind::moves_the_clock };
        assert!(!round.faults.iter().any(|fault| other(fault.kind)), "{round:?}");
        assert!(round.faults.iter().all(|fault| fault.begin + fault.length <= ROUND));
    }
}

/// In a lane one ends before the next begins.
#[test]
fn faults_of_one_lane_do_not_overlap() {
    for round in Plan::new(Topology::Single, 4).take(40) {
        for lane in [None, Some(0), Some(1), Some(2), Some(3)] {
            let faults: Vec<_> = round.faults.iter().filter(|fault| fault.worker == lane).collect();
            assert!(faults.windows(2).all(|pair| pair[0].begin + pair[0].length <= pair[1].begin));
        }
    }
}

/// In each round, also in the only one of the short form.
#[test]
fn every_kind_of_several_servers_is_there() {
    for (topology, seed) in (0..300).flat_map(|seed| [(Topology::Sentinel, seed), (Topology::Cluster, seed)]) {
        for round in Plan::new(topology, seed).take(2) {
            let kinds: BTreeSet<Kind> = round.faults.iter().map(|fault| fault.kind).collect();
            if round.number == 0 {
                assert_eq!(kinds, BTreeSet::from_iter(topology.kinds()), "{topology:?}, seed {seed}");
            }
            assert!(!round.clock_moves);
            assert!(round.faults.iter().all(|fault| fault.begin + fault.length <= LONG_ROUND));
            assert!(round.faults.iter().all(|fault| fault.worker.is_none_or(|worker| worker < WORKERS)));
        }
    }
}
