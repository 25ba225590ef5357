//! The task that keeps the connection: makes it, sends over it, and replaces it, for as long as its provider lives.

use std::pin::pin;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use ::redis::RedisError;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};

use super::batch::{BatchResult, CompletedBatch, SendMode};
use super::connect::{ReadyConnection, connect};
use super::failure::{Failure, given_up, too_slow, without_secrets};
use super::open::Open;
use super::running::Running;
use super::{Caller, Condition};
use crate::redis::jitter::jittered;
use crate::redis::protocol::Publishing;
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

/// Serves the link until it is retired.
pub(super) async fn supervise<C: Caller>(running: Running<C>) {
    let Running { connection, caller, .. } = &running;
    // Since when there has been no connection, and how often one was tried since.
    let mut since = Instant::now();
    let mut failures = 0_usize;
    // The lack of messages is told once, and not by each connection.
    let mut messages_before = true;
    let settings = &connection.settings;
    let mut events =
        ConnectionEvents::new(&settings.server, &settings.prefix, &connection.inbox, settings.response_timeout);
    loop {
        match attempt(&running, failures).await {
            Ok(ready) => {
                running.set(Condition::Up { publishing: ready.publishing });
                let messages = ready.publishing == Publishing::Allowed;
                let told = messages || !std::mem::replace(&mut messages_before, messages);
                events.made(told);
                if connection.connected_before.swap(true, SeqCst) {
                    caller.reconnected();
                }
                let up = Instant::now();
                let mut worked = false;
                let carried = carry(&running, &ready, &mut worked).await;
                ready.signals.end();
                let Some(error) = carried else { return running.done() };
                let error = without_secrets(&connection.settings, error);
                // One that broke at once is as good as one that was not made.
                let at_once = !worked && up.elapsed() < Duration::from_secs(1);
                failures = if at_once { failures + 1 } else { 0 };
                since = Instant::now();
                let failure = Failure::new(&connection.settings, "keeping a ready", error, since);
                events.broke(&failure.reason());
                // Who asks meanwhile waits for the next one, also while that is put off (K4).
                running.set(Condition::Broken(failure));
            }
            Err(error) => {
                failures += 1;
                let error = without_secrets(&connection.settings, error);
                let failure = Failure::new(&connection.settings, "connecting", error, since);
                events.failed(&failure.reason());
                // One that was accepted, and closed before it was ready, is as one that broke: the next may do.
                let may_do = failures == 1 && failure.is_cut_off();
                running.set(if may_do { Condition::Broken(failure) } else { Condition::Down(failure) });
            }
        }
        if failures > 0 {
            pause(&running, failures).await;
        }
        if running.is_over() {
            return running.done();
        }
    }
}

/// Makes a connection. Whoever asks meanwhile waits for the first attempt, but not for longer than for an answer;
/// during later ones, each call that is not to wait for the server fails at once (K4).
async fn attempt<C: Caller>(running: &Running<C>, failures: usize) -> Result<ReadyConnection, RedisError> {
    let connection = &running.connection;
    let began = Instant::now();
    let mut on_failure = Some(began + connection.settings.response_timeout).filter(|_| failures == 0);
    let mut late = None;
    let mut connecting = pin!(timeout(connection.settings.connect_timeout, connect(connection, &running.caller)));
    loop {
        tokio::select! {
            made = &mut connecting => return made.unwrap_or_else(|_| Err(too_slow())),
            () = sleep_until(on_failure.unwrap_or(began)), if on_failure.is_some() => {
                on_failure = None;
                down(running, "connecting", too_slow(), began);
                late = running.refuse();
            }
            () = connection.pushed.notified(), if on_failure.is_none() => late = running.refuse(),
            () = sleep_until(late.unwrap_or(began)), if late.is_some() => late = running.refuse(),
        }
    }
}

/// Lets time pass before the next attempt. A call that is made meanwhile fails at once, or waits for that attempt (K4).
async fn pause<C: Caller>(running: &Running<C>, failures: usize) {
    let delay = DELAYS.get(failures.saturating_sub(1)).or(DELAYS.last()).copied().unwrap_or_default();
    // Several attempts within the time for which a call waits at least.
    let delay = delay.min(running.connection.settings.response_timeout / 4);
    let until = Instant::now() + jittered(delay);
    loop {
        let late = running.refuse();
        if running.is_over() {
            return;
        }
        tokio::select! {
            () = sleep_until(until) => return,
            () = sleep_until(late.unwrap_or(until)), if late.is_some() => {}
            () = running.connection.pushed.notified() => {}
        }
    }
}

/// How long the answers of other batches are waited for when the connection is to be replaced.
const REST: Duration = Duration::from_millis(10);

/// Sends what is pushed, until the connection breaks. `None` once the link is retired and everything is answered. Notes
/// whether anything was answered well.
async fn carry<C: Caller>(running: &Running<C>, ready: &ReadyConnection, worked: &mut bool) -> Option<RedisError> {
    let connection = &running.connection;
    let open = Open::new(running, ready).await;
    loop {
        loop {
            consume_budget().await;
            if !open.send_pushed() {
                break;
            }
        }
        if open.close_if(|| running.is_over()) {
            return None;
        }
        tokio::select! {
            biased;
            completed = open.next() => match dispatch_replies(&open, completed).await {
                BatchResult::Broken(error) => {
                    take_the_rest(&open).await;
                    connection.silent.store(error.is_timeout(), SeqCst);
                    drop(open);
                    connection.silent.store(false, SeqCst);
                    return Some(error);
                }
                // What is sent again goes out in the next turn, in the way that was noted.
                BatchResult::Again(_) => {}
                BatchResult::Well => *worked = true,
            },
            // Whoever is about to ask as well goes with them.
            () = connection.pushed.notified() => yield_now().await,
            () = ready.signals.broken() => return Some(take_the_rest(&open).await.unwrap_or_else(given_up)),
        }
    }
}

/// Answers that came before the break are there to be taken, and those of other batches on their way; the rest fail by
/// themselves. Why the connection is not to be used any more, if a batch says it.
async fn take_the_rest<C: Caller>(open: &Open<'_, C>) -> Option<RedisError> {
    let mut error = None;
    while !open.is_idle()
        && let Ok(mut completed) = timeout(REST, open.next()).await
    {
        if let Some(BatchResult::Broken(broken)) = completed.dispatch_replies(usize::MAX) {
            error = Some(broken);
        }
    }
    error
}

/// How many outcomes are told at a time.
const PORTION: usize = 16;

/// Gives the calls of a batch their outcomes. After each portion its callers have their turn, and what they ask for next
/// goes out: so that it goes out together, and that the server works on it while the rest of the outcomes is told. Redacted
/// all at once they would ask all at once, and the server and this process would wait for each other in turns.
async fn dispatch_replies<C: Caller>(open: &Open<'_, C>, mut completed: CompletedBatch<C>) -> BatchResult {
    let alone = completed.len() == 1;
    loop {
        let result = completed.dispatch_replies(PORTION);
        if let Some(result) = result {
            if !alone {
                yield_now().await;
            }
            // A caller's flush sends nothing over a connection that is to be replaced. It also must not send what is to be
            // sent again in the old way, so that the way changes in the same step.
            match result {
                BatchResult::Broken(_) => {}
                BatchResult::Again(way) => open.end_dispatch(way),
                BatchResult::Well => open.end_dispatch(SendMode::default()),
            }
            return result;
        }
        open.keep(completed);
        yield_now().await;
        completed = match open.take_kept() {
            Some(kept) => kept,
            // Deposed meanwhile: they were told.
            None => return BatchResult::Broken(given_up()),
        };
        // Not over a connection that is to be replaced, nor before what is to be sent again (K2).
        if completed.is_well() {
            open.send_pushed();
        }
    }
}

fn down<C: Caller>(running: &Running<C>, during: &'static str, error: RedisError, since: Instant) {
    running.set(Condition::Down(Failure::new(&running.connection.settings, during, error, since)));
}
