//! The task that keeps the connection: makes it, sends over it, and replaces it, for as long as its provider lives.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::time::Duration;

use ::redis::RedisError;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};

use super::batch::{Flown, Landed, Way};
use super::channel::Channel;
use super::connect::{Connection, connect};
use super::failure::{Failure, given_up, too_slow, without_secrets};
use super::{Caller, Condition, Link, Outcome};
use crate::observe::connection::ConnectionEvents;
use crate::redis::jitter::jittered;
use crate::redis::script::Publishing;

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
    let Running { link, caller } = &running;
    // Since when there has been no connection, and how often one was tried since.
    let mut since = Instant::now();
    let mut failures = 0_usize;
    // The lack of messages is told once, and not by each connection.
    let mut messages_before = true;
    let mut events = ConnectionEvents::new(&link.settings.server, &link.settings.prefix, &link.inbox);
    loop {
        match attempt(link, caller, failures).await {
            Ok(connection) => {
                *link.condition.lock() = Condition::Up { publishing: connection.publishing };
                let messages = connection.publishing == Publishing::Allowed;
                let told = messages || !std::mem::replace(&mut messages_before, messages);
                events.made(told);
                if link.connected_before.swap(true, SeqCst) {
                    caller.reconnected();
                }
                let up = Instant::now();
                let Some(error) = carry(link, caller, &connection).await else { return };
                let error = without_secrets(&link.settings, error);
                // One that broke at once is as good as one that was not made.
                failures = if up.elapsed() < Duration::from_secs(1) { failures + 1 } else { 0 };
                since = Instant::now();
                let failure = Failure::new(&link.settings, "keeping a connection", error, since);
                events.broke(&failure.reason());
                if failures > 0 {
                    *link.condition.lock() = Condition::Down(failure);
                    pause(link, caller, failures).await;
                } else {
                    *link.condition.lock() = Condition::Broken(failure);
                }
            }
            Err(error) => {
                failures += 1;
                let error = without_secrets(&link.settings, error);
                events.failed(&Failure::new(&link.settings, "connecting", error.clone(), since).reason());
                down(link, "connecting", error, since);
                pause(link, caller, failures).await;
            }
        }
        if link.retired.load(SeqCst) && link.is_empty() {
            return;
        }
    }
}

/// Makes a connection. Whoever asks meanwhile waits for the first attempt, but not for longer than for an answer;
/// during later ones, everybody is told at once (K4).
async fn attempt<C: Caller>(link: &Arc<Link<C>>, caller: &Arc<C>, failures: usize) -> Result<Connection, RedisError> {
    let began = Instant::now();
    let mut patience = Some(began + link.settings.response_timeout).filter(|_| failures == 0);
    let mut connecting = pin!(timeout(link.settings.connect_timeout, connect(link, caller)));
    loop {
        tokio::select! {
            made = &mut connecting => return made.unwrap_or_else(|_| Err(too_slow())),
            () = sleep_until(patience.unwrap_or(began)), if patience.is_some() => {
                patience = None;
                down(link, "connecting", too_slow(), began);
                refuse_all(link, caller);
            }
            () = link.pushed.notified(), if patience.is_none() => refuse_all(link, caller),
        }
    }
}

/// Lets time pass before the next attempt. Whoever asks meanwhile is told at once (K4).
async fn pause<C: Caller>(link: &Arc<Link<C>>, caller: &Arc<C>, failures: usize) {
    let delay = DELAYS.get(failures.saturating_sub(1)).or(DELAYS.last()).copied().unwrap_or_default();
    let until = Instant::now() + jittered(delay);
    loop {
        refuse_all(link, caller);
        if link.retired.load(SeqCst) {
            return;
        }
        tokio::select! {
            () = sleep_until(until) => return,
            () = link.pushed.notified() => {}
        }
    }
}

/// Sends what is pushed, until the connection breaks. `None` once the link is retired and everything is answered.
async fn carry<C: Caller>(link: &Arc<Link<C>>, caller: &Arc<C>, connection: &Connection) -> Option<RedisError> {
    let open = Open::new(link, caller, connection).await;
    loop {
        loop {
            consume_budget().await;
            if !open.send_pushed() {
                break;
            }
        }
        if open.close_if_done() {
            return None;
        }
        tokio::select! {
            biased;
            flown = open.next() => match land(&open, flown).await {
                Landed::Broken(error) => return Some(error),
                Landed::Again(way) => open.change(way),
                Landed::Well => {}
            },
            // Whoever is about to ask as well goes with them.
            () = link.pushed.notified() => yield_now().await,
            () = connection.broken.notified() => {
                // Answers that came before the break are there to be taken; the rest fail by themselves.
                let mut error = None;
                while !open.is_idle()
                    && let Ok(mut flown) = timeout(Duration::from_millis(10), open.next()).await
                {
                    if let Some(Landed::Broken(broken)) = flown.land(usize::MAX) {
                        error = Some(broken);
                    }
                }
                return Some(error.unwrap_or_else(given_up));
            }
        }
    }
}

/// How many outcomes are told at a time.
const PORTION: usize = 16;

/// Gives the calls of a batch their outcomes. After each portion its callers have their turn, and what they ask for next
/// goes out: so that it goes out together, and that the server works on it while the rest of the outcomes is told. Told
/// all at once they would ask all at once, and the server and this process would wait for each other in turns.
async fn land<C: Caller>(open: &Open<'_, C>, mut flown: Flown<C>) -> Landed {
    let alone = flown.len() == 1;
    loop {
        let landed = flown.land(PORTION);
        if !alone {
            yield_now().await;
        }
        if let Some(landed) = landed {
            open.has_landed();
            return landed;
        }
        // Not over a connection that is to be replaced, nor before what is to be sent again (K2).
        if flown.is_well() {
            open.send_pushed();
        }
    }
}

/// The link's channel while it is open. Dropped, it is closed, and what was on its way has an unknown outcome.
struct Open<'a, C: Caller>(&'a Arc<Link<C>>);

impl<'a, C: Caller> Open<'a, C> {
    async fn new(link: &'a Arc<Link<C>>, caller: &Arc<C>, connection: &Connection) -> Self {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        *link.channel.lock() = Some(Channel::new(caller, connection, waker));
        Self(link)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Channel<C>) -> T) -> Option<T> {
        self.0.channel.lock().as_mut().map(look)
    }

    fn send_pushed(&self) -> bool {
        self.with(|channel| channel.send_pushed(self.0)).unwrap_or(false)
    }

    fn has_landed(&self) {
        self.with(Channel::has_landed);
    }

    fn change(&self, way: Way) {
        self.with(|channel| channel.change(way));
    }

    fn is_idle(&self) -> bool {
        self.with(|channel| channel.is_idle()).unwrap_or(true)
    }

    /// The next batch that has its answers. Waits for ever while nothing is on its way.
    ///
    /// # Cancel safety
    ///
    /// Safe: what has not come out stays.
    async fn next(&self) -> Flown<C> {
        poll_fn(|cx| self.with(|channel| channel.poll_next(cx)).unwrap_or(Poll::Pending)).await
    }

    /// Closes the channel if the link is retired and everything is answered, so that nobody sends anything afterwards.
    fn close_if_done(&self) -> bool {
        let mut channel = self.0.channel.lock();
        let done = self.0.retired.load(SeqCst) && self.0.is_empty() && channel.as_ref().is_none_or(Channel::is_idle);
        let closed = channel.take_if(|_| done);
        drop(channel);
        closed.is_some()
    }
}

impl<C: Caller> Drop for Open<'_, C> {
    fn drop(&mut self) {
        let closed = self.0.channel.lock().take();
        // Not under the mutex: whoever hears of an outcome may push.
        drop(closed);
    }
}

fn down<C: Caller>(link: &Link<C>, during: &'static str, error: RedisError, since: Instant) {
    *link.condition.lock() = Condition::Down(Failure::new(&link.settings, during, error, since));
}

/// Tells everybody who has asked that the server is out of reach.
fn refuse_all<C: Caller>(link: &Arc<Link<C>>, caller: &Arc<C>) {
    loop {
        let calls = link.take(usize::MAX);
        if calls.is_empty() {
            return;
        }
        let error = link
            .trouble()
            .unwrap_or_else(|| Failure::new(&link.settings, "connecting", given_up(), Instant::now()).to_error());
        for call in calls {
            link.answer(caller, call, Outcome::NotSent(error.clone()));
        }
    }
}

/// A link that is served. Dropped it is not any more, also if its task ends with its runtime, or never began.
pub(super) struct Running<C: Caller> {
    link: Arc<Link<C>>,
    caller: Arc<C>,
}

impl<C: Caller> Running<C> {
    pub(super) fn new(link: &Arc<Link<C>>, caller: &Arc<C>) -> Self {
        Self { link: Arc::clone(link), caller: Arc::clone(caller) }
    }
}

impl<C: Caller> Drop for Running<C> {
    fn drop(&mut self) {
        *self.link.condition.lock() = Condition::Starting;
        // In this order: whoever pushes and finds the link served afterwards has its call refused here (K1).
        self.link.running.store(false, SeqCst);
        refuse_all(&self.link, &self.caller);
        self.caller.abandoned();
    }
}
