//! The least that a lock on Redis can be: `SET NX PX`, compare-and-delete, and a question every 5 ms when taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, IntoConnectionInfo};

use super::{Client, Lock};
use crate::Result;

pub(super) const TTL_MILLIS: u64 = 30_000;
pub(super) const POLL: Duration = Duration::from_millis(5);
pub(super) const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end \
                                  return 0";

/// Without Nagle's delay, for the crates that let us choose.
pub(super) fn client(url: &str) -> Result<redis::Client> {
    let tcp = TcpSettings::default().set_nodelay(true);
    Ok(redis::Client::open(url.into_connection_info()?.set_tcp_settings(tcp))?)
}

pub(crate) async fn connect(url: &str) -> Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(10)));
    Ok(client(url)?.get_multiplexed_async_connection_with_config(&config).await?)
}

/// PING round trips, one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Pings {
    pub(crate) in_a_second: f64,
    pub(crate) longest: Duration,
}

/// In a task of its own, as all that is measured: what runs outside of one is woken by another thread.
pub(crate) async fn ping(connection: &MultiplexedConnection, time: Duration) -> Result<Pings> {
    let mut connection = connection.clone();
    let pings = tokio::spawn(async move {
        let begun = Instant::now();
        let (mut count, mut longest) = (0.0, Duration::ZERO);
        while begun.elapsed() < time {
            let one = Instant::now();
            redis::cmd("PING").query_async::<()>(&mut connection).await?;
            longest = longest.max(one.elapsed());
            count += 1.0;
        }
        redis::RedisResult::Ok(Pings { in_a_second: count / begun.elapsed().as_secs_f64(), longest })
    });
    Ok(pings.await??)
}

/// A token that is unique in this run.
pub(super) fn token() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:032x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[derive(Clone)]
pub(crate) struct Raw {
    connection: MultiplexedConnection,
    release: Arc<str>,
}

impl Raw {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let mut connection = connect(url).await?;
        let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(RELEASE).query_async(&mut connection).await?;
        Ok(Self { connection, release: sha.into() })
    }
}

impl Client for Raw {
    type Lock = RawLock;

    fn lock(&self, name: &str) -> Result<RawLock> {
        Ok(RawLock { raw: self.clone(), key: name.into() })
    }
}

pub(crate) struct RawLock {
    raw: Raw,
    key: String,
}

impl Lock for RawLock {
    type Held = String;

    async fn acquire(&self) -> Result<String> {
        let mut connection = self.raw.connection.clone();
        let token = token();
        let mut set = redis::cmd("SET");
        set.arg(&self.key).arg(&token).arg("NX").arg("PX").arg(TTL_MILLIS);
        while !set.query_async::<bool>(&mut connection).await? {
            tokio::time::sleep(POLL).await;
        }
        Ok(token)
    }

    async fn release(&self, token: String) -> Result<()> {
        let mut connection = self.raw.connection.clone();
        let mut eval = redis::cmd("EVALSHA");
        eval.arg(&*self.raw.release).arg(1).arg(&self.key).arg(token);
        Ok(eval.query_async(&mut connection).await?)
    }
}
