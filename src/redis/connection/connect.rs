//! Makes a connection, and makes it ready for calls.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Weak};

use ::redis::aio::{AsyncPushSender, ConnectionLike, MultiplexedConnection, SendError};
use ::redis::{AsyncConnectionConfig, ConnectionAddr, ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Value};
use deadpool_redis::{Manager, Pool, PoolError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::Caller;
use super::failure::{speaks_no_tls, timed_out};
use super::hello::{self, ServerFacts};
use super::shared::Shared;
use crate::engine::InboxId;
use crate::redis::protocol::{self, Publishing};
use crate::redis::settings::Settings;
use crate::redis::tls;

/// A connection that is ready: scripts loaded, inbox subscribed.
pub(super) struct ReadyConnection {
    pub(super) shared: MultiplexedConnection,
    pub(super) publishing: Publishing,
    pub(super) signals: Arc<Signals>,
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

/// Connects, and makes everything ready that the first call needs.
///
/// A server that does not speak TLS takes the handshake for the beginning of a command and stays silent, like a server that
/// is stopped. To tell these two apart, a connection without TLS is tried as well if the first one with TLS takes long.
pub(super) async fn connect<C: Caller>(connection: &Shared<C>, caller: &Arc<C>) -> RedisResult<ReadyConnection> {
    let mut connecting = pin!(make_ready(connection, caller));
    let ConnectionAddr::TcpTls { host, port, .. } = connection.settings.info.addr() else { return connecting.await };
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

async fn make_ready<C: Caller>(connection: &Shared<C>, caller: &Arc<C>) -> RedisResult<ReadyConnection> {
    let signals = Arc::new(Signals::default());
    let receiver = PushReceiver { caller: Arc::downgrade(caller), signals: Arc::clone(&signals) };
    let config = config(&connection.settings).set_push_sender(receiver);
    let pooled = pool_of(&connection.settings, config)?.get().await.map_err(pool_error)?;
    // Out of the pool for good: all callers share it.
    let mut shared = deadpool_redis::Connection::take(pooled);
    let facts = introduce(&mut shared, connection.inbox).await?;
    *connection.facts.lock() = facts;
    let publishing = open_inbox(&mut shared, &connection.keys.inbox(connection.inbox)).await?;
    Ok(ReadyConnection { shared, publishing, signals })
}

/// A small pool of other connections, for what is not on the way of a lock: the check of the server's settings.
pub(in crate::redis) fn pool(settings: &Settings) -> RedisResult<Pool> {
    pool_of(settings, config(settings))
}

fn config(settings: &Settings) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(settings.connect_timeout))
        .set_response_timeout(Some(settings.response_timeout))
}

fn pool_of(settings: &Settings, config: AsyncConnectionConfig) -> RedisResult<Pool> {
    tls::ensure_crypto_provider();
    let manager = Manager::new_with_config(settings.info.clone(), config)?;
    Pool::builder(manager)
        .max_size(2)
        .wait_timeout(Some(settings.response_timeout))
        .create_timeout(Some(settings.connect_timeout))
        .recycle_timeout(Some(settings.response_timeout))
        .runtime(deadpool_redis::Runtime::Tokio1)
        .build()
        .map_err(|error| RedisError::from((ErrorKind::InvalidClientConfig, "no pool", error.to_string())))
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
    let loads = protocol::load_all(&mut pipeline);
    let mut answers = connection.req_packed_commands(&pipeline, 0, 1 + loads).await?.into_iter();
    let facts = answers.next().map(hello::facts).unwrap_or_default();
    // The first error alone: the error of a whole pipeline repeats it for each script, and has no code.
    answers.try_for_each(|answer| answer.extract_error().map(drop))?;
    Ok(facts)
}

/// Subscribes to this process's inbox, and finds out whether this client may publish: a user of the server may lack the
/// permission for channels.
async fn open_inbox(connection: &mut MultiplexedConnection, inbox: &str) -> RedisResult<Publishing> {
    let subscribed = async {
        connection.subscribe(inbox).await?;
        ::redis::cmd("PUBLISH").arg(inbox).arg("").query_async::<Value>(connection).await
    };
    match subscribed.await {
        Ok(_) => Ok(Publishing::Allowed),
        Err(error) if error.code() == Some("NOPERM") => Ok(Publishing::Refused),
        Err(error) => Err(error),
    }
}

/// Takes what the server sends without being asked: notifications, and the end of the connection.
struct PushReceiver<C> {
    /// Weak, since the redis crate's task keeps this: a strong reference would keep the caller for ever.
    caller: Weak<C>,
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
                    caller.notified(message);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
