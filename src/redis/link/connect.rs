//! Making a connection, and making it ready.

use std::sync::{Arc, Weak};

use ::redis::aio::{AsyncPushSender, ConnectionLike, MultiplexedConnection, SendError};
use ::redis::{AsyncConnectionConfig, ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Value};
use deadpool_redis::{Manager, Pool, PoolError};
use tokio::sync::Notify;

use super::failure::too_slow;
use super::{Caller, Link};
use crate::redis::script::{self, Publishing};
use crate::redis::settings::Settings;
use crate::redis::tls;

/// A connection that is ready: scripts loaded, inbox subscribed.
pub(super) struct Connection {
    pub(super) shared: MultiplexedConnection,
    pub(super) publishing: Publishing,
    /// The connection has broken.
    pub(super) broken: Arc<Notify>,
}

/// Connects, and gets everything ready that the first call needs.
pub(super) async fn connect<C: Caller>(link: &Link<C>, caller: &Arc<C>) -> RedisResult<Connection> {
    let broken = Arc::new(Notify::new());
    let pushes = Pushes { caller: Arc::downgrade(caller), broken: Arc::clone(&broken) };
    let config = config(&link.settings).set_push_sender(pushes);
    let made = pool_of(&link.settings, config)?.get().await.map_err(made_none)?;
    // Out of the pool for good: everybody shares it.
    let mut shared = deadpool_redis::Connection::take(made);
    load_scripts(&mut shared).await?;
    let publishing = open_inbox(&mut shared, &link.keys.inbox(link.inbox)).await?;
    Ok(Connection { shared, publishing, broken })
}

/// A small pool for the cold paths: checks, and looks at what is on the server.
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
pub(in crate::redis) fn made_none(error: PoolError) -> RedisError {
    match error {
        PoolError::Backend(error) => error,
        PoolError::Timeout(_) => too_slow(),
        other => RedisError::from((ErrorKind::InvalidClientConfig, "no connection", other.to_string())),
    }
}

/// Makes the scripts known. A server may forget them at any time; then they are loaded again.
async fn load_scripts(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let mut pipeline = ::redis::pipe();
    let loads = script::load_all(&mut pipeline);
    let answers = connection.req_packed_commands(&pipeline, 0, loads).await?;
    // The first error by itself: that of a whole pipeline says the same for each script, and has no code.
    answers.into_iter().try_for_each(|answer| answer.extract_error().map(drop))
}

/// Subscribes our inbox, and sees whether messages get through: a user may lack the permission for channels.
async fn open_inbox(connection: &mut MultiplexedConnection, inbox: &str) -> RedisResult<Publishing> {
    let may = async {
        connection.subscribe(inbox).await?;
        ::redis::cmd("PUBLISH").arg(inbox).arg("").query_async::<Value>(connection).await
    };
    match may.await {
        Ok(_) => Ok(Publishing::Allowed),
        Err(error) if error.code() == Some("NOPERM") => Ok(Publishing::Refused),
        Err(error) => Err(error),
    }
}

/// What the server sends without being asked.
struct Pushes<C> {
    /// The connection's own task keeps this: a strong reference would keep the caller for ever.
    caller: Weak<C>,
    broken: Arc<Notify>,
}

impl<C: Caller> AsyncPushSender for Pushes<C> {
    fn send(&self, push: PushInfo) -> Result<(), SendError> {
        match push.kind {
            PushKind::Disconnection => self.broken.notify_one(),
            PushKind::Message => {
                if let (Some(Value::BulkString(message)), Some(caller)) = (push.data.get(1), self.caller.upgrade())
                    && let Ok(message) = std::str::from_utf8(message)
                {
                    caller.heard(message);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
