//! The notifications that the scripts publish to an inbox.

use crate::Resource;
use crate::engine::{Grant, OwnerToken, ServerTime};
use crate::redis::keys::Keys;

/// A notification to the process that a token belongs to.
#[derive(Debug)]
pub(in crate::redis) enum Notification {
    /// The lock was handed over to us.
    Granted(Resource, Grant),
    /// Other processes wait for a lock that is ours.
    Wanted(Resource, OwnerToken),
}

impl Notification {
    /// Reads `granted:fence:time:waiting:token:key` or `wanted:token:key`. Any client that may publish can write anything
    /// here: `None` if it is neither.
    pub(in crate::redis) fn read(text: &str, keys: &Keys) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("wanted:") {
            let (token, lock) = rest.split_once(':')?;
            return Some(Self::Wanted(keys.resource(lock)?, OwnerToken::parse(token)?));
        }
        let mut parts = text.strip_prefix("granted:")?.splitn(5, ':');
        let mut next = || parts.next();
        let fence = next()?.parse().ok()?;
        let at = ServerTime(next()?.parse().ok()?);
        let waiting: u64 = next()?.parse().ok()?;
        let token = OwnerToken::parse(next()?)?;
        let resource = keys.resource(next()?)?;
        Some(Self::Granted(resource, Grant { token, fence, at, others_wait: waiting > 0 }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::*;

    const TOKEN: &str = "0123456789abcdef.0123456789abcdef0123456789abcdef";

    #[test]
    fn messages_are_read() {
        let keys = Keys::new("p:");
        let Some(Notification::Granted(resource, grant)) =
            Notification::read(&format!("granted:7:8:1:{TOKEN}:p:a:b%7B"), &keys)
        else {
            panic!("a grant is read")
        };
        assert_eq!((resource.as_str(), grant.fence, grant.at, grant.others_wait), ("a:b{", 7, ServerTime(8), true));
        assert!(matches!(
            Notification::read(&format!("wanted:{TOKEN}:p:a:b"), &keys),
            Some(Notification::Wanted(resource, _)) if resource.as_str() == "a:b"
        ));
    }

    #[test]
    fn nonsense_is_no_message() {
        let keys = Keys::new("p:");
        for nonsense in [
            "",
            "granted",
            "granted:",
            "wanted:",
            "granted:7:8:1:",
            &format!("granted:7:8:1:{TOKEN}:other:a"),
            &format!("granted:-7:8:1:{TOKEN}:p:a"),
            &format!("granted:99999999999999999999:8:1:{TOKEN}:p:a"),
            &format!("wanted:{TOKEN}"),
            &format!("wanted:{TOKEN}:p:"),
            "wanted:token:p:a",
        ] {
            assert!(Notification::read(nonsense, &keys).is_none(), "{nonsense}");
        }
    }
}
