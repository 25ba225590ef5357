//! [`Keys`]: every name that this crate uses on a server, built in one place.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::token::InboxId;
use crate::Resource;

/// The names of a provider's keys and inboxes: all begin with its prefix, which has no braces in it.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
    inboxes: String,
}

/// The three keys of one resource. All are in one slot of a cluster: the companions have the whole lock key as
/// their hash tag, and the lock key has no tag, so that the whole of it counts.
///
/// They are written for every command, so one string has them all, one after the other.
#[derive(Debug)]
pub(super) struct ResourceKeys {
    queue: String,
}

impl ResourceKeys {
    /// The lock: the owner's token.
    pub(super) fn lock(&self) -> &str {
        let tagged = self.queue.strip_prefix('{').and_then(|rest| rest.strip_suffix("}:q"));
        tagged.unwrap_or_default()
    }

    /// Who waits.
    pub(super) fn queue(&self) -> &str {
        &self.queue
    }

    /// The number of the latest grant.
    pub(super) fn into_fence(self) -> String {
        let mut fence = self.queue;
        fence.pop();
        fence.push('f');
        fence
    }
}

impl Keys {
    pub(super) fn new(prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        Self { inboxes: format!("{prefix}inbox:"), prefix }
    }

    pub(super) fn of(&self, resource: &Resource) -> ResourceKeys {
        let name = encoded(resource.as_str());
        let mut queue = String::with_capacity(self.prefix.len() + name.len() + "{}:q".len());
        for part in ["{", &self.prefix, &name, "}:q"] {
            queue.push_str(part);
        }
        ResourceKeys { queue }
    }

    /// The resource whose lock key this is.
    pub(super) fn resource(&self, lock: &str) -> Option<Resource> {
        let name = lock.strip_prefix(self.prefix.as_str())?;
        let name = percent_decode_str(name).decode_utf8().ok()?;
        Resource::try_from(name.into_owned()).ok()
    }

    /// What the names of all inboxes begin with.
    pub(super) fn inboxes(&self) -> &str {
        &self.inboxes
    }

    /// The channel on which one process hears of its locks.
    pub(super) fn inbox(&self, id: InboxId) -> String {
        format!("{}{id}", self.inboxes)
    }
}

/// A name without what it may not keep in a key: the braces of a hash tag, and the sign that stands for them.
/// Everything else stays as it is, so that programs of another make lock the same key.
fn encoded(name: &str) -> Cow<'_, str> {
    if !name.contains(['%', '{', '}']) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.replace('%', "%25").replace('{', "%7B").replace('}', "%7D"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    /// The slot of a key, as the cluster specification has it: CRC16 of the hash tag, or of the whole key.
    fn slot(key: &str) -> u16 {
        let tag = key
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'))
            .map(|(tag, _)| tag)
            .filter(|tag| !tag.is_empty())
            .unwrap_or(key);
        let crc =
            tag.bytes().fold(0_u16, |crc, byte| {
                (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
                    if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
                })
            });
        crc % 16384
    }

    fn written(keys: ResourceKeys) -> [String; 3] {
        [keys.lock().to_owned(), keys.queue().to_owned(), keys.into_fence()]
    }

    #[test]
    fn the_slot_function_is_the_one_of_the_specification() {
        assert_eq!(slot("123456789"), 0x31C3);
        assert_eq!(slot("{user1000}.following"), slot("user1000"));
        assert_eq!(slot("foo{}{bar}"), slot("foo{}{bar}"), "an empty tag is none");
    }

    #[test]
    fn a_lock_key_is_prefix_and_resource() {
        let keys = Keys::new("orchestrix:lock:");
        let of = |name: &str| written(keys.of(&Resource::try_from(name).unwrap()));
        let [lock, queue, fence] = of("order:42");
        assert_eq!(lock, "orchestrix:lock:order:42");
        assert_eq!(queue, "{orchestrix:lock:order:42}:q");
        assert_eq!(fence, "{orchestrix:lock:order:42}:f");
        assert_eq!(of("größe: 漢字, 42 €")[0], "orchestrix:lock:größe: 漢字, 42 €");
        assert_eq!(of("100%{a}")[0], "orchestrix:lock:100%25%7Ba%7D");
    }

    /// What somebody who chooses names would try: tags, empty ones, the ends of companions' names, what stands for a
    /// brace, patterns, ends of lines in other alphabets, case, and the two forms of one accented letter.
    const TRICKS: [&str; 44] = [
        "a",
        "A",
        "{a}",
        "{}",
        "}{",
        "{a",
        "a}",
        "}",
        "{",
        "{{a}}",
        "{a}b",
        "{b}a",
        "a{}b",
        "{}a",
        "a}:q",
        "a}:f",
        "{a}:q",
        "{a}:f",
        "{orchestrix:lock:a}:q",
        "{orchestrix:lock:a}:f",
        "{orchestrix:lock:a",
        "orchestrix:lock:a",
        "x}:q",
        "x}:f",
        "%",
        "%%",
        "a%",
        "%7B",
        "%7b",
        "%7Ba%7D",
        "%257B",
        "%25",
        "%2",
        "ä{ö}",
        " ",
        "  ",
        " a",
        "a ",
        "*",
        "a?[b]^",
        "é",
        "e\u{301}",
        "\u{2028}",
        "\u{feff}",
    ];

    /// Companions are in their lock's slot, keys of different names are different, and a name comes back from its
    /// key, whatever braces are in the name.
    #[test]
    fn tricks_with_braces_lead_nowhere() {
        for prefix in ["orchestrix:lock:", ""] {
            let keys = Keys::new(prefix);
            let mut seen = std::collections::HashSet::new();
            for name in TRICKS {
                let resource = Resource::try_from(name).unwrap();
                let [lock, queue, fence] = written(keys.of(&resource));
                assert_eq!(slot(&lock), slot(&queue), "{name}");
                assert_eq!(slot(&lock), slot(&fence), "{name}");
                assert_eq!(keys.resource(&lock), Some(resource.clone()), "{name}");
                for key in [lock, queue, fence] {
                    assert!(seen.insert(key.clone()), "{key} is the key of two things");
                }
            }
        }
    }

    /// Any two names, made of what is most likely to be mistaken for something else.
    mod any {
        use proptest::prelude::*;

        use super::*;

        fn name() -> impl Strategy<Value = Resource> {
            let piece = prop_oneof![
                Just("{".to_owned()),
                Just("}".to_owned()),
                Just("%".to_owned()),
                Just("7B".to_owned()),
                Just("%7D".to_owned()),
                Just(":q".to_owned()),
                Just(":f".to_owned()),
                Just("orchestrix:lock:".to_owned()),
                Just("inbox:".to_owned()),
                "\\PC{0,3}",
            ];
            let short = prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat());
            let long = "[{}%a]{505,512}";
            prop_oneof![4 => short, 1 => long]
                .prop_filter_map("not a name", |name| Resource::try_from(name.as_str()).ok())
        }

        proptest! {
            #[test]
            fn names_never_share_a_key(one in name(), other in name(), prefix in "[a-z:]{0,4}") {
                let keys = Keys::new(prefix);
                let (of_one, of_other) = (written(keys.of(&one)), written(keys.of(&other)));
                if one == other {
                    prop_assert_eq!(of_one, of_other);
                } else {
                    for key in of_one {
                        prop_assert!(!of_other.contains(&key), "{} is a key of both", key);
                    }
                }
            }

            #[test]
            fn the_keys_of_a_name_are_three_in_one_slot(name in name(), prefix in "[a-z:]{0,4}") {
                let keys = Keys::new(prefix);
                let [lock, queue, fence] = written(keys.of(&name));
                prop_assert_eq!(slot(&queue), slot(&lock));
                prop_assert_eq!(slot(&fence), slot(&lock));
                prop_assert!(lock != queue && queue != fence && fence != lock);
                prop_assert_eq!(keys.resource(&lock), Some(name));
                // At most three bytes for one, and what belongs to every key.
                prop_assert!(queue.len() <= 4 + 3 * Resource::MAX_BYTES + 4);
            }
        }
    }
}
