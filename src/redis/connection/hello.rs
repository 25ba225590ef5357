//! `HELLO`: this connection's name on the server, and what the server says of itself.
//!
//! The connection has authenticated and speaks RESP3 already, so a second `HELLO` changes the name and nothing else. It
//! is used instead of `CLIENT SETNAME` and `INFO` because it needs no permission: a user's rules do not apply to it, and
//! the server's `ACL LOG` stays empty.

use std::sync::LazyLock;

use ::redis::aio::ConnectionLike;
use ::redis::{Cmd, Value};

use crate::engine::InboxId;
use crate::redis::protocol::Refusal;

/// What the server said of itself when the present connection was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::redis) struct ServerFacts {
    pub(in crate::redis) version: Option<String>,
    /// Whether it is a node of a Redis Cluster.
    pub(in crate::redis) in_cluster: bool,
    /// It refuses scripts for several locks.
    pub(in crate::redis) refuses_several_locks: bool,
    /// Why it sends this client no notifications, if it does not.
    pub(in crate::redis) refusal: Option<Refusal>,
}

/// The command that names the connection after its inbox and its process.
pub(super) fn command(inbox: InboxId) -> Cmd {
    let mut hello = ::redis::cmd("HELLO");
    hello.arg(3).arg("SETNAME").arg(name(inbox, &PROCESS));
    hello
}

/// Whether the server at the other end is a node of a cluster.
pub(super) async fn is_in_cluster(mut connection: impl ConnectionLike) -> bool {
    let reply = connection.req_packed_command(::redis::cmd("HELLO").arg(3)).await;
    reply.is_ok_and(|reply| facts(reply).in_cluster)
}

/// Reads the reply. Of a server or a proxy that refuses the command nothing is known, which is no error.
pub(super) fn facts(reply: Value) -> ServerFacts {
    let Ok(Value::Map(fields)) = reply.extract_error() else { return ServerFacts::default() };
    let field = |name: &str| {
        let (_, value) = fields.iter().find(|(key, _)| text(key) == Some(name))?;
        text(value)
    };
    ServerFacts {
        version: field("version").map(str::to_owned),
        in_cluster: field("mode") == Some("cluster"),
        ..ServerFacts::default()
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

/// `host/pid`.
static PROCESS: LazyLock<String> = LazyLock::new(|| {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::env::var("HOSTNAME"))
        .or_else(|_| std::env::var("COMPUTERNAME"))
        .unwrap_or_default();
    format!("{}/{}", host.trim(), std::process::id())
});

/// A connection's name may hold printable ASCII without spaces; all else is replaced.
fn name(inbox: InboxId, process: &str) -> String {
    const LONGEST: usize = 128;
    let allowed = |character: char| if character.is_ascii_graphic() { character } else { '_' };
    format!("orchestrix-locking:{inbox}:{process}").chars().map(allowed).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ::redis::{ServerError, make_extension_error};

    use super::*;

    #[test]
    fn a_name_has_only_what_servers_accept() {
        let inbox = InboxId::random().unwrap();
        assert_eq!(name(inbox, "web-1/42"), format!("orchestrix-locking:{inbox}:web-1/42"));
        assert_eq!(name(inbox, "my höst/1\n"), format!("orchestrix-locking:{inbox}:my_h_st/1_"));
        assert_eq!(name(inbox, &"a".repeat(1_000)).len(), 128);
        assert!(PROCESS.ends_with(&format!("/{}", std::process::id())), "{}", *PROCESS);
    }

    #[test]
    fn the_version_and_the_mode_of_a_server_are_read() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let reply = |mode: &str| {
            Value::Map(vec![
                (text("server"), text("redis")),
                (text("version"), text("7.0.15")),
                (text("proto"), Value::Int(3)),
                (text("mode"), Value::SimpleString(mode.to_owned())),
                (text("modules"), Value::Array(Vec::new())),
            ])
        };
        let version = Some("7.0.15".to_owned());
        let expected = |in_cluster| ServerFacts { version: version.clone(), in_cluster, ..ServerFacts::default() };
        assert_eq!(facts(reply("standalone")), expected(false));
        assert_eq!(facts(reply("cluster")), expected(true));
        let refused: ServerError = make_extension_error("ERR".to_owned(), None).try_into().unwrap();
        for other in [Value::Nil, Value::Okay, Value::Map(Vec::new()), Value::ServerError(refused)] {
            assert_eq!(facts(other), ServerFacts::default());
        }
    }
}
