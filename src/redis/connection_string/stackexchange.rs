//! `server,option=value,…`: the form of StackExchange.Redis.

use super::mistake::{Mistake, Named};
use super::stackexchange_options::{Known, Role, accepted, find};
use super::target::{Given, Server, Target};
use super::value::Unit;
use super::{host, unix, value};

const DEFAULT_PORT: u16 = 6379;
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

    fn server(&mut self) -> Option<Server> {
        if self.trailing {
            let reason = "the server has to come before the password; a password with a comma in it can be written \
                          only in a URL, as %2C";
            self.mistakes.push(Mistake::new("password", reason));
        }
        let server = match self.servers.as_slice() {
            [server] => *server,
            // The token after the password may have been meant for the server.
            [] if self.trailing => return None,
            [] => {
                self.mistakes.push(Mistake::new("host", "none is given; one server is needed, such as localhost:6379"));
                return None;
            }
            _ => {
                self.mistakes.push(Mistake::new("host", "one server is supported, and several are given"));
                return None;
            }
        };
        if let Some(path) = server.strip_prefix('!') {
            if self.ssl {
                self.mistakes.push(Mistake::new("ssl", "a Unix socket has no TLS"));
            }
            return value::kept("path", unix::server(path), &mut self.mistakes);
        }
        let default_port = if self.ssl { DEFAULT_TLS_PORT } else { DEFAULT_PORT };
        let server = host::parse(server, default_port, self.ssl, &mut self.mistakes);
        if let (Some(Server::Tcp { host, .. }), Some(ssl_host)) = (&server, self.ssl_host)
            && !host.eq_ignore_ascii_case(ssl_host)
        {
            let reason = "the certificate is checked for the host that is connected to; another name is not supported";
            self.mistakes.push(Mistake::new("sslHost", reason));
        }
        server
    }

    fn finish(mut self) -> Result<Target, Vec<Mistake>> {
        let server = self.server();
        let (user, password) = value::credentials(self.user.take(), self.password.take(), &mut self.mistakes);
        match server {
            Some(server) if self.mistakes.is_empty() => Ok(Target {
                user,
                password,
                database: self.database.unwrap_or(0),
                connect_timeout: self.connect_timeout,
                response_timeout: self.response_timeout.map(|(_, given)| given),
                keep_alive: self.keep_alive,
                ..Target::new(server)
            }),
            _ => Err(self.mistakes),
        }
    }
}
