//! Every fault of the proxy does what it says, and no more.

mod cuts;
mod faults;
mod messages;
mod passing;

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisResult, cmd};
use tokio::net::TcpStream;

use super::LIMIT;
use crate::support::{Proxy, RedisServer};

struct Scene {
    server: RedisServer,
    proxy: Proxy,
}

impl Scene {
    fn new() -> Self {
        let server = RedisServer::start();
        let proxy = Proxy::to(server.port());
        Self { server, proxy }
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(LIMIT)).set_connection_timeout(Some(LIMIT));
        Client::open(self.proxy.url()).unwrap().get_multiplexed_async_connection_with_config(&config).await
    }

    /// A plain stream, on which each byte can be seen.
    async fn raw(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.proxy.port())).await.unwrap()
    }

    /// What the server has counted, seen past the proxy.
    fn count(&self) -> u64 {
        self.server.ask::<Option<u64>>(cmd("GET").arg("count")).unwrap_or(0)
    }

    async fn until_count(&self, count: u64) {
        let deadline = Instant::now() + LIMIT;
        while self.count() != count {
            assert!(Instant::now() < deadline, "the server does not come to {count}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn incr() -> Cmd {
    cmd("INCR").arg("count").to_owned()
}
