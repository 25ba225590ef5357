//! A test's own looks at its server, over the server's Unix socket, apart from everything that is under test.

use std::collections::BTreeMap;
use std::process::Command;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo};
use redis::{ClientTlsConfig, Cmd, Connection, Pipeline, RedisResult, TlsCertificates};

use super::RedisServer;
use super::builder::{SUPPORT_PASSWORD, SUPPORT_USER};
use super::server::LIMIT;

impl RedisServer {
    /// A connection on which everything is allowed, for the test's own use.
    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(LIMIT));
        self.own_client().get_multiplexed_async_connection_with_config(&config).await.unwrap()
    }

    /// The answer to one command, for the test's own use. Blocks, for as long as the server needs.
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        self.try_to_ask(command).unwrap()
    }

    /// As [`ask`](Self::ask), of a server that may refuse, or end meanwhile.
    pub(super) fn try_to_ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        self.own_connection().and_then(|mut connection| command.query(&mut connection))
    }

    /// As [`ask`](Self::ask), of several commands at once, for what they do alone.
    pub(super) fn ask_together(&self, commands: &Pipeline) {
        self.own_connection().and_then(|mut connection| commands.exec(&mut connection)).unwrap();
    }

    /// A field of `INFO replication`: `role`, `master_link_status` …; `None` too while the server does not answer.
    pub(crate) fn replication(&self, field: &str) -> Option<String> {
        let info: String = self.try_to_ask(redis::cmd("INFO").arg("replication")).ok()?;
        field_of(&info, field)
    }

    /// Makes it a replica of another server, as of now: it need not be in sync when this returns.
    pub(crate) fn replicate(&self, of: &RedisServer) {
        self.ask::<()>(redis::cmd("REPLICAOF").arg("127.0.0.1").arg(of.port()));
    }

    /// Makes it a primary.
    pub(crate) fn replicate_nobody(&self) {
        self.ask::<()>(redis::cmd("REPLICAOF").arg("NO").arg("ONE"));
    }

    /// A client at [`url`](Self::url), which trusts the certificates' authority and shows a certificate of its own
    /// where the server demands one.
    pub(crate) fn client(&self) -> Client {
        let Some(tls) = &self.settings.tls else { return Client::open(self.url()).unwrap() };
        let client_tls = tls.client.as_ref().map(|client| ClientTlsConfig {
            client_cert: std::fs::read(&client.certificate).unwrap(),
            client_key: std::fs::read(&client.key).unwrap(),
        });
        let root_cert = Some(std::fs::read(&tls.authority).unwrap());
        Client::build_with_tls(self.url(), TlsCertificates { client_tls, root_cert }).unwrap()
    }

    /// What `redis-cli` prints, without the last line's end.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .arg("-s")
            .arg(self.socket())
            .args(["--user", SUPPORT_USER, "--pass", SUPPORT_PASSWORD, "--no-auth-warning"])
            .args(arguments)
            .output()
            .expect("redis-cli can be started");
        let text = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned();
        assert!(output.status.success(), "redis-cli {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Every key of database 0, in order.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.ask(redis::cmd("KEYS").arg("*"));
        keys.sort();
        keys
    }

    /// How often each command was called since the last [`reset_stats`](Self::reset_stats), by lower-case name.
    ///
    /// With those that scripts called, and with our own looks. [`CommandLog`](super::CommandLog) tells them apart.
    pub(crate) fn command_stats(&self) -> BTreeMap<String, u64> {
        let info: String = self.ask(redis::cmd("INFO").arg("commandstats"));
        let calls = |line: &str| {
            let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let count = figures.split(',').next()?.parse().ok()?;
            Some((name.to_owned(), count))
        };
        info.lines().filter_map(calls).collect()
    }

    /// How many scripts clients have run: only a client can, a script can't.
    pub(crate) fn scripts_run(&self) -> u64 {
        let stats = self.command_stats();
        ["eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro"]
            .iter()
            .filter_map(|name| stats.get(*name))
            .sum()
    }

    pub(crate) fn reset_stats(&self) {
        self.ask::<()>(redis::cmd("CONFIG").arg("RESETSTAT"));
    }

    /// What users were refused, the latest first; of each the fields of `ACL LOG`: `reason`, `object`, `username` …
    pub(crate) fn acl_log(&self) -> Vec<BTreeMap<String, String>> {
        self.ask(redis::cmd("ACL").arg("LOG"))
    }

    /// Whether it answers now.
    pub(super) fn answers(&self) -> bool {
        self.try_to_ask::<()>(&redis::cmd("PING")).is_ok()
    }

    pub(super) fn own_client(&self) -> Client {
        let user = RedisConnectionInfo::default().set_username(SUPPORT_USER).set_password(SUPPORT_PASSWORD);
        let info = ConnectionAddr::Unix(self.socket()).into_connection_info().unwrap();
        Client::open(info.set_redis_settings(user)).unwrap()
    }

    fn own_connection(&self) -> RedisResult<Connection> {
        let connection = self.own_client().get_connection_with_timeout(LIMIT)?;
        connection.set_read_timeout(Some(LIMIT))?;
        Ok(connection)
    }
}

/// The value in the line `field:value`.
pub(super) fn field_of(info: &str, field: &str) -> Option<String> {
    info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::to_owned)
}
