//! `unix:` and `redis+unix:`.

use super::mistake::Mistake;
use super::query::{Place, Query};
use super::target::{Server, Servers, Target};
use super::url::refused_fragment;
use super::value;

/// Reads the text after the scheme: `/path` or `///path`, with parameters.
pub(super) fn parse(text: &str) -> Result<Target, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let (text, fragment) = text.split_once('#').map_or((text, None), |(text, fragment)| (text, Some(fragment)));
    if let Some(fragment) = fragment {
        mistakes.push(refused_fragment(fragment));
    }
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let path = match path.strip_prefix("//") {
        Some(path) if path.starts_with('/') => Ok(path),
        Some(_) => Err("a path from the root is needed, as in unix:///run/redis.sock; a user and a password are \
                        given as ?user=...&pass=..."),
        None => Ok(path),
    };
    let path = path.and_then(value::decoded).and_then(|path| server(&path));
    let server = value::kept("path", path, &mut mistakes);
    let query = Query::parse(query, Place::Socket, Vec::new(), &mut mistakes);
    let (connect_timeout, response_timeout) = (query.connect_timeout(), query.response_timeout());
    let credentials = value::credentials(query.user, query.password, &mut mistakes);
    match server {
        Some(server) if mistakes.is_empty() => Ok(Target {
            credentials,
            database: query.database.unwrap_or(0),
            connect_timeout,
            response_timeout,
            ..Target::new(Servers::One(server))
        }),
        _ => Err(mistakes),
    }
}

/// The server at the socket with this path.
pub(super) fn server(path: &str) -> Result<Server, &'static str> {
    if !cfg!(unix) {
        return Err("Unix sockets are not supported on this system");
    }
    if !path.starts_with('/') || path.ends_with('/') {
        return Err("the path of a socket, from the root on, is needed");
    }
    if path.chars().any(char::is_control) {
        return Err("control characters are not allowed");
    }
    Ok(Server::Unix { path: path.to_owned() })
}
