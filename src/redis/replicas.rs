//! [`Replicas`]: grants that count only once replicas have them.
//!
//! `WAIT` covers the writes of the connection that sends it, blocks what is sent after it, and does nothing in scripts. So it is
//! sent over another connection: for each grant the lock is read there, which shows that this server has it, then a key is
//! written, and `WAIT` returns once replicas have that key. A replica has everything that was written before it as well.
//!
//! One `WAIT` at a time is sent to a server, for all grants that came since the one before.
//!
//! In a cluster the slot of a lock may move between its grant and the `WAIT`. Then the node that serves the slot since has the
//! grant as well, and is asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{ErrorKind, RedisError, RedisResult, Value};
use parking_lot::Mutex;
use tokio::runtime::{Handle, Id};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::connection::{CONFIRMING, Failure, Redirect, connect_apart, is_redirected, redirect, timed_out};
use super::connection_string::Server;
use super::keys::Keys;
use super::options::Confirmation;
use super::settings::Settings;
use crate::engine::OwnerToken;
use crate::{LockError, LockMode, Resource};

/// How long the key lives that is written for a `WAIT`.
const MARKER_LIFETIME: Duration = Duration::from_secs(60);

/// How soon a node is asked again that did not serve the slot.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// The grants that wait for replicas.
#[derive(Default)]
pub(super) struct Replicas {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Those of each server to which a task sends. The task takes them all at once.
    waiting: HashMap<Server, Waiting>,
    turns: u64,
    /// The connections of the latest tasks, each with the runtime that drives it.
    idle: HashMap<Server, (Id, MultiplexedConnection)>,
}

struct Waiting {
    /// Of the task that is to take them.
    turn: u64,
    grants: Vec<Grant>,
}

struct Grant {
    resource: Resource,
    token: OwnerToken,
    confirmed: oneshot::Sender<Result<(), Unconfirmed>>,
}

/// Why a grant is not confirmed.
#[derive(Debug)]
enum Unconfirmed {
    Failed(LockError),
    /// A node of a cluster does not serve the slot of the name, or not at this moment.
    Redirected {
        to: Redirect,
        error: LockError,
    },
}

/// What one server said: which of the grants it has, and how many replicas have what it has.
struct Round {
    present: Vec<RedisResult<bool>>,
    count: RedisResult<usize>,
}

/// The time of a server's task. Ends when it is dropped, also with its runtime.
struct Turn {
    replicas: Arc<Replicas>,
    server: Server,
    number: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.replicas.end_turn(&self.server, self.number);
    }
}

impl Replicas {
    /// Waits until replicas of the server have the grant, or the time for that is over. `look_up` finds out which server it
    /// is; it is asked again if a node of a cluster does not serve the slot, for as long as a reply may take.
    ///
    /// # Errors
    ///
    /// [`LockError::Unavailable`] if they do not have it, the server does not have it any more, or it cannot be asked;
    /// [`LockError::Backend`] if it refuses.
    ///
    /// # Cancel safety
    ///
    /// Safe: the grant is not waited for any more.
    pub(super) async fn confirm(
        self: Arc<Self>,
        settings: Settings,
        confirmation: Confirmation,
        mut look_up: impl FnMut() -> Option<Server>,
        resource: Resource,
        token: OwnerToken,
    ) -> Result<(), LockError> {
        // The server has just gone.
        let gone = || LockError::unavailable("the lock was granted, and lost before its replicas were asked for");
        let (mut server, mut until) = (look_up().ok_or_else(gone)?, None);
        loop {
            let confirmed = self.confirm_at(&settings, confirmation, &server, &resource, token).await;
            let (to, error) = match confirmed {
                Ok(()) => return Ok(()),
                Err(Unconfirmed::Failed(error)) => return Err(error),
                Err(Unconfirmed::Redirected { to, error }) => (to, error),
            };
            let now = Instant::now();
            if now >= *until.get_or_insert(now + settings.response_timeout) {
                return Err(error);
            }
            server = match to {
                Redirect::Moved { server, .. } => server,
                Redirect::Later => {
                    sleep(RETRY_INTERVAL).await;
                    look_up().ok_or(error)?
                }
            };
        }
    }

    async fn confirm_at(
        self: &Arc<Self>,
        settings: &Settings,
        confirmation: Confirmation,
        server: &Server,
        resource: &Resource,
        token: OwnerToken,
    ) -> Result<(), Unconfirmed> {
        let Ok(runtime) = Handle::try_current() else { return Err(Unconfirmed::Failed(LockError::NoRuntime)) };
        let (confirmed, answer) = oneshot::channel();
        let resource = resource.clone();
        let grant = Grant { resource, token, confirmed };
        let (number, is_first) = self.add(server, grant);
        if is_first {
            let turn = Turn { replicas: Arc::clone(self), server: server.clone(), number };
            runtime.spawn(confirm_all(turn, settings.clone(), confirmation));
        }
        // The round that is under way, and that of this grant. In the caller's runtime: that of the task may not be run.
        match timeout(2 * longest_round(settings, confirmation), answer).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(_)) => {}
            Err(_) => self.end_turn(server, number),
        }
        Err(Unconfirmed::Failed(Failure::new(settings, CONFIRMING, timed_out()).to_error()))
    }

    /// Adds a grant. Returns the number of the turn in which it is confirmed, and whether a task for that is to be started.
    fn add(&self, server: &Server, grant: Grant) -> (u64, bool) {
        let mut inner = self.inner.lock();
        let next = inner.turns + 1;
        let waiting = inner.waiting.entry(server.clone()).or_insert_with(|| Waiting { turn: next, grants: Vec::new() });
        waiting.grants.push(grant);
        let (number, is_first) = (waiting.turn, waiting.turn == next);
        if is_first {
            inner.turns = next;
        }
        (number, is_first)
    }

    /// Takes the grants that wait. `None` if there are none, which ends the turn, or if it has ended.
    fn take(&self, server: &Server, turn: u64) -> Option<Vec<Grant>> {
        let mut inner = self.inner.lock();
        let waiting = inner.waiting.get_mut(server).filter(|waiting| waiting.turn == turn)?;
        let grants = std::mem::take(&mut waiting.grants);
        if grants.is_empty() {
            inner.waiting.remove(server);
            return None;
        }
        Some(grants)
    }

    fn end_turn(&self, server: &Server, turn: u64) {
        let mut inner = self.inner.lock();
        let is_present = inner.waiting.get(server).is_some_and(|waiting| waiting.turn == turn);
        let left = if is_present { inner.waiting.remove(server) } else { None };
        drop(inner);
        // Not under the mutex: callers are woken.
        drop(left);
    }

    /// The connection of the latest task, if this runtime drives it.
    fn take_idle(&self, server: &Server) -> Option<MultiplexedConnection> {
        let here = Handle::current().id();
        let idle = self.inner.lock().idle.remove(server);
        idle.filter(|(runtime, _)| *runtime == here).map(|(_, connection)| connection)
    }

    fn keep_idle(&self, server: &Server, connection: MultiplexedConnection) {
        let before = self.inner.lock().idle.insert(server.clone(), (Handle::current().id(), connection));
        drop(before);
    }
}

/// How long one round takes at most.
fn longest_round(settings: &Settings, confirmation: Confirmation) -> Duration {
    settings.connect_timeout + settings.response_timeout + confirmation.wait
}

async fn confirm_all(turn: Turn, settings: Settings, confirmation: Confirmation) {
    let keys = Keys::new(settings.prefix.as_str());
    let longest = longest_round(&settings, confirmation);
    let mut connection = turn.replicas.take_idle(&turn.server);
    while let Some(grants) = turn.replicas.take(&turn.server, turn.number) {
        let asked = timeout(longest, ask(&settings, &turn.server, &keys, confirmation, &mut connection, &grants)).await;
        match asked.unwrap_or_else(|_| Err(timed_out())) {
            Ok(Round { present, count }) => {
                for (grant, is_present) in grants.into_iter().zip(present) {
                    let verdict = verdict(&settings, &turn.server, confirmation, is_present, &count);
                    _ = grant.confirmed.send(verdict);
                }
            }
            Err(error) => {
                connection = None;
                let failure = Failure::new(&settings, CONFIRMING, error);
                for grant in grants {
                    _ = grant.confirmed.send(Err(Unconfirmed::Failed(failure.to_error())));
                }
            }
        }
    }
    if let Some(connection) = connection {
        turn.replicas.keep_idle(&turn.server, connection);
    }
}

fn verdict(
    settings: &Settings,
    server: &Server,
    Confirmation { replicas, wait }: Confirmation,
    is_present: RedisResult<bool>,
    count: &RedisResult<usize>,
) -> Result<(), Unconfirmed> {
    let failure = |error: &RedisError| Failure::new(settings, CONFIRMING, error.clone()).to_error();
    let is_present = match is_present {
        Ok(is_present) => is_present,
        Err(error) if is_redirected(&error) => {
            return Err(Unconfirmed::Redirected { to: redirect(&error, server), error: failure(&error) });
        }
        Err(_) => false,
    };
    let count = match count {
        Ok(count) => *count,
        // The key is in the slot of another grant. The next one is in that of a grant that is still there.
        Err(error) if is_redirected(error) => {
            return Err(Unconfirmed::Redirected { to: Redirect::Later, error: failure(error) });
        }
        Err(error) => return Err(Unconfirmed::Failed(failure(error))),
    };
    if is_present && count >= replicas {
        return Ok(());
    }
    let reason = if is_present {
        format!("the lock was given back: {count} of the {replicas} replicas that are needed had it after {wait:?}")
    } else {
        "it does not have the lock any more".to_owned()
    };
    Err(Unconfirmed::Failed(LockError::unavailable(format!("redis at {server}, {CONFIRMING}: {reason}"))))
}

/// Which of the grants the server has, and how many replicas have what it has.
async fn ask(
    settings: &Settings,
    server: &Server,
    keys: &Keys,
    Confirmation { replicas, wait }: Confirmation,
    connection: &mut Option<MultiplexedConnection>,
    grants: &[Grant],
) -> RedisResult<Round> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(connect_apart(settings, server, wait).await?),
    };
    let mut pipeline = ::redis::pipe();
    let mut marker = None;
    for grant in grants {
        let names = keys.of(&grant.resource);
        match grant.token.mode() {
            LockMode::Exclusive => pipeline.cmd("GET").arg(names.lock()),
            LockMode::Shared | LockMode::Permits(_) => {
                pipeline.cmd("ZSCORE").arg(names.holders()).arg(&grant.token.written()[..])
            }
        };
        marker.get_or_insert_with(|| keys.marker_in_slot_of(&names));
    }
    let Some(marker) = marker else { return Ok(Round { present: Vec::new(), count: Ok(0) }) };
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    pipeline.cmd("SET").arg(marker).arg(1).arg("PX").arg(milliseconds(MARKER_LIFETIME));
    pipeline.cmd("WAIT").arg(replicas).arg(milliseconds(wait).max(1));
    let mut replies = connection.req_packed_commands(&pipeline, 0, pipeline.len()).await?.into_iter();
    let mut present = Vec::with_capacity(grants.len());
    for grant in grants {
        let owner = replies.next().unwrap_or(Value::Nil).extract_error();
        let is_ours = |owner| match grant.token.mode() {
            LockMode::Exclusive => matches!(owner, Value::BulkString(owner) if *owner == grant.token.written()[..]),
            // The end of its lease.
            LockMode::Shared | LockMode::Permits(_) => matches!(owner, Value::Double(_) | Value::BulkString(_)),
        };
        present.push(owner.map(is_ours));
    }
    let count = match replies.map(Value::extract_error).collect::<RedisResult<Vec<_>>>() {
        Ok(rest) => match rest.as_slice() {
            [_, Value::Int(count)] => Ok(usize::try_from(*count).unwrap_or(0)),
            _ => return Err(RedisError::from((ErrorKind::Parse, "the reply to WAIT is no number"))),
        },
        Err(refused) => Err(refused),
    };
    Ok(Round { present, count })
}
