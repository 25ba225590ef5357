//! Fuzz targets for connection strings, answers of a server, and its notifications. See `crate::fuzz`.
#![allow(clippy::panic, clippy::unwrap_used, clippy::missing_panics_doc)]

use ::redis::Value;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use super::RedisLockOptions;
use super::keys::Keys;
use super::protocol::{self, Notification};
use super::slot;
use crate::engine::OwnerToken;
use crate::engine::{Acquired, CancelReply};
use crate::{LockError, Resource};

/// Stands for a secret. It has a digit, so that it cannot be the name of an option.
const SECRET: &str = "Zq7Xw9Kv";

/// Marks in an input where the secret is put.
const PLACE: char = '$';

/// A connection string of any form gives settings or mistakes, and none of them shows a value. A password that was
/// encoded comes back.
pub fn connection_string(data: &[u8]) {
    let text = String::from_utf8_lossy(data).replace(PLACE, SECRET);
    let options = RedisLockOptions::default().connection_string(text.as_str());
    assert!(!format!("{options:?}").contains(SECRET), "the options show a value");
    match options.settings() {
        Ok(settings) => {
            // The server and its host are not secret.
            if !settings.server.contains(SECRET) {
                assert!(!format!("{settings:?}").contains(SECRET), "the settings show a secret: {text:?}");
            }
        }
        Err(error) => {
            assert!(!error.problems().is_empty());
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(SECRET), "a mistake shows a value: {text:?} gives {shown}");
        }
    }
    let password = String::from_utf8_lossy(data);
    if password.is_empty() {
        return;
    }
    let encoded = percent_encode(password.as_bytes(), NON_ALPHANUMERIC);
    for text in [
        format!("redis://:{encoded}@localhost"),
        format!("unix:///run/redis?pass={encoded}"),
        format!("redis+sentinel://:{encoded}@localhost/locks"),
    ] {
        let settings = RedisLockOptions::default().connection_string(text).settings().unwrap();
        assert_eq!(settings.credentials.password.as_deref(), Some(&*password));
    }
}

/// Any answer of a server is read as a script's answer, or gives a typed error that does not show it. Any message on a channel
/// is read as a notification or ignored.
pub fn server_answer(data: &[u8]) {
    if let Ok(value) = ::redis::parse_redis_value(data) {
        answer(&value);
    }
    answer(&numbers(data));
    let text = String::from_utf8_lossy(data);
    message(&text, "");
    message(&text, "p:");
    if let Ok(resource) = Resource::try_from(&*text) {
        keys(&resource);
    }
    if let Some(token) = OwnerToken::parse(&text) {
        assert_eq!(token.written(), text.as_bytes(), "one token has one spelling");
    }
}

/// A list of numbers, as scripts answer: one from each eight bytes, and small ones from the bytes that are left.
fn numbers(data: &[u8]) -> Value {
    let (eights, rest) = data.as_chunks::<8>();
    let large = eights.iter().map(|bytes| Value::Int(i64::from_le_bytes(*bytes)));
    Value::Array(large.chain(rest.iter().map(|byte| Value::Int(i64::from(*byte)))).collect())
}

fn answer(value: &Value) {
    let list = match value {
        Value::Array(values) if matches!(values.len(), 4 | 5) => {
            values.iter().map(|value| if let Value::Int(number) = value { Some(*number) } else { None }).collect()
        }
        _ => None::<Vec<i64>>,
    };
    let number = if let Value::Int(number) = value { Some(*number) } else { None };
    match (protocol::acquired(value), list.as_deref(), number) {
        (Ok(Acquired::Granted { fence, .. }), Some([1, given, ..]), _) => assert_eq!(i64::try_from(fence), Ok(*given)),
        (Ok(Acquired::Granted { fence, others_wait, .. }), _, Some(number)) => {
            assert_eq!((i64::try_from(fence), others_wait), (Ok(number), false));
        }
        (Ok(Acquired::Queued { lease_left, dropped, .. }), Some([kind @ (0 | 3), left, ..]), _) => {
            assert_eq!(lease_left.map(|left| i64::try_from(left.as_millis()).unwrap()), (*left >= 0).then_some(*left));
            assert_eq!(dropped, *kind == 3);
        }
        (Ok(Acquired::Busy), Some([2, ..]), _) | (Ok(Acquired::Unfinished), Some([4, ..]), _) => {}
        (Err(error), list, number) => {
            let is_one = matches!(
                list,
                Some([1, 1..=i64::MAX, _, _] | [1, 1..=i64::MAX, _, _, 0..=999_999] | [0 | 2..=4, _, _, _])
            ) || number.is_some_and(|number| number > 0);
            assert!(!is_one, "{value:?} is an answer");
            unexpected(&error);
        }
        (found, ..) => panic!("{value:?} is no {found:?}"),
    }
    match (protocol::owner_reply(value), number) {
        (Ok(Some(waiting)), Some(ours @ 1..)) => assert_eq!(waiting, ours > 1),
        (Ok(None), Some(0)) => {}
        (Err(error), number) => {
            assert!(number.is_none_or(|number| number < 0), "{value:?} is an answer");
            unexpected(&error);
        }
        (found, _) => panic!("{value:?} is no {found:?}"),
    }
    match (protocol::cancel_reply(value), number) {
        (Ok(CancelReply::Nothing), Some(0)) | (Ok(CancelReply::Found), Some(1 | 2)) => {}
        (Err(error), number) => {
            assert!(!matches!(number, Some(0..=2)), "{value:?} is an answer");
            unexpected(&error);
        }
        (found, _) => panic!("{value:?} is no {found:?}"),
    }
}

fn unexpected(error: &LockError) {
    assert!(matches!(error, LockError::Backend { .. }), "{error:?}");
    assert!(error.to_string().len() < 200, "the error does not grow with the answer");
}

fn message(text: &str, prefix: &str) {
    let keys = Keys::new(prefix);
    let (resource, token) = match Notification::read(text, &keys) {
        None => return,
        Some(Notification::Granted(resource, grant)) => {
            assert!(text.starts_with("granted:"));
            (resource, grant.token)
        }
        Some(Notification::Wanted(resource, token)) => {
            assert!(text.starts_with("wanted:"));
            (resource, token)
        }
    };
    assert!(text.contains(&written(token)), "the token is the message's");
    // The scripts name a lock by its key: the message that they write about this resource is read as this one.
    let again = format!("wanted:{}:{}", written(token), keys.of(&resource).lock());
    assert!(
        matches!(Notification::read(&again, &keys), Some(Notification::Wanted(same, to)) if same == resource && to == token),
        "{text:?}"
    );
    assert!(!format!("{token:?}").contains(&written(token)), "a token is a secret");
}

fn written(token: OwnerToken) -> String {
    String::from_utf8_lossy(&token.written()).into_owned()
}

/// A name can be read from its lock key. Its keys differ and are in one slot of a cluster.
fn keys(resource: &Resource) {
    for prefix in ["", "p:"] {
        let keys = Keys::new(prefix);
        let of = keys.of(resource);
        let (lock, queue, holders) = (of.lock().to_owned(), of.queue().to_owned(), of.holders());
        let fence = keys.fence_in_slot_of(&of);
        assert_eq!(keys.resource(&lock).as_ref(), Some(resource));
        assert!(!lock.contains(['{', '}']), "the whole lock key is hashed");
        assert!(queue.starts_with(&format!("{{{lock}}}")), "its hash tag is the lock key");
        assert_eq!((slot::of(&fence), slot::of(&holders)), (slot::of(&lock), slot::of(&lock)));
        assert!(![&lock, &queue, &fence].contains(&&holders) && holders != keys.fence());
        assert!(fence != lock && fence != queue && fence != keys.fence());
    }
}
