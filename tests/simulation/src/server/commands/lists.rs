//! Lists.

use std::collections::VecDeque;

use super::numbers::{count, integer, place};
use super::{
    Entry, Outcome, Reply, Server, ServerError, Value, no_such_form, not_modelled, refused, wrong_number_of_arguments,
    wrong_type,
};

type List = VecDeque<Vec<u8>>;

/// `None` if there is no such key.
fn list<'a>(server: &'a mut Server, key: &[u8]) -> Result<Option<&'a mut List>, ServerError> {
    match server.look_up(key).map(|entry| &mut entry.value) {
        None => Ok(None),
        Some(Value::List(list)) => Ok(Some(list)),
        Some(_) => wrong_type(),
    }
}

/// A list that has become empty is no key any more.
fn remove_if_empty(server: &mut Server, key: &[u8]) -> Result<(), ServerError> {
    if list(server, key)?.is_some_and(|list| list.is_empty()) {
        server.keyspace.remove(key);
    }
    Ok(())
}

pub(super) fn llen(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, key] = words else { return no_such_form() };
    Ok(Reply::count(list(server, key)?.map_or(0, |list| list.len())))
}

pub(super) fn lindex(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, key, index] = words else { return no_such_form() };
    let Some(list) = list(server, key)? else { return Ok(Reply::Nil) };
    let found = place(integer(index)?, list.len()).and_then(|place| list.get(place));
    Ok(found.map_or(Reply::Nil, |entry| Reply::Text(entry.clone())))
}

pub(super) fn lrange(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, key, start, stop] = words else { return no_such_form() };
    let (start, stop) = (integer(start)?, integer(stop)?);
    let Some(list) = list(server, key)? else { return Ok(Reply::List(Vec::new())) };
    let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
    let from_start = |index: i64| if index < 0 { index.saturating_add(length) } else { index };
    let skipped = usize::try_from(from_start(start)).unwrap_or(0);
    // One before the start ends the range before it begins.
    let end = usize::try_from(from_start(stop).saturating_add(1)).unwrap_or(0);
    let range = list.iter().skip(skipped).take(end.saturating_sub(skipped));
    Ok(Reply::List(range.map(|entry| Reply::Text(entry.clone())).collect()))
}

pub(super) fn lpos(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, key, wanted] = words else { return Err(not_modelled(b"LPOS with options")) };
    let place = list(server, key)?.and_then(|list| list.iter().position(|entry| entry == wanted));
    Ok(place.map_or(Reply::Nil, Reply::count))
}

pub(super) fn rpush(server: &mut Server, words: &[&[u8]]) -> Outcome {
    push(server, words, List::push_back)
}

pub(super) fn lpush(server: &mut Server, words: &[&[u8]]) -> Outcome {
    push(server, words, List::push_front)
}

fn push(server: &mut Server, words: &[&[u8]], push: fn(&mut List, Vec<u8>)) -> Outcome {
    let [_, key, entries @ ..] = words else { return no_such_form() };
    if list(server, key)?.is_none() {
        server.keyspace.set(key, Entry { value: Value::List(List::new()), expires_at: None });
    }
    let Some(list) = list(server, key)? else { return no_such_form() };
    for entry in entries {
        push(list, entry.to_vec());
    }
    Ok(Reply::count(list.len()))
}

pub(super) fn lset(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, key, index, entry] = words else { return no_such_form() };
    let Some(list) = list(server, key)? else { return refused("ERR no such key") };
    let index = integer(index)?;
    let Some(old) = place(index, list.len()).and_then(|place| list.get_mut(place)) else {
        return refused("ERR index out of range");
    };
    *old = entry.to_vec();
    Ok(Reply::ok())
}

pub(super) fn lpop(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let (key, many) = match words {
        [_, key] => (key, None),
        [_, key, many] => (key, Some(count(many)?)),
        _ => return wrong_number_of_arguments("lpop"),
    };
    let Some(list) = list(server, key)? else { return Ok(Reply::Nil) };
    let reply = match many {
        None => list.pop_front().map_or(Reply::Nil, Reply::Text),
        Some(many) => Reply::List(list.drain(..many.min(list.len())).map(Reply::Text).collect()),
    };
    remove_if_empty(server, key)?;
    Ok(reply)
}

pub(super) fn lrem(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, key, many, unwanted] = words else { return no_such_form() };
    let many = integer(many)?;
    let Some(list) = list(server, key)? else { return Ok(Reply::Integer(0)) };
    let found = list.iter().enumerate().filter(|(_, entry)| entry == unwanted).map(|(place, _)| place);
    let mut places: Vec<usize> = found.collect();
    let limit = match usize::try_from(many.unsigned_abs()) {
        Ok(limit @ 1..) => limit.min(places.len()),
        _ => places.len(),
    };
    if many < 0 {
        places.drain(..places.len() - limit);
    } else {
        places.truncate(limit);
    }
    // From the end, so that the places before stay what they are.
    for place in places.iter().rev() {
        list.remove(*place);
    }
    remove_if_empty(server, key)?;
    Ok(Reply::count(places.len()))
}
