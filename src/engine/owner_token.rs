//! [`OwnerToken`]: the secret that says who owns a lock.

use std::fmt;

use crate::{LockError, LockMode};

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

/// Who holds a lock on the server, or waits for it: the inbox, a dot, the mode, and bits from the operating system's
/// generator, fresh for every acquisition. A client that knows it can free the lock, so that no `Debug`, log or error shows it.
///
/// After the dot are 32 digits. The first says the mode:
///
/// | digits | mode | random bits |
/// | --- | --- | --- |
/// | `0` to `e`, 31 more | exclusive | 127.9 |
/// | `s00000`, 26 more | shared | 104 |
/// | `p`, the number of permits in 5 digits, 26 more | permits | 104 |
///
/// So neither an entry of the wait queue nor a message needs another field for the mode, and to a client that knows no modes
/// it is a token like any other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OwnerToken {
    inbox: InboxId,
    secret: Secret,
}

/// A token without the inbox, which is the same for all tokens of a process. It takes less memory where there may be very
/// many tokens.
///
/// Its digits as a number, of which the first is [`OTHER_MODE`] unless the mode is exclusive. In two halves, since a number of
/// 128 bits is aligned to sixteen bytes, and so is every struct that has one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Secret([u64; 2]);

const INBOX_DIGITS: usize = 16;
const SECRET_DIGITS: usize = 32;

/// The first digit of a secret that is shared (the next five are zero) or for one of so many permits as the next five say.
const OTHER_MODE: u64 = 0xf;
/// How many bits of the upper half follow the first digit, and how many the number of permits.
const AFTER_FIRST: u32 = 60;
const AFTER_PERMITS: u32 = 40;

impl OwnerToken {
    /// Of its written form, in bytes.
    pub(crate) const LENGTH: usize = INBOX_DIGITS + 1 + SECRET_DIGITS;

    /// A new token for an acquire in this mode.
    pub(crate) fn random(inbox: InboxId, mode: LockMode) -> Result<Self, LockError> {
        Self::of_random(inbox, mode, random()?)
    }

    /// The token of these random bytes for an acquire in this mode.
    pub(crate) fn of_random(inbox: InboxId, mode: LockMode, random: [u8; 17]) -> Result<Self, LockError> {
        Ok(Secret::new(mode, random)?.of(inbox))
    }

    /// Its secret part.
    pub(crate) fn secret(&self) -> Secret {
        self.secret
    }

    /// In which mode its owner wants to hold the lock, or holds it.
    pub(crate) fn mode(&self) -> LockMode {
        self.secret.mode()
    }

    /// The form that it has on the server.
    pub(crate) fn written(&self) -> [u8; Self::LENGTH] {
        let mut written = [b'.'; Self::LENGTH];
        let (inbox, rest) = written.split_at_mut(INBOX_DIGITS);
        write_hex(inbox, self.inbox.0);
        let (_dot, secret) = rest.split_at_mut(1);
        let (high, low) = secret.split_at_mut(SECRET_DIGITS / 2);
        let Secret([high_half, low_half]) = self.secret;
        write_hex(high, high_half);
        write_hex(low, low_half);
        let letter = match self.mode() {
            LockMode::Exclusive => return written,
            LockMode::Shared => b's',
            LockMode::Permits(_) => b'p',
        };
        if let [first, ..] = high {
            *first = letter;
        }
        written
    }

    /// Reads the written form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (inbox, secret) = text.split_once('.')?;
        let rest = secret.get(1..)?;
        if !is_hex(inbox, INBOX_DIGITS) || !is_hex(rest, SECRET_DIGITS - 1) {
            return None;
        }
        let inbox = InboxId(u64::from_str_radix(inbox, 16).ok()?);
        let rest = u128::from_str_radix(rest, 16).ok()?;
        let letter = *secret.as_bytes().first()?;
        let first = match letter {
            b's' | b'p' => OTHER_MODE,
            _ if is_hex(secret, SECRET_DIGITS) => u64::from(char::from(letter).to_digit(16)?),
            _ => return None,
        };
        let Secret([high, low]) = Secret::from(rest);
        let secret = Secret([first << AFTER_FIRST | high, low]);
        let read = match (letter, secret.mode()) {
            (b's', LockMode::Shared) | (b'0'..=b'e', LockMode::Exclusive) => true,
            (b'p', LockMode::Permits(permits)) => permits <= LockMode::MAX_PERMITS,
            _ => false,
        };
        read.then(|| secret.of(inbox))
    }

    /// Whether a text has the form of a token, of whichever version of this crate: in earlier ones the first digit of an
    /// exclusive one could be any.
    pub(crate) fn is_written(text: &str) -> bool {
        let any = |secret: &str| is_hex(secret, SECRET_DIGITS);
        Self::parse(text).is_some()
            || text.split_once('.').is_some_and(|(inbox, secret)| is_hex(inbox, INBOX_DIGITS) && any(secret))
    }
}

impl Secret {
    /// A secret for this mode. The first digit of an exclusive one is made of the first byte, and all others of the rest.
    fn new(mode: LockMode, random: [u8; 17]) -> Result<Self, LockError> {
        mode.validate()?;
        let [first, rest @ ..] = random;
        let Self([high, low]) = Self::from(u128::from_ne_bytes(rest));
        let (first, fixed, random_bits) = match mode {
            LockMode::Exclusive => (u64::from(first) % OTHER_MODE, 0, AFTER_FIRST),
            LockMode::Shared => (OTHER_MODE, 0, AFTER_PERMITS),
            LockMode::Permits(permits) => (OTHER_MODE, permits, AFTER_PERMITS),
        };
        let random = high & !(u64::MAX << random_bits);
        Ok(Self([first << AFTER_FIRST | u64::from(fixed) << AFTER_PERMITS | random, low]))
    }

    /// The token with this secret, of a process with this inbox.
    pub(crate) fn of(self, inbox: InboxId) -> OwnerToken {
        OwnerToken { inbox, secret: self }
    }

    /// In which mode its owner wants to hold the lock, or holds it.
    pub(crate) fn mode(self) -> LockMode {
        let Self([high, _]) = self;
        if high >> AFTER_FIRST != OTHER_MODE {
            return LockMode::Exclusive;
        }
        match (high >> AFTER_PERMITS & 0xf_ffff) as u32 {
            0 => LockMode::Shared,
            permits => LockMode::Permits(permits),
        }
    }
}

/// Of a number, without regard to the mode.
impl From<u128> for Secret {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is left")]
    fn from(number: u128) -> Self {
        Self([(number >> 64) as u64, number as u64])
    }
}

/// Whether a text is so many hexadecimal digits, none of them a capital.
fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
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
        let token = OwnerToken::random(InboxId::random().unwrap(), LockMode::Exclusive).unwrap();
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
        let tokens: std::collections::HashSet<_> =
            (0..COUNT).map(|_| OwnerToken::random(inbox, LockMode::Exclusive).unwrap()).collect();
        assert_eq!(tokens.len(), COUNT);
        // The secret parts differ as well, and not only the whole tokens.
        let secrets: std::collections::HashSet<_> = tokens.iter().map(OwnerToken::secret).collect();
        assert_eq!(secrets.len(), COUNT);
    }

    const MODES: [LockMode; 6] = [
        LockMode::Exclusive,
        LockMode::Shared,
        LockMode::Permits(1),
        LockMode::Permits(0xfffff / 3),
        LockMode::Permits(0x80000),
        LockMode::Permits(LockMode::MAX_PERMITS),
    ];

    #[test]
    fn a_token_says_its_mode() {
        let inbox = InboxId::random().unwrap();
        for mode in MODES {
            for _ in 0..1_000 {
                let token = OwnerToken::random(inbox, mode).unwrap();
                let written = token.written();
                let written = std::str::from_utf8(&written).unwrap();
                assert_eq!((token.mode(), token.secret().mode()), (mode, mode), "{written}");
                assert_eq!(OwnerToken::parse(written), Some(token), "{written}");
                let begins = match mode {
                    LockMode::Exclusive => String::new(),
                    LockMode::Shared => "s00000".to_owned(),
                    LockMode::Permits(permits) => format!("p{permits:05x}"),
                };
                assert!(written[17..].starts_with(&begins), "{written}");
                assert!(mode != LockMode::Exclusive || u8::from_str_radix(&written[17..18], 16).unwrap() < 0xf);
            }
        }
        assert_eq!(size_of::<Secret>(), 16, "the mode takes no memory of its own");
    }

    #[test]
    fn a_number_of_permits_out_of_range_makes_no_token() {
        for permits in [0, LockMode::MAX_PERMITS + 1, u32::MAX] {
            let error = OwnerToken::random(InboxId::random().unwrap(), LockMode::Permits(permits)).unwrap_err();
            assert!(matches!(error, LockError::InvalidOptions { .. }), "{error:?}");
        }
    }

    /// Each of the bits that do not say the mode is one in about half of the tokens.
    #[test]
    fn every_bit_after_the_mode_is_random() {
        const COUNT: u32 = 4_000;
        let inbox = InboxId::random().unwrap();
        for mode in [LockMode::Shared, LockMode::Permits(7)] {
            let mut ones = [0_u32; 104];
            for _ in 0..COUNT {
                let written = OwnerToken::random(inbox, mode).unwrap().written();
                let random = std::str::from_utf8(&written[23..]).unwrap();
                let random = u128::from_str_radix(random, 16).unwrap();
                for (bit, ones) in ones.iter_mut().enumerate() {
                    *ones += u32::from(random >> bit & 1 == 1);
                }
            }
            // Ten standard deviations.
            assert!(ones.iter().all(|ones| ones.abs_diff(COUNT / 2) < 320), "{mode}: {ones:?}");
        }
    }

    /// Each of the 128 bits is one in about half of the tokens: none is fixed, or left out when they are written.
    #[test]
    fn every_bit_of_a_token_is_random() {
        const COUNT: u32 = 4_000;
        let inbox = InboxId::random().unwrap();
        let mut ones = [0_u32; 128];
        for _ in 0..COUNT {
            let written = OwnerToken::random(inbox, LockMode::Exclusive).unwrap().written();
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
        let token = OwnerToken::random(InboxId::random().unwrap(), LockMode::Exclusive).unwrap().written();
        let token = std::str::from_utf8(&token).unwrap();
        let other = |secret: &str| format!("{}{secret}", &token[..17]);
        let random = "0".repeat(26);
        for bad in [
            "",
            ".",
            "a.b",
            token.to_uppercase().as_str(),
            &token[1..],
            &format!("{token}0"),
            "host-42",
            &other(&format!("s00001{random}")),
            &other(&format!("s0000g{random}")),
            &other(&format!("S00000{random}")),
            &other(&format!("s00000{random}0")),
            &other(&format!("p00000{random}")),
            &other(&format!("pf4241{random}")),
            &other(&format!("pF4240{random}")),
            &other(&format!("q00001{random}")),
            &other(&format!("é0000{random}")),
        ] {
            if bad != token {
                assert_eq!(OwnerToken::parse(bad), None, "{bad}");
                assert!(!OwnerToken::is_written(bad), "{bad}");
            }
        }
        let earlier = other(&format!("f00007{random}"));
        assert!(OwnerToken::is_written(&earlier) && OwnerToken::parse(&earlier).is_none());
    }
}
