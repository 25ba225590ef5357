//! [`RedisWarning`]: what an operator should know of a server.

use std::fmt;
use std::time::Duration;

/// Something about a server that works but may not suit locks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisWarning {
    /// The server removes keys when its memory is full, and may remove locks.
    MayEvict {
        /// The server's `maxmemory-policy`.
        policy: String,
    },
    /// The user has no permission for the channels of the notifications to waiters, so that waiters poll.
    NoMessages,
    /// The server refuses the notifications to waiters for another reason than the permission for channels, so that waiters
    /// poll. A user may lack the permission for `PUBLISH`, or a service may not have it in scripts.
    MessagesRefused {
        /// The server's text, without secrets.
        why: String,
    },
    /// The server is older than 6.2, the oldest version that has all the commands that are needed.
    OldServer {
        /// The server's version.
        version: String,
    },
    /// The user has no permission for `INFO`, so that the server's settings are not known. `INFO` is not sent again: each
    /// refusal is a line in the server's `ACL LOG`.
    NotPermitted,
    /// The server may be replaced by a replica, and takes writes whether or not a replica receives them
    /// (`min-replicas-to-write` is 0). A failover may lose the latest grants, and then two callers hold one lock until a
    /// lease ends. `docs/redis.md` says how to make this less likely.
    AsynchronousReplication {
        /// How many replicas are connected. There may be none at this moment where the connection string names Sentinel or
        /// several servers.
        replicas: usize,
    },
    /// Fewer replicas are connected to a server than [`confirm_replicas`](crate::RedisLockOptions::confirm_replicas) asks for,
    /// so that it grants no lock at this moment. A check that has tried to lock a name there fails with
    /// [`Unavailable`](crate::LockError::Unavailable) instead.
    FewReplicas {
        /// How many are connected.
        connected: usize,
        /// How many are needed.
        needed: usize,
    },
    /// Connections to the same address reach different servers, as behind a load balancer. Locks on one of them do not
    /// exclude those on another. Name one server, or use Sentinel or a cluster.
    SeveralServers,
    /// The server is a node of a Redis Cluster, and what is in between, such as a proxy, says that it is none. So all calls
    /// go over one connection: name the nodes with `redis+cluster://`, or have the proxy be one for clusters.
    HiddenCluster,
    /// Another connection to the same address has reached a replica, which grants no lock. The name or the proxy leads to a
    /// primary at one time and to a replica at another.
    Replica,
    /// A time-out of the connection string is above the maximum, which is used instead.
    LongTimeout {
        /// The option's usual name.
        option: String,
        /// The time-out that is used.
        used: Duration,
    },
    /// Something about the server could not be found out. Locks work all the same.
    Unknown {
        /// What is not known, as the end of the sentence "it is not known …".
        what: String,
        /// Why it is not.
        why: String,
    },
}

impl fmt::Display for RedisWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MayEvict { policy } => write!(
                f,
                "the server removes keys when its memory is full (maxmemory-policy {policy}), and with them locks that \
                 are held: use noeviction"
            ),
            Self::NoMessages => f.write_str(
                "the user has no permission for the channels of the key prefix: waiters poll instead of being notified",
            ),
            Self::MessagesRefused { why } => {
                write!(f, "the server refuses messages, so that waiters poll instead of being notified: {why}")
            }
            Self::OldServer { version } => {
                write!(f, "the server's version is {version}: waiting for a lock needs 6.2 or newer")
            }
            Self::NotPermitted => {
                f.write_str("the user has no permission for INFO: whether the server removes keys is not known")
            }
            Self::AsynchronousReplication { replicas } => write!(
                f,
                "the server takes writes that no replica receives (replicas connected: {replicas}, min-replicas-to-write: \
                 0), so that a failover may lose the latest locks: set min-replicas-to-write and min-replicas-max-lag, and \
                 use fencing tokens"
            ),
            Self::FewReplicas { connected, needed } => write!(
                f,
                "{connected} replicas are connected, and confirm_replicas needs {needed}: until then no lock is granted"
            ),
            Self::SeveralServers => f.write_str(
                "connections to the same address reach different servers, and locks on one of them do not exclude those on \
                 another: name one server, Sentinel or a cluster",
            ),
            Self::HiddenCluster => f.write_str(
                "the server is a node of a Redis Cluster, and what is in between hides that: name its nodes with \
                 redis+cluster://",
            ),
            Self::Replica => f.write_str(
                "another connection to the same address has reached a replica, which grants no lock: let the address be \
                 that of the primary alone",
            ),
            Self::LongTimeout { option, used } => write!(
                f,
                "{option} of the connection string is longer than the longest that is allowed, {used:?}, which is used"
            ),
            Self::Unknown { what, why } => write!(f, "it is not known {what}: {why}"),
        }
    }
}
