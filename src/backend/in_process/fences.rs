//! [`Fences`]: issues the fencing tokens of a table.

use crate::FencingToken;

/// Fencing tokens that rise with every grant (M5).
#[derive(Debug)]
pub(crate) struct Fences(u64);

impl Fences {
    pub(crate) fn after(latest: u64) -> Self {
        Self(latest)
    }

    pub(crate) fn next(&mut self) -> FencingToken {
        self.0 = self.0.saturating_add(1);
        FencingToken::saturating(self.0)
    }
}
