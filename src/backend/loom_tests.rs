//! Renewal, expiry, release and loss of one lease at the same time, in every interleaving.
//!
//! The models have one [`LeaseState`] and nothing around it. Where time passes, a thread advances the model's clock;
//! elsewhere it stands still. All interleavings are explored, except in the two models that state a bound.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use loom::thread;
use tokio::time::Instant;

use super::{LeaseState, LeaseStatus, Release, Term};
use crate::sync::modelled::Depth::{Bounded, Complete};
use crate::sync::modelled::{advance, explore, explore_in_time};
use crate::sync::{now, sleep_until};
use crate::{FencingToken, Resource};

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(10);

/// Wakes a modelled thread.
struct Alarm(loom::sync::Notify);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

fn lease(granted: Instant, length: Duration) -> Arc<LeaseState> {
    let resource = Resource::try_from("name").unwrap();
    Arc::new(LeaseState::held(resource, FencingToken::new(7).unwrap(), Term::new(granted, length)))
}

fn beside<T: Send + 'static>(
    lease: &Arc<LeaseState>,
    run: impl FnOnce(&LeaseState) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let lease = Arc::clone(lease);
    thread::spawn(move || run(&lease))
}

/// A renewal and a loss: whichever is first, the lease ends lost (L2).
#[test]
fn loom_renew_and_lose() {
    explore(Complete, || {
        let now = now();
        let lease = lease(now, HOUR);
        let losing = beside(&lease, move |lease| lease.lose(now));
        lease.renew(now, now, 2 * HOUR);
        assert!(losing.join().unwrap(), "no other thread ends it");
        assert_eq!(lease.status(), LeaseStatus::Lost, "a renewal revived a lost lease");
        assert!(!lease.renew(now, now, HOUR), "a lost lease was renewed");
    });
}

/// A release and a loss: exactly one succeeds, and the other reports that.
#[test]
fn loom_release_and_lose() {
    explore(Complete, || {
        let now = now();
        let lease = lease(now, HOUR);
        let losing = beside(&lease, move |lease| lease.lose(now));
        let released = lease.release() == Release::Released;
        let lost = losing.join().unwrap();
        assert!(released != lost, "exactly one ends a lease");
        assert_eq!(lease.status(), if released { LeaseStatus::Released } else { LeaseStatus::Lost });
    });
}

/// A renewal that was sent in time, and whose reply arrives while another thread finds that the lease has ended. If
/// that thread read "lost", the loss is final and the renewal fails (L3). If the renewal was first, no thread reads
/// "lost".
#[test]
fn loom_renew_and_expiry() {
    static RENEWED: AtomicUsize = AtomicUsize::new(0);
    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    explore_in_time(Complete, || {
        let granted = now();
        let lease = lease(granted, SHORT);
        let reading = beside(&lease, |lease| {
            advance(SHORT);
            lease.is_held()
        });
        let renewed = lease.renew(granted, granted, HOUR);
        let read_held = reading.join().unwrap();
        assert_eq!(read_held, renewed, "read as lost, and renewed; or read as held, and not renewed");
        assert_eq!(lease.status() == LeaseStatus::Lost, !renewed);
        assert!(lease.is_held() == renewed);
        if renewed { &RENEWED } else { &REFUSED }.fetch_add(1, Relaxed);
    });
    assert!(RENEWED.load(Relaxed) > 0 && REFUSED.load(Relaxed) > 0, "both can be first");
}

/// A release at the end of the lease, with a thread that reads the status: once it has read "lost" or "released", that
/// is how the lease ended.
#[test]
fn loom_release_and_expiry() {
    explore_in_time(Complete, || {
        let lease = lease(now(), SHORT);
        let passing = beside(&lease, |_| advance(SHORT));
        let reading = beside(&lease, |lease| (lease.is_held(), lease.status()));
        let release = lease.release();
        passing.join().unwrap();
        let (held, standing) = reading.join().unwrap();
        let expected = if release == Release::Released { LeaseStatus::Released } else { LeaseStatus::Lost };
        assert_eq!(lease.status(), expected);
        assert!(held || !matches!(standing, LeaseStatus::Held(_)), "a lease came back");
        assert!(standing != LeaseStatus::Lost || release == Release::AlreadyLost, "lost, and then released");
        assert!(standing != LeaseStatus::Released || release == Release::Released, "released, and then lost");
    });
}

/// A renewal, a release and the end of the lease: exactly one of release and loss, and no renewal after either.
#[test]
fn loom_renew_release_and_expiry() {
    explore_in_time(Bounded(4), || {
        let granted = now();
        let lease = lease(granted, SHORT);
        let passing = beside(&lease, |_| advance(SHORT));
        let releasing = beside(&lease, LeaseState::release);
        let asked = now();
        let renewed = lease.renew(now(), asked, SHORT);
        passing.join().unwrap();
        let released = releasing.join().unwrap() == Release::Released;
        assert_eq!(lease.status() == LeaseStatus::Released, released);
        assert!(!lease.is_held(), "released or lost");
        assert!(renewed || released || lease.status() == LeaseStatus::Lost);
        assert!(!lease.renew(now(), now(), HOUR), "an ended lease was renewed (L2)");
    });
}

/// A lease that is shortened while a task watches it, and that then ends: the watcher is woken, by the change or by its
/// own timer (L4).
#[test]
fn loom_a_watcher_hears_of_an_earlier_end() {
    explore_in_time(Bounded(4), || {
        let granted = now();
        let lease = lease(granted, HOUR);
        let shortening = beside(&lease, move |lease| {
            assert!(lease.renew(granted, granted, SHORT));
            advance(SHORT);
        });
        let alarm = Arc::new(Alarm(loom::sync::Notify::new()));
        let waker = Waker::from(Arc::clone(&alarm));
        let mut cx = Context::from_waker(&waker);
        let mut watcher = None;
        loop {
            match lease.watch(&cx, &mut watcher) {
                LeaseStatus::Lost => break,
                LeaseStatus::Held(Some(ends)) => {
                    if std::pin::pin!(sleep_until(ends)).poll(&mut cx).is_pending() {
                        alarm.0.wait();
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        shortening.join().unwrap();
    });
}

/// A renewal and a release: a released lease stays released, and is never lost.
#[test]
fn loom_renew_and_release() {
    explore(Complete, || {
        let now = now();
        let lease = lease(now, HOUR);
        let releasing = beside(&lease, LeaseState::release);
        lease.renew(now, now, 2 * HOUR);
        assert_eq!(releasing.join().unwrap(), Release::Released);
        assert_eq!(lease.status(), LeaseStatus::Released, "a renewal revived a released lease");
    });
}

/// A grant and a loss (the provider is closed): the lease ends lost, and its fence is 0 or the granted one.
#[test]
fn loom_grant_and_lose() {
    explore(Complete, || {
        let now = now();
        let lease = Arc::new(LeaseState::pending(Resource::try_from("name").unwrap()));
        let losing = beside(&lease, move |lease| lease.lose(now));
        let granted = lease.grant(FencingToken::new(7).unwrap(), Term::new(now, HOUR));
        assert!(losing.join().unwrap());
        assert_eq!(lease.status(), LeaseStatus::Lost);
        assert!(!granted || lease.fencing_token().get() == 7);
        assert!(!lease.grant(FencingToken::new(8).unwrap(), Term::new(now, HOUR)), "a lease is granted once (L1)");
    });
}

/// A thread that reads that a lease is held also reads the fence of its grant (L1).
#[test]
fn loom_grant_publishes_the_fence() {
    explore(Complete, || {
        let now = now();
        let lease = Arc::new(LeaseState::pending(Resource::try_from("name").unwrap()));
        let reading = beside(&lease, |lease| lease.is_held().then(|| lease.fencing_token().get()));
        lease.grant(FencingToken::new(7).unwrap(), Term::new(now, HOUR));
        assert!(matches!(reading.join().unwrap(), None | Some(7)), "held, with another fence");
    });
}

/// Three at once: renewal, release and loss.
#[test]
fn loom_renew_release_and_lose() {
    explore(Complete, || {
        let now = now();
        let lease = lease(now, HOUR);
        let losing = beside(&lease, move |lease| lease.lose(now));
        let releasing = beside(&lease, |lease| lease.release() == Release::Released);
        lease.renew(now, now, 2 * HOUR);
        let (lost, released) = (losing.join().unwrap(), releasing.join().unwrap());
        assert!(released != lost, "exactly one ends a lease");
        assert_eq!(lease.status(), if released { LeaseStatus::Released } else { LeaseStatus::Lost });
    });
}

/// A watcher is woken by a loss, or reads it when it registers (L4).
#[test]
fn loom_a_watcher_hears_of_a_loss() {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    struct Heard(AtomicBool);
    impl Wake for Heard {
        fn wake(self: Arc<Self>) {
            self.0.store(true, SeqCst);
        }
    }
    explore(Complete, || {
        let now = now();
        let lease = lease(now, HOUR);
        let losing = beside(&lease, move |lease| lease.lose(now));
        let heard = Arc::new(Heard(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&heard));
        let mut watcher = None;
        let seen = lease.watch(&Context::from_waker(&waker), &mut watcher);
        assert!(losing.join().unwrap());
        assert!(seen == LeaseStatus::Lost || heard.0.load(SeqCst), "a watcher was not woken by a loss");
    });
}
