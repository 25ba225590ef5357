//! What follows the `?` of a URL.

use std::time::Duration;

use super::mistake::{Mistake, Named};
use super::value;

/// The parameters that were given.
#[derive(Default)]
pub(super) struct Query {
    pub(super) database: Option<i64>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) response_timeout: Option<Duration>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// Whether a user and a password may stand here; in a URL with a host they stand before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Credentials {
    Allowed,
    BeforeHost,
}

impl Query {
    /// Reads `text`, in which the parameters that `seen` already has are one too many.
    pub(super) fn parse(
        text: &str,
        credentials: Credentials,
        mut seen: Vec<&'static str>,
        mistakes: &mut Vec<Mistake>,
    ) -> Self {
        let mut query = Self::default();
        let mut after_password = false;
        for (at, parameter) in text.split('&').enumerate().filter(|(_, parameter)| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let Some(known) = known(name).filter(|known| credentials.allow(known)) else {
                let option = Named { name, value, after_password };
                mistakes.push(Mistake::unknown(option, at + 1, credentials.allowed()));
                continue;
            };
            after_password |= known == "pass";
            if seen.contains(&known) {
                mistakes.push(Mistake::twice(known));
                continue;
            }
            seen.push(known);
            query.set(known, value, mistakes);
        }
        query
    }

    fn set(&mut self, name: &'static str, value: &str, mistakes: &mut Vec<Mistake>) {
        match name {
            "db" => self.database = value::kept(name, value::database(value), mistakes),
            "connectTimeout" => self.connect_timeout = value::kept(name, value::timeout(value), mistakes),
            "responseTimeout" => self.response_timeout = value::kept(name, value::timeout(value), mistakes),
            "protocol" => _ = value::kept(name, value::protocol(value), mistakes),
            "user" => self.user = value::kept("user", text(value), mistakes),
            _ => self.password = value::kept("password", text(value), mistakes),
        }
    }
}

impl Credentials {
    fn allow(self, name: &str) -> bool {
        self == Self::Allowed || !matches!(name, "user" | "pass")
    }

    fn allowed(self) -> &'static str {
        match self {
            Self::Allowed => "db, user, pass, connectTimeout, responseTimeout and protocol",
            Self::BeforeHost => {
                "db, connectTimeout, responseTimeout and protocol (a user and a password stand before the host, as in \
                 redis://user:password@host)"
            }
        }
    }
}

fn known(name: &str) -> Option<&'static str> {
    ["db", "connectTimeout", "responseTimeout", "protocol", "user", "pass"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(name))
}

fn text(value: &str) -> Result<String, &'static str> {
    // Web forms mean a space by it, everything else a plus, so nothing is guessed.
    if value.contains('+') {
        return Err("write '+' as %2B, and a space as %20");
    }
    value::decoded(value)
}
