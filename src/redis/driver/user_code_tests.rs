//! The user's code runs when a waker is woken or dropped, and may drop guards of the same shard. So at every point that
//! wakes or drops a waker, no mutex of the provider may be locked.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ::redis::Value;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::stage::{CallKind, Stage, TTL};
use crate::backend::LockBackend;
use crate::engine::{Command, Step};
use crate::redis::acquire_slot::AcquireSlot;
use crate::redis::backend::Backend;
use crate::redis::connection::{Call, Caller, Reply, SupervisorExit};
use crate::types::Wait;
use crate::{LockError, LockGuard, LockRequest, Resource};

/// After this time a scene counts as deadlocked.
const DEADLOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// How many names were tried.
static NAMES: AtomicUsize = AtomicUsize::new(0);

/// A waker that drops a guard of the same shard whenever it is woken, and one more when it is dropped.
struct Hostile {
    backend: Arc<Backend>,
    resource: Resource,
    guards: Mutex<Vec<LockGuard>>,
    ran: Arc<AtomicUsize>,
}

impl Hostile {
    fn run(&self) {
        let guard = self.guards.lock().pop();
        drop(guard);
        _ = self.backend.driver().waiters(&self.resource);
        self.ran.fetch_add(1, SeqCst);
    }
}

impl Wake for Hostile {
    fn wake(self: Arc<Self>) {
        self.run();
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.run();
    }
}

impl Stage {
    /// Another resource in the shard of the stage's own.
    fn neighbour(&self) -> Resource {
        let shard = |resource: &Resource| self.driver().table.shard_of(resource);
        loop {
            let name = format!("neighbour-{}", NAMES.fetch_add(1, SeqCst));
            let name = Resource::try_from(name).unwrap();
            if shard(&name) == shard(&self.resource) {
                return name;
            }
        }
    }

    /// A hostile waker, and a counter of its runs.
    fn hostile(&self) -> (Waker, Arc<AtomicUsize>) {
        let ran = Arc::new(AtomicUsize::new(0));
        let guards = (0..3).map(|_| self.held(&self.neighbour())).collect();
        let hostile = Hostile {
            backend: Arc::clone(&self.backend),
            resource: self.resource.clone(),
            guards: Mutex::new(guards),
            ran: Arc::clone(&ran),
        };
        (Arc::new(hostile).into(), ran)
    }

    /// A caller that was polled once with this waker, and waits for a reply.
    fn waits(&self, wait: Wait, waker: &Waker) -> Pin<Box<dyn Future<Output = Option<LockGuard>>>> {
        let request = LockRequest::new(&self.resource).options(Self::options()).wait(wait);
        let mut acquiring = Box::pin(Arc::clone(&self.backend).acquire(request));
        assert!(acquiring.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        Box::pin(async move { acquiring.await.unwrap_or_default().map(LockGuard::from) })
    }

    /// A held lock whose loss signal was polled with a hostile waker. Returns the guard, the counter and the signal.
    fn watched(&self) -> (LockGuard, Arc<AtomicUsize>, crate::Lost) {
        let guard = self.held(&self.resource);
        let (waker, ran) = self.hostile();
        let mut lost = guard.lost();
        assert!(Pin::new(&mut lost).poll(&mut Context::from_waker(&waker)).is_pending());
        (guard, ran, lost)
    }
}

/// Runs a scene in a thread of its own, and fails if it hangs.
fn on_stage(scene: impl FnOnce(&Stage) -> Arc<AtomicUsize> + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _inside = runtime.enter();
        let ran = scene(&Stage::new());
        assert!(ran.load(SeqCst) > 0, "the user's code did not run");
        _ = done.send(());
    });
    match ended.recv_timeout(DEADLOCK_TIMEOUT) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the provider is deadlocked"),
        _ => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

fn not_ours() -> Value {
    Value::Int(0)
}

fn refused() -> LockError {
    LockError::backend("refused")
}

#[test]
fn a_watcher_may_drop_a_guard_when_the_provider_is_closed() {
    on_stage(|stage| {
        let (_guard, ran, _lost) = stage.watched();
        assert!(pin!(stage.driver().close()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        ran
    });
}

#[test]
fn a_watcher_may_drop_a_guard_when_a_look_finds_the_lock_lost() {
    on_stage(|stage| {
        let (guard, ran, _lost) = stage.watched();
        stage.driver().reconnected(crate::redis::connection::Node(0));
        stage.answers(stage.call(|kind| matches!(kind, CallKind::Check | CallKind::Renew)), not_ours());
        assert!(!guard.is_held());
        ran
    });
}

#[test]
fn a_watcher_may_drop_a_guard_when_an_extension_finds_the_lock_lost() {
    on_stage(|stage| {
        let (guard, ran, _lost) = stage.watched();
        let mut extending = pin!(guard.extend(TTL * 2));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(extending.as_mut().poll(&mut cx).is_pending());
        stage.answers(stage.call(|kind| matches!(kind, CallKind::Extend(_))), not_ours());
        assert!(matches!(extending.poll(&mut cx), Poll::Ready(Ok(false))));
        ran
    });
}

/// A watcher is woken when a lease may end earlier than the watcher knows.
#[test]
fn a_watcher_may_drop_a_guard_when_the_lease_is_shortened() {
    on_stage(|stage| {
        let (guard, ran, _lost) = stage.watched();
        let mut extending = pin!(guard.extend(TTL / 2));
        assert!(extending.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        ran
    });
}

#[test]
fn a_watcher_may_drop_a_guard_when_a_renewal_finds_the_lock_lost() {
    on_stage(|stage| {
        let (guard, ran, _lost) = stage.watched();
        let step = Step::Renew { lease: TTL };
        let renewal = Command { resource: stage.resource.clone(), token: stage.token(), step };
        stage.answers(Call::new(renewal, CallKind::Renew), not_ours());
        assert!(!guard.is_held());
        ran
    });
}

/// A newer grant to the same process ends the lease of the older one.
#[test]
fn a_watcher_may_drop_a_guard_when_the_lock_is_granted_anew() {
    on_stage(|stage| {
        let attempt = AcquireSlot::new(Stage::options(), Arc::clone(&stage.backend));
        stage.tries_now(&attempt);
        let call = stage.call(|kind| matches!(kind, CallKind::Attempt(..)));
        let (guard, ran, _lost) = stage.watched();
        stage.answers(call, Value::Int(2_000));
        assert!(!guard.is_held());
        ran
    });
}

#[test]
fn a_waiter_may_drop_a_guard_when_it_is_granted_the_lock() {
    on_stage(|stage| {
        let (waker, ran) = stage.hostile();
        let mut waiting = stage.waits(Wait::Forever, &waker);
        stage.answers(stage.call(|kind| matches!(kind, CallKind::Acquire)), Value::Int(1_000));
        let Poll::Ready(Some(guard)) = waiting.as_mut().poll(&mut Context::from_waker(&waker)) else {
            panic!("it is granted")
        };
        // The same for a local hand-over.
        let (waker, by_release) = stage.hostile();
        let _waiting = stage.waits(Wait::Forever, &waker);
        drop(guard);
        assert!(by_release.load(SeqCst) > 0, "the next is woken");
        ran
    });
}

#[test]
fn a_waiter_may_drop_a_guard_when_it_is_granted_the_lock_by_message() {
    on_stage(|stage| {
        let (waker, ran) = stage.hostile();
        let _waiting = stage.waits(Wait::Forever, &waker);
        let token = stage.call(|kind| matches!(kind, CallKind::Acquire)).command.token;
        stage.notifies_of_grant(token, 1_000_000_000);
        ran
    });
}

#[test]
fn a_waiter_may_drop_a_guard_when_its_wait_fails() {
    type Ends = fn(&Stage);
    let answered: [Ends; 4] = [
        |stage| {
            let call = stage.call(|kind| matches!(kind, CallKind::Acquire));
            stage.driver().answered(call, Reply::Refused(refused()));
        },
        |stage| {
            let call = stage.call(|kind| matches!(kind, CallKind::Acquire));
            stage.driver().answered(call, Reply::NotSent(refused()));
        },
        |stage| {
            let call = stage.call(|kind| matches!(kind, CallKind::Acquire));
            stage.driver().answered(call, Reply::Indeterminate { error: refused() });
        },
        |stage| assert!(pin!(stage.driver().close()).poll(&mut Context::from_waker(Waker::noop())).is_pending()),
    ];
    for ends in answered {
        on_stage(move |stage| {
            let (waker, ran) = stage.hostile();
            let _waiting = stage.waits(Wait::Forever, &waker);
            ends(stage);
            ran
        });
    }
}

#[test]
fn an_attempt_may_drop_a_guard_when_it_is_answered() {
    let busy = || Value::Array([2, 0, 1_000_000_000, 0].map(Value::Int).to_vec());
    let outcomes = [
        Reply::Answered { answer: busy(), sent: Instant::now() },
        Reply::Answered { answer: Value::Int(1_000), sent: Instant::now() + Duration::from_secs(3_600) },
        Reply::Refused(refused()),
        Reply::NotSent(refused()),
        Reply::Indeterminate { error: refused() },
    ];
    for outcome in outcomes {
        on_stage(move |stage| {
            let (waker, ran) = stage.hostile();
            let _waiting = stage.waits(Wait::No, &waker);
            let call = stage.call(|kind| matches!(kind, CallKind::Attempt(..)));
            stage.driver().answered(call, outcome);
            ran
        });
    }
}

#[test]
fn a_release_and_an_extension_may_drop_a_guard_when_they_are_answered() {
    on_stage(|stage| {
        let guard = stage.held(&stage.resource);
        let (waker, ran) = stage.hostile();
        let mut cx = Context::from_waker(&waker);
        {
            let mut extending = pin!(guard.extend(TTL * 2));
            assert!(extending.as_mut().poll(&mut cx).is_pending());
            stage.answers(stage.call(|kind| matches!(kind, CallKind::Extend(_))), Value::Int(1));
            assert!(ran.swap(0, SeqCst) > 0, "the extension is woken");
        }
        let mut releasing = pin!(guard.release());
        assert!(releasing.as_mut().poll(&mut cx).is_pending());
        stage.answers(stage.call(|kind| matches!(kind, CallKind::Release(_))), Value::Int(1));
        ran
    });
}

/// Of two extensions the second waits for the first, and gets a result if that one fails.
#[test]
fn an_extension_that_waits_may_drop_a_guard_when_it_is_answered() {
    type Ends = fn(&Stage, Call<CallKind>);
    let ends: [Ends; 3] = [
        |stage, call| stage.answers(call, not_ours()),
        |stage, call| stage.driver().answered(call, Reply::NotSent(refused())),
        |stage, call| stage.driver().answered(call, Reply::Indeterminate { error: refused() }),
    ];
    for ends in ends {
        on_stage(move |stage| {
            let guard = stage.held(&stage.resource);
            let (waker, ran) = stage.hostile();
            let mut first = pin!(guard.extend(TTL * 2));
            assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            let mut second = pin!(guard.extend(TTL * 3));
            assert!(second.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            ends(stage, stage.call(|kind| matches!(kind, CallKind::Extend(_))));
            assert!(second.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
            ran
        });
    }
}

/// The runtime that drove the connection has ended: a waiter in another runtime is woken to drive it.
#[test]
fn a_waiter_may_drop_a_guard_when_it_is_woken_to_serve_the_provider() {
    on_stage(|stage| {
        let (waker, ran) = stage.hostile();
        let _waiting = stage.waits(Wait::Forever, &waker);
        let runtime = stage.driver().router.first().task().runtime();
        stage.driver().supervisor_ended(SupervisorExit {
            node: crate::redis::connection::Node(0),
            runtime,
            within_reach: false,
            may_block: false,
        });
        ran
    });
}

/// The last reference to a waker is dropped when another one replaces it, or with the future.
#[test]
fn a_waiters_waker_that_is_dropped_may_drop_a_guard() {
    on_stage(|stage| {
        let (waker, replaced) = stage.hostile();
        let mut waiting = stage.waits(Wait::Forever, &waker);
        drop(waker);
        let (waker, dropped) = stage.hostile();
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert!(replaced.load(SeqCst) > 0, "the last reference is dropped");
        drop(waiting);
        dropped
    });
}

#[test]
fn a_watchers_waker_that_is_dropped_may_drop_a_guard() {
    on_stage(|stage| {
        let (_guard, replaced, mut lost) = stage.watched();
        let (waker, dropped) = stage.hostile();
        assert!(Pin::new(&mut lost).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert!(replaced.load(SeqCst) > 0, "the last reference is dropped");
        drop(lost);
        dropped
    });
}
