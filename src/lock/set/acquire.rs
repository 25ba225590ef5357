//! [`acquire`]: takes all locks of a set, or none.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use super::LockSetGuard;
use super::plan::Plan;
use super::round::Round;
use crate::lock::acquire::Acquire;
use crate::types::Wait;
use crate::{LockError, LockGuard, LockMode};

/// The lock of a set that another caller holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Missing {
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only an HTTP answer depends on it"))]
    pub(crate) mode: LockMode,
}

/// Takes the locks of a set. See the [module](super).
///
/// A lock that is lost while the set waits for the next one does not end the wait: the set begins again, within its time.
pub(crate) async fn acquire(plan: Arc<Plan>, wait: Wait) -> Result<Result<LockSetGuard, Missing>, LockError> {
    let deadline = wait.deadline(Instant::now());
    let mut held = LockSetGuard::new(&plan.backends);
    loop {
        let missing = attempt_rest(&plan, &mut held, wait).await?;
        let Some(lock) = missing.and_then(|missing| plan.locks.get(missing)) else {
            if held.is_held() {
                return Ok(Ok(held));
            }
            begin_again(&mut held, deadline)?;
            continue;
        };
        let left = match (wait, deadline) {
            (Wait::AtMost(_), Some(ends)) => Wait::from(ends.saturating_duration_since(Instant::now())),
            _ => wait,
        };
        let answer = match left {
            Wait::No => Waited::TimeIsUp,
            Wait::AtMost(_) | Wait::Forever => wait_for(Acquire::new(lock, left), &held).await?,
        };
        match answer {
            Waited::Granted(guard) => held.push(guard),
            Waited::Lost => begin_again(&mut held, deadline)?,
            // It is not for a backend to end a wait without a limit. Ask again.
            Waited::TimeIsUp if wait == Wait::Forever => {}
            Waited::TimeIsUp => {
                // Not kept while the task is made to yield.
                drop(held);
                // A caller that attempts in a loop must let other tasks of its thread run, such as a holder.
                consume_budget().await;
                return Ok(Err(Missing { mode: lock.mode() }));
            }
        }
    }
}

/// Attempts all locks that are not held. Keeps those before the first missing one, and returns its place. One whose backend is
/// out of reach is missing, if there is time to wait for it: a failover may be over within that time.
async fn attempt_rest(plan: &Plan, held: &mut LockSetGuard, wait: Wait) -> Result<Option<usize>, LockError> {
    let begins = held.guards().len();
    let rest = plan.locks.get(begins..).unwrap_or_default();
    // Released together, also after an error.
    let mut behind = LockSetGuard::new(&plan.backends);
    let (mut missing, mut failed) = (None, None);
    if rest.is_empty() {
        return Ok(None);
    }
    for (place, answer) in Round::begin(rest, &plan.backends).await.into_iter().enumerate() {
        match answer {
            Ok(Some(lease)) if missing.is_none() => held.push(lease.into()),
            Ok(Some(lease)) => behind.push(lease.into()),
            Ok(None) => _ = missing.get_or_insert(begins.saturating_add(place)),
            Err(LockError::Unavailable { .. }) if wait != Wait::No => {
                _ = missing.get_or_insert(begins.saturating_add(place));
            }
            Err(error) => _ = failed.get_or_insert(error),
        }
    }
    failed.map_or(Ok(missing), Err)
}

enum Waited {
    Granted(LockGuard),
    TimeIsUp,
    /// A lock that is held already was lost meanwhile.
    Lost,
}

async fn wait_for(
    acquire: impl Future<Output = Result<Option<LockGuard>, LockError>>,
    held: &LockSetGuard,
) -> Result<Waited, LockError> {
    let mut acquire = pin!(acquire);
    let mut lost = held.lost();
    poll_fn(|cx| {
        if let Poll::Ready(answer) = acquire.as_mut().poll(cx) {
            return Poll::Ready(answer.map(|guard| guard.map_or(Waited::TimeIsUp, Waited::Granted)));
        }
        Pin::new(&mut lost).poll(cx).map(|()| Ok(Waited::Lost))
    })
    .await
}

/// Lets go of a set of which a lock was lost. An error if there is no time for another attempt.
fn begin_again(held: &mut LockSetGuard, deadline: Option<Instant>) -> Result<(), LockError> {
    held.clear();
    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
        return Err(LockError::unavailable("a lock of the set was lost before all of its locks were held"));
    }
    Ok(())
}
