//! Names whose slots are spread over a Redis Cluster.

use crate::Resource;
use crate::redis::keys::Keys;

/// How many names are tried on a node of a cluster. Their slots are no more than twice the distance of an even
/// distribution apart, so that a range of 1024 slots on another node is always met, and scattered ones nearly always.
const PROBES: u16 = 32;
const SLOTS: u16 = 16384;

/// One name in each of the equal parts of all slots.
pub(super) fn names(keys: &Keys) -> Vec<Resource> {
    let mut found: Vec<Option<Resource>> = vec![None; usize::from(PROBES)];
    let mut missing = found.len();
    // Far more than are needed: each number hits each part with the same probability.
    for number in 0..100_000_u32 {
        let Ok(resource) = Resource::try_from(format!("{} {number}", super::PROBE)) else { continue };
        let part = slot(keys.of(&resource).lock()) / (SLOTS / PROBES);
        let Some(place) = found.get_mut(usize::from(part)) else { continue };
        if place.is_none() {
            *place = Some(resource);
            missing -= 1;
        }
        if missing == 0 {
            break;
        }
    }
    found.into_iter().flatten().collect()
}

/// The slot of a lock's key, as the cluster specification has it. Such a key has no hash tag, so all of it counts.
fn slot(key: &str) -> u16 {
    let crc = key.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_is_the_one_of_the_specification() {
        assert_eq!(slot("123456789"), 0x31C3);
    }

    #[test]
    fn each_part_of_the_slots_has_a_name() {
        for prefix in ["orchestrix:lock:", "", "a much longer prefix, as some services have it:"] {
            let keys = Keys::new(prefix);
            let slots: Vec<_> = names(&keys).iter().map(|name| slot(keys.of(name).lock())).collect();
            assert_eq!(slots.len(), usize::from(PROBES));
            for (part, slot) in (0..).zip(slots) {
                assert_eq!(slot / (SLOTS / PROBES), part);
            }
        }
    }
}
