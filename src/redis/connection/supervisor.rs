//! The task that drives the connection: makes it, sends over it, and replaces it, for as long as its provider lives.

use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use ::redis::RedisError;
use tokio::runtime::Handle;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};

use super::batch::SendMode;
use super::cluster_supervisor::supervise_cluster;
use super::completed_batch::{BatchResult, CompletedBatch};
use super::connect::{Connected, ReadyConnection, connect};
use super::failure::{CONNECTING, Failure, connection_closed, timed_out};
use super::sender_guard::SenderGuard;
use super::shared::Shared;
use super::supervisor_guard::SupervisorGuard;
use super::{Caller, Condition, Connection, WatchedTask};
use crate::redis::connection_string::{Server, Servers};
use crate::redis::discovery::switch;
use crate::redis::jitter::jittered;
use crate::telemetry::connection::ConnectionEvents;

/// How long the next attempt to connect is put off, after the first, second, … that failed; jittered.
const DELAYS: [Duration; 6] = [
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
];

/// A connection that breaks sooner than this without a reply counts as an attempt that failed.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);

impl<C: Caller> Connection<C> {
    /// Sees to it that a task drives the connection: in the present runtime, if there is one and no task does.
    ///
    /// Not under a mutex that a reply needs: if the runtime is ending, the calls in the queue get their replies here.
    pub(in crate::redis) fn ensure_driven(self: &Arc<Self>, caller: &Arc<C>) {
        if self.task.is_taken() || self.retired.load(SeqCst) && self.is_queue_empty() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let Some(generation) = self.task.claim(&runtime) else { return };
        let (connection, caller, finished) = (Arc::clone(self), Arc::clone(caller), AtomicBool::new(false));
        let guard = SupervisorGuard { connection, caller, generation, finished };
        runtime.spawn(WatchedTask::new(&self.task, generation, supervise(guard)));
    }
}

/// Drives the connection until it is retired.
async fn supervise<C: Caller>(guard: SupervisorGuard<C>) {
    let SupervisorGuard { connection, caller, .. } = &guard;
    let settings = &connection.settings;
    // Since when there has been no connection, and how many attempts have failed since.
    let (mut since, mut failures) = (Instant::now(), 0_usize);
    // That notifications are not permitted is logged once, and not for each connection.
    let mut permitted_before = true;
    let mut events =
        ConnectionEvents::new(&settings.server, &settings.prefix, &connection.inbox, settings.response_timeout);
    loop {
        if connection.is_cluster.load(SeqCst) {
            supervise_cluster(&guard, &mut events).await;
            return guard.finish();
        }
        if connection.left.load(SeqCst) {
            guard.redirect_queue();
            return guard.finish();
        }
        match attempt(&guard, failures, since).await {
            Ok(Connected::Cluster) => connection.is_cluster.store(true, SeqCst),
            Ok(Connected::Server(ready)) => {
                let node = ready.primary.as_ref().map(|primary| primary.server.clone());
                connection.node.lock().clone_from(&node);
                guard.set_condition(Condition::Up { publishing: ready.publishing });
                let refusal = connection.facts.lock().refusal.clone();
                let is_new = refusal.is_some() && std::mem::replace(&mut permitted_before, refusal.is_none());
                let refusal = refusal.as_ref().filter(|_| is_new).map(|refusal| refusal as &dyn Display);
                events.made(refusal, node.as_ref().map(|node| node as &dyn Display));
                if connection.connected_before.swap(true, SeqCst) {
                    caller.reconnected(connection.number);
                }
                let up = Instant::now();
                let mut worked = false;
                let ended = exchange(&guard, &ready, &mut worked).await;
                ready.signals.end();
                let Some(error) = ended else { return guard.finish() };
                let at_once = !worked && up.elapsed() < SHORTEST_LIFE;
                failures = if at_once { failures + 1 } else { 0 };
                since = Instant::now();
                let failure = connection.failure("keeping a connection", error).without_connection_since(since);
                events.broke(&failure.reason());
                // Calls wait for the next connection, also while the attempt is put off (K4).
                guard.set_condition(Condition::Broken(failure));
                lost(&guard);
            }
            Err(error) => {
                failures += 1;
                let failure = Failure::new(settings, CONNECTING, error).without_connection_since(since);
                events.failed(&failure.reason());
                // A first connection that was accepted and closed before it was ready is like one that broke: the next
                // attempt is likely to succeed.
                let may_succeed = failures == 1 && failure.is_cut_off();
                guard.set_condition(if may_succeed {
                    Condition::Broken(failure)
                } else {
                    guard.outage(failure, since)
                });
                lost(&guard);
            }
        }
        if failures > 0 {
            pause(&guard, failures).await;
        }
        if guard.has_nothing_left() {
            return guard.finish();
        }
    }
}

/// Another node of the cluster may be about to take the place of this one.
fn lost<C: Caller>(guard: &SupervisorGuard<C>) {
    if guard.connection.in_cluster {
        guard.caller.lost_node();
    }
}

/// Makes a connection. Calls wait for it if there was one not long ago, and otherwise for the first attempt, but not for
/// longer than for a reply; after that each call that is not to wait for the server fails at once (K4).
async fn attempt<C: Caller>(
    guard: &SupervisorGuard<C>,
    failures: usize,
    since: Instant,
) -> Result<Connected, RedisError> {
    let connection = &guard.connection;
    let settings = &connection.settings;
    let began = Instant::now();
    let mut unreachable_at = Some(began + settings.response_timeout).filter(|_| failures == 0);
    let mut overdue_at = guard.fail_waiting_calls();
    let mut connecting = pin!(timeout(settings.connect_timeout, connect(connection, &guard.caller)));
    loop {
        tokio::select! {
            made = &mut connecting => return made.unwrap_or_else(|_| Err(timed_out())),
            () = sleep_until(unreachable_at.unwrap_or(began)), if unreachable_at.is_some() => {
                unreachable_at = None;
                let failure = Failure::new(settings, CONNECTING, timed_out()).without_connection_since(since);
                guard.set_condition(guard.outage(failure, since));
                overdue_at = guard.fail_waiting_calls();
            }
            () = connection.wake_supervisor.notified() => overdue_at = guard.fail_waiting_calls(),
            () = sleep_until(overdue_at.unwrap_or(began)), if overdue_at.is_some() => {
                overdue_at = guard.fail_waiting_calls();
            }
        }
    }
}

/// Puts the next attempt off. A call that is made meanwhile fails at once, or waits for that attempt (K4).
async fn pause<C: Caller>(guard: &SupervisorGuard<C>, failures: usize) {
    let delay = DELAYS.get(failures.saturating_sub(1)).or(DELAYS.last()).copied().unwrap_or_default();
    // There are several attempts in the shortest time for which a call waits.
    let delay = delay.min(guard.connection.settings.response_timeout / 4);
    let until = Instant::now() + jittered(delay);
    loop {
        let overdue_at = guard.fail_waiting_calls();
        if guard.has_nothing_left() {
            return;
        }
        tokio::select! {
            () = sleep_until(until) => return,
            () = sleep_until(overdue_at.unwrap_or(until)), if overdue_at.is_some() => {}
            () = guard.connection.wake_supervisor.notified() => {}
        }
    }
}

/// Sends what is enqueued and delivers the replies, until the connection breaks: then it returns why. `None` once the
/// connection is retired and every call has its reply. Notes whether any batch came back.
async fn exchange<C: Caller>(
    guard: &SupervisorGuard<C>,
    ready: &ReadyConnection,
    worked: &mut bool,
) -> Option<RedisError> {
    let connection = &guard.connection;
    let sender = SenderGuard::open(guard, ready).await;
    let mut switched = pin!(switched(connection, ready));
    loop {
        loop {
            consume_budget().await;
            if !sender.send_queued() {
                break;
            }
        }
        if sender.close_if(|| guard.has_nothing_left()) {
            return None;
        }
        tokio::select! {
            biased;
            completed = sender.next_completed() => match deliver_in_portions(&sender, completed).await {
                BatchResult::Broken(error) => {
                    deliver_the_rest(&sender).await;
                    // The drop of the sender ends the calls in flight, with an error that depends on this.
                    connection.silent.store(error.is_timeout(), SeqCst);
                    drop(sender);
                    connection.silent.store(false, SeqCst);
                    return Some(error);
                }
                BatchResult::Resend(_) => {}
                BatchResult::Delivered => *worked = true,
            },
            // Other tasks that are about to make a call have their turn first, so that their calls are in the same batch.
            () = connection.wake_supervisor.notified() => yield_now().await,
            new = &mut switched => {
                let text = format!("another server is the primary now, {new}");
                let error = RedisError::from(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, text));
                return Some(deliver_the_rest(&sender).await.unwrap_or(error));
            }
            () = ready.signals.broken() => return Some(deliver_the_rest(&sender).await.unwrap_or_else(connection_closed)),
        }
    }
}

/// Waits until Sentinel names another primary, for ever without Sentinel.
async fn switched<C: Caller>(connection: &Shared<C>, ready: &ReadyConnection) -> Server {
    match (&connection.settings.servers, &ready.primary) {
        (Servers::Sentinel(target), Some(primary)) => {
            switch::switched(&connection.sentinels, &connection.settings, target, primary).await
        }
        _ => std::future::pending().await,
    }
}

/// How long the replies to other batches are waited for when the connection is to be replaced.
const WAIT_FOR_THE_REST: Duration = Duration::from_millis(10);

/// Delivers the replies that came before the connection broke, and those of the other batches in flight; the rest fail by
/// themselves. Returns why the connection is not to be used any more, if a batch says it.
async fn deliver_the_rest<C: Caller>(sender: &SenderGuard<'_, C>) -> Option<RedisError> {
    let mut error = None;
    while !sender.is_idle()
        && let Ok(mut completed) = timeout(WAIT_FOR_THE_REST, sender.next_completed()).await
    {
        if let Some(BatchResult::Broken(broken)) = completed.deliver(usize::MAX) {
            error = Some(broken);
        }
    }
    error
}

/// How many replies are delivered at a time.
const PORTION: usize = 16;

/// Delivers the replies of a batch. After each portion the tasks that got them have their turn, and the calls that they make
/// next are sent. So these calls go out together, and the server works on them while the rest of the replies is delivered.
/// If all replies were delivered at once, all tasks would make their calls at once, and the server and this process would
/// wait for each other in turns.
async fn deliver_in_portions<C: Caller>(sender: &SenderGuard<'_, C>, mut completed: CompletedBatch<C>) -> BatchResult {
    let alone = completed.len() == 1;
    loop {
        if let Some(result) = completed.deliver(PORTION) {
            if !alone {
                yield_now().await;
            }
            // A caller's flush sends nothing over a connection that is to be replaced. It also must not send in the old mode
            // what is to be sent again, so that the mode changes in the same step.
            match result {
                BatchResult::Broken(_) => {}
                BatchResult::Resend(mode) => sender.end_delivery(mode),
                BatchResult::Delivered => sender.end_delivery(SendMode::default()),
            }
            return result;
        }
        sender.keep_undelivered(completed);
        yield_now().await;
        completed = match sender.take_undelivered() {
            Some(kept) => kept,
            // Deposed meanwhile: the replies were delivered when the sender was dropped.
            None => return BatchResult::Broken(connection_closed()),
        };
        if completed.allows_sending() {
            sender.send_queued();
        }
    }
}
