//! Code of a user's that runs when something is woken or dropped, and that drops a guard or asks the provider: at every
//! place that wakes, nothing of the provider's may be locked meanwhile.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use orchestrix_locking::{
    DistributedLock, DistributedLockProvider, InMemoryLockProvider, LockError, LockGuard, LockOptions, Lost,
};

const TTL: Duration = Duration::from_secs(30);
/// A deadlock is one by then.
const PATIENCE: Duration = Duration::from_secs(20);

type Waiting = Pin<Box<dyn Future<Output = Result<LockGuard, LockError>>>>;

struct Stage {
    provider: InMemoryLockProvider,
    /// The lock that all is about.
    lock: DistributedLock,
    /// For the names of guards that a waker drops. There are so many that each shard has some of them.
    names: AtomicUsize,
}

/// A waker that drops guards and looks into every shard whenever it is woken, and once more when it is dropped.
struct Hostile {
    provider: InMemoryLockProvider,
    guards: Mutex<Vec<LockGuard>>,
    ran: Arc<AtomicUsize>,
}

impl Hostile {
    fn run(&self) {
        let guards = std::mem::take(&mut *self.guards.lock().unwrap());
        drop(guards);
        _ = self.provider.len();
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

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl Stage {
    fn new(options: LockOptions) -> Self {
        let provider = InMemoryLockProvider::new();
        let lock = provider.create_lock("account-1".try_into().unwrap(), options).unwrap();
        Self { provider, lock, names: AtomicUsize::new(0) }
    }

    fn held(lock: &DistributedLock) -> LockGuard {
        let mut acquiring = Box::pin(lock.acquire());
        let Poll::Ready(guard) = acquiring.as_mut().poll(&mut cx()) else { panic!("it is granted at once") };
        guard.unwrap()
    }

    fn hostile(&self) -> (Waker, Arc<AtomicUsize>) {
        let ran = Arc::new(AtomicUsize::new(0));
        let guards = (0..1000).map(|_| {
            let name = format!("neighbour-{}", self.names.fetch_add(1, SeqCst));
            Self::held(&self.provider.create_lock(name.try_into().unwrap(), LockOptions::default()).unwrap())
        });
        let hostile =
            Hostile { provider: self.provider.clone(), guards: Mutex::new(guards.collect()), ran: Arc::clone(&ran) };
        (Arc::new(hostile).into(), ran)
    }

    fn watched(&self) -> (LockGuard, Arc<AtomicUsize>, Lost) {
        let guard = Self::held(&self.lock);
        let (waker, ran) = self.hostile();
        let mut lost = guard.lost();
        assert!(Pin::new(&mut lost).poll(&mut Context::from_waker(&waker)).is_pending());
        (guard, ran, lost)
    }

    fn waits(&self, waker: &Waker) -> Waiting {
        let lock = self.lock.clone();
        let mut waiting: Waiting = Box::pin(async move { lock.acquire().await });
        assert!(waiting.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        waiting
    }
}

/// Runs a scene in a thread of its own, and fails if it hangs.
fn on_stage(options: LockOptions, scene: impl FnOnce(&Stage) -> Arc<AtomicUsize> + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _inside = runtime.enter();
        let ran = scene(&Stage::new(options));
        assert!(ran.load(SeqCst) > 0, "the user's code did not run");
        _ = done.send(());
    });
    match ended.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the provider is deadlocked"),
        _ => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

fn ending() -> LockOptions {
    LockOptions::default().ttl(TTL).auto_renew(false)
}

#[test]
fn a_watcher_may_drop_a_guard_when_the_provider_is_closed() {
    for options in [LockOptions::default(), ending()] {
        on_stage(options, |stage| {
            let (_guard, ran, _lost) = stage.watched();
            assert!(stage.provider.close().as_mut().poll(&mut cx()).is_ready());
            ran
        });
    }
}

/// Watchers are woken when a lease may end earlier than they know.
#[test]
fn a_watcher_may_drop_a_guard_when_the_lease_is_shortened() {
    on_stage(ending(), |stage| {
        let (guard, ran, _lost) = stage.watched();
        let mut extending = Box::pin(guard.extend(TTL / 2));
        assert!(matches!(extending.as_mut().poll(&mut cx()), Poll::Ready(Ok(true))));
        ran
    });
}

/// So is the first who waits.
#[test]
fn a_waiter_may_drop_a_guard_when_the_lease_is_shortened() {
    on_stage(ending(), |stage| {
        let guard = Stage::held(&stage.lock);
        let (waker, ran) = stage.hostile();
        let mut waiting = stage.waits(&waker);
        let shorten = |length| {
            let mut extending = Box::pin(guard.extend(length));
            assert!(matches!(extending.as_mut().poll(&mut cx()), Poll::Ready(Ok(true))));
        };
        shorten(TTL / 2);
        assert_eq!(ran.load(SeqCst), 1);
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        shorten(TTL / 3);
        assert_eq!(ran.load(SeqCst), 2, "it is woken again, once it has looked");
        ran
    });
}

#[test]
fn a_waiter_may_drop_a_guard_when_it_is_granted_the_lock() {
    for options in [LockOptions::default(), ending()] {
        on_stage(options, |stage| {
            let guard = Stage::held(&stage.lock);
            let (waker, ran) = stage.hostile();
            let mut waiting = stage.waits(&waker);
            // The second is woken to learn the end of the first one's lease, if that has one.
            let (second, _) = stage.hostile();
            let _second = stage.waits(&second);
            drop(guard);
            assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
            ran
        });
    }
}

#[test]
fn a_waiter_may_drop_a_guard_when_it_becomes_the_first() {
    on_stage(ending(), |stage| {
        let _guard = Stage::held(&stage.lock);
        let first = stage.waits(Waker::noop());
        let (waker, ran) = stage.hostile();
        let _second = stage.waits(&waker);
        drop(first);
        ran
    });
}

#[test]
fn a_waiter_may_drop_a_guard_when_the_provider_is_closed() {
    on_stage(LockOptions::default(), |stage| {
        let _guard = Stage::held(&stage.lock);
        let (waker, ran) = stage.hostile();
        let _waiting = stage.waits(&waker);
        assert!(stage.provider.close().as_mut().poll(&mut cx()).is_ready());
        ran
    });
}

/// The last of a waker goes when another takes its place, or when the future is dropped.
#[test]
fn a_waker_that_is_dropped_may_drop_a_guard() {
    on_stage(LockOptions::default(), |stage| {
        let _guard = Stage::held(&stage.lock);
        let (waker, replaced) = stage.hostile();
        let mut waiting = stage.waits(&waker);
        drop(waker);
        let (waker, dropped) = stage.hostile();
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert!(replaced.load(SeqCst) > 0, "the crate has let go of it");
        drop(waiting);
        dropped
    });
}
