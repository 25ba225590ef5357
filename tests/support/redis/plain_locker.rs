//! A client of another make: it locks as other programs do, and knows nothing of queues and fences.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use redis::Cmd;
use redis::aio::MultiplexedConnection;

/// One plain string key is the lock, its value the owner's token.
#[derive(Debug)]
pub(crate) struct PlainLocker {
    connection: MultiplexedConnection,
}

impl PlainLocker {
    pub(crate) async fn connect(url: &str) -> Self {
        let client = redis::Client::open(url).unwrap();
        Self { connection: client.get_multiplexed_async_connection().await.unwrap() }
    }

    /// `SET key token NX PX ttl`: the token, or `None` if the key is held.
    pub(crate) async fn lock(&mut self, key: &str, ttl: Duration) -> Option<String> {
        let ttl = u64::try_from(ttl.as_millis()).unwrap();
        self.set(key, |command| command.arg("NX").arg("PX").arg(ttl)).await
    }

    /// `SET key token NX`, without an end: some programs do that.
    pub(crate) async fn lock_for_ever(&mut self, key: &str) -> Option<String> {
        self.set(key, |command| command.arg("NX")).await
    }

    async fn set(&mut self, key: &str, options: impl FnOnce(&mut Cmd) -> &mut Cmd) -> Option<String> {
        let token = format!("{:016x}", RandomState::new().hash_one(key));
        let mut command = redis::cmd("SET");
        let answer: Option<String> =
            options(command.arg(key).arg(&token)).query_async(&mut self.connection).await.unwrap();
        answer.map(|_| token)
    }

    /// Deletes the key if the token is still its value; false if not.
    pub(crate) async fn unlock(&mut self, key: &str, token: &str) -> bool {
        const COMPARE_AND_DELETE: &str =
            "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end";
        redis::cmd("EVAL")
            .arg(COMPARE_AND_DELETE)
            .arg(1)
            .arg(key)
            .arg(token)
            .query_async(&mut self.connection)
            .await
            .unwrap()
    }
}
