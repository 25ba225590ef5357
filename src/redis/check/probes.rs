//! Names whose slots are spread over a Redis Cluster, to find out whether each part of the slots is served.

use crate::Resource;
use crate::redis::keys::Keys;
use crate::redis::slot::{self, SLOTS};

/// How many names are tried in a cluster. There is one in each of as many equal parts of the slots. So two neighbours are at
/// most two parts apart, and a range of 1024 slots that no node serves has always one of them; scattered ones have one nearly
/// always.
const PROBES: u16 = 32;

/// One name in each of the equal parts of all slots.
pub(super) fn names(keys: &Keys) -> Vec<Resource> {
    let mut found: Vec<Option<Resource>> = vec![None; usize::from(PROBES)];
    let mut missing = found.len();
    // Far more numbers than are needed: each is in each part with the same probability.
    for number in 0..100_000_u32 {
        let Ok(resource) = Resource::try_from(format!("{} {number}", super::PROBE)) else { continue };
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
