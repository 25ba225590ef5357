//! Locks that are shared.

use super::table::{Answer, Table, exclusive, gone, permit, shared};
use super::{FENCE, HOLDERS, KEYS};

/// S2: all that hold together have one number, and whoever is next a higher one.
#[test]
fn those_who_share_a_lock_have_one_number() {
    for several in [false, true] {
        let mut table = Table::of(&super::PRESENT, several);
        let first = table.attempt(&shared(1)).number();
        assert_eq!(table.attempt(&shared(2)).number(), first);
        assert_eq!(table.value(), Some(format!("shared:{first}")));
        assert!(table.release(&shared(1)));
        assert_eq!(table.attempt(&shared(3)).number(), first, "the phase lasts on");
        assert_eq!(table.attempt(&shared(3)).number(), first, "asked again");
        assert_eq!(table.holders().len(), 2);
        assert!(table.release(&shared(2)) && table.release(&shared(3)));
        assert_eq!((table.value(), table.holders()), (None, Vec::new()));
        let next = table.attempt(&shared(1)).number();
        assert!(next > first);
        assert!(table.release(&shared(1)));
        assert!(table.attempt(&exclusive(1)).number() > next);
    }
}

/// S3: nobody overtakes a live waiter of another mode, not even one who does not wait. So no writer starves.
#[test]
fn a_reader_waits_behind_a_writer_that_waits() {
    let mut table = Table::new();
    let mut inbox = table.listen();
    let phase = table.join(&shared(1)).number();
    assert!(matches!(table.join(&exclusive(1)), Answer::Queued(1..=60_000)));
    assert!(matches!(table.attempt(&shared(2)), Answer::Busy(1..)));
    assert!(matches!(table.join(&shared(3)), Answer::Queued(1..)));
    assert!(matches!(table.join(&shared(4)), Answer::Queued(1..)));
    assert!(matches!(table.join(&exclusive(2)), Answer::Queued(1..)));
    assert!(matches!(table.join(&shared(5)), Answer::Queued(1..)));
    assert_eq!(table.join(&shared(1)).number(), phase, "a holder asks again");
    // The holder hears that it keeps others waiting, each time that the first of them asks.
    assert!(matches!(table.join(&exclusive(1)), Answer::Queued(_)));
    let told = inbox.told(&mut table);
    let wanted = format!("wanted:{}:{}", shared(1), KEYS[0]);
    assert_eq!(told.iter().filter(|message| **message == wanted).count(), 2, "{told:?}");

    assert!(table.release(&shared(1)));
    assert_eq!(table.value(), Some(exclusive(1)));
    assert!(table.release(&exclusive(1)));
    let granted = inbox.granted(&mut table);
    let [writer, one, other] = granted.as_slice() else { panic!("{granted:?}") };
    assert_eq!(
        (&writer.0, &one.0, &other.0),
        (&exclusive(1), &shared(3), &shared(4)),
        "those right behind it together"
    );
    assert!(phase < writer.1 && writer.1 < one.1 && one.1 == other.1, "{granted:?}");
    assert_eq!(table.queue(), [exclusive(2), shared(5)]);
}

/// A waiter that leaves lets those behind it in, unless there is another that they have to wait for.
#[test]
fn one_writer_that_gives_up_does_not_speak_for_another() {
    let mut table = Table::new();
    let mut inbox = table.listen();
    table.join(&shared(1)).number();
    for token in [exclusive(1), exclusive(2), shared(2), shared(3)] {
        assert!(matches!(table.join(&token), Answer::Queued(_)));
    }
    assert_eq!(table.cancel(&exclusive(1), &[]), 2);
    assert!(inbox.granted(&mut table).is_empty());
    assert!(matches!(table.attempt(&shared(4)), Answer::Busy(_)));
    assert_eq!(table.cancel(&exclusive(2), &[]), 2);
    let granted: Vec<String> = inbox.granted(&mut table).into_iter().map(|(token, ..)| token).collect();
    assert_eq!(granted, [shared(2), shared(3)]);
    assert_eq!(table.holders().len(), 3);
}

/// S1: each has a lease of its own. A dead one is none any more after its own lease, whatever others do, and nothing that it
/// sends late makes it one again.
#[test]
fn a_reader_whose_lease_is_over_is_none_however_long_others_hold() {
    let mut table = Table::new();
    let _inbox = table.listen();
    table.join(&shared(1)).number();
    table.acquire(&shared(2), "400", "m400").number();
    assert_eq!(table.renew(&shared(2), &["0"]), Some(0));
    table.wait_for(400);
    assert_eq!(table.renew(&shared(1), &["90000"]), Some(0));
    for late in [&["60000"][..], &["60000", "e"], &["0"]] {
        assert_eq!(table.renew(&shared(2), late), None);
    }
    assert!(!table.release(&shared(2)));
    assert_eq!(table.cancel(&shared(2), &[]), 0);
    // One that never was.
    assert_eq!((table.renew(&shared(3), &["60000"]), table.release(&shared(3))), (None, false));
    assert!(matches!(table.join(&exclusive(1)), Answer::Queued(_)));
    assert!(table.release(&shared(1)));
    assert_eq!(table.value(), Some(exclusive(1)), "the dead one keeps nobody out");
}

/// The lock lasts as long as its longest lease, and no longer.
#[test]
fn the_lock_lasts_as_long_as_its_longest_holder() {
    let mut table = Table::new();
    table.acquire(&shared(1), "20000", "n").number();
    table.acquire(&shared(2), "50000", "n").number();
    assert!((45_000..=50_000).contains(&table.left()));
    assert_eq!(table.renew(&shared(2), &["30000"]), Some(0));
    assert!((45_000..=50_000).contains(&table.left()), "a renewal that comes late shortens nothing");
    assert_eq!(table.renew(&shared(2), &["30000", "e"]), Some(0));
    assert!((25_000..=30_000).contains(&table.left()));
    assert_eq!(table.renew(&shared(1), &["60000"]), Some(0));
    assert!((55_000..=60_000).contains(&table.left()));
    assert!(table.release(&shared(1)));
    assert!((20_000..=30_000).contains(&table.left()));
    table.wait_for(0);
    table.acquire(&shared(3), "400", "n").number();
    assert!(table.release(&shared(2)));
    table.wait_for(400);
    assert_eq!(table.value(), None, "nobody has to free it");
    // A new phase begins with nobody of the last one.
    table.attempt(&shared(4)).number();
    assert_eq!(table.holders(), [(shared(4), None)]);
}

/// A grant to a process that is gone is undone: of one among others, and of the only one.
#[test]
fn readers_that_are_gone_keep_nobody_waiting() {
    let mut table = Table::new();
    let mut inbox = table.listen();
    table.join(&exclusive(1)).number();
    for token in [gone(&shared(1)), shared(2), gone(&exclusive(3)), shared(4), gone(&shared(5))] {
        assert!(matches!(table.join(&token), Answer::Queued(_)));
    }
    assert!(table.release(&exclusive(1)));
    assert_eq!(inbox.granted(&mut table).len(), 2);
    let mut holders = table.holders();
    holders.sort();
    assert_eq!(holders, [(shared(2), None), (shared(4), None)]);
    assert!(table.release(&shared(2)) && table.release(&shared(4)));

    table.join(&exclusive(1)).number();
    assert!(matches!(table.join(&gone(&shared(1))), Answer::Queued(_)));
    assert!(table.release(&exclusive(1)));
    assert_eq!((table.value(), table.holders(), table.queue()), (None, Vec::new(), Vec::new()));
}

/// A writer that was killed while it waited is found out by the first reader that comes, not after the life of its entry.
#[test]
fn a_writer_that_is_gone_keeps_no_reader_out() {
    let mut table = Table::new();
    let _inbox = table.listen();
    let phase = table.join(&shared(1)).number();
    assert!(matches!(table.join(&gone(&exclusive(1))), Answer::Queued(_)));
    assert_eq!(table.attempt(&shared(2)).number(), phase);
    assert!(table.queue().is_empty());
}

/// What is left of a phase whose key was removed counts for nothing.
#[test]
fn a_phase_ends_with_its_key() {
    let mut table = Table::new();
    table.attempt(&shared(1)).number();
    let _: i64 = table.ask(&["DEL", KEYS[0]]).unwrap();
    assert_eq!((table.renew(&shared(1), &["60000"]), table.release(&shared(1))), (None, false));
    table.attempt(&exclusive(1)).number();
    assert_eq!((table.renew(&shared(1), &["60000"]), table.release(&shared(1))), (None, false));
    assert!(table.release(&exclusive(1)));
    table.attempt(&permit(1, 1)).number();
    assert_eq!(table.renew(&shared(1), &["60000"]), None);
    assert_eq!(table.holders(), [(permit(1, 1), Some(0))]);
}

/// Another program that locks the same key with `SET NX` is kept out by each mode, and keeps out each mode, whatever its value.
#[test]
fn other_programs_exclude_every_mode_and_are_excluded() {
    let mut table = Table::new();
    for token in [shared(1), permit(3, 1)] {
        table.attempt(&token).number();
        let refused: Option<String> = table.ask(&["SET", KEYS[0], "theirs", "NX", "PX", "60000"]).unwrap();
        assert_eq!(refused, None);
        assert!(table.release(&token));
    }
    for value in ["theirs", "permits", "shared:7", "shared:", "kept"] {
        let _: String = table.ask(&["SET", KEYS[0], value, "PX", "60000"]).unwrap();
        for token in [exclusive(1), shared(1), permit(3, 1)] {
            assert!(matches!(table.attempt(&token), Answer::Busy(1..)), "{value}");
            assert_eq!((table.renew(&token, &["60000"]), table.release(&token)), (None, false), "{value}");
        }
        assert_eq!(table.value().as_deref(), Some(value));
        let _: i64 = table.ask(&["DEL", KEYS[0]]).unwrap();
    }
}

/// A key of another type is an error, and nothing was changed before it.
#[test]
fn a_key_of_another_type_is_an_error() {
    for (key, words) in [
        (HOLDERS, &["SET", HOLDERS, "theirs"][..]),
        (HOLDERS, &["RPUSH", HOLDERS, "theirs"]),
        (KEYS[0], &["ZADD", KEYS[0], "1", "theirs"]),
        (KEYS[1], &["ZADD", KEYS[1], "1", "theirs"]),
    ] {
        let mut table = Table::new();
        let acquire = table.version(&super::PRESENT).acquire;
        let _: redis::Value = table.ask(words).unwrap();
        let before: Vec<u8> = table.ask(&["DUMP", key]).unwrap();
        for token in [shared(1), permit(3, 1)] {
            let mut call = acquire.prepare_invoke();
            let call = call.key(&KEYS[..]).arg(super::INBOXES).arg(&token).arg(&["60000", "m60000", "", "modes"]);
            let refused: redis::RedisResult<redis::Value> = call.invoke(&mut table.connection);
            assert_eq!(refused.unwrap_err().code(), Some("WRONGTYPE"), "{words:?}");
        }
        assert_eq!(table.ask::<Vec<u8>>(&["DUMP", key]).unwrap(), before);
        let keys: Vec<String> = table.ask(&["KEYS", "*walk*"]).unwrap();
        assert_eq!(keys, [key], "{words:?}");
    }
}

/// S4 where memory is full: no new holder, and no holder that loses its lock for it.
#[test]
fn full_memory_lets_holders_renew_and_nobody_in() {
    let mut table = Table::new();
    table.attempt(&shared(1)).number();
    let acquire = table.version(&super::PRESENT).acquire;
    table.server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(table.renew(&shared(1), &["90000"]), Some(0));
    assert!(table.left() > 80_000);
    table.attempt(&shared(1)).number();
    let fence: String = table.ask(&["GET", FENCE]).unwrap();
    for token in [shared(2), permit(3, 1)] {
        let mut call = acquire.prepare_invoke();
        let call = call.key(&KEYS[..]).arg(super::INBOXES).arg(&token).arg(&["60000", "m60000", "", "modes"]);
        let refused: redis::RedisResult<redis::Value> = call.invoke(&mut table.connection);
        assert_eq!(refused.unwrap_err().code(), Some("OOM"));
    }
    assert_eq!((table.holders().len(), table.ask::<String>(&["GET", FENCE]).unwrap()), (1, fence));
    assert!(table.release(&shared(1)));
}
