//! [`BuildError`]: the mistakes in a registration.

use std::error::Error;
use std::fmt;

use crate::LockError;

/// What is wrong with a registration: all mistakes that were found, not only the first.
#[derive(Debug, Clone)]
pub struct BuildError {
    problems: Vec<BuildProblem>,
}

impl BuildError {
    /// An error with these problems, or `Ok` if there are none.
    pub(crate) fn from_problems(problems: Vec<BuildProblem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    /// The mistakes, at least one, in the order in which they were found.
    pub fn problems(&self) -> &[BuildProblem] {
        &self.problems
    }

    pub(crate) fn into_problems(self) -> Vec<BuildProblem> {
        self.problems
    }
}

impl From<BuildProblem> for BuildError {
    fn from(problem: BuildProblem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // Several problems have no common cause.
        match self.problems.as_slice() {
            [problem] => problem.source(),
            _ => None,
        }
    }
}

/// One mistake in a registration.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BuildProblem {
    /// No default provider was registered.
    #[error("no default provider: add one with add_redis_locking, add_in_memory_locking or add_default_provider")]
    NoDefaultProvider,
    /// More than one default provider was registered.
    #[error("{} default providers ({}): one is allowed, give the others names with add_provider", .given.len(), .given.join(", "))]
    SeveralDefaultProviders {
        /// The methods of the builder that were called.
        given: Vec<&'static str>,
    },
    /// Two providers have the same name.
    #[error("the provider name {name:?} is used twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A provider was given an empty name.
    #[error("a provider has an empty name; at least one character is needed")]
    EmptyName,
    /// No provider of this name was registered.
    #[error("there is no provider named {name:?}; there {}", known_names(.known))]
    UnknownName {
        /// The name that was asked for.
        name: String,
        /// The names that are registered.
        known: Vec<String>,
    },
    /// An option is out of its range.
    #[error("{0}")]
    Options(#[source] LockError),
    /// A connection string does not parse.
    #[error("the connection string is invalid: {part}: {reason}")]
    ConnectionString {
        /// The part that is wrong. Never a password.
        part: String,
        /// What is wrong with it, and what is allowed.
        reason: String,
    },
}

fn known_names(known: &[String]) -> String {
    match known {
        [] => "are none with a name".to_owned(),
        [one] => format!("is {one:?}"),
        several => format!("are {several:?}"),
    }
}
