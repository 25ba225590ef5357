//! What a server is started with.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::RedisServer;
use super::certificates::{Certificates, Identity};
use super::port::bind_free_port;

/// The user as whom the support itself looks at the server, whatever the test does to the others.
pub(super) const SUPPORT_USER: &str = "test-support";
pub(super) const SUPPORT_PASSWORD: &str = "test-support";

/// Settings of a server: `RedisServer::builder()`.
#[derive(Debug, Clone, Default)]
pub(crate) struct RedisServerBuilder {
    pub(super) lines: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) append_only: bool,
    pub(super) cluster: bool,
    pub(super) sentinel: bool,
    pub(super) password: Option<String>,
    pub(super) tls: Option<Tls>,
}

#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub(super) authority: PathBuf,
    server: Identity,
    pub(super) client: Option<Identity>,
}

impl RedisServerBuilder {
    /// One more line of `redis.conf`, for instance `.config("maxmemory", "1mb")`. It wins over ours.
    pub(crate) fn config(mut self, name: &str, value: &str) -> Self {
        self.lines.push(format!("{name} {value}"));
        self
    }

    /// A variable in the server's environment. No line breaks.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Every write is on disk before it is answered, so that a killed server comes back with its data.
    pub(crate) fn append_only(mut self) -> Self {
        self.append_only = true;
        self
    }

    /// The default user's password. No spaces, quotes or characters with a meaning in a URL.
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.config("requirepass", password)
    }

    /// A node of a cluster, which has to be given its slots after it has started: see [`RedisServer::take_slots`].
    pub(crate) fn cluster(mut self) -> Self {
        self.cluster = true;
        self
    }

    /// A sentinel instead of a server for data.
    pub(super) fn sentinel(mut self) -> Self {
        self.sentinel = true;
        self
    }

    /// One of several servers that replicate each other. They do so as the support's user: nothing that a test does to its
    /// own users parts them.
    pub(super) fn of_several(self) -> Self {
        self.config("loglevel", "notice")
            .config("masteruser", SUPPORT_USER)
            .config("masterauth", SUPPORT_PASSWORD)
            .config("repl-diskless-sync-delay", "0")
            .config("repl-ping-replica-period", "1")
            .config("repl-timeout", "5")
    }

    /// One more user, as `ACL SETUSER` has it: `"name on >password ~* &* +@all"`.
    pub(crate) fn user_acl(self, user: &str) -> Self {
        self.config("user", user)
    }

    /// TLS on the port, and nothing else, with the good certificate.
    pub(crate) fn tls(self, certificates: &Certificates) -> Self {
        self.tls_as(certificates, &certificates.server())
    }

    /// As [`tls`](Self::tls), with another certificate, say [`Certificates::expired`].
    pub(crate) fn tls_as(mut self, certificates: &Certificates, server: &Identity) -> Self {
        self.tls = Some(Tls { authority: certificates.authority(), server: server.clone(), client: None });
        self
    }

    /// As [`tls`](Self::tls), and only for clients with [`Certificates::client`].
    pub(crate) fn mutual_tls(mut self, certificates: &Certificates) -> Self {
        self = self.tls(certificates);
        if let Some(tls) = &mut self.tls {
            tls.client = Some(certificates.client());
        }
        self
    }

    /// Starts it, and returns when it answers.
    ///
    /// # Panics
    ///
    /// If there is no `redis-server`, or it does not like its settings.
    pub(crate) fn start(self) -> RedisServer {
        RedisServer::start_with(self)
    }

    /// How a URL begins: `rediss` with TLS.
    pub(super) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "rediss" } else { "redis" }
    }

    /// What stands before the host in a URL for the default user: nothing, or its password.
    pub(super) fn credentials(&self) -> String {
        self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default()
    }

    /// The whole `redis.conf`.
    pub(super) fn redis_conf(&self, directory: &str, port: u16) -> String {
        let append_only = if self.append_only { "yes" } else { "no" };
        let mut conf = format!(
            "bind 127.0.0.1\n\
             daemonize no\n\
             loglevel warning\n\
             save \"\"\n\
             appendonly {append_only}\n\
             appendfsync always\n\
             dir \"{directory}/data\"\n\
             unixsocket \"{directory}/socket\"\n\
             unixsocketperm 700\n\
             user {SUPPORT_USER} on >{SUPPORT_PASSWORD} ~* &* +@all\n"
        );
        let mut line = |text: std::fmt::Arguments<'_>| writeln!(conf, "{text}").unwrap();
        if let Some(tls) = &self.tls {
            line(format_args!("port 0\ntls-port {port}"));
            line(format_args!("tls-cert-file \"{}\"", tls.server.certificate.display()));
            line(format_args!("tls-key-file \"{}\"", tls.server.key.display()));
            line(format_args!("tls-ca-cert-file \"{}\"", tls.authority.display()));
            line(format_args!("tls-auth-clients {}", if tls.client.is_some() { "yes" } else { "no" }));
        } else {
            line(format_args!("port {port}"));
        }
        if self.cluster {
            // Its usual port, 10 000 higher than the other, need not be free.
            let bus = bind_free_port().local_addr().unwrap().port();
            line(format_args!("cluster-enabled yes\ncluster-port {bus}"));
        }
        for extra in &self.lines {
            line(format_args!("{extra}"));
        }
        conf
    }
}
