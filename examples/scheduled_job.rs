//! Two jobs of a service with several replicas: one that runs once per interval over all of them, and one that is run by a
//! leader, which notices when it is the leader no longer.
//!
//! Run it with `cargo run --example scheduled_job`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use orchestrix_locking::{BoxError, LockError, LockGuard, LockOptions, Locking};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

const REPLICAS: usize = 3;

/// How often the job is to run.
const INTERVAL: Duration = Duration::from_millis(300);

/// Every replica has this timer. The first to come in an interval runs the job, and the others find the name taken.
///
/// The lock stays taken for [`LockOptions::at_least`], counted from its grant, though the job is done sooner. A little less than
/// the interval, so that a timer that is late once does not lose its turn.
async fn scheduled(locking: Locking, runs: Arc<AtomicUsize>, rounds: usize) -> Result<(), LockError> {
    let options = LockOptions::default().ttl(Duration::from_secs(5)).at_least(INTERVAL * 9 / 10);
    let lock = locking.lock_with("job:clean-up", options)?;
    let mut timer = interval(INTERVAL);
    timer.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for _ in 0..rounds {
        timer.tick().await;
        let Some(guard) = lock.try_acquire(Duration::ZERO).await? else { continue };
        runs.fetch_add(1, SeqCst);
        sleep(Duration::from_millis(10)).await;
        // The next interval's run is not before the least time is over. If this process dies here, its lease ends by itself.
        guard.release().await?;
    }
    Ok(())
}

/// Leads until its lease is lost, and says so. Work that is under way ends at its next `.await`.
async fn lead(guard: LockGuard, steps: &AtomicUsize) {
    let work = async {
        loop {
            // A store that checks the token refuses the step of a leader that does not know yet that it has lost the lock.
            let _token = guard.fencing_token();
            steps.fetch_add(1, SeqCst);
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = guard.lost() => {}
        () = work => {}
    }
}

/// A leader is lost here at the end of `max_hold`, as it is when it cannot renew its lease. The next replica takes over.
async fn led(locking: Locking, replica: usize, led: Arc<AtomicUsize>) -> Result<(), LockError> {
    let options = LockOptions::default().ttl(Duration::from_secs(5)).max_hold(Some(Duration::from_millis(100)));
    let guard = locking.lock_with("leader", options)?.acquire().await?;
    println!("  replica {replica} leads, with token {}", guard.fencing_token());
    let steps = AtomicUsize::new(0);
    lead(guard, &steps).await;
    println!("  replica {replica} has noticed its loss after {} steps", steps.load(SeqCst));
    led.fetch_add(1, SeqCst);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    const ROUNDS: usize = 4;
    // For several replicas: `.add_redis_locking(…)`.
    let locking = Locking::builder().add_in_memory_locking().build()?;

    println!("{REPLICAS} replicas, each with a timer of {INTERVAL:?}:");
    let runs = Arc::new(AtomicUsize::new(0));
    let mut replicas = JoinSet::new();
    for _ in 0..REPLICAS {
        replicas.spawn(scheduled(locking.clone(), Arc::clone(&runs), ROUNDS));
    }
    while let Some(ended) = replicas.join_next().await {
        ended??;
    }
    let runs = runs.load(SeqCst);
    println!("  the job has run {runs} times in {ROUNDS} intervals");
    if !(1..=ROUNDS).contains(&runs) {
        return Err("the job did not run at most once per interval".into());
    }

    println!("{REPLICAS} replicas, of which one leads at a time:");
    let leaders = Arc::new(AtomicUsize::new(0));
    for replica in 1..=REPLICAS {
        replicas.spawn(led(locking.clone(), replica, Arc::clone(&leaders)));
    }
    while let Some(ended) = replicas.join_next().await {
        ended??;
    }
    if leaders.load(SeqCst) != REPLICAS {
        return Err("not every replica has led".into());
    }
    // Before the program ends: on Redis this waits for the last releases.
    locking.close().await;
    Ok(())
}
