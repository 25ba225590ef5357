//! [`LockMode`]: who may hold a lock at the same time.

use std::fmt;

use super::LockError;

/// Who may hold a lock at the same time.
///
/// All modes of one name share one wait queue, in which no caller overtakes one of another mode. So neither readers nor
/// writers starve. A held lock does not change its mode: there is no upgrade and no downgrade.
///
/// # Examples
///
/// ```
/// use orchestrix_locking::{LockMode, LockOptions};
///
/// let read = LockOptions::default().mode(LockMode::Shared);
/// let at_most_three = LockOptions::default().mode(LockMode::permits(3));
/// assert!(read.validate().is_ok() && at_most_three.validate().is_ok());
///
/// let refused = LockOptions::default().mode(LockMode::permits(0)).validate().unwrap_err();
/// assert_eq!(refused.to_string(), "the option mode (permits) is 0; allowed: 1 to 1000000");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum LockMode {
    /// One holder, and none beside it. The default.
    #[default]
    Exclusive,
    /// Any number of holders, all of them `Shared`: the readers of a reader-writer lock.
    Shared,
    /// At most so many holders, all of them with permits. 1 to 1 000 000.
    ///
    /// Callers may ask with different numbers, such as during a rolling change of a limit. Each is judged by its own: it is
    /// granted a permit while fewer than its number are held.
    Permits(u32),
}

impl LockMode {
    /// The highest number of permits, one million.
    pub const MAX_PERMITS: u32 = 1_000_000;

    /// At most `n` holders at once. The range, 1 to [`MAX_PERMITS`](Self::MAX_PERMITS), is checked where the options are used.
    #[inline]
    pub const fn permits(n: u32) -> Self {
        Self::Permits(n)
    }

    /// Whether a lock that is held in this mode may be held in the other mode too. The number of permits is not looked at.
    #[inline]
    pub fn is_compatible_with(self, other: Self) -> bool {
        matches!((self, other), (Self::Shared, Self::Shared) | (Self::Permits(_), Self::Permits(_)))
    }

    #[inline]
    pub(crate) fn validate(self) -> Result<(), LockError> {
        match self {
            Self::Permits(n) if !(1..=Self::MAX_PERMITS).contains(&n) => {
                Err(LockError::invalid_options("mode (permits)", n.to_string(), "1 to 1000000"))
            }
            Self::Exclusive | Self::Shared | Self::Permits(_) => Ok(()),
        }
    }
}

impl fmt::Display for LockMode {
    /// `exclusive`, `shared`, `permits(3)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exclusive => f.write_str("exclusive"),
            Self::Shared => f.write_str("shared"),
            Self::Permits(n) => write!(f, "permits({n})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readers_and_permits_are_held_beside_their_like() {
        let modes = [LockMode::Exclusive, LockMode::Shared, LockMode::permits(2)];
        for one in modes {
            for other in modes {
                let alike = one == other && one != LockMode::Exclusive;
                assert_eq!(one.is_compatible_with(other), alike, "{one} beside {other}");
            }
        }
        assert!(LockMode::permits(2).is_compatible_with(LockMode::permits(3)));
    }

    #[test]
    fn a_number_of_permits_has_a_range() {
        for n in [1, 2, LockMode::MAX_PERMITS] {
            assert!(LockMode::permits(n).validate().is_ok(), "{n}");
        }
        for n in [0, LockMode::MAX_PERMITS + 1, u32::MAX] {
            let refused = LockMode::permits(n).validate().map_err(|error| error.to_string());
            assert_eq!(refused, Err(format!("the option mode (permits) is {n}; allowed: 1 to 1000000")));
        }
    }
}
