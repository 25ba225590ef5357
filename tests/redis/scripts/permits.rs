//! Permits.

use std::collections::BTreeSet;

use super::KEYS;
use super::table::{Answer, Table, exclusive, gone, permit, shared};

/// At most so many at once, each with a number of its own among them, the lowest that is free, and with a fence of its own.
#[test]
fn permits_have_numbers_and_the_lowest_free_one_is_given() {
    for several in [false, true] {
        let mut table = Table::of(&super::PRESENT, several);
        let mut fences = Vec::new();
        for number in 0..4 {
            let answer = table.attempt(&permit(4, number));
            assert_eq!(answer.permit(), i64::try_from(number).unwrap());
            fences.push(answer.number());
        }
        assert_eq!(table.value().as_deref(), Some("permits"));
        assert!(matches!(table.attempt(&permit(4, 9)), Answer::Busy(1..)));
        let again = table.attempt(&permit(4, 2));
        assert_eq!(again.permit(), 2, "asked again it is the same");
        fences.push(again.number());
        for free in [1, 0, 3] {
            assert!(table.release(&permit(4, free)));
            let answer = table.attempt(&permit(4, free));
            assert_eq!(answer.permit(), i64::try_from(free).unwrap());
            fences.push(answer.number());
        }
        assert!(table.release(&permit(4, 3)) && table.release(&permit(4, 1)));
        for expected in [1, 3] {
            let answer = table.attempt(&permit(4, 20 + expected));
            assert_eq!(answer.permit(), i64::try_from(expected).unwrap());
            fences.push(answer.number());
        }
        assert!(fences.is_sorted_by(|one, other| one < other), "{fences:?}");
        for other in [shared(1), exclusive(1)] {
            assert!(matches!(table.attempt(&other), Answer::Busy(1..)));
        }
    }
}

/// Each is judged by its own number, as while a limit is changed process by process.
#[test]
fn callers_come_with_different_numbers() {
    let mut table = Table::new();
    let mut inbox = table.listen();
    for number in 0..5 {
        table.attempt(&permit(5, number)).number();
    }
    assert!(matches!(table.attempt(&permit(3, 10)), Answer::Busy(_)));
    assert_eq!(table.attempt(&permit(6, 11)).permit(), 5);
    for number in [1, 2, 3] {
        assert!(table.release(&permit(5, number)));
    }
    assert!(matches!(table.attempt(&permit(3, 10)), Answer::Busy(_)), "three are held");
    assert!(matches!(table.join(&permit(3, 10)), Answer::Queued(_)));
    assert!(matches!(table.join(&permit(9, 12)), Answer::Queued(_)), "nor does one with more overtake it");
    assert!(table.release(&permit(5, 4)));
    let granted: Vec<_> = inbox.granted(&mut table).into_iter().map(|(token, _, permit)| (token, permit)).collect();
    assert_eq!(granted, [(permit(3, 10), Some(1)), (permit(9, 12), Some(2))]);
}

/// A permit of a process that died is free one lease after its own last renewal, and a late call does not take it back.
#[test]
fn a_permit_whose_holder_is_dead_comes_back() {
    let mut table = Table::new();
    let _inbox = table.listen();
    table.attempt(&permit(2, 1)).number();
    table.acquire(&permit(2, 2), "400", "n").number();
    assert_eq!(table.renew(&permit(2, 1), &["90000"]), Some(0));
    table.wait_for(400);
    assert_eq!(table.renew(&permit(2, 2), &["60000"]), None);
    assert_eq!(table.attempt(&permit(2, 3)).permit(), 1);
    assert_eq!((table.renew(&permit(2, 2), &["60000"]), table.release(&permit(2, 2))), (None, false));
    let permits: BTreeSet<_> = table.holders().into_iter().collect();
    assert_eq!(permits, [(permit(2, 1), Some(0)), (permit(2, 3), Some(1))].into());
}

/// The first waiter is told when it makes sense to ask again: when as many leases are over as it takes.
#[test]
fn a_waiter_is_told_when_the_next_permit_is_free() {
    let mut table = Table::new();
    let _inbox = table.listen();
    for (number, lease) in [(1, "40000"), (2, "20000"), (3, "60000"), (4, "10000")] {
        table.acquire(&permit(4, number), lease, "n").number();
    }
    let Answer::Queued(left) = table.join(&permit(4, 5)) else { panic!("it waits") };
    assert!((5_000..=10_000).contains(&left), "{left}");
    assert_eq!(table.cancel(&permit(4, 5), &[]), 2);
    let Answer::Queued(left) = table.join(&permit(2, 5)) else { panic!("it waits") };
    assert!((35_000..=40_000).contains(&left), "{left}: two have to go besides");
    let Answer::Queued(left) = table.join(&exclusive(6)) else { panic!("it waits") };
    assert!((55_000..=60_000).contains(&left), "{left}");
}

/// Permits that come back one right after the other wake a waiter each, and those that come back by a lease's end are all given
/// to those that wait by whichever call is next.
#[test]
fn as_many_waiters_are_served_as_permits_are_free() {
    let mut table = Table::new();
    let mut inbox = table.listen();
    for number in 0..3 {
        table.acquire(&permit(3, number), "1500", "n").number();
    }
    for number in 10..15 {
        assert!(matches!(table.join(&permit(3, number)), Answer::Queued(_)));
    }
    assert!(table.release(&permit(3, 0)) && table.release(&permit(3, 1)));
    assert_eq!(inbox.granted(&mut table).len(), 2);
    table.wait_for(1_500);
    table.join(&permit(3, 12)).number();
    assert_eq!((table.queue(), table.holders().len()), (vec![permit(3, 13), permit(3, 14)], 3));
    assert_eq!(table.cancel(&permit(3, 10), &[]), 1);
    assert_eq!(table.queue(), [permit(3, 14)]);
    let mut permits: Vec<_> = table.holders().into_iter().map(|(_, permit)| permit).collect();
    permits.sort();
    assert_eq!(permits, [Some(0), Some(1), Some(2)]);
}

/// A grant to a process that is gone is undone, and the permit is the next one's.
#[test]
fn a_process_that_is_gone_takes_no_permit() {
    let mut table = Table::new();
    let mut inbox = table.listen();
    table.join(&permit(1, 1)).number();
    assert!(matches!(table.join(&gone(&permit(1, 2))), Answer::Queued(_)));
    assert!(matches!(table.join(&permit(1, 3)), Answer::Queued(_)));
    assert!(table.release(&permit(1, 1)));
    let granted: Vec<_> = inbox.granted(&mut table).into_iter().map(|(token, _, permit)| (token, permit)).collect();
    assert_eq!(granted, [(permit(1, 3), Some(0))]);
    assert!(table.release(&permit(1, 3)));
    assert_eq!(table.ask::<i64>(&["EXISTS", KEYS[0], KEYS[1], KEYS[2]]).unwrap(), 0, "nothing is left");
}
