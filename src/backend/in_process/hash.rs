//! [`NameHash`]: the hash of a name, as the table and its leases keep it.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use crate::Resource;

/// Half of a name's hash, which is enough for a table and leaves a guard at 48 bytes. The other half chooses the shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NameHash(u32);

impl NameHash {
    #[inline]
    pub(crate) fn of(resource: &Resource, hasher: &DefaultHashBuilder) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "half of it is meant")]
        Self(hasher.hash_one(resource.as_str()) as u32)
    }

    /// The hash that the table looks by. It chooses the bucket by the lowest bits, and tells neighbours apart by the seven
    /// highest: here those of the same half, and the same ones only in a table of 2^25 names.
    #[inline]
    pub(crate) fn whole(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}
