//! Names whose slots are spread over a Redis Cluster, to find out whether each part of the slots is served.

use crate::Resource;
use crate::redis::keys::Keys;
use crate::redis::slot::{self, SLOTS};

/// How many names are tried in a cluster. There is one in each of as many equal parts of the slots. So two neighbours are at
/// most two parts apart, and a range of 1024 slots that no node serves has always one of them; scattered ones have one nearly
/// always.
const PROBES: u16 = 32;

/// Names that spread over all slots: far more of them than there are slots.
fn candidates() -> impl Iterator<Item = Resource> {
    (0..200_000_u32).filter_map(|number| Resource::try_from(format!("{} {number}", super::PROBE)).ok())
}

/// A name in this slot, which is hardly ever missing.
pub(super) fn name_in(keys: &Keys, slot: u16) -> Option<Resource> {
    candidates().find(|resource| slot::of(keys.of(resource).lock()) == slot)
}

/// One name in each of the equal parts of all slots.
pub(super) fn names(keys: &Keys) -> Vec<Resource> {
    let mut found: Vec<Option<Resource>> = vec![None; usize::from(PROBES)];
    let mut missing = found.len();
    for resource in candidates() {
        let part = slot::of(keys.of(&resource).lock()) / (SLOTS / PROBES);
        let Some(name) = found.get_mut(usize::from(part)) else { continue };
        if name.is_none() {
            *name = Some(resource);
            missing -= 1;
        }
        if missing == 0 {
            break;
        }
    }
    found.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_a_name() {
        let keys = Keys::new("orchestrix:lock:");
        for slot in [0, 9_999, SLOTS - 1] {
            assert_eq!(name_in(&keys, slot).map(|name| slot::of(keys.of(&name).lock())), Some(slot));
        }
    }

    #[test]
    fn each_part_of_the_slots_has_a_name() {
        for prefix in ["orchestrix:lock:", "", "a much longer prefix, as some services have it:"] {
            let keys = Keys::new(prefix);
            let slots: Vec<_> = names(&keys).iter().map(|name| slot::of(keys.of(name).lock())).collect();
            assert_eq!(slots.len(), usize::from(PROBES));
            for (part, slot) in (0..).zip(slots) {
                assert_eq!(slot / (SLOTS / PROBES), part);
            }
        }
    }
}
