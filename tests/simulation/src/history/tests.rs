//! Bad histories, each of which the checker has to reject for the property that it breaks, and their good neighbours.

use orchestrix_locking::simulation::Action;

use super::{CallerId, Checker, HoldId, Key, ProcessId, Property, Ran, Record, Waiting};
use crate::fleet::Time;

/// What the checker rejects of these records.
fn rejected(records: impl IntoIterator<Item = (Time, Record)>) -> Vec<Property> {
    let mut checker = Checker::new(false);
    records.into_iter().for_each(|(at, record)| checker.see(at, record));
    checker.violations().iter().map(|violation| violation.property).collect()
}

fn granted(hold: usize, fence: u64, until: Time) -> Record {
    Record::Granted { hold: HoldId(hold), resource: 0, fence, until, certain: true }
}

fn ended(hold: usize) -> Record {
    Record::Ended { hold: HoldId(hold) }
}

fn caller(number: u64) -> CallerId {
    CallerId { process: ProcessId(1), number }
}

#[test]
fn fencing_tokens_rise() {
    let history = |second| [(0, granted(1, 7, 100)), (50, ended(1)), (60, granted(2, second, 160))];
    assert_eq!(rejected(history(8)), []);
    assert_eq!(rejected(history(7)), [Property::P1], "twice");
    assert_eq!(rejected(history(6)), [Property::P1], "fallen");
}

/// Where the server has forgotten a lock, its holder's process may pass it on within itself for a moment: with a token that
/// a store refuses.
#[test]
fn an_uncertain_holds_fencing_token_may_be_low_and_is_unique() {
    let history = |fence| {
        let late = Record::Granted { hold: HoldId(2), resource: 0, fence, until: 160, certain: false };
        [(0, granted(1, 7, 100)), (50, ended(1)), (60, late)]
    };
    assert_eq!(rejected(history(6)), []);
    assert_eq!(rejected(history(7)), [Property::P1]);
}

#[test]
fn fencing_tokens_of_two_resources_have_nothing_to_do_with_each_other() {
    let other = Record::Granted { hold: HoldId(2), resource: 1, fence: 3, until: 200, certain: true };
    assert_eq!(rejected([(0, granted(1, 7, 100)), (10, other)]), []);
}

#[test]
fn certain_holds_do_not_overlap() {
    assert_eq!(rejected([(0, granted(1, 7, 100)), (99, granted(2, 8, 200))]), [Property::P2]);
    assert_eq!(rejected([(0, granted(1, 7, 100)), (100, granted(2, 8, 200))]), [], "its end was believed in");
    assert_eq!(rejected([(0, granted(1, 7, 100)), (50, ended(1)), (50, granted(2, 8, 200))]), [], "it was released");
}

/// A lease that had ended by its process's clock lives again.
#[test]
fn a_hold_that_was_over_is_not_revived_beside_another() {
    let revived = Record::Until { hold: HoldId(1), until: 300 };
    let history = [(0, granted(1, 7, 100)), (120, granted(2, 8, 200)), (130, revived)];
    assert_eq!(rejected(history), [Property::P2]);
    let shortened = Record::Until { hold: HoldId(1), until: 50 };
    assert_eq!(rejected([(0, granted(1, 7, 100)), (40, shortened), (50, granted(2, 8, 200))]), []);
}

#[test]
fn an_uncertain_hold_may_overlap_and_is_counted() {
    let mut checker = Checker::new(false);
    checker.see(0, granted(1, 7, 100));
    checker.see(10, Record::Uncertain { hold: HoldId(1) });
    checker.see(20, granted(2, 8, 200));
    assert_eq!((checker.violations().len(), checker.overlaps()), (0, 1));
}

/// The store refuses the late writer. It cannot where both have the same fencing token.
#[test]
fn a_store_that_refuses_stale_fencing_tokens_loses_no_update() {
    let history = |second| {
        let (first, other) = (HoldId(1), HoldId(2));
        vec![
            (0, granted(1, 7, 100)),
            (0, Record::Read { hold: first }),
            (150, granted(2, second, 300)),
            (150, Record::Read { hold: other }),
            (160, Record::Wrote { hold: other }),
            (170, Record::Wrote { hold: first }),
        ]
    };
    assert_eq!(rejected(history(8)), []);
    assert_eq!(rejected(history(7)), [Property::P1, Property::P3]);
}

const ME: &[u8] = b"me";
const OTHER: &[u8] = b"other";

fn key(owner: Option<&[u8]>, queue: &[Waiting]) -> Key {
    let lasts = owner.is_some();
    let (expires_at, left) = (lasts.then_some(1_000), lasts.then_some(100));
    Key { owner: owner.map(<[u8]>::to_vec), expires_at, left, queue: queue.to_vec() }
}

fn waiting(token: &[u8]) -> Waiting {
    Waiting { token: token.to_vec(), claim: 200, is_alive: true, is_heard: true, polls: false }
}

fn ran(action: Action, before: Key, after: Key) -> Vec<Property> {
    let tokens = vec![ME.to_vec()];
    let ran = Ran { resource: 0, action, tokens, may_publish: true, longest_claim: 5_000, before, after };
    rejected([(0, Record::Ran(Box::new(ran)))])
}

#[test]
fn a_call_leaves_the_locks_of_others_alone() {
    let theirs = || key(Some(OTHER), &[]);
    assert_eq!(ran(Action::Release, theirs(), theirs()), []);
    assert_eq!(ran(Action::Release, theirs(), key(None, &[])), [Property::P4], "freed");
    assert_eq!(ran(Action::Acquire, theirs(), key(Some(ME), &[])), [Property::P4], "taken");
    let longer = Key { expires_at: Some(2_000), ..theirs() };
    assert_eq!(ran(Action::Reset, theirs(), longer), [Property::P4], "extended");
    assert_eq!(ran(Action::Release, key(Some(ME), &[]), key(None, &[])), []);
}

#[test]
fn a_renewal_makes_no_lock() {
    assert_eq!(ran(Action::Renew, key(None, &[]), key(None, &[])), []);
    assert_eq!(ran(Action::Renew, key(None, &[]), key(Some(ME), &[])), [Property::P4]);
}

#[test]
fn a_lock_has_an_expiry() {
    let forever = Key { expires_at: None, ..key(Some(ME), &[]) };
    assert_eq!(ran(Action::Acquire, key(None, &[]), forever), [Property::P4]);
}

#[test]
fn a_newcomer_does_not_overtake_a_live_waiter() {
    let dead = Waiting { is_alive: false, ..waiting(OTHER) };
    assert_eq!(ran(Action::Acquire, key(None, &[waiting(OTHER)]), key(Some(ME), &[waiting(OTHER)])), [Property::P6]);
    assert_eq!(ran(Action::Acquire, key(None, &[dead]), key(Some(ME), &[])), []);
}

#[test]
fn the_first_in_the_queue_is_served_first() {
    let queue = [waiting(b"first"), waiting(b"second")];
    let [first, second] = queue.clone();
    let before = || key(Some(ME), &queue);
    assert_eq!(ran(Action::Release, before(), key(Some(b"first"), &[second])), []);
    assert_eq!(ran(Action::Release, before(), key(Some(b"second"), &[first])), [Property::P6]);
    assert_eq!(ran(Action::Release, before(), key(None, &queue)), [Property::P6], "none is served");
    assert_eq!(
        ran(Action::Release, before(), key(Some(b"first"), &[])),
        [Property::P6],
        "the second has lost its place"
    );
}

#[test]
fn a_process_that_hears_nothing_is_not_granted_the_lock() {
    let deaf = Waiting { is_heard: false, is_alive: false, ..waiting(OTHER) };
    assert_eq!(ran(Action::Release, key(Some(ME), &[deaf]), key(Some(OTHER), &[])), [Property::P6]);
}

#[test]
fn a_grant_by_notification_lasts_for_its_claim_lease() {
    let before = || key(Some(ME), &[waiting(OTHER)]);
    let whole = Key { left: Some(201), ..key(Some(OTHER), &[]) };
    assert_eq!(ran(Action::Release, before(), whole), [Property::P6]);
}

#[test]
fn a_process_serves_its_callers_in_their_order() {
    let came = |number, waits| Record::Came { caller: caller(number), resource: 0, waits };
    let answered = |number| Record::Answered { caller: caller(number), granted: true };
    assert_eq!(rejected([(0, came(1, true)), (1, came(2, true)), (2, answered(2))]), [Property::P6]);
    assert_eq!(rejected([(0, came(1, true)), (1, came(2, true)), (2, answered(1)), (3, answered(2))]), []);
    assert_eq!(rejected([(0, came(1, true)), (1, came(2, false)), (2, answered(2))]), [Property::P6], "an attempt");
    assert_eq!(rejected([(0, came(1, false)), (1, came(2, true)), (2, answered(2))]), [], "an attempt does not wait");
    let left = Record::Left { caller: caller(1) };
    assert_eq!(rejected([(0, came(1, true)), (1, came(2, true)), (2, left), (3, answered(2))]), []);
}

#[test]
fn an_operation_ends_within_its_bound() {
    let began = || Record::Began { operation: 1, process: ProcessId(1), within: 100 };
    let finished = || Record::Finished { operation: 1 };
    assert_eq!(rejected([(0, began()), (100, finished())]), []);
    assert_eq!(rejected([(0, began()), (101, finished())]), [Property::P7]);
    let stood_still = Record::StoodStill { process: ProcessId(1), time: 50 };
    assert_eq!(rejected([(0, began()), (10, stood_still), (150, finished())]), []);
    let mut checker = Checker::new(false);
    checker.see(0, began());
    assert_eq!(checker.unfinished().collect::<Vec<_>>(), [1]);
}
