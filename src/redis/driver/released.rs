//! [`Released`]: the owner tokens that were released or cancelled last, in case a failover undoes it.
//!
//! A replica that takes over may not have received a release to which the old primary had replied. `SENTINEL FAILOVER` makes this
//! likely: clients use the old primary for about a second after the promotion. On the new primary such a lock is held under a
//! token that no caller has, until its lease ends. So what was released shortly before a change of servers is taken back once
//! more, as after a release without a reply. That is safe at any time: no caller is granted a lock under a token that was
//! released.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::Resource;
use crate::engine::OwnerToken;
use crate::redis::connection::Node;
use crate::redis::connection_string::Server;
use crate::sync;

/// How many are kept at most: those of a second or more of a busy process, in less than 2 MB.
const MOST: usize = 16 * 1024;

/// How long before a change of servers they are still of interest. A replica that lags behind for longer is not promoted.
const LONGEST: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(in crate::redis) struct Released(Mutex<Inner>);

/// A name, the token that was released, and until when the name stays taken all the same.
pub(in crate::redis) type ReleasedToken = (Resource, OwnerToken, Option<Instant>);

#[derive(Debug, Default)]
struct Inner {
    tokens: VecDeque<(Instant, ReleasedToken)>,
    /// The server of each connection.
    servers: HashMap<Node, Option<Server>>,
}

impl Released {
    /// A token was released. The name may stay taken.
    pub(in crate::redis) fn add(&self, resource: &Resource, token: OwnerToken, kept_until: Option<Instant>) {
        let mut inner = self.0.lock();
        if inner.tokens.len() == MOST {
            inner.tokens.pop_front();
        }
        inner.tokens.push_back((sync::now(), (resource.clone(), token, kept_until)));
    }

    /// The node has slots of another one since.
    pub(in crate::redis) fn forget(&self, node: Node) {
        self.0.lock().servers.remove(&node);
    }

    /// A connection was made again, to this server, for the resources that it concerns. What is to be released there once
    /// more.
    pub(in crate::redis) fn to_repeat(
        &self,
        node: Node,
        server: Option<Server>,
        concerns: impl Fn(&Resource) -> bool,
    ) -> Vec<ReleasedToken> {
        let mut inner = self.0.lock();
        if inner.servers.insert(node, server.clone()) == Some(server) {
            return Vec::new();
        }
        let (here, others) = inner.tokens.drain(..).partition::<Vec<_>, _>(|(_, (resource, ..))| concerns(resource));
        inner.tokens.extend(others);
        let now = sync::now();
        let recent = here.into_iter().filter(|(at, _)| now.saturating_duration_since(*at) < LONGEST);
        recent.map(|(_, released)| released).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ::redis::Value;

    use super::*;
    use crate::engine::InboxId;
    use crate::redis::RedisLockOptions;
    use crate::redis::connection::{Caller as _, Reply};
    use crate::redis::driver::stage::{CallKind, Stage};
    use crate::{LockError, LockMode};

    fn server(port: u16) -> Server {
        Server::Tcp { host: "h".to_owned(), port, tls: false }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_ones_are_repeated_on_another_server() {
        let inbox = InboxId::random().unwrap();
        let name = Resource::try_from("order:42").unwrap();
        let token = || OwnerToken::random(inbox, LockMode::Exclusive).unwrap();
        let released = Released::default();
        let repeated = |port| released.to_repeat(Node(0), Some(server(port)), |_| true);
        assert_eq!(repeated(1), []);
        released.add(&name, token(), None);
        tokio::time::advance(LONGEST).await;
        let last: Vec<_> = (0..=MOST).map(|_| token()).collect();
        for token in &last[..2] {
            released.add(&name, *token, None);
        }
        assert_eq!(repeated(1), [], "the same server has them");
        assert_eq!(repeated(2), [(name.clone(), last[0], None), (name.clone(), last[1], None)]);
        assert_eq!(repeated(1), [], "once");
        for token in &last {
            released.add(&name, *token, None);
        }
        assert_eq!(repeated(2).len(), MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_of_a_cluster_gets_its_own_alone() {
        let inbox = InboxId::random().unwrap();
        let names = ["a", "b"].map(|name| Resource::try_from(name).unwrap());
        let tokens = names.clone().map(|_| OwnerToken::random(inbox, LockMode::Exclusive).unwrap());
        let released = Released::default();
        for (name, token) in names.iter().zip(tokens) {
            released.add(name, token, None);
        }
        let repeated =
            |node, name: &str| released.to_repeat(Node(node), Some(server(1)), |resource| *resource.as_str() == *name);
        assert_eq!(repeated(1, "b"), [(names[1].clone(), tokens[1], None)]);
        assert_eq!(repeated(1, "a"), [], "the same connection");
        assert_eq!(repeated(2, "a"), [(names[0].clone(), tokens[0], None)]);
    }

    /// A release without a reply becomes a cancellation. Once that is answered a failover may undo it as well.
    #[tokio::test(start_paused = true)]
    async fn what_was_cancelled_is_repeated_too() {
        let several = RedisLockOptions::default().connection_string("h1:1,h2:2");
        let stage = Stage::with(&several);
        let guard = stage.held(&stage.resource);
        let token = stage.token();
        drop(guard);
        let release = stage.call(|kind| matches!(kind, CallKind::Release(_) | CallKind::LetGo));
        stage.driver().answered(release, Reply::Indeterminate { error: LockError::unavailable("silent") });
        assert_eq!(stage.driver().released.to_repeat(Node(0), None, |_| true), []);
        stage.driver().cancel_all_again();
        let cancellation = stage.call(|kind| matches!(kind, CallKind::CancelAgain));
        stage.answers(cancellation, Value::Int(1));
        let repeated = stage.driver().released.to_repeat(Node(0), Some(server(2)), |_| true);
        assert_eq!(repeated, [(stage.resource.clone(), token, None)]);
    }
}
