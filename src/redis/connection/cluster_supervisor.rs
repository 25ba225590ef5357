//! The task of a cluster: finds out which node serves which slots, and keeps the calls for which no node is known.
//!
//! The connections to the nodes have supervisors of their own. A call that one of them cannot get run comes into the queue of
//! the first connection, which in a cluster has no server: because a node says that another one serves the slot, or that the slot
//! is being moved. This task asks for the map of the slots, and passes it and these calls on.

use std::pin::pin;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::failure::{CONNECTING, Failure, timed_out};
use super::supervisor_guard::SupervisorGuard;
use super::{Caller, Condition};
use crate::redis::jitter::{jittered, widely_jittered};
use crate::redis::protocol::Publishing;
use crate::telemetry::connection::ConnectionEvents;

/// How long the map is not asked for again, after it was asked for once, twice, … in a row; jittered. The first is short since
/// a slot that is being moved is served again after a moment.
const DELAYS: [Duration; 5] = [
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
];

/// After this time without a need for it the delays begin anew.
const CALM: Duration = Duration::from_secs(5);

/// After so many times in a row, about five seconds, a node is out of reach and no other takes its place. Then the map is asked for
/// once a second.
const MANY: usize = 30;

/// After so long without a need for it, or half of that, the map is asked for all the same. A process that makes no call, and is connected to a node
/// that was cut off or frozen, notices in this way that another one has taken its place, and looks its locks up there.
const LONGEST_UNASKED: Duration = Duration::from_secs(30);

/// Keeps the map up to date until the connection is retired.
pub(super) async fn supervise_cluster<C: Caller>(guard: &SupervisorGuard<C>, events: &mut ConnectionEvents<'_>) {
    let SupervisorGuard { connection, caller, .. } = guard;
    let settings = &connection.settings;
    let (mut since, mut in_a_row) = (Instant::now(), 0_usize);
    // Why the calls in the queue wait.
    let mut failure = Failure::new(settings, CONNECTING, timed_out());
    loop {
        let (asked, mut is_complete) = (Instant::now(), false);
        let map = timeout(settings.connect_timeout, connection.cluster_nodes.map(settings));
        let mut is_woken = false;
        let map = fail_overdue_calls_until(guard, &failure, &mut is_woken, map).await;
        match map.unwrap_or_else(|_| Err(timed_out())) {
            Ok(map) => {
                if !connection.connected_before.swap(true, SeqCst) {
                    events.made(None, None);
                }
                guard.set_condition(Condition::Up { publishing: Publishing::Allowed });
                since = Instant::now();
                is_complete = !caller.mapped(map);
                // What is left are calls for slots that no node serves.
                let unserved = ::redis::make_extension_error(
                    "CLUSTERDOWN".to_owned(),
                    Some("no node serves the slot of the name".to_owned()),
                );
                failure = Failure::new(settings, CONNECTING, unserved);
            }
            Err(error) => {
                failure = Failure::new(settings, CONNECTING, error).without_connection_since(since);
                events.failed(&failure.reason());
                guard.set_condition(guard.outage(failure.clone(), since));
                guard.fail_waiting_calls();
            }
        }
        let longest = if in_a_row < MANY { DELAYS.last().copied() } else { Some(Duration::from_secs(1)) };
        let delay = DELAYS.get(in_a_row).copied().or(longest).unwrap_or_default();
        fail_overdue_calls_until(guard, &failure, &mut is_woken, sleep_until(asked + jittered(delay))).await;
        if guard.has_nothing_left() {
            return;
        }
        if is_complete && connection.is_queue_empty() && !is_woken {
            _ = timeout(widely_jittered(LONGEST_UNASKED), connection.wake_supervisor.notified()).await;
            if guard.has_nothing_left() {
                return;
            }
        }
        in_a_row = if asked.elapsed() < CALM { in_a_row + 1 } else { 0 };
    }
}

/// Awaits this, and meanwhile fails the calls in the queue whose time is up. Notes whether the map was asked for since.
async fn fail_overdue_calls_until<C: Caller, T>(
    guard: &SupervisorGuard<C>,
    failure: &Failure,
    is_woken: &mut bool,
    awaited: impl Future<Output = T>,
) -> T {
    let mut awaited = pin!(awaited);
    loop {
        let overdue_at = guard.fail_overdue_calls(failure);
        tokio::select! {
            biased;
            done = &mut awaited => return done,
            () = guard.connection.wake_supervisor.notified() => *is_woken = true,
            () = sleep_until(overdue_at.unwrap_or_else(Instant::now)), if overdue_at.is_some() => {}
        }
    }
}
