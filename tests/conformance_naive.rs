//! The conformance kit on a naive provider, and on wrong ones, which it has to notice.
#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used)]

#[path = "naive/mod.rs"]
mod naive;

use naive::{Fault, Naive};
use orchestrix_locking::conformance::{Case, cases};

orchestrix_locking::conformance_tests!(Naive::with(Fault::None));

/// Runs every case on a provider with this fault, and returns the names of those that fail: all at once, and once
/// more where one failed. A broken promise is broken again; a moment in which the machine was too busy for a
/// time to be kept is not.
async fn caught(fault: Fault) -> Vec<&'static str> {
    let all: Vec<_> = cases::<Naive>().iter().map(Case::name).collect();
    let failed = failing(fault, &all).await;
    failing(fault, &failed).await
}

/// Runs these cases at the same time, and returns the names of those that fail.
async fn failing(fault: Fault, names: &[&'static str]) -> Vec<&'static str> {
    let running: Vec<_> = cases::<Naive>()
        .into_iter()
        .filter(|case| names.contains(&case.name()))
        .map(|case| (case.name(), tokio::spawn(async move { case.run(Naive::with(fault)).await })))
        .collect();
    let mut failed = Vec::new();
    for (name, task) in running {
        if task.await.is_err_and(|error| error.is_panic()) {
            failed.push(name);
        }
    }
    failed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extension_without_an_owner_check_is_caught() {
    let failed = caught(Fault::ExtendRevives).await;
    assert_eq!(failed, ["extend_after_expiry_does_not_revive", "extend_after_expiry_leaves_the_next_holder"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_waiter_that_stays_is_caught() {
    let failed = caught(Fault::CancelledWaiterStays).await;
    assert_eq!(
        failed,
        [
            "short_timeout_is_kept",
            "cancelled_waiters_keep_the_order",
            "next_in_line_dies",
            "cancelled_during_the_wait",
            "cancelled_when_just_granted",
            "cancelled_at_every_await_point",
            "fences_rise_over_abandonment",
            "waiters_are_limited",
            "sets_are_all_or_nothing",
            "sets_that_wait_hold_what_comes_before"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serving_the_last_first_is_caught() {
    let failed = caught(Fault::LastComeFirstServed).await;
    assert_eq!(
        failed,
        [
            "waiters_are_served_in_order",
            "cancelled_waiters_keep_the_order",
            "dead_waiters_are_passed_over",
            "holder_expires_with_waiters",
            "fences_rise_along_a_queue",
            "waiters_are_limited",
            "hand_over_keeps_its_budget"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_constant_fence_is_caught() {
    let failed = caught(Fault::ConstantFence).await;
    assert_eq!(
        failed,
        [
            "another_provider_is_excluded",
            "fences_rise_over_releases",
            "fences_rise_over_expiry",
            "fences_rise_over_abandonment",
            "fences_rise_along_a_queue",
            "fences_rise_over_a_restart",
            "sets_are_all_or_nothing"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flag_for_the_clock_is_caught() {
    let failed = caught(Fault::FlagForClock).await;
    assert_eq!(
        failed,
        [
            "holder_expires_with_waiters",
            "release_after_expiry_leaves_the_next_holder",
            "extend_after_expiry_leaves_the_next_holder",
            "extend_to_shorter_wakes_a_waiter",
            "loss_is_signalled_in_time",
            "loss_before_it_is_asked_for"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_shares_nothing_is_caught() {
    let failed = caught(Fault::WorldOfItsOwn).await;
    assert_eq!(failed, ["another_provider_is_excluded", "hand_over_keeps_its_budget"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_waiter_that_stays_is_caught() {
    let failed = caught(Fault::DeadWaiterStays).await;
    assert_eq!(failed, ["dead_waiters_are_passed_over", "cancelled_after_its_lease_ended"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_that_begins_anew_is_caught() {
    assert_eq!(caught(Fault::FenceBeginsAnew).await, ["fences_rise_over_a_restart"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_before_each_acquire_is_caught() {
    assert_eq!(caught(Fault::AsksBeforeItAsks).await, ["uncontended_cycle_keeps_its_budget"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_wakes_all_waiters_is_caught() {
    assert_eq!(caught(Fault::WakesAllWaiters).await, ["hand_over_keeps_its_budget"]);
}
