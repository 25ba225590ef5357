//! [`Args`]: what the command line says.

use std::fmt;
use std::path::PathBuf;

/// How the program is called.
pub(crate) const USAGE: &str = "\
usage: simulation [--seeds N] [--first N] [--failures N] [--json FILE] [--trace SEED]
  --seeds N      so many seeds, 2000 by default
  --first N      from this one on, 0 by default
  --failures N   ends after so many that failed, 1 by default
  --json FILE    writes the figures there as well
  --trace SEED   one seed, and everything that happens in it";

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) seeds: u64,
    pub(crate) first: u64,
    pub(crate) most_failures: u64,
    pub(crate) most_shown: u64,
    /// For the figures.
    pub(crate) json: Option<PathBuf>,
    pub(crate) trace: Option<u64>,
}

/// What of the command line cannot be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    Unknown(String),
    NoNumber(&'static str),
    NoFile(&'static str),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "unknown argument {word}"),
            Self::NoNumber(option) => write!(f, "{option} needs a number"),
            Self::NoFile(option) => write!(f, "{option} needs a file"),
        }
    }
}

impl Args {
    /// Reads the words of a command line.
    pub(crate) fn read(words: impl IntoIterator<Item = String>) -> Result<Self, Problem> {
        let mut args = Self { seeds: 2_000, first: 0, most_failures: 1, most_shown: 3, json: None, trace: None };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if word == "--json" {
                args.json = Some(words.next().map(PathBuf::from).ok_or(Problem::NoFile("--json"))?);
                continue;
            }
            let mut number = |option| words.next().and_then(|word| word.parse().ok()).ok_or(Problem::NoNumber(option));
            match word.as_str() {
                "--seeds" => args.seeds = number("--seeds")?,
                "--first" => args.first = number("--first")?,
                "--failures" => args.most_failures = number("--failures")?,
                "--trace" => args.trace = Some(number("--trace")?),
                _ => return Err(Problem::Unknown(word)),
            }
        }
        Ok(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Args, Problem> {
        Args::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn numbers_are_read() {
        let expected = Args { seeds: 7, first: 9, most_failures: 1, most_shown: 3, json: None, trace: None };
        assert_eq!(read("--first 9 --seeds 7"), Ok(expected));
        assert_eq!(read("--trace 3").map(|args| args.trace), Ok(Some(3)));
        assert_eq!(read("--failures 5").map(|args| args.most_failures), Ok(5));
        assert_eq!(read("--json a/b.json").map(|args| args.json), Ok(Some("a/b.json".into())));
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        assert_eq!(read("--seed 7"), Err(Problem::Unknown("--seed".to_owned())));
        assert_eq!(read("--seeds"), Err(Problem::NoNumber("--seeds")));
        assert_eq!(read("--first x"), Err(Problem::NoNumber("--first")));
        assert_eq!(read("--json"), Err(Problem::NoFile("--json")));
    }
}
