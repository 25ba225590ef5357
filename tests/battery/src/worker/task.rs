//! What one task of a worker does, again and again.

use std::sync::Arc;
use std::time::Duration;

use orchestrix_locking::LockOptions;
use tokio::time::sleep;

use super::acquiring::{Patience, acquire};
use super::hold::Hold;
use super::random::Random;
use super::requests;
use super::world::{World, long_name, own_name, shared_name};

/// Longer than a round.
const LONG: Duration = Duration::from_secs(30);

pub(super) async fn run(world: Arc<World>, number: u32) {
    let mut random = Random::new(world.setup.seed, (u64::from(world.setup.process) << 32) | u64::from(number));
    let every = world.setup.load.slow.max(1);
    let slow = number % every == every - 1;
    loop {
        let going = world.going.read().await;
        match (slow, random.one_in(if slow { 4 } else { 8 })) {
            (_, true) => {
                let resource = name(&world, &mut random, slow);
                requests::run(&world, &mut random, resource, slow).await;
            }
            (true, false) => take_time(&world, &mut random).await,
            (false, false) if world.setup.load.long > 0 && random.one_in(12) => {
                lose_interest(&world, &mut random).await;
            }
            (false, false) => be_quick(&world, &mut random).await,
        }
        drop(going);
        // An answer that was there at once is no reason to keep the others from running.
        tokio::task::consume_budget().await;
    }
}

/// A name of its own, or a shared one. The slow ones keep to the first quarter of both, where they wait for each other,
/// so that the others have names that are never held for long. The quick ones are rarely there, where each of them may
/// wait for seconds; and on the first name of their own more than on the others, so that there is a crowd.
fn name(world: &World, random: &mut Random, slow: bool) -> String {
    let load = &world.setup.load;
    let own = load.shared == 0 || (load.own > 0 && random.one_in(4));
    let all = if own { load.own } else { load.shared };
    let slower = all.div_ceil(4);
    let (first, count) = if slow || all < 2 || random.one_in(128) { (0, slower) } else { (slower, all - slower) };
    let crowd = first > 0 && random.one_in(16);
    let number = if crowd { first } else { first + random.below(count.into()) as u32 };
    if own { own_name(world.setup.process, number) } else { shared_name(number) }
}

async fn be_quick(world: &Arc<World>, random: &mut Random) {
    let patience = match random.below(16) {
        0 | 1 => Patience::For(Duration::ZERO),
        2 | 3 => Patience::Cancelled(random.up_to(Duration::from_millis(30))),
        4 => Patience::For(Duration::from_secs(2)),
        _ => Patience::For(Duration::from_millis(50 + random.below(950))),
    };
    // A task that does not wait may knock where others let their leases run out: in the moment of the end, at times.
    let knocks = matches!(patience, Patience::For(Duration::ZERO)) && random.one_in(2);
    let resource = name(world, random, knocks);
    let options = LockOptions::default().ttl(world.ttl()).auto_renew(!random.one_in(4));
    let Some(mut hold) = acquire(world, random, resource, options, patience).await else { return };
    if random.one_in(32) {
        hold.watch();
    }
    match random.below(16) {
        0 => sleep(random.up_to(Duration::from_millis(3))).await,
        1 => {
            let by = world.ttl().mul_f64(0.5 + random.below(100) as f64 / 100.0);
            hold.extend(by).await;
        }
        2 => _ = hold.is_held(),
        3 => tokio::task::yield_now().await,
        // Once in a while between two looks at the store, too.
        4..8 => hold.update(random.one_in(16).then(|| random.up_to(Duration::from_millis(10)))).await,
        _ => {}
    }
    let_go(hold, random).await;
}

/// A name with a long lease, mostly given up while the question is on its way. What is not taken back then stays.
async fn lose_interest(world: &Arc<World>, random: &mut Random) {
    let patience = match random.below(4) {
        0 => Patience::For(Duration::ZERO),
        1 => Patience::For(random.up_to(Duration::from_millis(100))),
        _ => Patience::Cancelled(random.up_to(Duration::from_millis(4))),
    };
    let resource = long_name(random.below(world.setup.load.long.into()) as u32);
    let options = LockOptions::default().ttl(LONG).auto_renew(random.one_in(2));
    let Some(hold) = acquire(world, random, resource, options, patience).await else { return };
    if random.one_in(4) {
        sleep(random.up_to(Duration::from_millis(2))).await;
    }
    let_go(hold, random).await;
}

async fn take_time(world: &Arc<World>, random: &mut Random) {
    let ttl = world.ttl();
    let patience = match random.below(4) {
        0 => Patience::Cancelled(random.up_to(ttl)),
        _ => Patience::For(Duration::from_millis(50 + random.below(1_950))),
    };
    let kind = random.below(5);
    let resource = name(world, random, true);
    let options = LockOptions::default().ttl(ttl).auto_renew(kind < 2);
    let Some(mut hold) = acquire(world, random, resource, options, patience).await else { return };
    if !random.one_in(3) {
        hold.watch();
    }
    match kind {
        0 => keep(world, &hold, random.below(15) + 1).await,
        1 | 2 => extend(world, random, &hold).await,
        // Longer than the lease lasts.
        3 => {
            keep(world, &hold, 6).await;
            if random.one_in(2) {
                hold.extend(ttl).await;
            }
        }
        _ => hold.update(Some(random.up_to(ttl.mul_f64(1.5)))).await,
    }
    let_go(hold, random).await;
}

/// Holds for so many fifths of a lease, with a look at each, and an update of the store at some.
async fn keep(world: &World, hold: &Hold, fifths: u64) {
    for fifth in 0..fifths {
        if fifth % 4 == 1 {
            hold.update(None).await;
        } else {
            hold.is_held();
        }
        if world.hurries() {
            return;
        }
        sleep(world.ttl() / 5).await;
    }
    hold.is_held();
}

/// Longer, then shorter; and at times once more when that has ended.
async fn extend(world: &World, random: &mut Random, hold: &Hold) {
    let ttl = world.ttl();
    hold.extend(ttl * 2).await;
    keep(world, hold, random.below(4)).await;
    let short = (ttl / 4).max(LockOptions::MIN_TTL);
    hold.extend(short).await;
    if random.one_in(2) {
        sleep(short.mul_f64(1.2)).await;
        hold.is_held();
        hold.extend(ttl).await;
        hold.update(None).await;
    }
}

async fn let_go(hold: Hold, random: &mut Random) {
    if random.one_in(4) {
        hold.abandon().await;
    } else {
        hold.release().await;
    }
}
