//! Reads a host and a port, which all forms write in the same way.

use std::net::{IpAddr, Ipv6Addr};

use rustls::pki_types::ServerName;

use super::mistake::Mistake;
use super::target::Server;
use super::value;

/// Reads `host`, `host:port`, `[address]` or `[address]:port`.
pub(super) fn parse(text: &str, default_port: u16, tls: bool, mistakes: &mut Vec<Mistake>) -> Option<Server> {
    if let Some(reason) = own_scheme(text) {
        mistakes.push(Mistake::new("host", reason));
        return None;
    }
    let (host, port) = match split(text) {
        Ok(parts) => parts,
        Err(reason) => {
            mistakes.push(Mistake::new("host", reason));
            return None;
        }
    };
    let host = value::kept("host", checked(host, tls), mistakes);
    let port = match port {
        Some(port) => value::kept("port", value::port(port), mistakes),
        None => Some(default_port),
    };
    Some(Server::Tcp { host: host?, port: port?, tls })
}

/// How many servers one string may name.
const MOST: usize = 64;

/// Reads several of these, with commas between them. One that is given twice counts once.
pub(super) fn parse_list(text: &str, default_port: u16, tls: bool, mistakes: &mut Vec<Mistake>) -> Vec<Server> {
    let mut servers = Vec::new();
    for (at, host) in text.split(',').enumerate() {
        if at == MOST {
            mistakes.push(Mistake::new("host", "more than 64 are given; 1 to 64 are allowed"));
            break;
        }
        match parse(host, default_port, tls, mistakes) {
            Some(server) if !servers.contains(&server) => servers.push(server),
            _ => {}
        }
    }
    servers
}

/// Why one of several servers may not have a scheme of its own, as in `redis://host1,rediss://host2`. In a URL the text of it ends
/// before its slashes, so that the host after it is named only in the form without a scheme.
fn own_scheme(text: &str) -> Option<String> {
    const SCHEMES: [&str; 4] = ["redis", "rediss", "valkey", "valkeys"];
    let (scheme, rest) = text.split_once(':')?;
    SCHEMES
        .iter()
        .find(|known| known.eq_ignore_ascii_case(scheme))
        .filter(|_| rest.is_empty() || rest.starts_with("//"))?;
    let host = rest.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default();
    // What may be a password is not shown.
    let is_shown = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':'));
    let of = if is_shown { format!(" ({host})") } else { String::new() };
    Some(format!(
        "a server of several{of} has a scheme of its own: whether TLS is used is said once for all of them, by the scheme \
         before the first or by ssl=true"
    ))
}

#[derive(Clone, Copy)]
enum Host<'a> {
    Name(&'a str),
    Bracketed(&'a str),
}

fn split(text: &str) -> Result<(Host<'_>, Option<&str>), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or("the bracket of an IPv6 address is not closed")?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((Host::Bracketed(address), Some(port))),
            None if rest.is_empty() => Ok((Host::Bracketed(address), None)),
            None => Err("only a colon and a port may follow an IPv6 address"),
        };
    }
    match text.split_once(':') {
        // `::1:6379` is also an address as a whole, so it is refused.
        Some((_, port)) if port.contains(':') => {
            Err("more than one colon; write an IPv6 address in brackets, such as [::1]:6379")
        }
        Some((host, port)) => Ok((Host::Name(host), Some(port))),
        None => Ok((Host::Name(text), None)),
    }
}

fn checked(host: Host<'_>, tls: bool) -> Result<String, &'static str> {
    const LONGEST: usize = 253;
    let host = match host {
        Host::Bracketed(text) => text.parse::<Ipv6Addr>().map_err(|_| "not an IPv6 address")?.to_string(),
        Host::Name("") => return Err("empty; a name or an address is needed"),
        Host::Name(text) if text.contains('@') => {
            return Err("it has an '@'; a user and a password go into a URL or into the options user and password");
        }
        Host::Name(text) => text.to_owned(),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if !host.chars().all(allowed) {
        return Err("allowed are ASCII letters, digits, '-', '.' and '_', or an IPv6 address in brackets");
    }
    if host.len() > LONGEST {
        return Err("longer than 253 characters");
    }
    // A server can listen on such an address, but a client cannot connect to it.
    if host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
        return Err("0.0.0.0 and [::] stand for every address of a machine; name one, such as localhost");
    }
    if tls && ServerName::try_from(host.as_str()).is_err() {
        return Err("not a name or an address that a certificate can be for");
    }
    Ok(host)
}
