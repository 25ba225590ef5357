//! One round: clients connect, their tasks cycle for a time, everything is closed.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::{Client, Keys, Lock, Scene, connect as admin};
use crate::Result;
use crate::commands::{self, Names};
use crate::figures::Waits;

/// What a round found.
pub(crate) struct Round {
    /// In a second, only those that ended in time.
    pub(crate) cycles: f64,
    /// Of each task.
    pub(crate) shares: Vec<u64>,
    /// Of all cycles: who waits at the end of the time is let through and counted here.
    pub(crate) waits: Waits,
    /// That clients have sent, for each cycle. The caller divides; these are the sums.
    pub(crate) commands: u64,
    pub(crate) all_cycles: u64,
    /// Two held the one key, or a fence was not above the last.
    pub(crate) overlaps: u64,
    pub(crate) errors: u64,
}

/// Who is inside, on one key.
#[derive(Default)]
struct Witness {
    inside: AtomicBool,
    last_fence: AtomicU64,
    overlaps: AtomicU64,
}

impl Witness {
    fn enter(&self, fence: Option<u64>) {
        let overlap = self.inside.swap(true, SeqCst);
        let behind = fence.is_some_and(|fence| self.last_fence.swap(fence, SeqCst) >= fence);
        if overlap || behind {
            self.overlaps.fetch_add(1, SeqCst);
        }
    }

    fn leave(&self) {
        self.inside.store(false, SeqCst);
    }
}

#[derive(Default)]
struct Work {
    in_time: u64,
    all: u64,
    errors: u64,
    waits: Waits,
}

/// Beyond the time itself, for the tasks that still wait then.
const LIMIT: Duration = Duration::from_secs(60);
/// For tasks to be started.
const AHEAD: Duration = Duration::from_millis(30);

tokio::task_local! {
    /// Which commands are those of clients. Not known while that is being learned.
    pub(crate) static NAMES: Names;
}

pub(crate) async fn run<C, F>(
    url: String,
    scene: Scene,
    time: Duration,
    connect: impl Fn(String) -> F + Send,
) -> Result<Round>
where
    C: Client,
    F: Future<Output = Result<C>> + Send,
{
    let mut clients = Vec::new();
    for number in 0..scene.clients {
        let client = connect(url.clone()).await?;
        // Connects those that do so late, and loads scripts.
        let lock = client.lock(&format!("warm-up:{number}"))?;
        lock.release(lock.acquire().await?).await?;
        clients.push(client);
    }
    let mut admin = admin(&url).await?;
    commands::reset(&mut admin).await?;

    let witness = Arc::new(Witness::default());
    let begin = Instant::now() + AHEAD;
    let mut tasks = Vec::new();
    for (number, client) in clients.iter().enumerate() {
        for task in 0..scene.tasks {
            let (name, witness) = match scene.keys {
                Keys::Own => (format!("own:{number}:{task}"), None),
                Keys::One => ("one".to_owned(), Some(Arc::clone(&witness))),
            };
            tasks.push(tokio::spawn(cycles(client.lock(&name)?, witness, begin, begin + time)));
        }
    }
    let mut round = Round {
        cycles: 0.0,
        shares: Vec::new(),
        waits: Waits::default(),
        commands: 0,
        all_cycles: 0,
        overlaps: 0,
        errors: 0,
    };
    for task in tasks {
        let work = timeout(AHEAD + time + LIMIT, task).await.map_err(|_| "a task waits for ever")??;
        round.shares.push(work.in_time);
        round.waits.merge(&work.waits);
        round.all_cycles += work.all;
        round.errors += work.errors;
    }
    let names = NAMES.try_with(Names::clone).unwrap_or_default();
    round.commands = commands::of_clients(&mut admin, &names).await?;
    round.cycles = round.shares.iter().sum::<u64>() as f64 / time.as_secs_f64();
    round.overlaps = witness.overlaps.load(SeqCst);
    for client in clients {
        client.close().await;
    }
    redis::cmd("FLUSHALL").query_async::<()>(&mut admin).await?;
    Ok(round)
}

async fn cycles<L: Lock>(lock: L, witness: Option<Arc<Witness>>, begin: Instant, end: Instant) -> Work {
    let mut work = Work::default();
    sleep_until(begin).await;
    let mut before = Instant::now();
    while before < end {
        let Ok(held) = lock.acquire().await else {
            work.errors += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
            before = Instant::now();
            continue;
        };
        work.waits.add(before.elapsed());
        if let Some(witness) = &witness {
            witness.enter(L::fence(&held));
            witness.leave();
        }
        let released = lock.release(held).await;
        before = Instant::now();
        if released.is_err() {
            work.errors += 1;
        }
        work.all += 1;
        work.in_time += u64::from(before < end);
    }
    work
}
