//! Several locks at once: their order, all or nothing, what a cancelled set leaves behind, and that sets never deadlock.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use orchestrix_locking::provider::{Acquiring, LockBackend, LockRequest};
use orchestrix_locking::{
    DistributedLock, DistributedLockProvider, InMemoryLockProvider, LockError, LockGuard, LockHandle, LockMode,
    LockOptions, LockSet, LockSetGuard, Locking, Release, Resource,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const ZERO: Duration = Duration::ZERO;

fn registered() -> (Locking, InMemoryLockProvider) {
    let provider = InMemoryLockProvider::new();
    (Locking::builder().add_default_provider(provider.clone()).build().unwrap(), provider)
}

async fn hold(locking: &Locking, name: &str) -> LockGuard {
    locking.lock(name).unwrap().try_acquire(ZERO).await.unwrap().expect("it is free")
}

async fn is_free(locking: &Locking, name: &str) -> bool {
    locking.lock(name).unwrap().try_acquire(ZERO).await.unwrap().is_some()
}

async fn at_once(set: &LockSet) -> Option<LockSetGuard> {
    set.try_acquire(ZERO).await.unwrap()
}

fn names(guard: &LockSetGuard) -> Vec<&str> {
    guard.guards().iter().map(|guard| guard.resource().as_str()).collect()
}

/// Which option is refused, and how.
fn refused(set: Result<LockSet, LockError>) -> String {
    match set {
        Err(error @ LockError::InvalidOptions { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn names_are_in_byte_order_and_count_once() {
    let (locking, provider) = registered();
    let set = locking.lock_all(["b", "a:2", "Z", "a", "é", "b"]).unwrap();
    let guard = set.acquire().await.unwrap();
    assert_eq!(names(&guard), ["Z", "a", "a:2", "b", "é"]);
    assert_eq!(set.resources().map(Resource::as_str).collect::<Vec<_>>(), names(&guard));
    assert_eq!(guard.get("a:2").map(|guard| guard.resource().as_str()), Some("a:2"));
    assert!(guard.get("c").is_none());
    let handle = guard.handle();
    assert_eq!(handle.get("b").map(LockHandle::fencing_token), guard.get("b").map(LockGuard::fencing_token));
    assert!(handle.is_held() && handle.handles().len() == 5 && handle.remaining() > ZERO);
    assert_eq!(guard.release().await.unwrap(), Release::Released);
    assert!(!handle.is_held() && handle.lost().now_or_never().is_none() && provider.is_empty());
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_a_request_can_be_locked() {
    let (locking, _) = registered();
    let resource = || Resource::try_from("r").unwrap();
    for set in [
        locking.lock_all(["r"]),
        locking.lock_all(vec![String::from("r")]),
        locking.lock_all([resource()]),
        locking.lock_all(&[resource()]),
        locking.lock_all(vec![LockRequest::new(resource()), LockRequest::try_from("r").unwrap()]),
        locking.lock_all(Some("r")),
    ] {
        assert_eq!(names(&at_once(&set.unwrap()).await.unwrap()), ["r"]);
    }
    let refused = locking.lock_all(["a", ""]).map(drop);
    assert!(matches!(refused, Err(LockError::InvalidResource { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_has_its_own_options_and_the_registered_ones() {
    let registered_ttl = Duration::from_secs(7);
    let provider = InMemoryLockProvider::new();
    let options = LockOptions::default().ttl(registered_ttl);
    let locking = Locking::builder().add_default_provider(provider).default_options(options).build().unwrap();
    let own = LockOptions::default().ttl(Duration::from_secs(2));
    let requests = [LockRequest::try_from("a").unwrap().options(own), LockRequest::try_from("b").unwrap()];
    let set = locking.lock_all(requests).unwrap();
    assert_eq!(set.locks().iter().map(|lock| *lock.options()).collect::<Vec<_>>(), [own, options]);
    let wrong = LockRequest::try_from("a").unwrap().options(own.ttl(ZERO));
    assert_eq!(refused(locking.lock_all([wrong])), "the option ttl is 0ns; allowed: 10ms to 24h");
}

/// Has locks in every mode, and grants none.
#[derive(Debug)]
struct EveryMode;

impl DistributedLockProvider for EveryMode {
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError> {
        DistributedLock::new(resource, options, Arc::new(Self))
    }
}

impl LockBackend for EveryMode {
    fn acquire(self: Arc<Self>, _: LockRequest) -> Acquiring {
        Acquiring::ready(Ok(None))
    }

    fn supports(&self, _: &LockOptions) -> bool {
        true
    }
}

#[test]
fn a_wrong_number_of_names_or_two_modes_are_refused() {
    let (locking, _) = registered();
    let numbered = |count: usize| locking.lock_all((0..count).map(|number| format!("name:{number}")));
    assert_eq!(refused(numbered(0)), "the option requests (of a set) is none; allowed: 1 to 64 names");
    assert!(numbered(64).is_ok());
    assert_eq!(refused(numbered(65)), "the option requests (of a set) is more than 64; allowed: 1 to 64 names");
    assert!(locking.lock_all(std::iter::repeat_n("one", 1_000)).is_ok(), "one name counts once");

    let locking = Locking::builder().add_default_provider(EveryMode).build().unwrap();
    let request = |mode| LockRequest::try_from("name").unwrap().mode(mode);
    let two = |one, other| locking.lock_all([request(one), request(other)]);
    assert_eq!(
        refused(two(LockMode::Shared, LockMode::permits(2))),
        "the option mode is shared and permits(2) for \"name\"; allowed: one mode for each name of a set"
    );
    assert!(two(LockMode::permits(2), LockMode::permits(3)).is_err());
    assert_eq!(two(LockMode::Shared, LockMode::Shared).unwrap().locks()[0].mode(), LockMode::Shared);
}

#[tokio::test(start_paused = true)]
async fn a_set_is_all_or_nothing() {
    let (locking, provider) = registered();
    let set = locking.lock_all(["a", "b", "c"]).unwrap();
    for name in ["a", "b", "c"] {
        let other = hold(&locking, name).await;
        assert!(at_once(&set).await.is_none());
        assert!(matches!(set.acquire_within(ZERO).await, Err(LockError::Busy { waited: ZERO })));
        for free in ["a", "b", "c"] {
            assert_eq!(is_free(&locking, free).await, free != name);
        }
        let began = Instant::now();
        let waited = set.acquire_timeout(Duration::from_secs(3)).await.map(drop);
        assert!(matches!(waited, Err(LockError::Busy { waited }) if waited >= Duration::from_secs(3)), "{waited:?}");
        assert!(began.elapsed() < Duration::from_millis(3_100));
        drop(other);
        assert!(provider.is_empty());
    }
    let guard = at_once(&set).await.unwrap();
    for name in ["a", "b", "c"] {
        assert!(!is_free(&locking, name).await);
    }
    drop(guard);
    assert!(provider.is_empty());
}

/// While it waits for `b`, it holds `a` and nothing behind `b`; and it is in the queue of `b`.
#[tokio::test(start_paused = true)]
async fn a_set_that_waits_holds_only_what_comes_before() {
    let (locking, provider) = registered();
    let (b, d) = (hold(&locking, "b").await, hold(&locking, "d").await);
    let mut waiting = pin!(locking.lock_all(["d", "c", "b", "a"]).unwrap().acquire_owned());
    assert!((&mut waiting).now_or_never().is_none());
    assert!(!is_free(&locking, "a").await && is_free(&locking, "c").await);
    let mut second = pin!(locking.lock("b").unwrap().acquire_owned());
    assert!((&mut second).now_or_never().is_none());
    drop(b);
    assert!((&mut waiting).now_or_never().is_none(), "it waits for `d` now");
    assert!(!is_free(&locking, "b").await && !is_free(&locking, "c").await);
    drop(d);
    let guard = (&mut waiting).now_or_never().expect("all are free").unwrap();
    assert_eq!(names(&guard), ["a", "b", "c", "d"]);
    drop(guard);
    assert!((&mut second).now_or_never().is_some_and(|second| second.is_ok()), "it came to `b` after the set");
    assert!(provider.is_empty());
}

/// The set is dropped in each of its states: unpolled, waiting for each of its names, and granted but not taken.
#[tokio::test(start_paused = true)]
async fn a_dropped_set_leaves_nothing_behind() {
    let (locking, provider) = registered();
    let set = locking.lock_all(["a", "b", "c"]).unwrap();
    for held in [&[][..], &["a"], &["b"], &["c"], &["a", "b"], &["b", "c"], &["a", "b", "c"]] {
        for released in 0..=held.len() {
            let mut guards = Vec::new();
            for name in held {
                guards.push(hold(&locking, name).await);
            }
            let mut acquire = Box::pin(set.acquire());
            let polls = usize::from(released > 0 || !held.is_empty());
            for _ in 0..polls {
                assert!(acquire.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            // Some are granted to it meanwhile, and it is dropped before and after it takes notice.
            for step in 0..released {
                drop(guards.remove(0));
                if step + 1 < released {
                    assert!(acquire.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                }
            }
            drop(acquire);
            drop(guards);
            assert!(provider.is_empty(), "{held:?}, of which {released} were released");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_lost_while_the_set_waits_is_taken_again() {
    let (locking, provider) = registered();
    let options = LockOptions::default().ttl(Duration::from_secs(1)).auto_renew(false);
    let request = |name: &str| LockRequest::try_from(name).unwrap().options(options);
    let set = locking.lock_all([request("a"), request("b")]).unwrap();
    let b = hold(&locking, "b").await;
    let freed = tokio::spawn(async move {
        sleep(Duration::from_millis(3_500)).await;
        drop(b);
    });
    let guard = set.try_acquire(Duration::from_secs(10)).await.unwrap().expect("`b` is free after a while");
    assert!(guard.is_held() && guard.remaining() > ZERO);
    freed.await.unwrap();
    drop(guard);
    // Never within its time.
    let b = hold(&locking, "b").await;
    assert!(set.try_acquire(Duration::from_millis(2_500)).await.unwrap().is_none());
    assert!(is_free(&locking, "a").await);
    drop(b);
    assert!(provider.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_first_loss_is_that_of_the_set() {
    let (locking, provider) = registered();
    let request = |name: &str, seconds| {
        let options = LockOptions::default().ttl(Duration::from_secs(seconds)).auto_renew(false);
        LockRequest::try_from(name).unwrap().options(options)
    };
    let set = locking.lock_all([request("a", 30), request("b", 20), request("c", 25)]).unwrap();
    let guard = at_once(&set).await.unwrap();
    assert_eq!(guard.remaining(), Duration::from_secs(20));
    assert!(guard.extend(Duration::from_secs(5)).await.unwrap());
    assert!(guard.guards().iter().all(|guard| guard.remaining() == Duration::from_secs(5)));
    assert!(matches!(guard.extend(ZERO).await, Err(LockError::InvalidOptions { .. })));
    assert!(guard.get("b").unwrap().extend(Duration::from_secs(2)).await.unwrap());
    let began = Instant::now();
    tokio::join!(guard.lost(), guard.handle().lost());
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    assert!(!guard.is_held() && guard.remaining() == ZERO && guard.get("a").unwrap().is_held());
    assert!(!guard.extend(Duration::from_secs(9)).await.unwrap());
    assert_eq!(guard.release().await.unwrap(), Release::AlreadyLost);
    assert!(provider.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_close_ends_sets_that_wait_and_is_a_loss_to_those_that_are_held() {
    let (locking, provider) = registered();
    let held = at_once(&locking.lock_all(["a", "b"]).unwrap()).await.unwrap();
    let waiting = tokio::spawn(locking.lock_all(["0", "b"]).unwrap().acquire_owned());
    tokio::task::yield_now().await;
    locking.close().await;
    assert!(held.lost().now_or_never().is_some());
    assert!(matches!(waiting.await.unwrap(), Err(LockError::Closed)));
    assert!(matches!(locking.lock_all(["c"]).unwrap().acquire().await, Err(LockError::Closed)));
    assert!(provider.is_empty());
}

#[test]
fn outside_of_a_runtime_it_is_an_error() {
    let (locking, _) = registered();
    let set = locking.lock_all(["a", "b"]).unwrap();
    let mut acquire = pin!(set.try_acquire(ZERO));
    let answer = acquire.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(answer, Poll::Ready(Err(LockError::NoRuntime))));
}

/// Random sets of many tasks, some of which give up at any moment: nobody waits for ever, and no name has two holders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_sets_never_deadlock() {
    let (locking, provider) = registered();
    let all: Vec<String> = (0..8).map(|number| format!("name:{number}")).collect();
    let in_use: Arc<HashMap<String, AtomicBool>> =
        Arc::new(all.iter().map(|name| (name.clone(), AtomicBool::new(false))).collect());
    let done = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for number in 0..24_usize {
        let (locking, all, in_use, done) = (locking.clone(), all.clone(), Arc::clone(&in_use), Arc::clone(&done));
        tasks.spawn(async move {
            let mut random = number.wrapping_mul(0x9E37_79B9) | 1;
            let mut next = move |below: usize| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % below
            };
            for _ in 0..150 {
                // In any order.
                let chosen: Vec<String> = (0..=next(4)).map(|_| all[next(8)].clone()).collect();
                let acquire = locking.lock_all(chosen).unwrap().acquire_owned();
                let patience = if next(4) == 0 { Duration::from_micros(50) } else { Duration::from_secs(50) };
                let Ok(guard) = timeout(patience, acquire).await else { continue };
                let guard = guard.unwrap();
                for name in names(&guard) {
                    assert!(!in_use[name].swap(true, SeqCst), "{name} has two holders");
                }
                tokio::task::yield_now().await;
                for name in names(&guard) {
                    in_use[name].store(false, SeqCst);
                }
                done.fetch_add(1, SeqCst);
            }
        });
    }
    let ended = timeout(Duration::from_secs(50), async {
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
    });
    assert!(ended.await.is_ok(), "sets wait for each other for ever");
    assert!(done.load(SeqCst) > 24 * 50 && provider.is_empty());
}

/// What a set takes and gives back while it waits would stay taken.
#[tokio::test(start_paused = true)]
async fn a_set_keeps_no_name_taken() {
    let (locking, _) = registered();
    let kept = |name: &str| {
        LockRequest::try_from(name).unwrap().options(LockOptions::default().at_least(Duration::from_secs(60)))
    };
    let text = refused(locking.lock_all([kept("a"), LockRequest::try_from("b").unwrap()]));
    assert_eq!(text, "the option at_least is 60s for \"a\"; allowed: zero for a lock of a set of several names");
    let alone = locking.lock_all([kept("a")]).unwrap();
    at_once(&alone).await.expect("it is free").release().await.unwrap();
    assert!(!is_free(&locking, "a").await, "a set of one name is as its lock");
}

/// Two sets that do not wait: what comes behind a missing name is not taken, so that the other set has it.
#[tokio::test(start_paused = true)]
async fn nothing_is_taken_behind_a_missing_name() {
    let (locking, provider) = registered();
    let held = hold(&locking, "a").await;
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Locking::builder().add_default_provider(Counting(provider, Arc::clone(&taken))).build().unwrap();
    let set = counted.lock_all(["a", "b"]).unwrap();
    assert!(at_once(&set).await.is_none());
    assert_eq!(taken.load(SeqCst), 1, "only the first was asked for");
    drop(held);
    assert!(at_once(&set).await.is_some());
}

/// Counts the acquires of its locks.
#[derive(Debug)]
struct Counting(InMemoryLockProvider, Arc<AtomicUsize>);

impl DistributedLockProvider for Counting {
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError> {
        let counted = Counted(self.0.create_lock(resource.clone(), options)?, Arc::clone(&self.1));
        DistributedLock::new(resource, options, Arc::new(counted))
    }
}

#[derive(Debug)]
struct Counted(DistributedLock, Arc<AtomicUsize>);

impl LockBackend for Counted {
    fn acquire(self: Arc<Self>, request: LockRequest) -> Acquiring {
        self.1.fetch_add(1, SeqCst);
        let timeout = request.configured_wait().timeout();
        match self.0.try_acquire(timeout).now_or_never() {
            Some(answer) => Acquiring::ready(answer.map(|guard| guard.map(Into::into))),
            None => Acquiring::ready(Ok(None)),
        }
    }
}
