//! What several sentinels say together of the primary.
//!
//! Each failover has a number, the configuration epoch, which no other failover of the service has. So two servers with the
//! same number are no old primary and a new one: the sentinels do not know each other, or one of them is configured wrongly.
//! Processes that chose differently would not exclude each other.

use ::redis::RedisError;

use super::no_primary;
use super::sentinels::Primary;
use crate::redis::connection_string::{SentinelTarget, Server};

/// The primary that a sentinel names.
pub(super) type Named = (Server, Primary);

/// What the sentinels say together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Agreement<'a> {
    /// No sentinel names a primary.
    None,
    /// The one of the latest failover. Of several, the one that more than half of the sentinels name.
    On(&'a Primary),
    /// Several of the latest failover, each once.
    Split(Vec<&'a Primary>),
}

/// What sentinels say together, where two servers may be [`is_same`](Fn) under two names.
pub(super) fn agreement(named: &[Named], is_same: impl Fn(&Server, &Server) -> bool) -> Agreement<'_> {
    let Some(latest) = named.iter().map(|(_, primary)| primary.epoch).max() else { return Agreement::None };
    let mut servers: Vec<&Primary> = Vec::new();
    for (_, primary) in named.iter().filter(|(_, primary)| primary.epoch == latest) {
        if !servers.iter().any(|known| is_same(&known.server, &primary.server)) {
            servers.push(primary);
        }
    }
    if let [one] = servers.as_slice() {
        return Agreement::On(one);
    }
    let votes = |of: &Primary| named.iter().filter(|(_, primary)| is_same(&primary.server, &of.server)).count();
    match servers.iter().find(|server| votes(server) * 2 > named.len()) {
        Some(most) => Agreement::On(most),
        None => Agreement::Split(servers),
    }
}

/// Neither is used, and both are named.
pub(super) fn split(target: &SentinelTarget, servers: &[&Primary], named: &[Named]) -> RedisError {
    let each: Vec<_> = servers
        .iter()
        .map(|Primary { server, .. }| {
            let by = named.iter().filter(|(_, primary)| primary.server == *server);
            let by: Vec<_> = by.map(|(sentinel, _)| sentinel.to_string()).collect();
            format!("{server} by {}", by.join(", "))
        })
        .collect();
    let (service, epoch) = (&target.service, servers.first().map_or(0, |primary| primary.epoch));
    no_primary(format!(
        "the sentinels disagree about the primary of {service}, and none of those that they name is used: {} \
         (configuration epoch {epoch})",
        each.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(port: u16) -> Server {
        Server::Tcp { host: "h".to_owned(), port, tls: false }
    }

    fn named(answers: &[(u16, u64)]) -> Vec<Named> {
        let of =
            |(at, (port, epoch)): (u16, &(u16, u64))| (server(at), Primary { server: server(*port), epoch: *epoch });
        (100..).zip(answers).map(of).collect()
    }

    fn agreed(answers: &[(u16, u64)], is_same: fn(&Server, &Server) -> bool) -> Result<Option<Server>, Vec<Server>> {
        match agreement(&named(answers), is_same) {
            Agreement::None => Ok(None),
            Agreement::On(primary) => Ok(Some(primary.server.clone())),
            Agreement::Split(servers) => Err(servers.into_iter().map(|primary| primary.server.clone()).collect()),
        }
    }

    #[test]
    fn the_latest_failover_counts_and_then_the_majority() {
        let on = |port| Ok(Some(server(port)));
        for (answers, expected) in [
            (&[][..], Ok(None)),
            (&[(1, 4), (1, 4)], on(1)),
            (&[(1, 4), (2, 5)], on(2)),
            (&[(1, 4), (1, 4), (2, 5)], on(2)),
            (&[(1, 5), (2, 5), (2, 5)], on(2)),
            (&[(1, 5), (2, 5), (1, 4)], on(1)),
            (&[(1, 5), (2, 5)], Err(vec![server(1), server(2)])),
            (&[(1, 5), (2, 5), (3, 4)], Err(vec![server(1), server(2)])),
            (&[(1, 5), (1, 5), (2, 5), (2, 5)], Err(vec![server(1), server(2)])),
        ] {
            assert_eq!(agreed(answers, |one, other| one == other), expected, "{answers:?}");
        }
        assert_eq!(agreed(&[(1, 5), (2, 5)], |_, _| true), on(1), "two names of one server");
    }

    #[test]
    fn a_split_names_all() {
        let target = SentinelTarget {
            sentinels: Vec::new(),
            service: "locks".to_owned(),
            credentials: crate::redis::connection_string::Credentials::default(),
            tls: false,
        };
        let named = named(&[(1, 5), (2, 5)]);
        let servers: Vec<_> = named.iter().map(|(_, primary)| primary).collect();
        let text = split(&target, &servers, &named).to_string();
        assert!(text.contains("h:1 by h:100; h:2 by h:101 (configuration epoch 5)"), "{text}");
    }
}
