//! [`Keys`]: every name that this crate uses on a server, built in one place.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::slot;
use crate::Resource;
use crate::engine::InboxId;

/// The names of a provider's keys and inboxes: all begin with its prefix, which has no braces in it.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
    inboxes: String,
    fence: String,
}

/// The three keys of one resource. All are in one slot of a cluster: the others have the whole lock key as their hash tag, and
/// the lock key has no tag, so that all of it counts.
///
/// One string holds the lock and the queue, since the lock key is a part of the queue's: the keys are made for every command.
#[derive(Debug)]
pub(super) struct ResourceKeys {
    queue: String,
}

impl ResourceKeys {
    /// The lock: the token of its only owner, or what says that others hold it.
    pub(super) fn lock(&self) -> &str {
        let tagged = self.queue.strip_prefix('{').and_then(|rest| rest.strip_suffix("}:q"));
        tagged.unwrap_or_default()
    }

    /// The wait queue.
    pub(super) fn queue(&self) -> &str {
        &self.queue
    }

    /// Those that hold the lock together. Begins and ends as the queue's key does, so that whoever is allowed to use that key,
    /// since before there were such locks, is allowed to use this one. A queue's key has braces around its tag alone.
    pub(super) fn holders(&self) -> String {
        let tagged = self.queue.strip_suffix(":q").unwrap_or_default();
        [tagged, "{h}:q"].concat()
    }
}

impl Keys {
    pub(super) fn new(prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        Self { inboxes: format!("{prefix}inbox:"), fence: fence(&prefix, ""), prefix }
    }

    /// The counter of grants, of all resources.
    pub(super) fn fence(&self) -> &str {
        &self.fence
    }

    /// The counter of grants of the resources in this one's slot: a server of a cluster accepts only keys of one slot in a
    /// command.
    pub(super) fn fence_in_slot_of(&self, of: &ResourceKeys) -> String {
        self.fence_in_slot(slot::of(of.lock()))
    }

    /// The counter of grants in a slot.
    pub(super) fn fence_in_slot(&self, slot: u16) -> String {
        fence(&self.prefix, &slot::tag(slot).to_string())
    }

    /// The key that is written to find out whether replicas have what was written before, in the slot of this resource.
    pub(super) fn marker_in_slot_of(&self, of: &ResourceKeys) -> String {
        format!("{}{{{}}}:w", self.prefix, slot::tag(slot::of(of.lock())))
    }

    pub(super) fn of(&self, resource: &Resource) -> ResourceKeys {
        let name = encoded(resource.as_str());
        let mut queue = String::with_capacity(self.prefix.len() + name.len() + "{}:q".len());
        for part in ["{", &self.prefix, &name, "}:q"] {
            queue.push_str(part);
        }
        ResourceKeys { queue }
    }

    /// The resource of a lock key.
    pub(super) fn resource(&self, lock: &str) -> Option<Resource> {
        let name = lock.strip_prefix(self.prefix.as_str())?;
        let name = percent_decode_str(name).decode_utf8().ok()?;
        Resource::try_from(name.into_owned()).ok()
    }

    /// What the names of all inboxes begin with.
    pub(super) fn inboxes(&self) -> &str {
        &self.inboxes
    }

    /// The channel of the notifications to one process.
    pub(super) fn inbox(&self, id: InboxId) -> String {
        format!("{}{id}", self.inboxes)
    }
}

/// The key of a fence. It begins with the prefix, so that the permissions for the locks include it. It has braces, unlike a
/// lock key. It differs from a queue's key: that begins with a brace, and a prefix has none; if the prefix is empty they end
/// differently.
fn fence(prefix: &str, tag: &str) -> String {
    format!("{prefix}{{{tag}}}:f")
}

/// A name in the form that it has in keys: the braces of a hash tag are percent-encoded, and so is the percent sign.
/// Everything else stays as it is, so that other programs lock the same key.
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

    fn slot(key: &str) -> u16 {
        slot::of(key)
    }

    fn written(keys: &ResourceKeys) -> [String; 3] {
        [keys.lock().to_owned(), keys.queue().to_owned(), keys.holders()]
    }

    #[test]
    fn a_lock_key_is_prefix_and_resource() {
        let keys = Keys::new("orchestrix:lock:");
        let of = |name: &str| written(&keys.of(&Resource::try_from(name).unwrap()));
        let [lock, queue, holders] = of("order:42");
        assert_eq!(lock, "orchestrix:lock:order:42");
        assert_eq!(queue, "{orchestrix:lock:order:42}:q");
        assert_eq!(holders, "{orchestrix:lock:order:42}{h}:q");
        assert_eq!(keys.fence(), "orchestrix:lock:{}:f");
        assert_eq!(of("größe: 漢字, 42 €")[0], "orchestrix:lock:größe: 漢字, 42 €");
        assert_eq!(of("100%{a}")[0], "orchestrix:lock:100%25%7Ba%7D");
    }

    /// Names that an attacker would choose: hash tags, empty ones, the ends of other keys, encoded braces, patterns, line
    /// separators of Unicode, case, and the two forms of one accented letter.
    const TRICKS: [&str; 48] = [
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
        "a}{h}:q",
        "{a}:q",
        "{a}:f",
        "{a}{h}:q",
        "{orchestrix:lock:a}{h}:q",
        "{orchestrix:lock:a}:q",
        "{orchestrix:lock:a}:f",
        "{orchestrix:lock:a",
        "orchestrix:lock:a",
        "x}:q",
        "x}:f",
        "x}{h}:q",
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

    /// With any braces in a name: its keys are in one slot, no other name has one of them, and the name can be read from its
    /// lock key.
    #[test]
    fn no_name_reaches_the_keys_of_another() {
        for prefix in ["orchestrix:lock:", ""] {
            let keys = Keys::new(prefix);
            let mut seen = std::collections::HashSet::new();
            for name in TRICKS {
                let resource = Resource::try_from(name).unwrap();
                let of = keys.of(&resource);
                let [lock, queue, holders] = written(&of);
                assert_eq!((slot(&lock), slot(&lock)), (slot(&queue), slot(&holders)), "{name}");
                assert_eq!(slot(&lock), slot(&keys.fence_in_slot_of(&of)), "{name}");
                assert_eq!(keys.resource(&lock), Some(resource.clone()), "{name}");
                for key in [lock, queue, holders] {
                    assert!(seen.insert(key.clone()), "{key} is the key of two things");
                }
            }
            assert!(seen.insert(keys.fence().to_owned()), "the counter is the key of another thing");
        }
    }

    /// Providers whose prefixes begin with each other's have a counter each. None of them is a key, or the counter of
    /// version 0.1, of a name of another provider.
    #[test]
    fn a_counter_is_no_other_providers_key() {
        let prefixes = ["", "a", "a:", "a:b:", ":", ":f", "inbox:"];
        let all: Vec<Keys> = prefixes.into_iter().map(Keys::new).collect();
        let counters: std::collections::HashSet<_> = all.iter().map(Keys::fence).collect();
        assert_eq!(counters.len(), all.len());
        for name in TRICKS.into_iter().chain(["b:{}:f", "{}:f", "7", "fence"]) {
            let resource = Resource::try_from(name).unwrap();
            for of in all.iter().map(|keys| keys.of(&resource)) {
                let [lock, queue, holders] = written(&of);
                for key in [format!("{{{lock}}}:f"), lock, queue, holders] {
                    assert!(!counters.contains(key.as_str()), "{key}");
                }
            }
        }
    }

    /// Any two names, made of the pieces that are most likely to collide.
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
                let (of_one, of_other) = (written(&keys.of(&one)), written(&keys.of(&other)));
                if one == other {
                    prop_assert_eq!(of_one, of_other);
                } else {
                    for key in of_one {
                        prop_assert!(!of_other.contains(&key), "{} is a key of both", key);
                    }
                }
            }

            #[test]
            fn the_keys_of_a_name_are_in_one_slot(name in name(), prefix in "[a-z:]{0,4}") {
                let keys = Keys::new(prefix);
                let of = keys.of(&name);
                let [lock, queue, holders] = written(&of);
                let fence = keys.fence_in_slot_of(&of);
                let marker = keys.marker_in_slot_of(&of);
                for key in [&queue, &holders, &fence, &marker] {
                    prop_assert_eq!(slot(key), slot(&lock));
                }
                let all = [&lock, &queue, &holders, &fence, &marker, keys.fence()];
                let different: std::collections::HashSet<&str> = all.into_iter().map(AsRef::as_ref).collect();
                prop_assert_eq!(different.len(), all.len());
                prop_assert_eq!(keys.resource(&lock), Some(name));
                // At most three bytes for each byte of the name, and what every key has.
                prop_assert!(queue.len() <= 4 + 3 * Resource::MAX_BYTES + 4);
                prop_assert!(holders.len() <= 4 + queue.len());
            }
        }
    }
}
