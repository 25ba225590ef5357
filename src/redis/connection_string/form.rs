//! Finds out which form a connection string has.

use super::mistake::Mistake;
use super::target::Target;
use super::{sentinel, stackexchange, unix, url};

/// Reads a connection string of any form.
///
/// # Errors
///
/// Every mistake that was found, at least one.
pub(in crate::redis) fn parse(text: &str) -> Result<Target, Vec<Mistake>> {
    let text = text.trim();
    if text.is_empty() {
        return Err(vec![Mistake::new(
            "text",
            "empty; allowed are a URL such as redis://localhost:6379 and a server with options such as \
             localhost:6379,password=...",
        )]);
    }
    if text.chars().any(char::is_control) {
        return Err(vec![Mistake::new(
            "text",
            "it has a control character, such as a line break; in a URL, percent-encode it",
        )]);
    }
    match Form::of(text) {
        Form::Url { tls, rest } => url::parse(rest, tls),
        Form::Sentinel { tls, rest } => sentinel::parse(rest, tls),
        Form::Unix { rest } => unix::parse(rest),
        Form::StackExchange => stackexchange::parse(text),
        Form::Cluster { tls, rest } => url::parse_cluster(rest, tls),
        Form::Unknown => Err(vec![Mistake::new(
            "scheme",
            "unknown; allowed are redis and valkey, rediss and valkeys for TLS, redis+sentinel, rediss+sentinel, \
             redis+cluster and rediss+cluster, and unix, redis+unix and valkey+unix for a Unix socket",
        )]),
    }
}

enum Form<'a> {
    /// With the text after `//`.
    Url {
        tls: bool,
        rest: &'a str,
    },
    /// With the text after the scheme and its colon.
    Unix {
        rest: &'a str,
    },
    /// The same, with sentinels before the path.
    Sentinel {
        tls: bool,
        rest: &'a str,
    },
    /// The same, with nodes of a cluster before the path.
    Cluster {
        tls: bool,
        rest: &'a str,
    },
    StackExchange,
    Unknown,
}

impl<'a> Form<'a> {
    fn of(text: &'a str) -> Self {
        // `redis:6379` is a host and a port, so a scheme alone does not make a URL.
        let Some((scheme, rest)) = text.split_once(':').filter(|(_, rest)| rest.starts_with('/')) else {
            return Self::StackExchange;
        };
        if scheme.contains([',', '=']) {
            // The colon is in a later option.
            return Self::StackExchange;
        }
        match (scheme.to_ascii_lowercase().as_str(), rest.strip_prefix("//")) {
            ("redis" | "valkey", Some(rest)) => Self::Url { tls: false, rest },
            ("rediss" | "valkeys", Some(rest)) => Self::Url { tls: true, rest },
            ("unix" | "redis+unix" | "valkey+unix" | "redis+socket" | "redis-socket", _) => Self::Unix { rest },
            ("redis+sentinel" | "redis-sentinel" | "valkey+sentinel" | "valkey-sentinel", Some(rest)) => {
                Self::Sentinel { tls: false, rest }
            }
            ("rediss+sentinel" | "rediss-sentinel" | "valkeys+sentinel" | "valkeys-sentinel", Some(rest)) => {
                Self::Sentinel { tls: true, rest }
            }
            ("redis+cluster" | "redis-cluster" | "valkey+cluster" | "valkey-cluster", Some(rest)) => {
                Self::Cluster { tls: false, rest }
            }
            ("rediss+cluster" | "rediss-cluster" | "valkeys+cluster" | "valkeys-cluster", Some(rest)) => {
                Self::Cluster { tls: true, rest }
            }
            (_, Some(_)) => Self::Unknown,
            (_, None) => Self::StackExchange,
        }
    }
}
