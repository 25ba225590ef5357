//! Whether the model and the real server are alike.

use simulation::server::{Entry, Reply, Server, Value};

/// What is left of a lease when it is looked at: the two looked at it some milliseconds apart.
const APART: i64 = 10;

/// Every key of a real server: its name, type, expiry in milliseconds since 1970, and value, sorted by name.
pub(crate) const DUMP: &str = "\
local keys = redis.call('KEYS', '*')
table.sort(keys)
local all = {}
for _, key in ipairs(keys) do
  local type = redis.call('TYPE', key).ok
  local value = type == 'string' and redis.call('GET', key) or type == 'list' and redis.call('LRANGE', key, 0, -1)
    or type == 'zset' and redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') or type
  all[#all + 1] = { key, redis.call('PEXPIRETIME', key), value }
end
return all";

/// Two replies. Where an acquire tells how long another's lease lasts still, a little more or less is the same.
pub(crate) fn replies(model: &Reply, real: &Reply, took: i64) -> bool {
    match (model, real) {
        (Reply::List(model), Reply::List(real)) if model.len() == real.len() => {
            if let (
                [Reply::Integer(kind @ (0 | 2 | 3)), Reply::Integer(left @ 0..), rest @ ..],
                [of_kind, Reply::Integer(of_left @ 0..), of_rest @ ..],
            ) = (model.as_slice(), real.as_slice())
            {
                return *of_kind == Reply::Integer(*kind) && (left - of_left).abs() <= APART + took && rest == of_rest;
            }
            model.iter().zip(real).all(|(model, real)| replies(model, real, took))
        }
        _ => model == real,
    }
}

/// The keys of both. `at`: when the real server was looked at, in milliseconds since 1970.
pub(crate) fn keys(model: &Server, dump: &Reply, at: i64, took: i64) -> Result<(), String> {
    let Reply::List(real) = dump else { return Err(format!("the keys are {dump:?}")) };
    let mut real = real.iter().map(parts).peekable();
    let alone = |name: &[u8]| Err(format!("the server has {}, the model has not", name.escape_ascii()));
    for (key, entry) in model.entries() {
        if let Some((name, ..)) = real.next_if(|(name, ..)| *name < key) {
            return alone(name);
        }
        let Some((name, expires_at, value)) = real.next_if(|(name, ..)| *name == key) else {
            // It may have ended since.
            if entry.expires_at.is_some_and(|end| end <= at + APART) {
                continue;
            }
            let (key, value) = (key.escape_ascii(), value_of(entry));
            return Err(format!("the model has {key} with {value:?} until {:?}, the server has not", entry.expires_at));
        };
        let name = name.escape_ascii();
        if !same_value(entry, value) {
            return Err(format!("{name} is {:?} in the model, {value:?} on the server", value_of(entry)));
        }
        let same_end = match (entry.expires_at, expires_at) {
            (None, end) => end == -1,
            (Some(model), real) => real >= 0 && (model - real).abs() <= APART + took,
        };
        if !same_end {
            return Err(format!("{name} ends at {:?} in the model, {expires_at} on the server", entry.expires_at));
        }
    }
    real.next().map_or(Ok(()), |(name, ..)| alone(name))
}

/// Lets the keys of the model end exactly when the server's do, so that small differences do not add up.
pub(crate) fn align(model: &mut Server, dump: &Reply) {
    let Reply::List(real) = dump else { return };
    for (name, end, _) in real.iter().map(parts) {
        model.set_expiry(name, (end >= 0).then_some(end));
    }
}

fn parts(entry: &Reply) -> (&[u8], i64, &Reply) {
    let Reply::List(parts) = entry else { panic!("{entry:?} is no key") };
    let [Reply::Text(name), Reply::Integer(end), value] = parts.as_slice() else { panic!("{entry:?} is no key") };
    (name, *end, value)
}

fn value_of(entry: &Entry) -> Reply {
    match &entry.value {
        Value::Text(text) => Reply::Text(text.clone()),
        Value::List(list) => Reply::List(list.iter().cloned().map(Reply::Text).collect()),
        Value::SortedSet(set) => {
            let flat = set.iter().flat_map(|(score, member)| [member.clone(), score.to_string().into_bytes()]);
            Reply::List(flat.map(Reply::Text).collect())
        }
        Value::Other(_) => Reply::Text(entry.value.type_name().into()),
    }
}

fn same_value(entry: &Entry, real: &Reply) -> bool {
    value_of(entry) == *real
}
