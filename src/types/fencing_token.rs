//! [`FencingToken`]: the number with which a store refuses a late writer.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// A number that rises with every grant of a resource's lock.
///
/// A lease can end without its holder noticing in time: the process is paused, the lease ends, another holder is granted
/// the lock, and then the first one wakes and writes. A store is safe from that if it keeps the highest token that it has
/// seen and refuses a write with a lower one. See `docs/guarantees.md`.
///
/// The tokens of one resource rise strictly in the order of the grants. Tokens of different resources cannot be compared.
/// A token is never negative as a signed 64-bit number, so it fits a `BIGINT` column.
///
/// With the `serde` feature a token is serialised as a string, since many readers lose digits of JSON numbers beyond
/// 2^53.
///
/// # Examples
///
/// ```
/// use orchestrix_locking::FencingToken;
///
/// let earlier = FencingToken::new(41).ok_or("out of range")?;
/// let later: FencingToken = "42".parse()?;
/// assert!(earlier < later);
/// assert_eq!(u64::from(later), 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(u64);

impl FencingToken {
    /// The highest token: the highest signed 64-bit number.
    pub const MAX: Self = Self(i64::MAX.unsigned_abs());

    /// The token with this number, or `None` if it is above [`MAX`](Self::MAX).
    pub const fn new(number: u64) -> Option<Self> {
        if number <= Self::MAX.0 { Some(Self(number)) } else { None }
    }

    /// The token as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The token with this number, at most [`MAX`](Self::MAX).
    pub(crate) const fn saturating(number: u64) -> Self {
        match Self::new(number) {
            Some(token) => token,
            None => Self::MAX,
        }
    }
}

impl From<FencingToken> for u64 {
    fn from(token: FencingToken) -> Self {
        token.0
    }
}

impl From<FencingToken> for i64 {
    fn from(token: FencingToken) -> Self {
        // Never wraps: a token is at most `i64::MAX`.
        token.0.cast_signed()
    }
}

impl TryFrom<u64> for FencingToken {
    type Error = ParseFencingTokenError;

    fn try_from(number: u64) -> Result<Self, ParseFencingTokenError> {
        Self::new(number).ok_or(ParseFencingTokenError { source: None })
    }
}

impl FromStr for FencingToken {
    type Err = ParseFencingTokenError;

    fn from_str(text: &str) -> Result<Self, ParseFencingTokenError> {
        let number: u64 = text.parse().map_err(|source| ParseFencingTokenError { source: Some(source) })?;
        Self::try_from(number)
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The error for a number or text that is not a [`FencingToken`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a fencing token; a whole number from 0 to {max} is allowed", max = FencingToken::MAX)]
pub struct ParseFencingTokenError {
    source: Option<ParseIntError>,
}

#[cfg(feature = "serde")]
impl serde::Serialize for FencingToken {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for FencingToken {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
