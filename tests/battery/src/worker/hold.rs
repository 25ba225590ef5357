//! One hold, from its grant to its release, with a line for each step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use orchestrix_locking::{FencingToken, LockError, LockGuard, Release};
use tokio::task::JoinHandle;

use super::failure;
use super::world::World;
use crate::history::{Event, Outcome, Side};
use crate::store::Answer;

#[derive(Debug)]
pub(super) struct Hold {
    world: Arc<World>,
    op: u64,
    resource: String,
    guard: LockGuard,
    /// The last that was seen, by the history's clock.
    deadline: Arc<AtomicU64>,
    watch: Option<JoinHandle<()>>,
}

impl Hold {
    pub(super) fn begin(world: &Arc<World>, op: u64, resource: String, guard: LockGuard) -> Self {
        let hold = Self { world: Arc::clone(world), op, resource, guard, deadline: Arc::default(), watch: None };
        let fence = hold.guard.fencing_token();
        world.journal.look(op, |at| Some(Event::Granted { fence, deadline: hold.deadline_at(at) }));
        hold
    }

    fn fence(&self) -> FencingToken {
        self.guard.fencing_token()
    }

    /// `at` was read before: so this is no later than the true one.
    fn deadline_at(&self, at: u64) -> u64 {
        let left = u64::try_from(self.guard.remaining().as_nanos()).unwrap_or(u64::MAX);
        let deadline = at.saturating_add(left);
        self.deadline.store(deadline, Ordering::Relaxed);
        deadline
    }

    /// Writes down when `lost()` resolves, until the release begins.
    pub(super) fn watch(&mut self) {
        let (world, op, deadline) = (Arc::clone(&self.world), self.op, Arc::clone(&self.deadline));
        let lost = self.guard.lost();
        let watch = async move {
            lost.await;
            world.journal.look(op, |_| Some(Event::Lost { deadline: deadline.load(Ordering::Relaxed) }));
        };
        self.watch.get_or_insert_with(|| tokio::spawn(watch));
    }

    /// Whether it is held, with a line if it is.
    pub(super) fn is_held(&self) -> bool {
        let mut held = false;
        self.world.journal.look(self.op, |at| {
            held = self.guard.is_held();
            held.then(|| Event::Held { deadline: self.deadline_at(at) })
        });
        held
    }

    pub(super) async fn extend(&self, by: Duration) {
        let nanoseconds = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.world.journal.say(self.op, Event::Extend { by: nanoseconds });
        let outcome = match self.guard.extend(by).await {
            Ok(true) => Outcome::Yes,
            Ok(false) => Outcome::No,
            Err(error) => failed(&error),
        };
        self.world.count();
        self.world.journal.look(self.op, |at| Some(Event::Extended { outcome, deadline: self.deadline_at(at) }));
    }

    /// Adds one to the store's number. `asleep`: how long between the read and the write; such an update writes
    /// whether it holds the lock by then or not, as a program does that was stopped between its last look and its
    /// write.
    pub(super) async fn update(&self, asleep: Option<Duration>) {
        if !self.is_held() {
            return;
        }
        let Some(value) = self.store(Side::Read, None).await else { return };
        match asleep {
            Some(asleep) => {
                tokio::time::sleep(asleep).await;
                self.is_held();
            }
            None if !self.is_held() => return,
            None => {}
        }
        self.store(Side::Write, Some(value.saturating_add(1))).await;
    }

    /// Reads, or writes this value. The number that is there now, if that is known.
    async fn store(&self, side: Side, value: Option<u64>) -> Option<u64> {
        self.world.journal.say(self.op, Event::Store { side, value });
        let store = &self.world.store;
        let answer = match value {
            None => store.read(&self.resource, self.fence()).await,
            Some(value) => store.write(&self.resource, self.fence(), value).await,
        };
        self.world.count();
        let (outcome, known) = match answer {
            Answer::Done(value) => (Outcome::Yes, Some(value)),
            Answer::Refused => (Outcome::No, None),
            Answer::Unknown(why) => (Outcome::Unknown(why), None),
        };
        self.world.journal.say(self.op, Event::Stored { side, outcome, value: known.or(value) });
        known
    }

    /// Releases, and waits for the answer.
    pub(super) async fn release(mut self) {
        self.end(false).await;
        let outcome = match self.guard.release().await {
            Ok(Release::Released) => Outcome::Yes,
            Ok(Release::AlreadyLost) => Outcome::No,
            Err(error) => failed(&error),
        };
        self.world.count();
        self.world.journal.say(self.op, Event::Released { outcome });
    }

    /// Drops the guard.
    pub(super) async fn abandon(mut self) {
        self.end(true).await;
        self.world.count();
    }

    /// Says that it is about to be over. A loss that is seen from now on would say nothing of the hold.
    async fn end(&mut self, dropped: bool) {
        if let Some(watch) = self.watch.take() {
            watch.abort();
            // It was cancelled, or had ended.
            _ = watch.await;
        }
        self.world.journal.look(self.op, |_| Some(Event::Release { held: self.guard.is_held(), dropped }));
    }
}

/// Without an answer it may have been done.
fn failed(error: &LockError) -> Outcome {
    match error {
        LockError::Unavailable { .. } => Outcome::Unknown(failure::text(error)),
        _ => Outcome::Failed(failure::text(error)),
    }
}
