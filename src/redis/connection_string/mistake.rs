//! [`Mistake`]: one thing that is wrong with a connection string, told without repeating any of its values.

use crate::BuildProblem;

/// A part of the string by name, what is wrong with it, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redis) struct Mistake {
    part: String,
    reason: String,
}

impl Mistake {
    pub(super) fn new(part: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { part: part.into(), reason: reason.into() }
    }

    /// The option at `position`, counted from 1, which nobody knows.
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

/// The name of an option, with what tells whether it may be printed.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
    /// Whether a password was given before it. A password that has a separator in it goes on in what looks like the
    /// next option.
    pub(super) after_password: bool,
}

impl<'a> Named<'a> {
    const LONGEST: usize = 32;

    /// What the name of an option has in it whose value is a secret, in whatever spelling a client has it.
    const SECRETS: [&'static str; 7] = ["pass", "pw", "auth", "secret", "token", "credential", "key"];

    /// Whether the value is probably a password. For options that are not known.
    pub(super) fn is_secret(self) -> bool {
        let name = self.name.to_ascii_lowercase();
        Self::SECRETS.iter().any(|part| name.contains(part))
    }

    /// The name, if it looks like one. Names of options are words of letters; `cGFzcw==` and `cGFz=` are a password in
    /// Base64 of which the name was forgotten, and an `@` in the value is the end of a user and a password.
    fn printable(self) -> Option<&'a str> {
        let Self { name, value, after_password } = self;
        let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphabetic());
        let is_name = name.len() <= Self::LONGEST && name.split(['_', '-']).all(is_word);
        let is_value = !value.is_empty() && !value.starts_with('=') && !value.contains('@');
        (is_name && is_value && !after_password).then_some(name)
    }
}
