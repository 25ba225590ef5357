//! [`OwnerToken`]: the secret that says who owns a lock.

use std::fmt;

use crate::LockError;

/// The inbox of a process, to which its notifications are published. All its tokens name it, and it is not a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct InboxId(u64);

impl InboxId {
    /// One that no other process has.
    pub(crate) fn random() -> Result<Self, LockError> {
        Ok(Self(u64::from_ne_bytes(random()?)))
    }
}

#[cfg(feature = "__simulation")]
impl From<u64> for InboxId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for InboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for InboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The value of a lock's key while this process owns it: the inbox, a dot, and 128 bits from the operating system's
/// generator, fresh for every acquisition. A client that knows it can free the lock, so that no `Debug`, log or error shows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OwnerToken {
    inbox: InboxId,
    secret: Secret,
}

/// A token without the inbox, which is the same for all tokens of a process. It takes less memory where there may be very
/// many tokens.
///
/// In two halves, since a number of 128 bits is aligned to sixteen bytes, and so is every struct that has one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Secret([u64; 2]);

const INBOX_DIGITS: usize = 16;
const SECRET_DIGITS: usize = 32;

impl OwnerToken {
    /// Of its written form, in bytes.
    pub(crate) const LENGTH: usize = INBOX_DIGITS + 1 + SECRET_DIGITS;

    pub(crate) fn random(inbox: InboxId) -> Result<Self, LockError> {
        Ok(Secret::from(u128::from_ne_bytes(random()?)).of(inbox))
    }

    /// Its secret part.
    pub(crate) fn secret(&self) -> Secret {
        self.secret
    }

    /// The form that it has on the server: hexadecimal digits, and a dot between the two parts.
    pub(crate) fn written(&self) -> [u8; Self::LENGTH] {
        let mut written = [b'.'; Self::LENGTH];
        let (inbox, rest) = written.split_at_mut(INBOX_DIGITS);
        write_hex(inbox, self.inbox.0);
        let (_dot, secret) = rest.split_at_mut(1);
        let (high, low) = secret.split_at_mut(SECRET_DIGITS / 2);
        let Secret([high_half, low_half]) = self.secret;
        write_hex(high, high_half);
        write_hex(low, low_half);
        written
    }

    /// Reads the written form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (inbox, secret) = text.split_once('.')?;
        let hex = |text: &str, digits: usize| {
            text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        if !hex(inbox, INBOX_DIGITS) || !hex(secret, SECRET_DIGITS) {
            return None;
        }
        let inbox = InboxId(u64::from_str_radix(inbox, 16).ok()?);
        Some(Secret::from(u128::from_str_radix(secret, 16).ok()?).of(inbox))
    }
}

impl Secret {
    /// The token with this secret, of a process with this inbox.
    pub(crate) fn of(self, inbox: InboxId) -> OwnerToken {
        OwnerToken { inbox, secret: self }
    }
}

impl From<u128> for Secret {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is left")]
    fn from(number: u128) -> Self {
        Self([(number >> 64) as u64, number as u64])
    }
}

impl fmt::Debug for OwnerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerToken(..)")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Writes the lowest hexadecimal digits of a number, as many as fit. The standard library's formatting takes ten times as
/// long, and a token is written for every command.
fn write_hex(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        let nibble = (number & 0xf) as u8;
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
        number >>= 4;
    }
}

/// Random bytes from the operating system. This fails only on broken systems; then no lock is acquired.
fn random<const N: usize>() -> Result<[u8; N], LockError> {
    filled_by(getrandom::fill)
}

/// The bytes that a generator wrote, unless it failed: what it wrote before that is not secret and is not used.
fn filled_by<const N: usize>(
    fill: impl FnOnce(&mut [u8]) -> Result<(), getrandom::Error>,
) -> Result<[u8; N], LockError> {
    let mut bytes = [0; N];
    match fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => {
            Err(LockError::backend(format!("the operating system's random number generator failed: {error}")))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn a_token_is_read_from_its_written_form_and_is_not_shown() {
        let token = OwnerToken::random(InboxId::random().unwrap()).unwrap();
        assert_eq!(OwnerToken::parse(std::str::from_utf8(&token.written()).unwrap()), Some(token));
        let OwnerToken { inbox, secret } = token;
        let Secret([high, low]) = secret;
        assert_eq!(token.written(), *format!("{inbox}.{high:016x}{low:016x}").as_bytes());
        assert_eq!(format!("{token:?} {secret:?}"), "OwnerToken(..) Secret(..)");
        assert_eq!(secret.of(inbox), token);
    }

    #[test]
    fn tokens_differ() {
        const COUNT: usize = 100_000;
        let inbox = InboxId::random().unwrap();
        let tokens: std::collections::HashSet<_> = (0..COUNT).map(|_| OwnerToken::random(inbox).unwrap()).collect();
        assert_eq!(tokens.len(), COUNT);
        // The secret parts differ as well, and not only the whole tokens.
        let secrets: std::collections::HashSet<_> = tokens.iter().map(OwnerToken::secret).collect();
        assert_eq!(secrets.len(), COUNT);
    }

    /// Each of the 128 bits is one in about half of the tokens: none is fixed, or left out when they are written.
    #[test]
    fn every_bit_of_a_token_is_random() {
        const COUNT: u32 = 4_000;
        let inbox = InboxId::random().unwrap();
        let mut ones = [0_u32; 128];
        for _ in 0..COUNT {
            let written = OwnerToken::random(inbox).unwrap().written();
            let secret = std::str::from_utf8(&written[17..]).unwrap();
            let secret = u128::from_str_radix(secret, 16).unwrap();
            for (bit, ones) in ones.iter_mut().enumerate() {
                *ones += u32::from(secret >> bit & 1 == 1);
            }
        }
        // Ten standard deviations.
        assert!(ones.iter().all(|ones| ones.abs_diff(COUNT / 2) < 320), "{ones:?}");
    }

    #[test]
    fn a_generator_that_fails_makes_no_token() {
        let made = filled_by::<16>(|bytes| {
            // Half of it, and the rest is as it was.
            bytes[..8].fill(0xa5);
            Err(getrandom::Error::UNSUPPORTED)
        });
        let error = made.unwrap_err();
        assert!(matches!(error, LockError::Backend { .. }), "{error:?}");
        assert!(error.to_string().contains("random number generator failed"), "{error}");
        assert!(!format!("{error:?}{error}").contains("a5a5"), "the error does not show what was written");
    }

    #[test]
    fn other_texts_are_not_read() {
        let token = OwnerToken::random(InboxId::random().unwrap()).unwrap().written();
        let token = std::str::from_utf8(&token).unwrap();
        for bad in ["", ".", "a.b", token.to_uppercase().as_str(), &token[1..], &format!("{token}0"), "host-42"] {
            if bad != token {
                assert_eq!(OwnerToken::parse(bad), None, "{bad}");
            }
        }
    }
}
