//! Metrics and events.
#![allow(clippy::unwrap_used)]

#[path = "support/log.rs"]
mod log;

use std::time::Duration;

use futures_util::FutureExt;
use log::Log;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use orchestrix_locking::{DistributedLock, LockOptions, Locking};
use tracing::Level;

fn lock() -> DistributedLock {
    let options = LockOptions::default().ttl(Duration::from_millis(10)).auto_renew(false).max_waiters(Some(0));
    Locking::builder().add_in_memory_locking().build().unwrap().lock_with("secret:42", options).unwrap()
}

/// Granted, busy, refused, and lost, all within one thread.
fn tell() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let lock = lock();
        let guard = lock.acquire().await.unwrap();
        assert!(lock.try_acquire(Duration::ZERO).await.unwrap().is_none());
        assert!(lock.acquire().await.is_err());
        tokio::time::advance(Duration::from_millis(20)).await;
        drop(guard);
        let patient = Locking::builder().add_in_memory_locking().build().unwrap().lock("other").unwrap();
        let held = patient.acquire().await.unwrap();
        assert!(patient.acquire().now_or_never().is_none());
        drop(held);
    });
}

#[test]
fn every_acquire_is_counted_once_by_its_outcome() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, tell);
    let mut counts = Vec::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
        assert!(!format!("{key:?}").contains("secret"), "a name in a label would have no bound");
        match value {
            DebugValue::Counter(count) => counts.push((format!("{} {}", key.key().name(), labels.join(",")), count)),
            DebugValue::Histogram(waits) => assert_eq!(waits.len(), 2),
            DebugValue::Gauge(_) => {}
        }
    }
    counts.sort();
    let expected = [
        ("orchestrix_locking_acquires_total busy", 1),
        ("orchestrix_locking_acquires_total cancelled", 1),
        ("orchestrix_locking_acquires_total granted", 2),
        ("orchestrix_locking_acquires_total too_many_waiters", 1),
        ("orchestrix_locking_lost_total ", 1),
    ];
    assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)));
}

#[test]
fn events_name_the_resource_and_the_fencing_token() {
    let log = Log::default();
    tracing::subscriber::with_default(log.subscriber(Level::DEBUG), tell);
    let text = log.text();
    for line in
        ["DEBUG", "lock acquired resource=\"secret:42\" fencing_token=", "lock was lost while it was held", "WARN"]
    {
        assert!(text.contains(line), "{line:?} is missing in:\n{text}");
    }
}

/// A client may choose a name. In an event it is one quoted value: it starts no line, no field and no colour.
#[test]
fn a_name_in_an_event_is_taken_for_nothing_else() {
    let log = Log::default();
    let name = "a\" fencing_token=999 \u{2028}2026-01-01T00:00:00Z ERROR forged \u{202e}\\";
    tracing::subscriber::with_default(log.subscriber(Level::TRACE), || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let locking = Locking::builder().add_in_memory_locking().build().unwrap();
            let lock = locking.lock(name).unwrap();
            let guard = lock.acquire().await.unwrap();
            assert!(lock.try_acquire(Duration::ZERO).await.unwrap().is_none());
            drop(guard);
        });
    });
    let text = log.text();
    assert_eq!(text.lines().count(), 2, "{text}");
    for line in text.lines() {
        assert!(line.contains(&format!("resource={name:?}")), "{line}");
        assert!(!line.contains(['\u{2028}', '\u{202e}']), "{line}");
    }
}

/// A shutdown raises no alert: a guard that was held when its provider closed is counted as closed, and one that was lost before
/// that is a loss.
#[test]
fn closing_is_not_counted_as_loss() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let log = Log::default();
    let subscriber = log.subscriber(Level::INFO);
    let shut_down = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let locking = Locking::builder().add_in_memory_locking().build().unwrap();
            let ends = LockOptions::default().ttl(Duration::from_secs(1)).auto_renew(false);
            let lost = locking.lock_with("lost", ends).unwrap().acquire().await.unwrap();
            tokio::time::advance(Duration::from_secs(2)).await;
            // An unshared lease, a shared one, and one with an end.
            let sole = locking.lock("sole").unwrap().acquire().await.unwrap();
            let shared = locking.lock("shared").unwrap().acquire().await.unwrap();
            let handle = shared.handle();
            let ending = locking.lock_with("ending", ends).unwrap().acquire().await.unwrap();
            locking.close().await;
            handle.lost().await;
            drop((lost, sole, ending));
            assert_eq!(shared.release().await.unwrap(), orchestrix_locking::Release::AlreadyLost);
        });
    };
    metrics::with_local_recorder(&recorder, || tracing::subscriber::with_default(subscriber, shut_down));
    let count =
        |name: &str, counters: &[(String, u64)]| counters.iter().find(|(it, _)| it == name).map(|(_, count)| *count);
    let counters: Vec<_> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .filter_map(|(key, _, _, value)| match value {
            DebugValue::Counter(count) => Some((key.key().name().to_owned(), count)),
            _ => None,
        })
        .collect();
    assert_eq!(count("orchestrix_locking_lost_total", &counters), Some(1));
    assert_eq!(count("orchestrix_locking_closed_total", &counters), Some(3));
    let text = log.text();
    assert_eq!(text.matches("WARN").count(), 1, "{text}");
    assert_eq!(text.matches("lock was held when its provider closed").count(), 3, "{text}");
}
