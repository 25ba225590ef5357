//! Slots of a cluster: which one a key is in, and a hash tag for each.

use std::sync::LazyLock;

pub(super) const SLOTS: u16 = 16_384;

/// The slot of a key, as the cluster specification has it: CRC16 of the hash tag, or of the whole key.
pub(super) fn of(key: &str) -> u16 {
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(tag, _)| tag)
        .filter(|tag| !tag.is_empty())
        .unwrap_or(key);
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    });
    crc % SLOTS
}

/// A hash tag in this slot: the smallest number whose decimal digits are in it. Every process has to find the same one.
pub(super) fn tag(slot: u16) -> u32 {
    // This takes some milliseconds, once, and only if the server belongs to a cluster.
    static TAGS: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let mut tags = vec![None; SLOTS.into()];
        let mut missing = tags.len();
        for number in 0_u32.. {
            if missing == 0 {
                break;
            }
            if let Some(tag @ None) = tags.get_mut(usize::from(of(&number.to_string()))) {
                *tag = Some(number);
                missing -= 1;
            }
        }
        tags.into_iter().flatten().collect()
    });
    TAGS.get(usize::from(slot)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_function_is_the_one_of_the_specification() {
        assert_eq!(of("123456789"), 0x31C3);
        assert_eq!(of("{user1000}.following"), of("user1000"));
        assert_eq!(of("foo{}{bar}"), 8_363, "an empty tag does not count");
    }

    #[test]
    fn every_slot_has_a_tag() {
        for slot in 0..SLOTS {
            assert_eq!(of(&format!("a{{{}}}:f", tag(slot))), slot);
        }
    }
}
