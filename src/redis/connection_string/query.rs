//! The parameters of a URL, after its `?`.

use super::mistake::{Mistake, Named};
use super::query_options::{Known, Role, find};
use super::target::Given;
use super::value;

/// The parameters that were given.
#[derive(Default)]
pub(super) struct Query {
    pub(super) database: Option<i64>,
    connect_timeout: Option<(u8, Given)>,
    response_timeout: Option<(u8, Given)>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// The service that Sentinel watches, as it is written.
    pub(super) service: Option<String>,
    pub(super) sentinel_user: Option<String>,
    pub(super) sentinel_password: Option<String>,
    /// Whether the sentinels are connected to with TLS, if that is given.
    pub(super) sentinel_ssl: Option<bool>,
}

/// Which kind of URL the parameters are in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A URL with a host. The user and the password are before the host.
    Server { tls: bool },
    /// A URL with sentinels. The user and the password of the server are before them.
    Sentinels { tls: bool },
    /// The URL of a Unix socket. The user and the password are parameters.
    Socket,
}

impl Query {
    /// Reads `text`. A parameter in `seen` was given before, so that it is given twice if the text has it.
    pub(super) fn parse(text: &str, place: Place, mut seen: Vec<&'static str>, mistakes: &mut Vec<Mistake>) -> Self {
        let mut query = Self::default();
        let mut after_password = false;
        for (at, parameter) in text.split('&').enumerate().filter(|(_, parameter)| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let Some(known) = find(name) else {
                let option = Named { name, value, after_password };
                after_password |= option.is_secret();
                mistakes.push(Mistake::unknown(option, at + 1, place.allowed()));
                continue;
            };
            after_password |= matches!(known.role, Role::Password | Role::SentinelPassword);
            let effect = known.effect();
            if seen.contains(&effect) {
                mistakes.push(Mistake::twice(known.name));
                continue;
            }
            seen.push(effect);
            query.set(known, value, place, mistakes);
        }
        query
    }

    pub(super) fn connect_timeout(&self) -> Option<Given> {
        self.connect_timeout.map(|(_, given)| given)
    }

    pub(super) fn response_timeout(&self) -> Option<Given> {
        self.response_timeout.map(|(_, given)| given)
    }

    fn set(&mut self, Known { name, role }: Known, value: &str, place: Place, mistakes: &mut Vec<Mistake>) {
        match role {
            Role::Database => self.database = value::kept(name, value::database(value), mistakes),
            Role::ConnectTimeout { rank, unit } => {
                let given = value::kept(name, value::timeout(name, value, unit), mistakes);
                self.connect_timeout = self.connect_timeout.max(given.map(|given| (rank, given)));
            }
            Role::ResponseTimeout { rank, unit } => {
                let given = value::kept(name, value::timeout(name, value, unit), mistakes);
                self.response_timeout = self.response_timeout.max(given.map(|given| (rank, given)));
            }
            Role::Protocol => _ = value::kept(name, value::protocol(value), mistakes),
            Role::User | Role::Password if !matches!(place, Place::Socket) => {
                let reason = "a user and a password stand before the host, as in redis://user:password@host";
                mistakes.push(Mistake::new(name, reason));
            }
            Role::User => self.user = value::kept("user", text(value), mistakes),
            Role::Password => self.password = value::kept("password", text(value), mistakes),
            Role::SentinelService | Role::SentinelUser | Role::SentinelPassword | Role::SentinelSsl
                if !matches!(place, Place::Sentinels { .. }) =>
            {
                mistakes.push(Mistake::new(name, "it is for Sentinel: redis+sentinel://host:26379/service"));
            }
            Role::SentinelService => self.service = Some(value.to_owned()),
            Role::SentinelUser => self.sentinel_user = value::kept(name, text(value), mistakes),
            Role::SentinelPassword => self.sentinel_password = value::kept(name, text(value), mistakes),
            Role::SentinelSsl => self.sentinel_ssl = value::kept(name, value::boolean(value), mistakes),
            Role::Ignored => {}
            Role::Only { accepts, .. } if accepts(value, place.has_tls()) => {}
            Role::Only { reason, .. } | Role::Refused { reason } => mistakes.push(Mistake::new(name, reason)),
        }
    }
}

impl Known {
    /// What it sets. Two parameters that set the same count as one given twice; those with a rank do not.
    fn effect(self) -> &'static str {
        match self.role {
            Role::Database => "db",
            Role::User => "user",
            Role::Password => "pass",
            Role::SentinelService => "service",
            _ => self.name,
        }
    }
}

impl Place {
    fn has_tls(self) -> bool {
        matches!(self, Self::Server { tls: true } | Self::Sentinels { tls: true })
    }

    fn allowed(self) -> &'static str {
        match self {
            Self::Socket => {
                "db, user, pass, connectTimeout, responseTimeout, protocol, and those of other clients that \
                 RedisLockOptions::connection_string lists"
            }
            Self::Sentinels { .. } => {
                "db, sentinel_username, sentinel_password, sentinel_ssl, sentinelMasterId, connectTimeout, responseTimeout, \
                 protocol, and those of other clients that RedisLockOptions::connection_string lists (a user and a password of the \
                 server stand before the hosts)"
            }
            Self::Server { .. } => {
                "db, connectTimeout, responseTimeout, protocol, and those of other clients that \
                 RedisLockOptions::connection_string lists (a user and a password stand before the host, as in \
                 redis://user:password@host)"
            }
        }
    }
}

fn text(value: &str) -> Result<String, &'static str> {
    // In web forms it means a space, everywhere else a plus, so it is refused.
    if value.contains('+') {
        return Err("write '+' as %2B, and a space as %20");
    }
    value::decoded(value)
}
