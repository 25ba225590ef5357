//! `redis://` and `rediss://`.

use super::host;
use super::mistake::Mistake;
use super::query::{Place, Query};
use super::target::{Credentials, Servers, Target};
use super::value;

pub(super) const DEFAULT_PORT: u16 = 6379;

/// Reads the text after `//`: `[user[:password]@]host[:port][/db][?parameters]`.
pub(super) fn parse(text: &str, tls: bool) -> Result<Target, Vec<Mistake>> {
    let parts = split(text)?;
    let mut mistakes = Vec::new();
    let credentials = credentials(parts.credentials, &mut mistakes);
    let server = host::parse(parts.servers, DEFAULT_PORT, tls, &mut mistakes);
    if parts.servers.contains(',') && server.is_none() {
        mistakes.push(Mistake::new(
            "text",
            "options after a comma belong to the form without redis://; several servers are for redis+sentinel://, \
             redis+cluster:// and the form without redis://",
        ));
    }
    if let Some(fragment) = parts.fragment {
        mistakes.push(refused_fragment(fragment));
    }
    let in_path = parts.path.strip_prefix('/').filter(|database| !database.is_empty());
    let database = in_path.map(|text| value::kept("database", value::database(text), &mut mistakes));
    let seen = if in_path.is_some() { vec!["db"] } else { Vec::new() };
    let query = Query::parse(parts.query, Place::Server { tls }, seen, &mut mistakes);
    match server {
        Some(server) if mistakes.is_empty() => Ok(Target {
            credentials,
            database: database.flatten().or(query.database).unwrap_or(0),
            connect_timeout: query.connect_timeout(),
            response_timeout: query.response_timeout(),
            ..Target::new(Servers::One(server))
        }),
        _ => Err(mistakes),
    }
}

/// Reads the text after `//` of a cluster: `[user[:password]@]host[:port],…[?parameters]`. A cluster has one database, 0.
pub(super) fn parse_cluster(text: &str, tls: bool) -> Result<Target, Vec<Mistake>> {
    let parts = split(text)?;
    let mut mistakes = Vec::new();
    let credentials = credentials(parts.credentials, &mut mistakes);
    let nodes = host::parse_list(parts.servers, DEFAULT_PORT, tls, &mut mistakes);
    if let Some(fragment) = parts.fragment {
        mistakes.push(refused_fragment(fragment));
    }
    let query = Query::parse(parts.query, Place::Server { tls }, Vec::new(), &mut mistakes);
    if !matches!(parts.path, "" | "/" | "/0") || query.database.is_some_and(|database| database != 0) {
        mistakes.push(Mistake::new("database", "a cluster has only the database 0"));
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let (connect_timeout, response_timeout) = (query.connect_timeout(), query.response_timeout());
    Ok(Target { credentials, connect_timeout, response_timeout, ..Target::new(Servers::Cluster(nodes)) })
}

/// The parts of a URL after `//`.
pub(super) struct Parts<'a> {
    /// Before the `@`.
    pub(super) credentials: &'a str,
    pub(super) servers: &'a str,
    /// With its first `/`, if there is one.
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) fragment: Option<&'a str>,
}

/// Splits `[user[:password]@]servers[/path][?parameters][#fragment]`.
pub(super) fn split(text: &str) -> Result<Parts<'_>, Vec<Mistake>> {
    let end = text.find(['/', '?', '#']).unwrap_or(text.len());
    let (authority, tail) = text.split_at_checked(end).unwrap_or((text, ""));
    // If a password contains a separator, all parts are wrong. So this is the only mistake that is reported.
    if tail.contains('@') || authority.matches('@').count() > 1 {
        return Err(vec![Mistake::new(
            "user and password",
            "write '/' as %2F, '?' as %3F, '#' as %23 and '@' as %40 there, and nothing but the one '@' before the host",
        )]);
    }
    let (credentials, servers) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (tail, fragment) = tail.split_once('#').map_or((tail, None), |(tail, fragment)| (tail, Some(fragment)));
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    Ok(Parts { credentials, servers, path, query, fragment })
}

/// Reads `user`, `user:password` or `:password`.
pub(super) fn credentials(text: &str, mistakes: &mut Vec<Mistake>) -> Credentials {
    let (user, password) = text.split_once(':').map_or((text, None), |(user, password)| (user, Some(password)));
    let before = mistakes.len();
    let user = value::kept("user", value::decoded(user), mistakes);
    let password = password.map(|password| value::kept("password", value::decoded(password), mistakes));
    // If one of them does not decode, the other alone would give a second mistake for the same cause.
    if mistakes.len() > before {
        return Credentials::default();
    }
    value::credentials(user, password.flatten(), mistakes)
}

/// The `redis` crate accepts one fragment, `#insecure`, which switches the checks of certificates off.
pub(super) fn refused_fragment(fragment: &str) -> Mistake {
    let reason = if fragment.eq_ignore_ascii_case("insecure") {
        "#insecure is refused: certificates are always checked; trust one of your own with tls_root_certificates"
    } else {
        "none is allowed; write '#' as %23"
    };
    Mistake::new("fragment", reason)
}
