//! [`Store`]: the numbers, over one connection.

use std::sync::Arc;
use std::time::Duration;

use orchestrix_locking::FencingToken;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, Script};

/// No fault touches the store's server. Only a process that was stopped itself waits that long.
const ANSWER: Duration = Duration::from_secs(10);

/// Cheap to clone; all clones share the connection.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    connection: MultiplexedConnection,
    scripts: Arc<Scripts>,
    fencing: bool,
}

#[derive(Debug)]
struct Scripts {
    read: Script,
    write: Script,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Read, or written: the value that is there now.
    Done(u64),
    /// A higher fence was there.
    Refused,
    /// No answer came, or none that says what was done.
    Unknown(String),
}

impl Store {
    /// `fencing`: whether stale fences are refused.
    ///
    /// # Errors
    ///
    /// Those of the URL and of connecting.
    pub(crate) async fn connect(url: &str, fencing: bool) -> RedisResult<Self> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER));
        let connection = Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await?;
        let scripts =
            Scripts { read: Script::new(include_str!("read.lua")), write: Script::new(include_str!("write.lua")) };
        Ok(Self { connection, scripts: Arc::new(scripts), fencing })
    }

    /// The value; 0 before the first write.
    pub(crate) async fn read(&self, resource: &str, fence: FencingToken) -> Answer {
        let mut call = self.scripts.read.key(key(resource));
        call.arg(fence.get()).arg(u8::from(self.fencing));
        answer(call.invoke_async(&mut self.connection.clone()).await)
    }

    pub(crate) async fn write(&self, resource: &str, fence: FencingToken, value: u64) -> Answer {
        let mut call = self.scripts.write.key(key(resource));
        call.arg(fence.get()).arg(u8::from(self.fencing)).arg(value);
        answer(call.invoke_async(&mut self.connection.clone()).await)
    }

    /// The value at the end, with no fence presented; 0 if there was no write.
    ///
    /// # Errors
    ///
    /// Those of asking the server.
    #[allow(dead_code, reason = "for a look after the workers have ended")]
    pub(crate) async fn value(&self, resource: &str) -> RedisResult<u64> {
        let mut get = redis::cmd("HGET");
        get.arg(key(resource)).arg("value");
        let value: Option<u64> = get.query_async(&mut self.connection.clone()).await?;
        Ok(value.unwrap_or(0))
    }
}

fn key(resource: &str) -> String {
    format!("store:{resource}")
}

fn answer(answer: Result<(u8, u64), RedisError>) -> Answer {
    match answer {
        Ok((1, value)) => Answer::Done(value),
        Ok(_) => Answer::Refused,
        Err(error) => Answer::Unknown(error.to_string()),
    }
}
