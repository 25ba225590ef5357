//! What the examples that serve share: the end of a server whose requests hold locks.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use orchestrix_locking::{BoxError, Locking};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long requests may take to end once their locks are closed.
const ENDING: Duration = Duration::from_secs(5);

/// Serves until `stop` is done, and then ends in this order:
///
/// 1. The server takes no new connections. For `grace`, requests under way go on under their locks, and those that wait
///    still get theirs.
/// 2. The locks are closed. A request that still runs under a lock ends, also one whose response is an endless stream;
///    one that waits is answered with 503. Without this step such a stream would keep the server for ever.
/// 3. What needs no lock may go on for [`ENDING`].
///
/// Closing the locks first would end the requests that would have been done in time.
pub(crate) async fn serve_until(
    listener: TcpListener,
    router: Router,
    locking: &Locking,
    grace: Duration,
    stop: impl Future<Output = ()>,
) -> Result<(), BoxError> {
    let (stopping, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async { drop(stopped.await) });
    let mut serving = pin!(server.into_future());
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        () = stop => drop(stopping),
    }
    let ended = timeout(grace, &mut serving).await;
    locking.close().await;
    match ended {
        Ok(ended) => Ok(ended?),
        // What is left after this ends with the process.
        Err(_) => timeout(ENDING, serving).await.unwrap_or(Ok(())).map_err(Into::into),
    }
}
