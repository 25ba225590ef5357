//! What a user of the provider needs, as docs/redis.md has it, for the default prefix.

/// The commands. Servers from 7.2 on would be told the client's name too: `+client|setinfo`.
pub(crate) const FEWEST_COMMANDS: &str = "+ping +unwatch +info +script|load +evalsha +subscribe +publish \
    +get +set +del +exists +pttl +pexpire +time +lindex +llen +lpop +lpos +lrange +lrem +lset +rpush \
    +zadd +zcount +zrange +zrem +zscore +unlink";

/// Those of them that only locks need which several hold together.
pub(crate) const MODE_COMMANDS: [&str; 6] = ["+zadd", "+zcount", "+zrange", "+zrem", "+zscore", "+unlink"];

/// The locks and the counter of their grants, and their queues and holders.
pub(crate) const FEWEST_KEYS: &str = "~orchestrix:lock:* ~{orchestrix:lock:*}:q";

/// The channels on which processes hear of their locks.
pub(crate) const INBOXES: &str = "&orchestrix:lock:inbox:*";
