//! Requests to a small service behind a layer.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use orchestrix_locking::{BoxError, LockError, LockHandle, LockLayer, LockOptions, RedisLockProvider};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tower::{Layer as _, Service, ServiceExt as _};

use super::failure;
use super::random::Random;
use super::telling::{LOCK, Telling};
use super::world::World;
use crate::history::{Event, Journal, Outcome};

/// The layers, which differ in how long they wait. Cheap to use: a request takes a clone of a service.
#[derive(Debug)]
pub(super) struct Requests {
    journal: Arc<Journal>,
    provider: Telling,
    ttl: Duration,
}

/// A handler that works for longer has a task beside it that looks out for a loss.
const WATCHED: Duration = Duration::from_millis(10);

#[derive(Debug, Clone)]
struct Request {
    op: u64,
    resource: String,
    /// How long its handler works.
    work: Duration,
}

impl Requests {
    pub(super) fn new(provider: &RedisLockProvider, journal: &Arc<Journal>, ttl: Duration) -> Self {
        Self { journal: Arc::clone(journal), provider: Telling(provider.clone()), ttl }
    }

    /// One request. `given_up`: after so long its future is dropped.
    pub(super) async fn request(
        &self,
        resource: String,
        wait: Duration,
        work: Duration,
        given_up: Option<Duration>,
    ) -> Outcome {
        let op = self.journal.operation();
        let layer = LockLayer::new(self.provider.clone(), |request: &Request| request.resource.clone())
            .options(LockOptions::default().ttl(self.ttl))
            .wait(wait);
        let service = layer.layer(Handler { journal: Arc::clone(&self.journal) });
        self.journal.say(op, Event::Request { resource: resource.clone(), ttl: nanoseconds(self.ttl) });
        let answering = service.oneshot(Request { op, resource, work });
        let mut answering = Box::pin(LOCK.scope(Cell::new(None), answering));
        let answer = match given_up {
            Some(after) => timeout(after, answering.as_mut()).await.ok(),
            None => Some(answering.as_mut().await),
        };
        let outcome = match answer {
            Some(Ok(())) => Outcome::Yes,
            Some(Err(error)) => Outcome::Failed(refusal(&error)),
            None => Outcome::GivenUp,
        };
        self.journal.say(op, Event::Answered { outcome: outcome.clone() });
        drop(answering);
        outcome
    }
}

fn refusal(error: &BoxError) -> String {
    error.downcast_ref::<LockError>().map_or_else(|| error.to_string(), failure::text)
}

/// One of the cheap requests, or of those that take longer, with a pause after an error. `slow`: it may take longer than
/// a lease.
pub(super) async fn run(world: &World, random: &mut Random, resource: String, slow: bool) {
    let wait = match random.below(4) {
        0 => Duration::ZERO,
        1 => Duration::from_millis(20),
        _ => Duration::from_secs(2),
    };
    let work = match (slow, random.one_in(4)) {
        (true, _) => random.up_to(world.ttl() * 3),
        (false, true) => random.up_to(Duration::from_millis(3)),
        (false, false) => Duration::ZERO,
    };
    let given_up = (!slow && random.one_in(16)).then(|| random.up_to(Duration::from_millis(50)));
    let outcome = world.requests.request(resource, wait, work, given_up).await;
    world.count();
    if matches!(&outcome, Outcome::Failed(text) if !text.starts_with("Busy")) {
        sleep(Duration::from_millis(20) + random.up_to(Duration::from_millis(40))).await;
    }
}

#[derive(Debug, Clone)]
struct Handler {
    journal: Arc<Journal>,
}

impl Service<Request> for Handler {
    type Response = ();
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let journal = Arc::clone(&self.journal);
        Box::pin(async move {
            let lock = LOCK.with(Cell::take).ok_or("the handler was called, and no lock had been granted")?;
            let mut working = Working { journal, op: request.op, lock, finished: false, watch: None };
            let deadline = working.begins();
            if request.work > WATCHED {
                working.watch(deadline);
            }
            if !request.work.is_zero() {
                sleep(request.work).await;
            }
            working.finished = true;
            drop(working);
            Ok(())
        })
    }
}

/// Says that the handler is about to end, also when its future is dropped, and so before the lock is let go.
struct Working {
    journal: Arc<Journal>,
    op: u64,
    lock: LockHandle,
    finished: bool,
    watch: Option<JoinHandle<()>>,
}

impl Working {
    /// Until when it holds the lock at least.
    fn begins(&self) -> u64 {
        let Self { op, lock, .. } = self;
        let (fence, mut deadline) = (lock.fencing_token(), 0);
        self.journal.look(*op, |at| {
            deadline = at.saturating_add(nanoseconds(lock.remaining()));
            Some(Event::Handler { fence, deadline })
        });
        deadline
    }

    /// Writes down when `lost()` resolves, until the handler ends.
    fn watch(&mut self, deadline: u64) {
        let (journal, op, lost) = (Arc::clone(&self.journal), self.op, self.lock.lost());
        self.watch = Some(tokio::spawn(async move {
            lost.await;
            journal.look(op, |_| Some(Event::Lost { deadline }));
        }));
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Drop for Working {
    fn drop(&mut self) {
        let Self { op, lock, finished, watch, .. } = self;
        if let Some(watch) = watch {
            watch.abort();
        }
        self.journal.look(*op, |_| Some(Event::HandlerEnds { finished: *finished, held: lock.is_held() }));
    }
}
