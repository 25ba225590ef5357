//! What must be true of a bound on all who wait, with any provider. Names are a client's to choose, and none comes twice.

use std::sync::Arc;
use std::time::Duration;

use orchestrix_locking::{DistributedLock, DistributedLockProvider, LockError, LockGuard, LockOptions};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const LIMIT: Duration = Duration::from_secs(30);

/// A provider whose waiters are bounded, one that holds what they wait for, and how many wait.
pub(crate) struct Crowd<C> {
    pub(crate) waits: Arc<dyn DistributedLockProvider>,
    pub(crate) holds: Arc<dyn DistributedLockProvider>,
    pub(crate) waiting: C,
}

type Answer = Result<Option<LockGuard>, LockError>;

impl<C: Fn() -> usize + Send + Sync + 'static> Crowd<C> {
    fn lock(&self, number: usize) -> DistributedLock {
        lock(&self.waits, number)
    }

    async fn held(&self, names: usize) -> Vec<LockGuard> {
        let mut guards = Vec::new();
        for number in 0..names {
            guards.push(lock(&self.holds, number).acquire().await.unwrap());
        }
        guards
    }

    async fn until_waiting(&self, count: usize) {
        let asked = Instant::now();
        while (self.waiting)() != count {
            assert!(asked.elapsed() < LIMIT, "{} wait, and not {count}", (self.waiting)());
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Of many who come at once, each for another name, exactly `most` wait; the others are told which bound it was.
    /// The waiters are served, and then all places are free again.
    pub(crate) async fn is_exact(&self, most: usize) {
        let many = 4 * most;
        for _ in 0..3 {
            let guards = self.held(many).await;
            assert_eq!((self.waiting)(), 0, "holders do not count");
            let mut tasks = JoinSet::new();
            for number in 0..many {
                let lock = self.lock(number);
                tasks.spawn(async move { lock.try_acquire(LIMIT).await });
            }
            for _ in 0..many - most {
                let refused: Answer = timeout(LIMIT, tasks.join_next()).await.unwrap().unwrap().unwrap();
                let error = refused.expect_err("it is held, and there is no place to wait");
                assert!(matches!(error, LockError::TooManyWaitersInTotal), "{error:?}");
                assert!(error.to_string().contains("over all names"), "{error}");
            }
            self.until_waiting(most).await;
            assert!(self.lock(0).try_acquire(Duration::ZERO).await.unwrap().is_none(), "this one does not wait");
            let free = lock(&self.waits, usize::MAX).acquire().await;
            assert!(free.unwrap().is_held(), "a free lock is granted, also while callers wait for others");
            drop(guards);
            while let Some(served) = timeout(LIMIT, tasks.join_next()).await.unwrap() {
                served.unwrap().unwrap().expect("a waiter is served").release().await.unwrap();
            }
            assert_eq!((self.waiting)(), 0, "every place is free again");
        }
    }

    /// Places that were given up can be taken: by waiters whose time is up, and by cancelled ones, at any moment.
    pub(crate) async fn frees_what_is_given_up(&self, most: usize, rounds: usize) {
        let mut random = Random(0x5eed);
        for _ in 0..rounds {
            let mut guards = self.held(most).await;
            let mut tasks = JoinSet::new();
            let mut aborts = Vec::new();
            for number in 0..2 * most {
                let lock = self.lock(number % most);
                let time = Duration::from_micros(random.below(3_000));
                aborts.push(tasks.spawn(async move { lock.try_acquire(time).await }));
            }
            while let Some(abort) = aborts.pop() {
                match random.below(4) {
                    0 => abort.abort(),
                    1 => drop(guards.pop()),
                    2 => tokio::task::yield_now().await,
                    _ => sleep(Duration::from_micros(random.below(300))).await,
                }
                let waiting = (self.waiting)();
                assert!(waiting <= most, "{waiting} wait");
            }
            while let Some(answer) = timeout(LIMIT, tasks.join_next()).await.unwrap() {
                match answer {
                    // Some are not even ready to wait for a server's answer.
                    Ok(Ok(_) | Err(LockError::TooManyWaitersInTotal | LockError::Unavailable { .. })) => {}
                    Ok(Err(error)) => panic!("{error}"),
                    Err(cancelled) => assert!(cancelled.is_cancelled(), "{cancelled}"),
                }
            }
            assert_eq!((self.waiting)(), 0, "no caller waits any more, and no place is taken");
        }
        self.is_exact(most).await;
    }

    /// With a bound of zero no caller waits.
    pub(crate) async fn no_caller_waits(&self) {
        let guards = self.held(1).await;
        let refused = self.lock(0).try_acquire(LIMIT).await;
        assert!(matches!(refused, Err(LockError::TooManyWaitersInTotal)), "{refused:?}");
        assert!(self.lock(0).try_acquire(Duration::ZERO).await.unwrap().is_none());
        drop(guards);
        assert!(self.lock(1).acquire().await.unwrap().is_held());
    }

    /// The bound of one name comes first, and says so.
    pub(crate) async fn says_which_bound(&self) {
        let guards = self.held(1).await;
        let narrow = LockOptions::default().max_waiters(Some(0));
        let refused = self.waits.create_lock("name-0".try_into().unwrap(), narrow).unwrap().try_acquire(LIMIT).await;
        let error = refused.expect_err("no caller may wait for it");
        assert!(matches!(error, LockError::TooManyWaiters), "{error:?}");
        assert!(error.to_string().contains("this lock"), "{error}");
        drop(guards);
    }

    /// Closing ends every wait, and frees every place.
    pub(crate) async fn is_freed_by_closing(&self, most: usize) {
        let guards = self.held(most).await;
        let mut tasks = JoinSet::new();
        for number in 0..most {
            let lock = self.lock(number);
            tasks.spawn(async move { lock.acquire().await });
        }
        self.until_waiting(most).await;
        self.waits.close().await;
        while let Some(ended) = timeout(LIMIT, tasks.join_next()).await.unwrap() {
            assert!(matches!(ended.unwrap(), Err(LockError::Closed)));
        }
        assert_eq!((self.waiting)(), 0);
        drop(guards);
    }
}

fn lock(provider: &Arc<dyn DistributedLockProvider>, number: usize) -> DistributedLock {
    provider.create_lock(format!("name-{number}").try_into().unwrap(), LockOptions::default()).unwrap()
}

/// The numbers of a linear congruence, the upper half of each.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
