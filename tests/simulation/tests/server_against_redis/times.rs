//! When a call was run, by the real server's clock.

use simulation::server::Reply;

use super::step::FENCE;

/// The times that `TIME` may have told a call that was run between these two, most likely ones first: a time that the
/// call told itself, and where it told none, one in each millisecond. `looks`: how often it looked at the clock at most.
pub(crate) fn times(
    before: u64,
    after: u64,
    looks: usize,
    reply: &Reply,
    dump: &Reply,
    messages: &[(Vec<u8>, Vec<u8>)],
) -> Vec<Vec<u64>> {
    let mut told = Vec::new();
    collect(reply, &mut told);
    for (_, message) in messages {
        told.extend(String::from_utf8_lossy(message).split(':').filter_map(|part| part.parse::<u64>().ok()));
    }
    told.extend(fence(dump));
    // Each further grant of one call has the next number.
    let mut single: Vec<u64> = told.iter().flat_map(|number| number.saturating_sub(9)..=*number).rev().collect();
    single.retain(|number| (before..=after).contains(number));
    single.dedup();
    single.push(before);
    single.extend((before / 1000 + 1..=after / 1000).map(|millisecond| millisecond * 1000));
    single.push(after);

    let mut all: Vec<Vec<u64>> = single.iter().map(|time| vec![*time]).collect();
    let mut longest = all.clone();
    for _ in 1..looks {
        let longer = longest.iter().flat_map(|times| {
            let later = single.iter().filter(|time| times.last().is_none_or(|last| last < *time));
            later.map(|time| [times.as_slice(), &[*time]].concat()).collect::<Vec<_>>()
        });
        longest = longer.collect();
        all.extend_from_slice(&longest);
    }
    all
}

fn collect(reply: &Reply, numbers: &mut Vec<u64>) {
    match reply {
        Reply::Integer(number) => numbers.extend(u64::try_from(*number)),
        Reply::List(replies) => replies.iter().for_each(|reply| collect(reply, numbers)),
        _ => {}
    }
}

/// The number of the latest grant, if it is a number.
fn fence(dump: &Reply) -> Option<u64> {
    let Reply::List(keys) = dump else { return None };
    keys.iter().find_map(|key| match key {
        Reply::List(parts) => match parts.as_slice() {
            [Reply::Text(name), _, Reply::Text(value)] if name == FENCE.as_bytes() => {
                std::str::from_utf8(value).ok()?.parse().ok()
            }
            _ => None,
        },
        _ => None,
    })
}
