//! What [`check`](crate::DistributedLockProvider::check) looks at.

use super::link::{self, made_none};
use super::locks::Locks;
use crate::LockError;

pub(super) async fn check(locks: &Locks) -> Result<(), LockError> {
    if locks.closed() {
        return Err(LockError::Closed);
    }
    let settings = locks.link.settings();
    let told = |error| link::Failure::new(&settings.server, "checking", error, tokio::time::Instant::now()).to_error();
    let pool = link::pool(settings).map_err(told)?;
    let mut connection = pool.get().await.map_err(made_none).map_err(told)?;
    ::redis::cmd("PING").query_async::<::redis::Value>(&mut connection).await.map_err(told)?;
    Ok(())
}
