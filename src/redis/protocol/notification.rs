//! The notifications that the scripts publish to an inbox.

use crate::engine::{Grant, OwnerToken, ServerTime};
use crate::redis::keys::Keys;
use crate::{LockMode, Resource};

/// A notification to the process that a token belongs to.
#[derive(Debug)]
pub(in crate::redis) enum Notification {
    /// The lock was handed over to us.
    Granted(Resource, Grant),
    /// Other processes wait for a lock that is ours.
    Wanted(Resource, OwnerToken),
}

impl Notification {
    /// Reads `granted:fence:time:waiting:token:key`, where a permit's number is behind the fence as in `fence/permit`, or
    /// `wanted:token:key`. Any client that may publish can write anything here: `None` if it is neither.
    pub(in crate::redis) fn read(text: &str, keys: &Keys) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("wanted:") {
            let (token, lock) = rest.split_once(':')?;
            return Some(Self::Wanted(keys.resource(lock)?, OwnerToken::parse(token)?));
        }
        let mut parts = text.strip_prefix("granted:")?.splitn(5, ':');
        let mut next = || parts.next();
        let number = next()?;
        let (fence, permit) = number.split_once('/').map_or((number, None), |(fence, permit)| (fence, Some(permit)));
        let fence = fence.parse().ok()?;
        let at = ServerTime(next()?.parse().ok()?);
        let waiting: u64 = next()?.parse().ok()?;
        let token = OwnerToken::parse(next()?)?;
        let resource = keys.resource(next()?)?;
        let permit = match (token.mode(), permit) {
            (LockMode::Permits(permits), Some(permit)) => Some(permit.parse().ok().filter(|permit| *permit < permits)?),
            // Granted by a script that knows no modes, and so exclusively.
            (LockMode::Permits(_), None) => Some(0),
            (LockMode::Exclusive | LockMode::Shared, None) => None,
            (LockMode::Exclusive | LockMode::Shared, Some(_)) => return None,
        };
        Some(Self::Granted(resource, Grant { token, fence, at, others_wait: waiting > 0, permit }))
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
    fn a_permit_has_a_number() {
        const OF_THREE: &str = "0123456789abcdef.p0000389abcdef0123456789abcdef01";
        const SHARED: &str = "0123456789abcdef.s0000089abcdef0123456789abcdef01";
        let keys = Keys::new("p:");
        let permit =
            |number: &str, token: &str| match Notification::read(&format!("granted:{number}:8:0:{token}:p:a"), &keys) {
                Some(Notification::Granted(_, grant)) => Some((grant.fence, grant.permit)),
                _ => None,
            };
        assert_eq!(permit("7/2", OF_THREE), Some((7, Some(2))));
        assert_eq!(permit("7", OF_THREE), Some((7, Some(0))), "from a script that knows no modes");
        assert_eq!((permit("7", SHARED), permit("7", TOKEN)), (Some((7, None)), Some((7, None))));
        for (number, token) in
            [("7/3", OF_THREE), ("7/", OF_THREE), ("7/-1", OF_THREE), ("7/x", OF_THREE), ("/1", OF_THREE)]
        {
            assert_eq!(permit(number, token), None, "{number}");
        }
        assert_eq!((permit("7/0", SHARED), permit("7/0", TOKEN)), (None, None));
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
