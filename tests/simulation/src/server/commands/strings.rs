//! Strings: `GET`, and `SET` with the options that are used.

use super::numbers::integer;
use super::{Entry, Outcome, Reply, Server, ServerError, Value, no_such_form, not_modelled, refused, wrong_type};

pub(super) fn get(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, key] = words else { return no_such_form() };
    text_of(server, key)
}

fn text_of(server: &mut Server, key: &[u8]) -> Outcome {
    match server.look_up(key).map(|entry| &entry.value) {
        None => Ok(Reply::Nil),
        Some(Value::Text(text)) => Ok(Reply::Text(text.clone())),
        Some(_) => wrong_type(),
    }
}

pub(super) fn set(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let [_, key, text, options @ ..] = words else { return no_such_form() };
    let options = Options::of(options)?;
    let expires_at = options.length.map(|length| expiry(server, length)).transpose()?;
    // What is of another type is overwritten, except where it is to be told.
    let before = if options.tell { text_of(server, key)? } else { Reply::ok() };
    if options.only_new && server.look_up(key).is_some() {
        return Ok(if options.tell { before } else { Reply::Nil });
    }
    server.keyspace.set(key, Entry { value: Value::Text(text.to_vec()), expires_at });
    Ok(before)
}

fn expiry(server: &Server, length: &[u8]) -> Result<i64, ServerError> {
    let length = integer(length)?;
    match server.milliseconds().checked_add(length) {
        Some(at) if length > 0 => Ok(at),
        _ => refused("ERR invalid expire time in 'set' command"),
    }
}

#[derive(Default)]
struct Options<'a> {
    /// `GET`: the reply is what was there before.
    tell: bool,
    /// `NX`: only where there is no key.
    only_new: bool,
    /// `PX`: in milliseconds.
    length: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn of(words: &[&'a [u8]]) -> Result<Self, ServerError> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.to_ascii_uppercase().as_slice() {
                b"GET" => options.tell = true,
                b"NX" => options.only_new = true,
                b"PX" => match words.next() {
                    Some(length) => options.length = Some(length),
                    None => return refused("ERR syntax error"),
                },
                b"XX" | b"EX" | b"EXAT" | b"PXAT" | b"KEEPTTL" => return Err(not_modelled(word)),
                _ => return refused("ERR syntax error"),
            }
        }
        Ok(options)
    }
}
