//! The keys of a server.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

/// What a key has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(Vec<u8>),
    /// A list that is not empty.
    List(VecDeque<Vec<u8>>),
    /// A sorted set that is not empty: scores and members, in their order.
    SortedSet(BTreeSet<(Score, Vec<u8>)>),
    /// A value that no command of the model reads: one that another program has put there.
    Other(OtherType),
}

/// A type that the model has no commands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherType {
    /// A hash.
    Hash,
    /// A set.
    Set,
    /// A stream.
    Stream,
}

/// The score of a member of a sorted set: a number, and never "not a number".
#[derive(Debug, Clone, Copy)]
pub struct Score(pub(super) f64);

/// As a script is told it.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.abs() < 1e17 {
            return write!(f, "{}", self.0);
        }
        let text = format!("{:.16e}", self.0);
        let Some((digits, exponent)) = text.split_once('e') else { return f.write_str(&text) };
        write!(f, "{}e+{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Score {}

/// A value and its expiry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the key has.
    pub value: Value,
    /// Until when, in milliseconds since 1970; `None` if it does not expire.
    pub expires_at: Option<i64>,
}

impl Value {
    /// As `TYPE` tells it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::List(_) => "list",
            Self::SortedSet(_) => "zset",
            Self::Other(OtherType::Hash) => "hash",
            Self::Other(OtherType::Set) => "set",
            Self::Other(OtherType::Stream) => "stream",
        }
    }
}

impl Entry {
    /// A server compares like this: the millisecond of the expiry itself still counts.
    pub(super) fn has_expired(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|at| now > at)
    }
}

/// Keys in their order, those that have expired and were not looked at since included.
#[derive(Debug, Clone, Default)]
pub(super) struct Keyspace(BTreeMap<Vec<u8>, Entry>);

impl Keyspace {
    pub(super) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.0.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        self.0.get_mut(key)
    }

    pub(super) fn set(&mut self, key: &[u8], entry: Entry) {
        if let Some(before) = self.0.get_mut(key) {
            *before = entry;
        } else {
            self.0.insert(key.to_owned(), entry);
        }
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        self.0.remove(key);
    }

    pub(super) fn remove_expired(&mut self, now: i64) {
        self.0.retain(|_, entry| !entry.has_expired(now));
    }

    pub(super) fn live(&self, now: i64) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.0.iter().filter(move |(_, entry)| !entry.has_expired(now)).map(|(key, entry)| (key.as_slice(), entry))
    }
}
