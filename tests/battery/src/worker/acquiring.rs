//! One acquire, from its first line to its hold.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider, LockError, LockOptions};
use tokio::time::{sleep, timeout};

use super::failure;
use super::hold::Hold;
use super::random::Random;
use super::world::World;
use crate::history::{Event, Outcome};

/// How an acquire waits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// For this long; zero is one attempt.
    For(Duration),
    /// As long as it takes; but after this long, if it waits at all, it is dropped.
    Cancelled(Duration),
}

/// Acquires. `None` if there is nothing to hold, after a pause if that was because of an error.
pub(super) async fn acquire(
    world: &Arc<World>,
    random: &mut Random,
    resource: String,
    options: LockOptions,
    patience: Patience,
) -> Option<Hold> {
    let op = world.journal.operation();
    let answer = answer(world, op, &resource, options, patience).await;
    world.count();
    let outcome = match answer {
        Some(Ok(Some(guard))) => return Some(Hold::begin(world, op, resource, guard)),
        Some(Ok(None)) => Outcome::No,
        Some(Err(error)) => Outcome::Failed(failure::text(&error)),
        // Said before the future was dropped.
        None => return None,
    };
    let failed = matches!(outcome, Outcome::Failed(_));
    world.journal.say(op, Event::Ended { outcome });
    if failed {
        // An outage is no reason to spin.
        sleep(Duration::from_millis(20) + random.up_to(Duration::from_millis(40))).await;
    }
    None
}

/// `None`: it was dropped.
async fn answer(
    world: &World,
    op: u64,
    resource: &str,
    options: LockOptions,
    patience: Patience,
) -> Option<Result<Option<orchestrix_locking::LockGuard>, LockError>> {
    let wait = match patience {
        Patience::For(wait) => Some(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)),
        Patience::Cancelled(_) => None,
    };
    let ttl = u64::try_from(options.configured_ttl().as_nanos()).unwrap_or(u64::MAX);
    let renewed = options.configured_auto_renew();
    let lock = resource.try_into().and_then(|resource| world.provider.create_lock(resource, options));
    world.journal.say(op, Event::Acquire { resource: resource.to_owned(), ttl, wait, renewed });
    let lock = match lock {
        Ok(lock) => lock,
        Err(error) => return Some(Err(error)),
    };
    let mut acquiring = pin!(async {
        match patience {
            Patience::For(wait) => lock.try_acquire(wait).await,
            Patience::Cancelled(_) => lock.acquire().await.map(Some),
        }
    });
    if let Poll::Ready(answer) = poll_fn(|cx| Poll::Ready(acquiring.as_mut().poll(cx))).await {
        return Some(answer);
    }
    match patience {
        // One attempt has no place in the queue.
        Patience::For(Duration::ZERO) => return Some(acquiring.await),
        Patience::For(_) | Patience::Cancelled(_) => world.journal.say(op, Event::Waiting),
    }
    match patience {
        Patience::For(_) => Some(acquiring.await),
        Patience::Cancelled(after) => {
            if let Ok(answer) = timeout(after, acquiring.as_mut()).await {
                return Some(answer);
            }
            world.journal.say(op, Event::Ended { outcome: Outcome::GivenUp });
            None
        }
    }
}
