//! Sorted sets, as a script sees them. A client with RESP3 is told scores in another form, which is not modelled.

use std::collections::BTreeSet;

use super::numbers::{integer, place};
use super::{
    Entry, Outcome, Reply, Score, Server, ServerError, Value, no_such_form, not_modelled, refused, wrong_type,
};

type Set = BTreeSet<(Score, Vec<u8>)>;

/// `None` if there is no such key.
fn set<'a>(server: &'a mut Server, key: &[u8]) -> Result<Option<&'a mut Set>, ServerError> {
    match server.look_up(key).map(|entry| &mut entry.value) {
        None => Ok(None),
        Some(Value::SortedSet(set)) => Ok(Some(set)),
        Some(_) => wrong_type(),
    }
}

/// The score of a member.
fn score_of(set: &Set, member: &[u8]) -> Option<Score> {
    set.iter().find(|(_, of)| of == member).map(|(score, _)| *score)
}

fn score(word: &[u8]) -> Option<Score> {
    let number: f64 = std::str::from_utf8(word).ok()?.parse().ok()?;
    // A server knows no other zero that is told apart from this one.
    (!number.is_nan()).then_some(Score(if number == 0.0 { 0.0 } else { number }))
}

/// A range of scores: its ends, and whether each of them belongs to it.
struct Range {
    min: (Score, bool),
    max: (Score, bool),
}

impl Range {
    fn of(min: &[u8], max: &[u8]) -> Result<Self, ServerError> {
        let end = |word: &[u8]| {
            let (number, included) = word.strip_prefix(b"(").map_or((word, true), |number| (number, false));
            match score(number) {
                Some(score) => Ok((score, included)),
                // A server reads nothing as zero here, and skips spaces.
                None if number.trim_ascii_start() != number || number.is_empty() => Err(not_modelled(word)),
                None => refused("ERR min or max is not a float"),
            }
        };
        Ok(Self { min: end(min)?, max: end(max)? })
    }

    fn has(&self, score: Score) -> bool {
        let ((min, with_min), (max, with_max)) = (self.min, self.max);
        (score > min || with_min && score == min) && (score < max || with_max && score == max)
    }

    fn of_set<'a>(&self, set: Option<&'a mut Set>) -> impl Iterator<Item = &'a (Score, Vec<u8>)> {
        set.into_iter().flat_map(|set| set.iter()).filter(|(score, _)| self.has(*score))
    }
}

pub(super) fn zadd(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, key, pairs @ ..] = words else { return no_such_form() };
    for option in [&b"NX"[..], b"XX", b"GT", b"LT", b"CH", b"INCR"] {
        if pairs.first().is_some_and(|word| word.eq_ignore_ascii_case(option)) {
            return Err(not_modelled(option));
        }
    }
    let (pairs, []) = pairs.as_chunks::<2>() else { return refused("ERR syntax error") };
    let mut scores = Vec::new();
    for [number, member] in pairs {
        match score(number) {
            Some(score) => scores.push((score, member.to_vec())),
            None => return refused("ERR value is not a valid float"),
        }
    }
    if set(server, key)?.is_none() {
        server.keyspace.set(key, Entry { value: Value::SortedSet(Set::new()), expires_at: None });
    }
    let Some(set) = set(server, key)? else { return Ok(Reply::Nil) };
    let mut added = 0;
    for (score, member) in scores {
        match score_of(set, &member) {
            Some(before) => _ = set.remove(&(before, member.clone())),
            None => added += 1,
        }
        set.insert((score, member));
    }
    Ok(Reply::count(added))
}

pub(super) fn zrem(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, key, members @ ..] = words else { return no_such_form() };
    let Some(set) = set(server, key)? else { return Ok(Reply::Integer(0)) };
    let mut removed = 0;
    for member in members {
        if let Some(score) = score_of(set, member) {
            set.remove(&(score, member.to_vec()));
            removed += 1;
        }
    }
    if set.is_empty() {
        server.keyspace.remove(key);
    }
    Ok(Reply::count(removed))
}

pub(super) fn zscore(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, key, member] = words else { return no_such_form() };
    let score = set(server, key)?.and_then(|set| score_of(set, member));
    Ok(score.map_or(Reply::Nil, |score| Reply::Text(score.to_string().into_bytes())))
}

pub(super) fn zcount(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, key, min, max] = words else { return no_such_form() };
    // The range is read before the key is looked at.
    let range = Range::of(min, max)?;
    Ok(Reply::count(range.of_set(set(server, key)?).count()))
}

/// By rank, with scores or without; and by score, a part of them.
pub(super) fn zrange(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    match words {
        [_, key, first, last] => by_rank(server, key, first, last, false),
        [_, key, first, last, scores] if is(scores, "WITHSCORES") => by_rank(server, key, first, last, true),
        [_, key, min, max, by, limit, skipped, most] if is(by, "BYSCORE") && is(limit, "LIMIT") => {
            let (skipped, most) = (integer(skipped)?, integer(most)?);
            let range = Range::of(min, max)?;
            let found = range.of_set(set(server, key)?);
            let (Ok(skipped), Ok(most)) = (usize::try_from(skipped), usize::try_from(most)) else {
                return Err(not_modelled(b"ZRANGE with a negative LIMIT"));
            };
            Ok(Reply::List(found.skip(skipped).take(most).map(|(_, member)| Reply::Text(member.clone())).collect()))
        }
        _ => Err(not_modelled(b"ZRANGE with other options")),
    }
}

fn by_rank(server: &mut Server, key: &[u8], first: &[u8], last: &[u8], with_scores: bool) -> Outcome {
    let (first, last) = (integer(first)?, integer(last)?);
    let Some(set) = set(server, key)? else { return Ok(Reply::List(Vec::new())) };
    let first = place(first, set.len()).unwrap_or(if first < 0 { 0 } else { set.len() });
    // One before the start ends the range before it begins.
    let end = if last < 0 {
        place(last, set.len()).map_or(0, |last| last + 1)
    } else {
        usize::try_from(last).map_or(set.len(), |last| last.saturating_add(1))
    };
    let mut replies = Vec::new();
    for (score, member) in set.iter().take(end).skip(first) {
        replies.push(Reply::Text(member.clone()));
        replies.extend(with_scores.then(|| Reply::Text(score.to_string().into_bytes())));
    }
    Ok(Reply::List(replies))
}
