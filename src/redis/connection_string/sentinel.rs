//! `redis+sentinel://` and `redis-sentinel://`: the primary of a service that Sentinel watches.

use super::mistake::Mistake;
use super::query::{Place, Query};
use super::target::{Credentials, SentinelTarget, Servers, Target};
use super::{host, url, value};

pub(super) const DEFAULT_PORT: u16 = 26379;

/// The longest name of a service, in bytes.
const LONGEST_SERVICE: usize = 128;

/// Reads the text after `//`: `[user[:password]@]host[:port],…/service[/db][?parameters]`. As in Lettuce the service may be
/// given as `?sentinelMasterId=` or as the fragment instead; then the path is the database.
pub(super) fn parse(text: &str, tls: bool) -> Result<Target, Vec<Mistake>> {
    let parts = url::split(text)?;
    let mut mistakes = Vec::new();
    let credentials = url::credentials(parts.credentials, &mut mistakes);
    let mut of_query = Vec::new();
    let query = Query::parse(parts.query, Place::Sentinels { tls }, Vec::new(), &mut of_query);
    let sentinels = host::parse_list(parts.servers, DEFAULT_PORT, query.sentinel_ssl.unwrap_or(tls), &mut mistakes);
    mistakes.append(&mut of_query);

    let (mut path, mut named) = (parts.path.trim_end_matches('/'), Vec::new());
    named.extend(query.service.as_deref());
    named.extend(parts.fragment);
    if named.is_empty()
        && let Some(rest) = path.strip_prefix('/')
    {
        let (service, rest) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
        named.push(service);
        path = rest;
    }
    let service = match named.as_slice() {
        [service] => value::kept("service", value::decoded(service).and_then(checked_service), &mut mistakes),
        [] => {
            mistakes.push(Mistake::new("service", NO_SERVICE));
            None
        }
        _ => {
            mistakes.push(Mistake::twice("service"));
            None
        }
    };
    let in_path = path.strip_prefix('/').filter(|database| !database.is_empty());
    if in_path.is_some() && query.database.is_some() {
        mistakes.push(Mistake::twice("db"));
    }
    let in_path = in_path.and_then(|text| value::kept("database", value::database(text), &mut mistakes));
    let (connect_timeout, response_timeout) = (query.connect_timeout(), query.response_timeout());
    let database = in_path.or(query.database).unwrap_or(0);
    let own = sentinel_credentials("sentinel_username", query.sentinel_user, query.sentinel_password, &mut mistakes);
    match service {
        Some(service) if mistakes.is_empty() => Ok(Target {
            credentials,
            database,
            connect_timeout,
            response_timeout,
            ..Target::new(Servers::Sentinel(SentinelTarget { sentinels, service, credentials: own, tls }))
        }),
        _ => Err(mistakes),
    }
}

const NO_SERVICE: &str = "none is given; the name of the service that Sentinel watches is needed, as in \
                          redis+sentinel://host:26379/mymaster";

/// The name of a service, if it may be one.
pub(super) fn checked_service(name: String) -> Result<String, &'static str> {
    if name.is_empty() {
        return Err(NO_SERVICE);
    }
    if name.len() > LONGEST_SERVICE || !name.chars().all(|c| c.is_ascii_graphic() && c != '/') {
        return Err("1 to 128 visible ASCII characters are allowed, and no '/'");
    }
    Ok(name)
}

/// The credentials of the sentinels. `option` is the name of the one for the user.
pub(super) fn sentinel_credentials(
    option: &'static str,
    user: Option<String>,
    password: Option<String>,
    mistakes: &mut Vec<Mistake>,
) -> Credentials {
    let (user, password) = (user.filter(|user| !user.is_empty()), password.filter(|password| !password.is_empty()));
    if user.is_some() && password.is_none() {
        mistakes.push(Mistake::new(option, "without a password for the sentinels"));
    }
    Credentials { user, password }
}
