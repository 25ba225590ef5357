//! [`Fences`]: the fences of one table, which rise (M5).

use crate::FencingToken;

/// The fence that was given last.
#[derive(Debug)]
pub(super) struct Fences(u64);

impl Fences {
    pub(super) fn after(first: u64) -> Self {
        Self(first)
    }

    #[inline]
    pub(super) fn next(&mut self) -> FencingToken {
        self.0 = self.0.saturating_add(1);
        FencingToken::saturating(self.0)
    }
}
