//! What a user of the provider needs, as docs/redis.md has it, for the default prefix.

/// The commands. Servers from 7.2 on would be told the client's name too: `+client|setinfo`.
pub(crate) const FEWEST_COMMANDS: &str = "+ping +unwatch +info +script|load +evalsha +subscribe +publish \
    +get +set +incrby +del +exists +pttl +pexpire +time +lindex +llen +lpop +lpos +lrange +lrem +lset +rpush";

/// The locks, their queues and their fences.
pub(crate) const FEWEST_KEYS: &str = "~orchestrix:lock:* ~{orchestrix:lock:*}:q ~{orchestrix:lock:*}:f";

/// The channels on which processes hear of their locks.
pub(crate) const INBOXES: &str = "&orchestrix:lock:inbox:*";
