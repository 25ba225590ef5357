//! Which faults there will be, and when: made from a seed alone.
//!
//! A plan is a row of rounds without an end. Each round is on one of two sets of servers. On the first the server loses
//! its data now and then, and its clock is right; on the second it keeps its data, and its clock is moved. They are
//! kept apart since a fence is the higher one of the last fence plus one and the server's time: a server that is ahead,
//! or was, and then forgets its last fence, may give a lower one, and that is not promised otherwise.
//!
//! Within a round there is a lane for the server and one for each worker. In a lane faults follow each other; between
//! lanes they overlap as it comes, so that a worker is stopped while the server is down. Each lane takes its kinds from
//! a shuffled deck which is used up before it is shuffled again: so each kind comes up soon.

use std::fmt;

use serde::Serialize;

use super::kind::{Kind, Lane};
use super::random::Random;
use super::topology::Topology;

/// Workers of a round. The last one has no proxy.
pub(crate) const WORKERS: usize = 4;
/// Milliseconds of a round in which faults are under way.
pub(crate) const ROUND: u64 = 13_000;
/// The same where a failover takes some of them: long enough for one of each kind.
const LONG_ROUND: u64 = 18_000;
/// Milliseconds before them, without any: for what can be asked only where no fault is felt.
pub(crate) const CALM: u64 = 4_000;
/// Milliseconds of a round in which it is only looked whether a mistake is seen.
const BRIEF: u64 = 6_000;
/// Of so many rounds one has a clock that moves.
const CLOCK_EVERY: u64 = 4;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Planned {
    pub(crate) kind: Kind,
    /// Milliseconds after the calm at the begin of the round.
    pub(crate) begin: u64,
    /// Milliseconds; 0: it is over at once.
    pub(crate) length: u64,
    /// Which worker it is for, from 0; `None`: the server.
    pub(crate) worker: Option<usize>,
    pub(crate) parameter: u64,
}

impl Planned {
    /// What the kind leaves open: `1200 ms`, `0 ms, 517 bytes`.
    pub(super) fn detail(&self) -> String {
        let parameter = self.kind.unit().map(|unit| format!(", {} {unit}", self.parameter)).unwrap_or_default();
        format!("{} ms{parameter}", self.length)
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whom = self.worker.map_or_else(|| "server".to_owned(), |worker| format!("worker {worker}"));
        write!(f, "{:>6} ms  {whom:<9} {:<19} {}", self.begin, self.kind.name(), self.detail())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Round {
    pub(crate) number: u64,
    /// Whether it is on the servers whose clock is moved.
    pub(crate) clock_moves: bool,
    /// For the workers.
    pub(crate) seed: u64,
    /// Milliseconds before the first of them may begin.
    pub(crate) calm: u64,
    /// In the order of their begin.
    pub(crate) faults: Vec<Planned>,
}

/// All rounds of a seed, without an end.
#[derive(Debug)]
pub(crate) struct Plan {
    topology: Topology,
    random: Random,
    number: u64,
    server: Deck,
    moved_server: Deck,
    behind_proxy: Deck,
    straight: Deck,
}

impl Plan {
    pub(crate) fn new(topology: Topology, seed: u64) -> Self {
        let kinds = topology.kinds();
        let of = |wanted: fn(Kind) -> bool| Deck::new(kinds.iter().copied().filter(|kind| wanted(*kind)).collect());
        Self {
            topology,
            random: Random::new(seed),
            number: 0,
            server: of(|kind| kind.lane() == Lane::Server && !kind.moves_the_clock()),
            moved_server: of(|kind| kind.lane() == Lane::Server && !kind.loses_data())
                .beginning_with([Kind::ClockForward, Kind::ClockBack]),
            behind_proxy: of(|kind| kind.lane() != Lane::Server),
            straight: of(|kind| kind.lane() == Lane::Process),
        }
    }

    /// Only faults of holders, and only those past their leases, for the control.
    pub(crate) fn holders_only(seed: u64) -> Round {
        let mut random = Random::new(seed);
        let mut deck = Deck::new(vec![Kind::WorkerStopped, Kind::WorkerBlocked]);
        let mut faults = Vec::new();
        for worker in 0..WORKERS {
            let mut at = random.between(100, 600);
            while at < 8_000 {
                let kind = deck.deal(&mut random);
                let length = random.between(700, 1_300);
                faults.push(Planned { kind, begin: at, length, worker: Some(worker), parameter: 0 });
                at += length + random.between(600, 2_000);
            }
        }
        faults.sort_by_key(|fault| fault.begin);
        Round { number: 0, clock_moves: false, seed: random.next(), calm: 0, faults }
    }

    /// Faults of these kinds alone, and not for long; at least one of each, if there are any.
    pub(crate) fn with_only(seed: u64, kinds: &[Kind]) -> Round {
        let mut random = Random::new(seed);
        let mut faults = Vec::new();
        let lanes = std::iter::once(None).chain((0..WORKERS).map(Some));
        for worker in lanes {
            let fits = |kind: &Kind| match kind.lane() {
                Lane::Server => worker.is_none(),
                Lane::Way => worker.is_some_and(|worker| worker + 1 < WORKERS),
                Lane::Process => worker.is_some(),
            };
            let kinds: Vec<Kind> = kinds.iter().copied().filter(fits).collect();
            if !kinds.is_empty() {
                faults.extend(lane(&mut Deck::new(kinds), worker, (500, 1_200), BRIEF, &mut random));
            }
        }
        faults.sort_by_key(|fault| (fault.begin, fault.worker));
        let calm = if faults.is_empty() { BRIEF } else { 0 };
        Round { number: 0, clock_moves: false, seed: random.next(), calm, faults }
    }
}

impl Iterator for Plan {
    type Item = Round;

    fn next(&mut self) -> Option<Round> {
        let number = self.number;
        self.number += 1;
        let single = self.topology.is_single();
        let clock_moves = single && number % CLOCK_EVERY == 1;
        let (gaps, time) = if single { ((900, 2_200), ROUND) } else { ((1_500, 2_500), LONG_ROUND) };
        let random = &mut self.random;
        let seed = random.next();
        let server = if clock_moves { &mut self.moved_server } else { &mut self.server };
        if !single {
            server.left.clear();
        }
        let mut faults = lane(server, None, gaps, time, random);
        for worker in 0..WORKERS {
            let deck = if worker + 1 < WORKERS { &mut self.behind_proxy } else { &mut self.straight };
            faults.extend(lane(deck, Some(worker), (300, 1_900), time, random));
        }
        faults.sort_by_key(|fault| (fault.begin, fault.worker));
        Some(Round { number, clock_moves, seed, calm: CALM, faults })
    }
}

/// One after the other until so many milliseconds are over, with gaps of so many.
fn lane(deck: &mut Deck, worker: Option<usize>, gaps: (u64, u64), time: u64, random: &mut Random) -> Vec<Planned> {
    let mut faults = Vec::new();
    let mut begin = random.between(gaps.0, gaps.1);
    loop {
        let kind = deck.deal(random);
        let (length, parameter) = (kind.length(random), kind.parameter(random));
        if begin + length > time {
            deck.put_back(kind);
            return faults;
        }
        faults.push(Planned { kind, begin, length, worker, parameter });
        begin += length + random.between(gaps.0, gaps.1);
    }
}

/// Kinds in an order of chance, each as often as the others.
#[derive(Debug)]
struct Deck {
    kinds: Vec<Kind>,
    left: Vec<Kind>,
}

impl Deck {
    fn new(kinds: Vec<Kind>) -> Self {
        Self { kinds, left: Vec::new() }
    }

    /// These are dealt first, and then whatever comes.
    fn beginning_with(mut self, kinds: [Kind; 2]) -> Self {
        self.left.extend(kinds);
        self
    }

    fn deal(&mut self, random: &mut Random) -> Kind {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
            random.shuffle(&mut self.left);
            // Dealt from the end: so that there is a time in which no writes can have been lost.
            self.left.sort_by_key(|kind| !kind.loses_writes());
        }
        self.left.pop().unwrap_or(Kind::WorkerStopped)
    }

    /// It comes first the next time.
    fn put_back(&mut self, kind: Kind) {
        self.left.push(kind);
    }
}

#[cfg(test)]
mod tests;
