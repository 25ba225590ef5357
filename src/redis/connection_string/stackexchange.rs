//! `server,option=value,…`: the form of StackExchange.Redis.

use super::mistake::{Mistake, Named};
use super::stackexchange_options::{Known, Role, accepted, find};
use super::target::{Credentials, Given, SentinelTarget, Server, Servers, Target};
use super::value::Unit;
use super::{host, sentinel, unix, url, value};

const DEFAULT_TLS_PORT: u16 = 6380;

/// Reads a server and options, separated by commas and spaces around them.
pub(super) fn parse(text: &str) -> Result<Target, Vec<Mistake>> {
    let mut read = Reader::default();
    let tokens = text.split(',').map(str::trim).filter(|token| !token.is_empty());
    for (at, token) in tokens.enumerate() {
        match token.split_once('=') {
            Some((name, value)) => read.option(name.trim(), value.trim(), at + 1),
            None => read.server_given(token),
        }
    }
    read.finish()
}

fn milliseconds(option: &'static str, text: &str) -> Result<Given, &'static str> {
    value::timeout(option, text, Unit::Milliseconds)
}

#[derive(Default)]
struct Reader<'a> {
    servers: Vec<&'a str>,
    /// Whether a token without a name follows a password.
    trailing: bool,
    seen: Vec<&'static str>,
    user: Option<String>,
    password: Option<String>,
    /// Whether a password of any kind came before: what follows may be the rest of it.
    after_password: bool,
    /// Empty if the given one is not allowed.
    service: Option<String>,
    sentinel_user: Option<String>,
    sentinel_password: Option<String>,
    sentinel_ssl: Option<bool>,
    database: Option<i64>,
    ssl: bool,
    ssl_host: Option<&'a str>,
    connect_timeout: Option<Given>,
    response_timeout: Option<(u8, Given)>,
    keep_alive: Option<Given>,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    fn option(&mut self, name: &'a str, value: &'a str, position: usize) {
        let option = Named { name, value, after_password: self.after_password };
        if name.starts_with('$') {
            // The name is not repeated, for the same reason as that of an unknown option.
            let reason = "commands that are renamed or switched off are not supported";
            self.mistakes.push(Mistake::new(format!("option {position}, which starts with '$'"), reason));
            return;
        }
        let Some(known) = find(name) else {
            self.after_password |= option.is_secret();
            self.mistakes.push(Mistake::unknown(option, position, &accepted()));
            return;
        };
        self.after_password |= matches!(known.name, "password" | "sentinelPassword");
        if self.seen.contains(&known.name) {
            self.mistakes.push(Mistake::twice(known.name));
            return;
        }
        self.seen.push(known.name);
        self.set(known, value);
    }

    fn set(&mut self, Known { name, role }: Known, value: &'a str) {
        let mistakes = &mut self.mistakes;
        match role {
            Role::User => self.user = Some(value.to_owned()),
            Role::Password => self.password = Some(value.to_owned()),
            Role::Database => self.database = value::kept(name, value::database(value), mistakes),
            Role::Ssl => self.ssl = value::kept(name, value::boolean(value), mistakes).unwrap_or(false),
            Role::ServiceName => {
                let service = sentinel::checked_service(value.to_owned());
                self.service = Some(value::kept(name, service, mistakes).unwrap_or_default());
            }
            Role::SentinelUser => self.sentinel_user = Some(value.to_owned()),
            Role::SentinelPassword => self.sentinel_password = Some(value.to_owned()),
            Role::SentinelSsl => self.sentinel_ssl = value::kept(name, value::boolean(value), mistakes),
            Role::SslHost => self.ssl_host = Some(value).filter(|host| !host.is_empty()),
            Role::ConnectTimeout => self.connect_timeout = value::kept(name, milliseconds(name, value), mistakes),
            Role::ResponseTimeout { rank } => {
                let given = value::kept(name, milliseconds(name, value), mistakes).map(|given| (rank, given));
                self.response_timeout = self.response_timeout.max(given);
            }
            Role::KeepAlive => self.keep_alive = value::kept(name, value::keep_alive(name, value), mistakes).flatten(),
            Role::Protocol => _ = value::kept(name, value::protocol(value), mistakes),
            Role::Ignored => {}
            Role::Only { accepts, .. } if accepts(value) => {}
            Role::Only { reason, .. } | Role::Refused { reason } => mistakes.push(Mistake::new(name, reason)),
        }
    }

    /// A token after a password is never taken for a server. It may be the rest of a password with a comma in it, and a server's
    /// name is looked up and shown.
    fn server_given(&mut self, server: &'a str) {
        if self.after_password {
            self.trailing = true;
        } else {
            self.servers.push(server);
        }
    }

    fn servers(&mut self) -> Option<Servers> {
        if self.trailing {
            let reason = "the server has to come before the password; a password with a comma in it can be written \
                          only in a URL, as %2C";
            self.mistakes.push(Mistake::new("password", reason));
            // The token after the password may have been meant for the server.
            if self.servers.is_empty() {
                return None;
            }
        }
        if self.servers.is_empty() {
            self.mistakes.push(Mistake::new("host", "none is given; a server is needed, such as localhost:6379"));
            return None;
        }
        if let [socket] = self.servers.as_slice()
            && let Some(path) = socket.strip_prefix('!')
        {
            if self.ssl {
                self.mistakes.push(Mistake::new("ssl", "a Unix socket has no TLS"));
            }
            if self.service.is_some() {
                self.mistakes
                    .push(Mistake::new("serviceName", "a sentinel is reached over TCP, not over a Unix socket"));
            }
            return value::kept("path", unix::server(path), &mut self.mistakes).map(Servers::One);
        }
        // A password whose name was left out would be looked up and shown.
        if self.servers.iter().skip(1).any(|server| !server.contains(':')) {
            let reason = "each server after the first needs its port, as in host1:6379,host2:6379";
            self.mistakes.push(Mistake::new("host", reason));
            return None;
        }
        let default_port = match (&self.service, self.ssl) {
            (Some(_), _) => sentinel::DEFAULT_PORT,
            (None, true) => DEFAULT_TLS_PORT,
            (None, false) => url::DEFAULT_PORT,
        };
        // With Sentinel these are the sentinels.
        let tls = self.sentinel_ssl.filter(|_| self.service.is_some()).unwrap_or(self.ssl);
        let mut servers = host::parse_list(&self.servers.join(","), default_port, tls, &mut self.mistakes);
        if let Some(ssl_host) = self.ssl_host
            && !servers
                .iter()
                .all(|server| matches!(server, Server::Tcp { host, .. } if host.eq_ignore_ascii_case(ssl_host)))
        {
            let reason = "the certificate is checked for the host that is connected to; another name is not supported";
            self.mistakes.push(Mistake::new("sslHost", reason));
        }
        let credentials = sentinel::sentinel_credentials(
            "sentinelUser",
            self.sentinel_user.take(),
            self.sentinel_password.take(),
            &mut self.mistakes,
        );
        if let Some(service) = self.service.take() {
            return Some(Servers::Sentinel(SentinelTarget { sentinels: servers, service, credentials, tls: self.ssl }));
        }
        if credentials != Credentials::default() {
            self.mistakes.push(Mistake::new("serviceName", "missing: sentinels have a user and a password here"));
        }
        if self.sentinel_ssl.is_some() {
            self.mistakes.push(Mistake::new("sentinelSsl", "it is for Sentinel, and serviceName is missing"));
        }
        if servers.len() > 1 { Some(Servers::AnyOf(servers)) } else { servers.pop().map(Servers::One) }
    }

    fn finish(mut self) -> Result<Target, Vec<Mistake>> {
        let servers = self.servers();
        let credentials = value::credentials(self.user.take(), self.password.take(), &mut self.mistakes);
        match servers {
            Some(servers) if self.mistakes.is_empty() => Ok(Target {
                credentials,
                database: self.database.unwrap_or(0),
                connect_timeout: self.connect_timeout,
                response_timeout: self.response_timeout.map(|(_, given)| given),
                keep_alive: self.keep_alive,
                ..Target::new(servers)
            }),
            _ => Err(self.mistakes),
        }
    }
}
