//! What of the Redis provider can be sent between threads and stored; checked by the compiler.

use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider, RedisLockOptions, RedisLockProvider, RedisWarning};

use crate::fixtures::{lock, provider_at};

fn shared<T: Send + Sync + 'static>() {}
fn future_is_sent<F: Future + Send>(_: &F) {}

#[test]
fn types_of_the_redis_provider_can_be_sent_and_shared() {
    shared::<RedisLockProvider>();
    shared::<RedisLockOptions>();
    shared::<RedisWarning>();
}

#[tokio::test]
async fn futures_of_the_redis_provider_can_be_sent() {
    let provider = provider_at("redis://localhost:1");
    future_is_sent(&provider.check());
    future_is_sent(&provider.warnings());
    future_is_sent(&provider.close());
    let lock = lock(&provider, "name");
    future_is_sent(&lock.acquire());
    future_is_sent(&lock.try_acquire(Duration::ZERO));
    let held = async {
        let guard = lock.acquire().await?;
        future_is_sent(&guard.lost());
        future_is_sent(&guard.extend(Duration::from_secs(1)));
        guard.release().await
    };
    future_is_sent(&held);
}
