//! What kinds of replies and messages there were, so that a run says whether it was worth anything.

use simulation::server::Reply;

use super::step::Call;

/// Everything that a run is to see at least once.
pub(crate) const ALL: [&str; 25] = [
    "acquire: number",
    "acquire: 0",
    "acquire: 1",
    "acquire: 2",
    "acquire: 3",
    "acquire: 4",
    "acquire: list",
    "acquire: permit",
    "release: 0",
    "release: 1",
    "renew: 0",
    "renew: 1",
    "renew: 2",
    "cancel: 0",
    "cancel: 1",
    "cancel: 2",
    "message: granted",
    "message: granted a permit",
    "message: wanted",
    "message: there",
    "error: WRONGTYPE",
    "error: OOM",
    "error: READONLY",
    "error: ERR",
    "error: in a list",
];

pub(crate) fn messages(messages: &[(Vec<u8>, Vec<u8>)]) -> impl Iterator<Item = String> {
    messages.iter().map(|(_, payload)| {
        let text = String::from_utf8_lossy(payload);
        let mut parts = text.split(':');
        let kind = parts.next().unwrap_or_default();
        let permit = if parts.next().is_some_and(|number| number.contains('/')) { " a permit" } else { "" };
        format!("message: {kind}{permit}")
    })
}

pub(crate) fn replies(call: &Call, locks: usize, reply: &Reply) -> Vec<String> {
    let name = match call {
        Call::Acquire { .. } => "acquire",
        Call::Release { .. } => "release",
        Call::Renew { .. } => "renew",
        Call::Cancel { .. } => "cancel",
    };
    if let Reply::Error(text) = reply {
        return vec![format!("error: {}", text.split(' ').next().unwrap_or_default())];
    }
    let one = |reply: &Reply| match reply {
        Reply::Error(_) => "error: in a list".to_owned(),
        Reply::Integer(_) if name == "acquire" => "acquire: number".to_owned(),
        Reply::List(parts) if parts.len() == 5 => format!("{name}: permit"),
        Reply::List(parts) => format!("{name}: {:?}", parts[0]),
        other => format!("{name}: {other:?}"),
    };
    let list = (locks > 1).then(|| format!("{name}: list"));
    of_each(reply, locks).iter().map(one).chain(list).collect()
}

/// The reply of each lock.
pub(crate) fn of_each(reply: &Reply, locks: usize) -> &[Reply] {
    match reply {
        Reply::List(replies) if locks > 1 => replies,
        reply => std::slice::from_ref(reply),
    }
}
