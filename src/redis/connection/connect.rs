//! Makes a connection, and makes it ready for calls.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ::redis::aio::{AsyncPushSender, ConnectionLike, MultiplexedConnection, SendError};
use ::redis::{AsyncConnectionConfig, ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Value};
use deadpool_redis::{Manager, Pool, PoolError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::failure::{speaks_no_tls, timed_out};
use super::hello::{self, ServerFacts};
use super::shared::Shared;
use super::{Caller, Node, redact};
use crate::engine::InboxId;
use crate::redis::connection_string::{Server, Servers};
use crate::redis::discovery::sentinels::Primary;
use crate::redis::discovery::{self, role};
use crate::redis::protocol::{self, Publishing, Refusal};
use crate::redis::settings::Settings;

/// A connection that is ready: scripts loaded, inbox subscribed.
pub(super) struct ReadyConnection {
    pub(super) shared: MultiplexedConnection,
    pub(super) publishing: Publishing,
    pub(super) signals: Arc<Signals>,
    /// Which of several servers it is.
    pub(super) primary: Option<Primary>,
    /// The server is a node of a cluster.
    pub(super) in_cluster: bool,
    /// No command is for several locks.
    pub(super) one_lock_per_command: bool,
}

/// What a connection and the supervisor signal to each other.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// The connection has broken.
    broken: Notify,
    /// The connection is not used any more. The redis crate's task for it may go on, in a runtime that the supervisor does not
    /// run in any more.
    ended: AtomicBool,
}

impl Signals {
    /// Waits until the connection breaks.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(super) async fn broken(&self) {
        self.broken.notified().await;
    }

    /// The connection is not used any more: no notification that comes over it is passed on.
    pub(super) fn end(&self) {
        self.ended.store(true, SeqCst);
    }
}

/// What was found at the address of the options.
pub(super) enum Connected {
    Server(ReadyConnection),
    /// A cluster, whose nodes get connections of their own.
    Cluster,
}

/// Connects, and makes everything ready that the first call needs.
pub(super) async fn connect<C: Caller>(connection: &Shared<C>, caller: &Arc<C>) -> RedisResult<Connected> {
    let settings = &connection.settings;
    let ready = match &settings.servers {
        Servers::Cluster(_) => return Ok(Connected::Cluster),
        Servers::One(server) => {
            let opened = connect_to_one(connection, caller, server).await?;
            make_ready(connection, opened, None).await?
        }
        Servers::AnyOf(servers) => match connect_to_any(connection, caller, servers).await? {
            Some((server, opened)) => make_ready(connection, opened, Some(Primary::of(server))).await?,
            None => return Ok(Connected::Cluster),
        },
        Servers::Sentinel(target) => {
            let primary = connection.sentinels.primary(settings, target, None).await?;
            let server = &primary.server;
            // A server that does not reply has at most half of the time. Sentinel may name another one by then.
            let opened = timeout(settings.connect_timeout / 2, open_with_role(connection, caller, server)).await;
            let opened = opened.unwrap_or_else(|_| Err(timed_out()));
            let (opened, error) = opened.map_err(|error| discovery::not_reached(server, &error))?;
            if let Some(error) = error {
                return Err(error);
            }
            make_ready(connection, opened, Some(primary)).await?
        }
    };
    let is_found = ready.in_cluster && !connection.in_cluster;
    Ok(if is_found { Connected::Cluster } else { Connected::Server(ready) })
}

/// Connects to the only server.
///
/// A server that does not speak TLS takes the handshake for the beginning of a command and stays silent, like a server that
/// is stopped. To tell these two apart, a connection without TLS is tried as well if the first one with TLS takes long.
async fn connect_to_one<C: Caller>(
    connection: &Shared<C>,
    caller: &Arc<C>,
    server: &Server,
) -> RedisResult<OpenConnection> {
    let mut connecting = pin!(open(connection, caller, server));
    let Server::Tcp { host, port, tls: true } = server else { return connecting.await };
    if connection.connected_before.load(SeqCst) {
        return connecting.await;
    }
    // Before the first calls fail for want of a reply, so that they fail with the better error.
    let patience = connection.settings.response_timeout.min(connection.settings.connect_timeout) / 2;
    let probe = async {
        sleep(patience).await;
        timeout(patience / 2, speaks_without_tls(host, *port)).await.unwrap_or(false)
    };
    tokio::select! {
        biased;
        made = &mut connecting => return made,
        plain = probe => if plain { return Err(speaks_no_tls()) },
    }
    connecting.await
}

/// How long other servers are waited for once one has said that it is a primary.
const GRACE: Duration = Duration::from_millis(100);

/// Connects to all of them, and keeps the connection to the primary. `None` if they are nodes of a cluster.
///
/// Two primaries are two servers that do not know each other, or two sides of a network that is cut. Processes that chose
/// differently would not exclude each other, so that none is chosen.
async fn connect_to_any<C: Caller>(
    connection: &Shared<C>,
    caller: &Arc<C>,
    servers: &[Server],
) -> RedisResult<Option<(Server, OpenConnection)>> {
    let limit = connection.settings.connect_timeout / 2;
    let open_one = |server: Server| async move {
        let (opened, error) = open_with_role(connection, caller, &server).await?;
        match error {
            None => Ok(Found::Primary(opened)),
            Some(_) if hello::is_in_cluster(opened.shared).await => Ok(Found::InCluster),
            Some(error) => Err(error),
        }
    };
    let (mut primaries, mut failures) = (Vec::new(), Vec::new());
    for (server, found) in discovery::ask_each(servers.to_vec(), limit, GRACE, open_one, discovery::has_reply).await {
        match found {
            Ok(Found::Primary(opened)) => primaries.push((server, opened)),
            Ok(Found::InCluster) => return Ok(None),
            Err(error) => failures.push(discovery::of_server(&server, &error)),
        }
    }
    let names: Vec<_> = primaries.iter().map(|(server, _)| server.to_string()).collect();
    match (primaries.pop(), names.len()) {
        (Some(primary), 1) => Ok(Some(primary)),
        (Some((_, opened)), _) if hello::is_in_cluster(opened.shared.clone()).await => Ok(None),
        (Some(_), _) => Err(RedisError::from((
            ErrorKind::InvalidClientConfig,
            "several of the servers are primaries, and locks on one of them do not exclude those on another",
            names.join(", "),
        ))),
        // One that is a replica, or refuses this client, says more than one that does not reply.
        (None, _) => {
            let best = failures.iter().position(|error| error.code().is_some()).unwrap_or(0);
            Err(failures.into_iter().nth(best).unwrap_or_else(timed_out))
        }
    }
}

/// One of several servers.
enum Found {
    Primary(OpenConnection),
    /// A replica, in a cluster.
    InCluster,
}

/// A connection on which nothing has been done yet.
struct OpenConnection {
    shared: MultiplexedConnection,
    signals: Arc<Signals>,
}

async fn open<C: Caller>(connection: &Shared<C>, caller: &Arc<C>, server: &Server) -> RedisResult<OpenConnection> {
    let signals = Arc::new(Signals::default());
    let receiver =
        PushReceiver { caller: Arc::downgrade(caller), node: connection.number, signals: Arc::clone(&signals) };
    let config = connection.settings.connection_config().set_push_sender(receiver);
    let pooled = pool_of(&connection.settings, server, config)?.get().await.map_err(pool_error)?;
    // Out of the pool for good: all callers share it.
    Ok(OpenConnection { shared: deadpool_redis::Connection::take(pooled), signals })
}

/// The same, and why the server is not to be used, if it is no primary.
async fn open_with_role<C: Caller>(
    connection: &Shared<C>,
    caller: &Arc<C>,
    server: &Server,
) -> RedisResult<(OpenConnection, Option<RedisError>)> {
    let mut opened = open(connection, caller, server).await?;
    let role = role::ask(&mut opened.shared).await?;
    Ok((opened, role.error(server)))
}

async fn make_ready<C: Caller>(
    connection: &Shared<C>,
    opened: OpenConnection,
    primary: Option<Primary>,
) -> RedisResult<ReadyConnection> {
    let OpenConnection { mut shared, signals } = opened;
    let mut facts = introduce(&mut shared, connection.inbox).await?;
    let (in_cluster, one_lock_per_command) = (facts.in_cluster, facts.in_cluster || facts.refuses_several_locks);
    facts.refusal = open_inbox(connection, &mut shared, in_cluster).await?;
    let publishing = if facts.refusal.is_none() { Publishing::Allowed } else { Publishing::Refused };
    *connection.facts.lock() = facts;
    Ok(ReadyConnection { shared, publishing, signals, primary, in_cluster, one_lock_per_command })
}

/// Whether the server there replies to a command that is not encrypted. Nothing secret is sent.
async fn speaks_without_tls(host: &str, port: u16) -> bool {
    let reply = async {
        let mut stream = TcpStream::connect((host, port)).await?;
        stream.write_all(b"PING\r\n").await?;
        stream.read_u8().await
    };
    // A status or an error of RESP: a server that asks for a password first replies with an error.
    matches!(reply.await, Ok(b'+' | b'-'))
}

/// A small pool of other connections, for what is not on the way of a lock: the check of the server's settings.
pub(in crate::redis) fn pool(settings: &Settings, server: &Server) -> RedisResult<Pool> {
    pool_of(settings, server, settings.connection_config())
}

fn pool_of(settings: &Settings, server: &Server, config: AsyncConnectionConfig) -> RedisResult<Pool> {
    let manager = Manager::new_with_config(settings.info(server)?, config)?;
    Pool::builder(manager)
        .max_size(2)
        .wait_timeout(Some(settings.response_timeout))
        .create_timeout(Some(settings.connect_timeout))
        .recycle_timeout(Some(settings.response_timeout))
        .runtime(deadpool_redis::Runtime::Tokio1)
        .build()
        .map_err(|error| RedisError::from((ErrorKind::InvalidClientConfig, "no pool", error.to_string())))
}

/// A connection for itself, whose replies may take so much longer.
pub(in crate::redis) async fn connect_apart(
    settings: &Settings,
    server: &Server,
    longer: Duration,
) -> RedisResult<MultiplexedConnection> {
    let config = settings.connection_config().set_response_timeout(Some(settings.response_timeout + longer));
    let pooled = pool_of(settings, server, config)?.get().await.map_err(pool_error)?;
    Ok(deadpool_redis::Connection::take(pooled))
}

/// Why a pool gave no connection.
pub(in crate::redis) fn pool_error(error: PoolError) -> RedisError {
    match error {
        PoolError::Backend(error) => error,
        PoolError::Timeout(_) => timed_out(),
        other => RedisError::from((ErrorKind::InvalidClientConfig, "no connection", other.to_string())),
    }
}

/// Names the connection and loads the scripts. A server may lose those at any time; then a [batch](super::batch) loads them
/// again.
async fn introduce(connection: &mut MultiplexedConnection, inbox: InboxId) -> RedisResult<ServerFacts> {
    let mut pipeline = ::redis::pipe();
    pipeline.add_command(hello::command(inbox));
    let loads = protocol::load_for_one(&mut pipeline);
    let mut answers = connection.req_packed_commands(&pipeline, 0, 1 + loads).await?.into_iter();
    let mut facts = answers.next().map(hello::facts).unwrap_or_default();
    // The first error alone: the error of a whole pipeline repeats it for each script, and has no code.
    answers.try_for_each(|answer| answer.extract_error().map(drop))?;
    // Locks need none of the others. Apart, since a server that loads its data reads little at a time.
    let mut pipeline = ::redis::pipe();
    let loads = protocol::load_for_several(&mut pipeline);
    let mut answers = connection.req_packed_commands(&pipeline, 0, loads).await?.into_iter();
    facts.refuses_several_locks = answers.any(|answer| answer.extract_error().is_err());
    Ok(facts)
}

/// Subscribes to this process's inbox, and finds out whether scripts may publish to it. Why not, if one of them is refused: a
/// user may lack the permission, and a service may have no such command, or not in scripts.
async fn open_inbox<C: Caller>(
    connection: &Shared<C>,
    opened: &mut MultiplexedConnection,
    in_cluster: bool,
) -> RedisResult<Option<Refusal>> {
    let (keys, inbox) = (&connection.keys, connection.keys.inbox(connection.inbox));
    let refusal = match opened.subscribe(&inbox).await {
        Ok(()) => {
            let key = if in_cluster { keys.fence_in_slot(connection.slot()) } else { keys.fence().to_owned() };
            let probe = protocol::probe_publishing(&key, &inbox);
            let answer = opened.req_packed_commands(&probe, 0, 2).await?.pop().unwrap_or(Value::Nil).extract_error();
            match answer {
                // Such a server takes long for each reply, and grants nothing yet.
                Err(error) if error.code() == Some("LOADING") => return Err(error),
                answer => protocol::publishing(answer),
            }
        }
        Err(error) => match error.code() {
            Some("NOPERM") => Some(Refusal::Channels),
            Some("ERR") => Some(Refusal::new(&error.to_string())),
            _ => return Err(error),
        },
    };
    Ok(refusal.map(|refusal| match refusal {
        Refusal::Channels => Refusal::Channels,
        Refusal::Other(text) => Refusal::Other(redact(&connection.settings, &text)),
    }))
}

/// Takes what the server sends without being asked: notifications, and the end of the connection.
struct PushReceiver<C> {
    /// Weak, since the redis crate's task keeps this: a strong reference would keep the caller for ever.
    caller: Weak<C>,
    node: Node,
    signals: Arc<Signals>,
}

impl<C: Caller> AsyncPushSender for PushReceiver<C> {
    fn send(&self, push: PushInfo) -> Result<(), SendError> {
        match push.kind {
            PushKind::Disconnection => self.signals.broken.notify_one(),
            PushKind::Message if !self.signals.ended.load(SeqCst) => {
                if let (Some(Value::BulkString(message)), Some(caller)) = (push.data.get(1), self.caller.upgrade())
                    && let Ok(message) = std::str::from_utf8(message)
                {
                    caller.notified(self.node, message);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
