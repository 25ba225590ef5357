//! Random calls of the project's scripts, in the model and on a real server: the same replies, messages, keys, values and
//! leases after every one.
//!
//! The real server's clock is its own. A case reads it before and after a call, and takes for the model the time that the
//! call itself has told; a call that told none depends on it in whole milliseconds alone, so that every millisecond in
//! between is tried. No call is made while a lease is about to end.
//!
//! `ORCHESTRIX_SIMULATION_CASES` sets the number of cases, `ORCHESTRIX_SIMULATION_SEED` the first one's seed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod compare;
mod seen;
mod step;
#[path = "../support/mod.rs"]
mod support;
mod times;
mod world;

use fastrand::Rng;

use step::Step;
use support::RedisServer;
use world::{Ended, World};

const STEPS: usize = 50;

#[test]
fn random_calls_of_the_scripts() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let cases = number("ORCHESTRIX_SIMULATION_CASES");
    let first = number("ORCHESTRIX_SIMULATION_SEED").unwrap_or(0);
    let count = cases.unwrap_or(250);
    assert!(count > 0, "ORCHESTRIX_SIMULATION_CASES is 0: nothing would be compared");

    let server = RedisServer::start();
    let mut world = World::new(server.client());
    let mut unsure = 0;
    for seed in first..first + count {
        let steps = steps_of(seed);
        match world.run(&steps) {
            Ended::Alike => {}
            Ended::Unsure => unsure += 1,
            Ended::Apart(problem) => {
                let (steps, problem) = shorter(&mut world, steps, problem);
                let steps: Vec<_> = steps.iter().map(|step| format!("  {step:?}")).collect();
                panic!("seed {seed}: {problem}\nin the last of these steps:\n{}", steps.join("\n"));
            }
        }
    }
    eprintln!("{} calls, {unsure} of {count} cases ended early", world.calls());
    assert!(unsure * 10 <= count, "{unsure} of {count} cases took too long to be compared");
    if cases.is_none() {
        let missing: Vec<_> = seen::ALL.into_iter().filter(|what| !world.seen().contains(*what)).collect();
        assert!(missing.is_empty(), "never seen: {missing:?}");
    }
}

fn steps_of(seed: u64) -> Vec<Step> {
    let mut rng = Rng::with_seed(seed);
    (0..STEPS).map(|_| Step::random(&mut rng)).collect()
}

/// The fewest steps that were found to part them, and how.
fn shorter(world: &mut World, mut steps: Vec<Step>, mut problem: String) -> (Vec<Step>, String) {
    let mut length = steps.len() / 2;
    while length > 0 {
        let mut at = 0;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + length).min(steps.len()));
            if let Ended::Apart(of_fewer) = world.run(&fewer) {
                (steps, problem) = (fewer, of_fewer);
            } else {
                at += length;
            }
        }
        length /= 2;
    }
    (steps, problem)
}
