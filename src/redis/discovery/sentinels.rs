//! [`Sentinels`]: asks the sentinels of a service for its primary.
//!
//! All are asked at once. Sentinels that were cut off name an old primary, so that of several answers the one of the latest
//! failover counts: each failover has a number, the configuration epoch, which Sentinel raises (see "Configuration epochs" in
//! the documentation of Redis Sentinel). What counts where that does not decide is in [`agreement`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use ::redis::aio::ConnectionLike;
use ::redis::{Client, ErrorKind, RedisError, RedisResult, Value};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::Replies;
use super::agreement::{Agreement, Named, agreement, split};
use super::unanswered::unanswered;
use crate::redis::connection_string::{Credentials, SentinelTarget, Server};
use crate::redis::settings::Settings;

/// How long the other sentinels are waited for once one has named a primary.
const GRACE: Duration = Duration::from_millis(100);

/// How many sentinels are asked at most. Those of the options are always among them.
const MOST: usize = 64;

/// The primary of a service, and the number of the failover that made it one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redis) struct Primary {
    pub(in crate::redis) server: Server,
    pub(in crate::redis::discovery) epoch: u64,
}

impl Primary {
    /// One that Sentinel has not named.
    pub(in crate::redis) fn of(server: Server) -> Self {
        Self { server, epoch: 0 }
    }
}

/// The sentinels that are known: those of the options, and those that they have named since.
#[derive(Debug, Default)]
pub(in crate::redis) struct Sentinels {
    learned: Mutex<Vec<Server>>,
}

/// What one sentinel says.
struct Answer {
    /// `None` if it does not know the service.
    primary: Option<Primary>,
    others: Vec<Server>,
}

impl Sentinels {
    /// Asks for the primary. It ends within half of the connect time-out, and a quarter more if the sentinels disagree. Where
    /// the present server is named in another way, as it may have a name and an address, it is called as it is at `present`.
    ///
    /// # Errors
    ///
    /// An I/O error if no sentinel replies in time; that of a sentinel that refuses this client; an error of the options
    /// if the sentinels do not know the service; [`NO_PRIMARY`](super::NO_PRIMARY) if they disagree.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(in crate::redis) async fn primary(
        &self,
        settings: &Settings,
        target: &SentinelTarget,
        present: Option<&Server>,
    ) -> RedisResult<Primary> {
        let ask_one = |sentinel| async move { ask(settings, target, &sentinel).await };
        let limit = settings.connect_timeout / 2;
        let (mut named, mut failures) = (Vec::new(), Vec::new());
        for (sentinel, answer) in super::ask_each(self.known(target), limit, GRACE, ask_one, is_clear).await {
            match answer {
                Ok(Answer { primary: Some(primary), others }) => {
                    self.learn(target, others);
                    named.push((sentinel, primary));
                }
                Ok(Answer { primary: None, .. }) => failures.push((sentinel, None)),
                Err(error) => failures.push((sentinel, Some(error))),
            }
        }
        if named.is_empty() {
            return Err(unanswered(target, &failures));
        }
        let addresses = addresses(&named, present, settings.connect_timeout / 4).await;
        let is_same = |one: &Server, other: &Server| is_same(&addresses, one, other);
        match agreement(&named, is_same) {
            Agreement::None => Err(unanswered(target, &failures)),
            Agreement::Split(servers) => Err(split(target, &servers, &named)),
            Agreement::On(primary) => {
                let server = present.filter(|present| is_same(present, &primary.server)).unwrap_or(&primary.server);
                Ok(Primary { server: server.clone(), epoch: primary.epoch })
            }
        }
    }

    /// All of them, those of the options first.
    pub(super) fn known(&self, target: &SentinelTarget) -> Vec<Server> {
        let mut known = target.sentinels.clone();
        known.extend(self.learned.lock().iter().cloned());
        known.truncate(MOST);
        known
    }

    /// One sentinel names all others that watch the service with it.
    fn learn(&self, target: &SentinelTarget, others: Vec<Server>) {
        let mut learned = self.learned.lock();
        for other in others {
            if !target.sentinels.contains(&other) && !learned.contains(&other) && learned.len() < MOST {
                learned.push(other);
            }
        }
    }
}

/// Whether it is clear what the sentinels say that have replied so far.
fn is_clear(answers: &Replies<Answer>) -> bool {
    let named = answers.iter().filter_map(|(sentinel, answer)| {
        let primary = answer.as_ref().ok()?.primary.as_ref()?;
        Some((sentinel.clone(), primary.clone()))
    });
    let named: Vec<Named> = named.collect();
    matches!(agreement(&named, |one, other| one == other), Agreement::On(_))
}

/// Under which addresses each of the servers is reached, if several are named.
async fn addresses(named: &[Named], present: Option<&Server>, limit: Duration) -> HashMap<Server, Vec<SocketAddr>> {
    let mut servers: Vec<_> = named.iter().map(|(_, primary)| &primary.server).chain(present).collect();
    servers.sort_by_key(ToString::to_string);
    servers.dedup();
    if servers.len() < 2 {
        return HashMap::new();
    }
    let look_up = async |server: &Server| {
        let Server::Tcp { host, port, .. } = server else { return Vec::new() };
        let found = timeout(limit, lookup_host((host.as_str(), *port))).await;
        found.ok().and_then(Result::ok).map(Iterator::collect).unwrap_or_default()
    };
    let found = join_all(servers.iter().map(|server| look_up(server))).await;
    servers.into_iter().cloned().zip(found).collect()
}

/// Whether these are two names of one server.
fn is_same(addresses: &HashMap<Server, Vec<SocketAddr>>, one: &Server, other: &Server) -> bool {
    let of = |server| addresses.get(server).map_or(&[][..], Vec::as_slice);
    one == other || of(one).iter().any(|address| of(other).contains(address))
}

/// A client of a sentinel. Its own credentials are used if it has some. Otherwise those of the server are, but only after it
/// has asked for some: a sentinel without a password refuses any.
pub(super) fn client(
    settings: &Settings,
    target: &SentinelTarget,
    sentinel: &Server,
    asked_for_password: bool,
) -> RedisResult<Client> {
    let credentials = if target.credentials == Credentials::default() && asked_for_password {
        settings.credentials.clone()
    } else {
        target.credentials.clone()
    };
    Client::open(settings.sentinel_info(sentinel, &credentials)?)
}

/// Whether a sentinel asks for a password that it may be given.
pub(super) fn asks_for_password(settings: &Settings, target: &SentinelTarget, error: &RedisError) -> bool {
    error.code() == Some("NOAUTH")
        && target.credentials == Credentials::default()
        && settings.credentials.password.is_some()
}

async fn ask(settings: &Settings, target: &SentinelTarget, sentinel: &Server) -> RedisResult<Answer> {
    let mut asked_for_password = false;
    loop {
        let client = client(settings, target, sentinel, asked_for_password)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&settings.connection_config()).await?;
        let mut pipeline = ::redis::pipe();
        for command in ["GET-MASTER-ADDR-BY-NAME", "MASTER", "SENTINELS"] {
            pipeline.cmd("SENTINEL").arg(command).arg(target.service.as_str());
        }
        let replies = connection.req_packed_commands(&pipeline, 0, 3).await?;
        let mut replies = replies.into_iter().map(Value::extract_error);
        match replies.next() {
            Some(Ok(address)) => {
                // The other two may be missing where something else speaks for Sentinel.
                let state = replies.next().and_then(Result::ok);
                let others = replies.next().and_then(Result::ok);
                return Ok(read(&address, state.as_ref(), others.as_ref(), target.tls, sentinel.uses_tls()));
            }
            Some(Err(error)) if !asked_for_password && asks_for_password(settings, target, &error) => {
                asked_for_password = true;
            }
            Some(Err(error)) => return Err(error),
            None => return Err(RedisError::from((ErrorKind::Parse, "a sentinel did not reply to each command"))),
        }
    }
}

/// Reads the replies. `tls` is whether the servers use it, `sentinel_tls` whether the sentinels do.
fn read(address: &Value, state: Option<&Value>, others: Option<&Value>, tls: bool, sentinel_tls: bool) -> Answer {
    let epoch = state.and_then(|state| field(state, "config-epoch")).and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    let primary = match address {
        Value::Array(parts) => match parts.as_slice() {
            [host, port] => text(host).zip(text(port)).and_then(|(host, port)| super::address(host, port, tls)),
            _ => None,
        },
        _ => None,
    };
    let others = match others {
        Some(Value::Array(others)) => others.as_slice(),
        _ => &[],
    };
    let other = |other| super::address(field(other, "ip")?, field(other, "port")?, sentinel_tls);
    let others = others.iter().filter_map(other).collect();
    Answer { primary: primary.map(|server| Primary { server, epoch }), others }
}

/// A field of a reply that is a list of names and values, or a map.
fn field<'a>(reply: &'a Value, name: &str) -> Option<&'a str> {
    match reply {
        Value::Map(fields) => fields.iter().find(|(key, _)| text(key) == Some(name)).and_then(|(_, value)| text(value)),
        Value::Array(list) => {
            let mut pairs = list.chunks_exact(2).filter_map(|pair| pair.split_first());
            pairs.find(|(key, _)| text(key) == Some(name)).and_then(|(_, value)| text(value.first()?))
        }
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}
