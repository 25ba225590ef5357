//! [`Mistake`]: one mistake in a connection string, described without any of its values.

use crate::BuildProblem;

/// The name of a part of the string, what is wrong with it, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redis) struct Mistake {
    part: String,
    reason: String,
}

impl Mistake {
    pub(super) fn new(part: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { part: part.into(), reason: reason.into() }
    }

    /// An unknown option, the one at `position`, counted from 1.
    pub(super) fn unknown(option: Named<'_>, position: usize, allowed: &str) -> Self {
        match option.printable() {
            Some(name) => Self::new(format!("option {name:?}"), format!("unknown; allowed are {allowed}")),
            None => Self::new(
                format!("option {position}"),
                format!("unknown (its name is not shown, since it may belong to a password); allowed are {allowed}"),
            ),
        }
    }

    pub(super) fn twice(name: &str) -> Self {
        Self::new(name, "given twice; once is allowed")
    }
}

impl From<Mistake> for BuildProblem {
    fn from(Mistake { part, reason }: Mistake) -> Self {
        Self::ConnectionString { part, reason }
    }
}

/// The name of an option, and what decides whether it may be printed.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
    /// Whether a password was given before it. If a password has a separator in it, the rest of it looks like the next option.
    pub(super) after_password: bool,
}

impl<'a> Named<'a> {
    const LONGEST: usize = 32;

    /// Parts of the names of options whose values are secrets, in the spellings of all clients.
    const SECRETS: [&'static str; 7] = ["pass", "pw", "auth", "secret", "token", "credential", "key"];

    /// Whether the value of an unknown option is probably a password.
    pub(super) fn is_secret(self) -> bool {
        let name = self.name.to_ascii_lowercase();
        Self::SECRETS.iter().any(|part| name.contains(part))
    }

    /// The name, if it looks like the name of an option: words of letters. `cGFzcw==` and `cGFz=` are a password in Base64 whose
    /// name was left out, and an `@` in the value is the end of a user and a password.
    fn printable(self) -> Option<&'a str> {
        let Self { name, value, after_password } = self;
        let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphabetic());
        let is_name = name.len() <= Self::LONGEST && name.split(['_', '-']).all(is_word);
        let is_value = !value.is_empty() && !value.starts_with('=') && !value.contains('@');
        (is_name && is_value && !after_password).then_some(name)
    }
}
