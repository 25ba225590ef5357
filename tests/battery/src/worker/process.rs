//! The process around the tasks: its runtime, its orders, its end.

use std::io::{BufRead as _, Write as _};
use std::process::{self, ExitCode};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use orchestrix_locking::DistributedLockProvider as _;
use tokio::sync::{OwnedRwLockWriteGuard, mpsc};
use tokio::time::{Instant, sleep};

use super::protocol::{Order, Quiet, Setup};
use super::task;
use super::world::World;

/// Threads of the runtime.
const THREADS: usize = 2;

/// How long what is left may take after the last task has ended, beside two leases.
const LEFT: Duration = Duration::from_secs(3);

/// Runs a worker until its standard input ends. `setup` is a [`Setup`] as JSON.
pub(crate) fn run(setup: &str) -> ExitCode {
    end_with_the_first_panic();
    let setup: Setup = match serde_json::from_str(setup) {
        Ok(setup) => setup,
        Err(error) => return refuse(&format!("not a setup: {error}")),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    match runtime {
        Ok(runtime) => match runtime.block_on(work(setup)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => refuse(&why),
        },
        Err(error) => refuse(&format!("no runtime: {error}")),
    }
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("worker: {why}");
    ExitCode::FAILURE
}

/// A task that panics would be missing silently.
fn end_with_the_first_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        process::exit(101);
    }));
}

async fn work(setup: Setup) -> Result<(), String> {
    let world = Arc::new(World::new(setup).await?);
    let mut orders = read_orders();
    for number in 0..world.setup.load.tasks {
        tokio::spawn(task::run(Arc::clone(&world), number));
    }
    let mut stands: Option<OwnedRwLockWriteGuard<()>> = None;
    while let Some(order) = orders.recv().await {
        match order? {
            Order::Block { milliseconds } => block(Duration::from_millis(milliseconds)),
            Order::Quiet => {
                world.hurry.store(true, Ordering::Relaxed);
                if stands.is_none() {
                    stands = Some(Arc::clone(&world.going).write_owned().await);
                }
                say(quiet(&world).await)?;
            }
            Order::GoOn => {
                world.hurry.store(false, Ordering::Relaxed);
                stands = None;
            }
        }
    }
    world.provider.close().await;
    // The tasks go on until here, and see that it is closed.
    process::exit(0);
}

/// The orders, from a thread of their own, so that they come in also while the runtime is busy.
fn read_orders() -> mpsc::UnboundedReceiver<Result<Order, String>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let order = line
                .map_err(|error| error.to_string())
                .and_then(|line| serde_json::from_str(&line).map_err(|error| format!("not an order: {line}: {error}")));
            if sender.send(order).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Keeps every thread of the runtime busy. Each waits for the others, or one might be busy twice.
fn block(time: Duration) {
    let all = Arc::new(Barrier::new(THREADS));
    for _ in 0..THREADS {
        let all = Arc::clone(&all);
        tokio::spawn(async move {
            all.wait();
            std::thread::sleep(time);
        });
    }
}

/// Waits until nothing is left, for so long at most.
async fn quiet(world: &World) -> Quiet {
    let limit = Instant::now() + LEFT + world.ttl() * 2;
    loop {
        let (locks, waiters) = (world.provider.len() as u64, world.waiters() as u64);
        if (locks, waiters) == (0, 0) || Instant::now() >= limit {
            return Quiet { locks, waiters, operations: world.operations.load(Ordering::Relaxed) };
        }
        sleep(Duration::from_millis(5)).await;
    }
}

fn say(quiet: Quiet) -> Result<(), String> {
    let line = serde_json::to_string(&quiet).map_err(|error| error.to_string())?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")
        .and_then(|()| output.flush())
        .map_err(|error| format!("no process reads the output: {error}"))
}
