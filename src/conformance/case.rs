//! [`cases`] and [`conformance_tests!`](crate::conformance_tests): the list of what is tested.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use super::Subject;
use crate::backend::BoxFuture;

/// One promise, and its test.
pub struct Case<S> {
    name: &'static str,
    run: fn(S) -> BoxFuture<'static, ()>,
}

impl<S: Subject> Case<S> {
    #[doc(hidden)]
    pub fn new(name: &'static str, run: fn(S) -> BoxFuture<'static, ()>) -> Self {
        Self { name, run }
    }

    /// The name of the case. Its function has the same name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the case on a fresh subject.
    ///
    /// # Panics
    ///
    /// If the promise is broken.
    pub async fn run(&self, subject: S) {
        with_time_limit((self.run)(subject)).await;
    }
}

impl<S> fmt::Debug for Case<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

/// Runs one case on a runtime of its own with two threads, as a test of
/// [`conformance_tests!`](crate::conformance_tests) does.
///
/// # Panics
///
/// If the promise is broken, or the runtime cannot be made.
pub fn run(case: impl Future<Output = ()>) {
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(with_time_limit(case)),
        Err(error) => panic!("the runtime of the test could not be made: {error}"),
    }
}

/// Without a limit a provider that forgets a waiter would hang the test.
async fn with_time_limit(case: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(Duration::from_secs(60), case).await;
    assert!(ended.is_ok(), "no caller waits for ever: the case has not ended within a minute");
}

/// Every case, as a list.
pub fn cases<S: Subject>() -> Vec<Case<S>> {
    let mut all = crate::__conformance_cases!(exclusive[crate::__conformance_list][S]);
    all.extend(crate::__conformance_cases!(sets[crate::__conformance_list][S]));
    all.extend(crate::__conformance_cases!(shared[crate::__conformance_list][S]));
    all.extend(crate::__conformance_cases!(permits[crate::__conformance_list][S]));
    all.extend(crate::__conformance_cases!(at_least[crate::__conformance_list][S]));
    all
}

/// Makes one test for each case of the [`conformance`](crate::conformance) kit.
///
/// It takes an expression whose value is a [`Subject`]. The expression is evaluated once per test, inside a tokio runtime and
/// in an async block, so it may use `.await`.
///
/// After the subject it may name groups, of which the tests are made: `exclusive`, `sets`, `shared`, `permits`,
/// `at_least`. All of them by default. Those that the provider does not support pass and prove nothing.
///
/// # Examples
///
/// See the [module](crate::conformance).
#[macro_export]
macro_rules! conformance_tests {
    ($subject:expr) => {
        $crate::conformance_tests!($subject, exclusive, sets, shared, permits, at_least);
    };
    ($subject:expr, $($group:ident),+ $(,)?) => {
        $crate::__conformance_groups!([$subject] $($group)+);
    };
}

/// The tests of each group.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_groups {
    ([$subject:expr]) => {};
    ([$subject:expr] $group:ident $($others:ident)*) => {
        $crate::__conformance_cases!($group [$crate::__conformance_tests][$subject]);
        $crate::__conformance_groups!([$subject] $($others)*);
    };
}

/// One test for each case.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ([$subject:expr] $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::run(async { $crate::conformance::$case($subject).await });
            }
        )*
    };
}

/// One element of a list for each case.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_list {
    ([$subject:ty] $($case:ident)*) => {
        vec![$($crate::conformance::Case::new(stringify!($case), |subject: $subject| {
            Box::pin($crate::conformance::$case(subject))
        })),*]
    };
}

/// Passes the list of the cases of a group to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    (exclusive [$($then:tt)*] [$($with:tt)*]) => {
        $($then)*! {
            [$($with)*]
            exclusion
            names_are_independent
            names_are_case_sensitive
            reacquire_after_release
            another_provider_is_excluded

            zero_timeout_does_not_wait
            short_timeout_is_kept
            longest_timeout_waits
            release_ends_a_wait

            waiters_are_served_in_order
            cancelled_waiters_keep_the_order
            newcomers_do_not_overtake
            next_in_line_dies
            dead_waiters_are_passed_over
            holder_expires_with_waiters

            cancelled_before_the_wait
            cancelled_during_the_wait
            cancelled_when_just_granted
            cancelled_at_every_await_point
            cancelled_after_its_lease_ended
            cancelled_release_goes_on

            release_after_expiry_leaves_the_next_holder
            extend_after_expiry_does_not_revive
            extend_after_expiry_leaves_the_next_holder
            expired_before_the_waiter_looked

            extend_past_the_first_ttl
            extend_to_shorter
            extend_to_shorter_wakes_a_waiter
            auto_renew_outlives_several_ttls
            max_hold_ends_as_loss
            extend_past_max_hold_is_refused

            loss_is_signalled_in_time
            loss_is_final
            loss_is_never_signalled_on_release
            loss_before_it_is_asked_for
            handles_after_release

            fences_rise_over_releases
            fences_rise_over_expiry
            fences_rise_over_abandonment
            fences_rise_along_a_queue
            fences_rise_over_a_restart

            bad_names_are_refused
            bad_options_are_refused
            waiters_are_limited
            no_caller_waits_with_a_limit_of_zero

            uncontended_cycle_keeps_its_budget
            hand_over_keeps_its_budget

            guard_dropped_without_a_runtime
            acquire_without_a_runtime_is_an_error
            closed_with_locks_held
            closed_with_waiters
        }
    };
    (sets [$($then:tt)*] [$($with:tt)*]) => {
        $($then)*! {
            [$($with)*]
            sets_are_all_or_nothing
            sets_that_wait_hold_what_comes_before
            sets_never_deadlock
        }
    };
    (shared [$($then:tt)*] [$($with:tt)*]) => {
        $($then)*! {
            [$($with)*]
            readers_hold_together
            writers_do_not_starve
            readers_do_not_starve
            neighbouring_readers_are_granted_together
            fences_rise_from_phase_to_phase
            dead_reader_is_not_kept_by_others
            expired_reader_is_not_revived
            last_readers_leave_at_once
            cancelled_writer_lets_readers_in
            cancelled_reader_hands_over
            readers_follow_an_expired_writer
            upgrades_are_not_granted
            closed_with_readers
        }
    };
    (permits [$($then:tt)*] [$($with:tt)*]) => {
        $($then)*! {
            [$($with)*]
            as_many_hold_as_there_are_permits
            permits_exclude_an_exclusive_holder
            no_number_is_given_twice
            two_permits_come_back_at_once
            dead_holder_gives_its_permit_back
            late_holder_gives_nothing_back
            tries_do_not_overtake_for_a_permit
            each_is_judged_by_its_own_number
            cancelled_permit_is_handed_over
            permits_are_extended
            bad_numbers_of_permits_are_refused
            closed_with_permits
        }
    };
    (at_least [$($then:tt)*] [$($with:tt)*]) => {
        $($then)*! {
            [$($with)*]
            released_lock_is_kept
            dropped_lock_is_kept
            lock_held_longer_is_free_at_once
            lost_lock_is_not_kept
            cancelled_acquire_keeps_nothing
            at_most_once_per_interval
            reader_is_kept
            permit_is_kept
            bad_least_times_are_refused
        }
    };
}
