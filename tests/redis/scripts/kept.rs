//! Locks that stay taken for a time after their release.

use super::KEYS;
use super::table::{Answer, Table, exclusive, permit, shared};

#[test]
fn an_exclusive_lock_stays_taken_by_nobody() {
    for several in [false, true] {
        let mut table = Table::of(&super::PRESENT, several);
        let mut inbox = table.listen();
        table.attempt(&exclusive(1)).number();
        assert!(matches!(table.join(&exclusive(2)), Answer::Queued(_)));
        assert!(table.release_keeping(&exclusive(1), "1500"));
        assert_eq!(table.value().as_deref(), Some("kept"));
        assert!((1..=1_500).contains(&table.left()));
        assert!(!table.release(&exclusive(1)), "it is not the owner's any more");
        assert_eq!((table.renew(&exclusive(1), &["60000"]), table.cancel(&exclusive(1), &[])), (None, 0));
        for token in [exclusive(3), shared(3), permit(3, 3)] {
            assert!(matches!(table.attempt(&token), Answer::Busy(1..=1_500)));
        }
        assert!(matches!(table.join(&exclusive(2)), Answer::Queued(1..=1_500)));
        assert!(inbox.granted(&mut table).is_empty());
        table.wait_for(1_500);
        table.join(&exclusive(2)).number();
    }
}

#[test]
fn a_reader_stays_in_the_way_of_writers() {
    let mut table = Table::new();
    let mut inbox = table.listen();
    let phase = table.attempt(&shared(1)).number();
    assert!(table.release_keeping(&shared(1), "1500"));
    assert!((1..=1_500).contains(&table.left()), "as long as the rest and no longer");
    assert_eq!((table.renew(&shared(1), &["60000"]), table.release(&shared(1))), (None, false));
    assert_eq!(table.attempt(&shared(2)).number(), phase, "other readers are let in");
    assert!(matches!(table.join(&exclusive(1)), Answer::Queued(_)));
    assert!(table.release(&shared(2)));
    assert!(inbox.granted(&mut table).is_empty());
    assert!(matches!(table.join(&exclusive(1)), Answer::Queued(1..=1_500)));
    table.wait_for(1_500);
    table.join(&exclusive(1)).number();
}

/// "At most so many per interval".
#[test]
fn a_permit_stays_taken_with_its_number() {
    for several in [false, true] {
        let mut table = Table::of(&super::PRESENT, several);
        let _inbox = table.listen();
        for number in 0..3 {
            table.attempt(&permit(3, number)).number();
        }
        assert!(table.release_keeping(&permit(3, 1), "1500"));
        assert!(!table.release(&permit(3, 1)));
        assert!(matches!(table.attempt(&permit(3, 5)), Answer::Busy(_)));
        let Answer::Queued(left) = table.join(&permit(3, 5)) else { panic!("it waits") };
        assert!((1..=1_500).contains(&left), "{left}");
        assert!(table.release(&permit(3, 0)));
        assert_eq!(
            table.holders().iter().find(|(token, _)| *token == permit(3, 5)).map(|(_, number)| *number),
            Some(Some(0))
        );
        table.wait_for(1_500);
        assert_eq!(table.attempt(&permit(3, 6)).permit(), 1);
    }
}

/// A cancellation that stands in for a release that was lost leaves what the release would have left, also after it.
#[test]
fn a_cancellation_keeps_what_the_release_would_have_kept() {
    for token in [exclusive(1), shared(1), permit(1, 1)] {
        let mut table = Table::new();
        table.attempt(&token).number();
        assert_eq!(table.cancel(&token, &["", "60000"]), 1);
        assert_eq!(table.cancel(&token, &["", "90000"]), 0, "once");
        assert!(!table.release_keeping(&token, "90000"));
        assert!((50_000..=60_000).contains(&table.left()));
        assert!(matches!(table.attempt(&exclusive(2)), Answer::Busy(1..)));
    }
    // One that was not granted has nothing to keep.
    let mut table = Table::new();
    let _inbox = table.listen();
    table.attempt(&exclusive(1)).number();
    assert!(matches!(table.join(&exclusive(2)), Answer::Queued(_)));
    assert_eq!(table.cancel(&exclusive(2), &["", "60000"]), 2);
    assert!(table.release(&exclusive(1)));
    assert_eq!(table.ask::<i64>(&["EXISTS", KEYS[0]]).unwrap(), 0);
}
