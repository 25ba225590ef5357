//! What concerns any key, the clock, and inboxes.
#![allow(clippy::unnecessary_wraps, reason = "every command is called in the same way")]

use super::numbers::{flag, integer};
use super::{Outcome, Reply, Server, no_such_form, not_modelled, refused};

pub(super) fn exists(server: &mut Server, words: &[&[u8]]) -> Outcome {
    // One that is named twice counts twice.
    Ok(Reply::count(words.iter().skip(1).filter(|key| server.look_up(key).is_some()).count()))
}

pub(super) fn del(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let mut deleted = 0;
    for key in words.iter().skip(1) {
        if server.look_up(key).is_some() {
            server.keyspace.remove(key);
            deleted += 1;
        }
    }
    Ok(Reply::count(deleted))
}

pub(super) fn type_of(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, key] = words else { return no_such_form() };
    let name = server.look_up(key).map_or("none", |entry| entry.value.type_name());
    Ok(Reply::Status(name.into()))
}

pub(super) fn time(server: &mut Server, _words: &[&[u8]]) -> Outcome {
    let now = match server.times_in_script.as_slice() {
        [] => server.now,
        [last] => *last,
        _ => server.times_in_script.pop().unwrap_or(server.now),
    };
    let parts = [now / 1_000_000, now % 1_000_000];
    Ok(Reply::List(parts.map(|part| Reply::Text(part.to_string().into_bytes())).into()))
}

pub(super) fn pttl(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, key] = words else { return no_such_form() };
    let now = server.milliseconds();
    Ok(Reply::Integer(match server.look_up(key).map(|entry| entry.expires_at) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => at.saturating_sub(now).max(0),
    }))
}

pub(super) fn pexpire(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, key, length] = words else { return Err(not_modelled(b"PEXPIRE with options")) };
    let length = integer(length)?;
    let now = server.milliseconds();
    let Some(at) = now.checked_add(length) else {
        return refused("ERR invalid expire time in 'pexpire' command");
    };
    let Some(entry) = server.look_up(key) else { return Ok(flag(false)) };
    entry.expires_at = Some(at);
    if at <= now {
        server.keyspace.remove(key);
    }
    Ok(flag(true))
}

pub(super) fn publish(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, channel, payload] = words else { return no_such_form() };
    Ok(Reply::count(server.publish(channel, payload)))
}
