//! [`Resource`]: the validated name of what is locked.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use smol_str::{SmolStr, SmolStrBuilder};

use crate::LockError;

/// The name of what a lock protects, such as `order:42`.
///
/// A name is 1 to 512 bytes of UTF-8 without control characters. Every other character is allowed. Names are compared byte
/// by byte: `Order:42` and `order:42` are two resources. A `Resource` is always valid and cheap to clone. A name of up to 23
/// bytes needs no heap memory.
///
/// # Errors
///
/// The conversions return [`LockError::InvalidResource`] with a [`ResourceError`] as its source; [`FromStr`], and so
/// `str::parse`, returns that alone.
///
/// # Examples
///
/// ```
/// use orchestrix_locking::{LockError, Resource};
///
/// let order = Resource::try_from("order:42")?;
/// assert_eq!(order.as_str(), "order:42");
///
/// let refused = Resource::try_from("").unwrap_err();
/// assert_eq!(refused.to_string(), "invalid resource name: it is empty; 1 to 512 bytes are allowed");
/// # Ok::<(), LockError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource(SmolStr);

impl Resource {
    /// The maximum length of a name in bytes.
    pub const MAX_BYTES: usize = 512;

    /// Joins `parts` to one name. Two different lists of parts never give the same name.
    ///
    /// Parts are joined by `:`. A `:` or `\` inside a part is escaped with a `\`. So `["tenant", "42"]` gives `tenant:42`,
    /// and `["a:b"]` gives `a\:b`. A part may be empty; the list may not.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidResource`] if the list is empty, or if the joined name is longer than
    /// [`MAX_BYTES`](Self::MAX_BYTES) or has a control character.
    ///
    /// # Examples
    ///
    /// ```
    /// # use orchestrix_locking::{LockError, Resource};
    /// let one = Resource::from_parts(["shop", "a:b"])?;
    /// let other = Resource::from_parts(["shop", "a", "b"])?;
    /// assert_ne!(one, other);
    /// # Ok::<(), LockError>(())
    /// ```
    pub fn from_parts<I>(parts: I) -> Result<Self, LockError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut name = SmolStrBuilder::new();
        let mut length = 0_usize;
        let mut count = 0_usize;
        for part in parts {
            let part = part.as_ref();
            if count > 0 {
                name.push(':');
                length += 1;
            }
            count += 1;
            // Checked before escaping, which only adds bytes: so a hostile part cannot cause much work.
            if length + part.len() > Self::MAX_BYTES {
                return Err(ResourceError::TooLong { bytes: length + part.len() }.into());
            }
            length += part.len();
            // On bytes: both characters are ASCII, and no byte of a multi-byte character is.
            if !part.bytes().any(|byte| needs_escape(byte.into())) {
                name.push_str(part);
                continue;
            }
            for character in part.chars() {
                if needs_escape(character) {
                    name.push('\\');
                    length += 1;
                }
                name.push(character);
            }
        }
        match (count, length) {
            (0, _) => return Err(ResourceError::NoParts.into()),
            // A list of one empty part. No other list gives a lone `\`: elsewhere a `:` or `\` follows it.
            (1, 0) => name.push('\\'),
            _ => {}
        }
        Self::checked(name.finish())
    }

    /// The name as it was given.
    #[inline]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// A name known at compile time. It is not copied.
    pub(crate) fn from_static(name: &'static str) -> Result<Self, LockError> {
        Self::checked(SmolStr::new_static(name))
    }

    /// Checks a name without copying it.
    pub(crate) fn checked(name: SmolStr) -> Result<Self, LockError> {
        validate(&name)?;
        Ok(Self(name))
    }
}

/// Whether a character is escaped in a joined name.
fn needs_escape(character: char) -> bool {
    matches!(character, ':' | '\\')
}

fn validate(name: &str) -> Result<(), ResourceError> {
    if name.is_empty() {
        return Err(ResourceError::Empty);
    }
    if name.len() > Resource::MAX_BYTES {
        return Err(ResourceError::TooLong { bytes: name.len() });
    }
    // The common case, printable ASCII, needs no decoding.
    if name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Ok(());
    }
    match name.char_indices().find(|(_, character)| character.is_control()) {
        None => Ok(()),
        Some((at, character)) => Err(ResourceError::ControlCharacter { character, at }),
    }
}

/// Why a name is not a [`Resource`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceError {
    /// The name is empty.
    #[error("it is empty; 1 to 512 bytes are allowed")]
    Empty,
    /// The name has more than [`Resource::MAX_BYTES`] bytes.
    #[error("it has at least {bytes} bytes; 1 to 512 bytes are allowed")]
    TooLong {
        /// How many bytes were counted before the name was refused.
        bytes: usize,
    },
    /// The name has a control character, such as a line feed.
    #[error("it has the control character {character:?} at byte {at}; every other character is allowed")]
    ControlCharacter {
        /// The first control character.
        character: char,
        /// Its offset in bytes.
        at: usize,
    },
    /// [`Resource::from_parts`] was given an empty list.
    #[error("it has no parts; at least one part is needed")]
    NoParts,
}

impl From<ResourceError> for LockError {
    fn from(error: ResourceError) -> Self {
        LockError::invalid_resource(error)
    }
}

impl TryFrom<&str> for Resource {
    type Error = LockError;

    #[inline]
    fn try_from(name: &str) -> Result<Self, LockError> {
        Ok(name.parse::<Self>()?)
    }
}

impl TryFrom<String> for Resource {
    type Error = LockError;

    #[inline]
    fn try_from(name: String) -> Result<Self, LockError> {
        Self::try_from(name.as_str())
    }
}

impl TryFrom<&String> for Resource {
    type Error = LockError;

    fn try_from(name: &String) -> Result<Self, LockError> {
        Self::try_from(name.as_str())
    }
}

impl TryFrom<Cow<'_, str>> for Resource {
    type Error = LockError;

    fn try_from(name: Cow<'_, str>) -> Result<Self, LockError> {
        Self::try_from(&*name)
    }
}

impl From<&Resource> for Resource {
    fn from(resource: &Resource) -> Self {
        resource.clone()
    }
}

/// With the reason itself as its error, which [`TryFrom`] gives as the source of a [`LockError`].
impl FromStr for Resource {
    type Err = ResourceError;

    fn from_str(name: &str) -> Result<Self, ResourceError> {
        // Checked before it is copied: an overlong name costs nothing.
        validate(name)?;
        Ok(Self(SmolStr::new(name)))
    }
}

impl AsRef<str> for Resource {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Resource {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Resource {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<'de, str>::deserialize(deserializer)?;
        Self::try_from(name).map_err(serde::de::Error::custom)
    }
}
