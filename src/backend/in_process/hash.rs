//! [`NameHash`]: the hash of a name, as the table and its leases keep it.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use crate::Resource;

/// Half of a name's hash. It is enough for a table, and keeps a guard at 48 bytes. The other half selects the shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NameHash(u32);

impl NameHash {
    #[inline]
    pub(crate) fn of(resource: &Resource, hasher: &DefaultHashBuilder) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "only the lower half is kept")]
        Self(hasher.hash_one(resource.as_str()) as u32)
    }

    /// The hash that the table uses. `hashbrown` selects the bucket by the lowest bits and compares the seven highest
    /// bits first. Both come from the same half here, but overlap only in a table of more than 2^25 names.
    #[inline]
    pub(crate) fn whole(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}
