//! Bad histories, each of which the checker has to reject for the property that it breaks, and their good neighbours.

use orchestrix_locking::LockMode;
use orchestrix_locking::simulation::Action;

use super::{CallerId, Checker, HoldId, Holder, Key, ProcessId, Property, Ran, Record, Waiting};
use crate::fleet::Time;

/// What the checker rejects of these records.
fn rejected(records: impl IntoIterator<Item = (Time, Record)>) -> Vec<Property> {
    let mut checker = Checker::new(false);
    records.into_iter().for_each(|(at, record)| checker.see(at, record));
    checker.violations().iter().map(|violation| violation.property).collect()
}

fn granted(hold: usize, fence: u64, until: Time) -> Record {
    in_mode(LockMode::Exclusive, None, hold, fence, until)
}

fn in_mode(mode: LockMode, permit: Option<u32>, hold: usize, fence: u64, until: Time) -> Record {
    let hold = HoldId(hold);
    Record::Granted { hold, resource: 0, fence, mode, permit, until, kept_until: None, certain: true }
}

fn reads(hold: usize, fence: u64, until: Time) -> Record {
    in_mode(LockMode::Shared, None, hold, fence, until)
}

/// One of two permits.
fn permit(number: u32, hold: usize, fence: u64, until: Time) -> Record {
    in_mode(LockMode::Permits(2), Some(number), hold, fence, until)
}

fn ended(hold: usize) -> Record {
    Record::Ended { hold: HoldId(hold), released: true }
}

/// A hold is granted as this says, but it is uncertain, of another resource, or keeps the name taken.
fn but(granted: Record, change: impl FnOnce(&mut usize, &mut Option<Time>, &mut bool)) -> Record {
    let Record::Granted { hold, mut resource, fence, mode, permit, until, mut kept_until, mut certain } = granted
    else {
        return granted;
    };
    change(&mut resource, &mut kept_until, &mut certain);
    Record::Granted { hold, resource, fence, mode, permit, until, kept_until, certain }
}

fn kept(granted: Record, until: Time) -> Record {
    but(granted, |_, kept_until, _| *kept_until = Some(until))
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
        let late = but(granted(2, fence, 160), |_, _, certain| *certain = false);
        [(0, granted(1, 7, 100)), (50, ended(1)), (60, late)]
    };
    assert_eq!(rejected(history(6)), []);
    assert_eq!(rejected(history(7)), [Property::P1]);
}

#[test]
fn fencing_tokens_of_two_resources_have_nothing_to_do_with_each_other() {
    let other = but(granted(2, 3, 200), |resource, _, _| *resource = 1);
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

#[test]
fn shared_holds_overlap_shared_ones_alone() {
    assert_eq!(rejected([(0, reads(1, 7, 100)), (10, reads(2, 7, 100)), (20, reads(3, 7, 100))]), []);
    assert_eq!(rejected([(0, reads(1, 7, 100)), (10, granted(2, 8, 100))]), [Property::P2], "a writer beside a reader");
    assert_eq!(rejected([(0, granted(1, 7, 100)), (10, reads(2, 8, 100))]), [Property::P2], "a reader beside a writer");
    assert_eq!(
        rejected([(0, reads(1, 7, 100)), (10, permit(0, 2, 8, 100))]),
        [Property::P2],
        "a permit beside a reader"
    );
}

#[test]
fn no_more_hold_permits_than_there_are() {
    let two = || [(0, permit(0, 1, 7, 100)), (10, permit(1, 2, 8, 100))];
    assert_eq!(rejected(two()), []);
    let third = in_mode(LockMode::Permits(2), Some(1), 3, 9, 100);
    assert_eq!(rejected(two().into_iter().chain([(20, ended(2)), (30, third)])), [], "one was given back");
    assert_eq!(rejected(two().into_iter().chain([(20, permit(2, 3, 9, 100))])).last(), Some(&Property::P2));
    assert_eq!(rejected([(0, permit(0, 1, 7, 100)), (10, permit(0, 2, 8, 100))]), [Property::P2], "a number twice");
    assert_eq!(rejected([(0, permit(2, 1, 7, 100))]), [Property::P2], "a number that there is not");
    // While the limit is changed from three to two.
    let of_three = |number, hold, fence| in_mode(LockMode::Permits(3), Some(number), hold, fence, 100);
    let history = |last| [(0, of_three(0, 1, 7)), (1, of_three(1, 2, 8)), (2, permit(1, 3, 9, 100)), (3, last)];
    assert_eq!(rejected(history(of_three(2, 4, 10))).last(), Some(&Property::P2), "four of three");
}

#[test]
fn readers_of_a_phase_share_a_fencing_token_that_no_other_has() {
    let after = |next| [(0, reads(1, 7, 100)), (5, reads(2, 7, 100)), (10, ended(1)), (20, ended(2)), (30, next)];
    assert_eq!(rejected(after(granted(3, 8, 100))), []);
    assert_eq!(rejected(after(reads(3, 8, 100))), [], "the next phase");
    assert_eq!(rejected(after(granted(3, 7, 100))), [Property::P1], "a writer has that of the readers");
    assert_eq!(rejected(after(reads(3, 6, 100))), [Property::P1], "fallen");
    assert_eq!(rejected([(0, granted(1, 7, 100)), (10, ended(1)), (20, reads(2, 7, 100))]), [Property::P1]);
}

#[test]
fn a_phase_that_begins_has_a_higher_number_than_those_before() {
    let with = |phase: Option<u64>| Key { phase, ..phase.map_or_else(Key::default, |_| held_by(&[READER], &[])) };
    let call = |before: Option<u64>, after: Option<u64>| {
        let action = if after.is_none() { Action::Release } else { Action::Acquire };
        let (before, after) = (with(before), with(after));
        let ran = Ran {
            resource: 0,
            action,
            tokens: vec![READER.to_vec()],
            may_publish: true,
            longest_claim: 5_000,
            before,
            after,
        };
        Record::Ran(Box::new(ran))
    };
    let history = |second| [(0, call(None, Some(7))), (1, call(Some(7), None)), (2, call(None, Some(second)))];
    assert_eq!(rejected(history(8)), []);
    assert_eq!(rejected(history(7)), [Property::P1]);
    assert_eq!(rejected([(0, call(None, Some(7))), (1, call(Some(7), Some(7)))]), [], "one more reader");
}

#[test]
fn fencing_tokens_of_permits_are_unique_and_rise_for_each_number() {
    // The one that was granted first is taken up last.
    assert_eq!(rejected([(0, permit(1, 1, 8, 100)), (10, permit(0, 2, 7, 100))]), []);
    assert_eq!(rejected([(0, permit(1, 1, 8, 100)), (10, permit(0, 2, 8, 100))]), [Property::P1], "twice");
    let again = |fence| [(0, permit(0, 1, 8, 100)), (10, ended(1)), (20, permit(0, 2, fence, 100))];
    assert_eq!(rejected(again(9)), []);
    assert_eq!(rejected(again(7)), [Property::P1], "fallen");
    let writer = |fence| [(0, permit(0, 1, 8, 100)), (10, ended(1)), (20, granted(2, fence, 100))];
    assert_eq!(rejected(writer(7)), [Property::P1], "below that of a permit");
}

#[test]
fn holders_of_permits_have_a_store_for_each_number() {
    let history = |second: Record| {
        let records = [Record::Read { hold: HoldId(1) }, second, Record::Read { hold: HoldId(2) }];
        let writes = [Record::Wrote { hold: HoldId(2) }, Record::Wrote { hold: HoldId(1) }];
        [(0, permit(0, 1, 8, 100))].into_iter().chain(records.into_iter().chain(writes).map(|record| (10, record)))
    };
    assert_eq!(rejected(history(permit(1, 2, 9, 100))), []);
    assert_eq!(rejected(history(permit(0, 2, 8, 100))), [Property::P1, Property::P2, Property::P3]);
}

#[test]
fn a_name_stays_taken_for_its_least_time_after_a_release() {
    let history = |at, next| [(0, kept(granted(1, 7, 50), 100)), (10, ended(1)), (at, next)];
    assert_eq!(rejected(history(99, granted(2, 8, 200))), [Property::P2]);
    assert_eq!(rejected(history(100, granted(2, 8, 200))), []);
    assert_eq!(rejected(history(99, reads(2, 8, 200))), [Property::P2]);
    let lost = Record::Ended { hold: HoldId(1), released: false };
    let history = [(0, kept(granted(1, 7, 50), 100)), (10, lost), (20, granted(2, 8, 200))];
    assert_eq!(rejected(history), [], "what is lost is not kept");
    let history =
        [(0, kept(granted(1, 7, 50), 100)), (10, ended(1)), (15, Record::ForgotKept), (20, granted(2, 8, 200))];
    assert_eq!(rejected(history), [], "the server has lost its data");
}

#[test]
fn a_kept_permit_keeps_its_number_and_a_kept_share_keeps_writers_out() {
    let history = |next| [(0, kept(permit(0, 1, 7, 50), 100)), (10, ended(1)), (20, next)];
    assert_eq!(rejected(history(permit(1, 2, 8, 200))), []);
    assert_eq!(rejected(history(permit(0, 2, 8, 200))), [Property::P2]);
    let history = |next| [(0, kept(reads(1, 7, 50), 100)), (10, ended(1)), (20, next)];
    assert_eq!(rejected(history(reads(2, 7, 200))), []);
    assert_eq!(rejected(history(granted(2, 8, 200))), [Property::P2]);
}

const ME: &[u8] = b"me";
const OTHER: &[u8] = b"other";

fn holder(token: &[u8]) -> Holder {
    Holder { token: token.to_vec(), expires_at: Some(1_000), left: Some(100), permit: None }
}

fn key(owner: Option<&[u8]>, queue: &[Waiting]) -> Key {
    Key { holders: owner.map(holder).into_iter().collect(), phase: None, queue: queue.to_vec() }
}

/// A lock that these tokens hold together.
fn held_by(tokens: &[&[u8]], queue: &[Waiting]) -> Key {
    Key { holders: tokens.iter().map(|token| holder(token)).collect(), phase: None, queue: queue.to_vec() }
}

/// The same with permits, of these numbers.
fn permits(held: &[(&[u8], u32)], queue: &[Waiting]) -> Key {
    let holders = held.iter().map(|(token, number)| Holder { permit: Some(*number), ..holder(token) }).collect();
    Key { holders, phase: None, queue: queue.to_vec() }
}

const READER: &[u8] = b"0000000000000001.s0000000000000000000000000000001";
const OTHER_READER: &[u8] = b"0000000000000002.s0000000000000000000000000000002";
/// Each of them wants one of two permits.
const FIRST: &[u8] = b"0000000000000001.p0000200000000000000000000000001";
const SECOND: &[u8] = b"0000000000000002.p0000200000000000000000000000002";
const THIRD: &[u8] = b"0000000000000003.p0000200000000000000000000000003";

fn waiting(token: &[u8]) -> Waiting {
    Waiting { token: token.to_vec(), claim: 200, is_alive: true, is_heard: true, polls: false }
}

fn with_lease(token: &[u8], expires_at: Option<i64>, left: Option<i64>) -> Key {
    Key { holders: vec![Holder { expires_at, left, ..holder(token) }], ..Key::default() }
}

fn ran(action: Action, before: Key, after: Key) -> Vec<Property> {
    ran_for(ME, action, before, after)
}

fn ran_for(token: &[u8], action: Action, before: Key, after: Key) -> Vec<Property> {
    let tokens = vec![token.to_vec()];
    let ran = Ran { resource: 0, action, tokens, may_publish: true, longest_claim: 5_000, before, after };
    rejected([(0, Record::Ran(Box::new(ran)))])
}

#[test]
fn a_call_leaves_the_locks_of_others_alone() {
    let theirs = || key(Some(OTHER), &[]);
    assert_eq!(ran(Action::Release, theirs(), theirs()), []);
    assert_eq!(ran(Action::Release, theirs(), key(None, &[])), [Property::P4], "freed");
    assert_eq!(ran(Action::Acquire, theirs(), key(Some(ME), &[])), [Property::P4], "taken");
    let longer = with_lease(OTHER, Some(2_000), Some(100));
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
    let forever = with_lease(ME, None, None);
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
fn the_server_grants_the_lock_beside_others_as_the_modes_allow() {
    let readers = || held_by(&[READER, OTHER_READER], &[]);
    assert_eq!(ran_for(OTHER_READER, Action::Acquire, key(Some(READER), &[]), readers()), []);
    assert_eq!(ran(Action::Acquire, key(Some(READER), &[]), held_by(&[READER, ME], &[])), [Property::P2]);
    let one = || permits(&[(FIRST, 0)], &[]);
    let two = || permits(&[(FIRST, 0), (SECOND, 1)], &[]);
    assert_eq!(ran_for(SECOND, Action::Acquire, one(), two()), []);
    let three = permits(&[(FIRST, 0), (SECOND, 1), (THIRD, 2)], &[]);
    assert_eq!(ran_for(THIRD, Action::Acquire, two(), three), [Property::P2], "a third one of two");
    assert_eq!(ran_for(SECOND, Action::Acquire, one(), permits(&[(FIRST, 0), (SECOND, 0)], &[])), [Property::P2]);
    let highest = permits(&[(FIRST, 1)], &[]);
    assert_eq!(ran_for(FIRST, Action::Acquire, key(None, &[]), highest), [Property::P2], "not the lowest");
    let mixed = held_by(&[READER, FIRST], &[]);
    assert_eq!(ran_for(FIRST, Action::Acquire, key(Some(READER), &[]), mixed), [Property::P2]);
}

#[test]
fn a_call_leaves_those_alone_that_hold_the_lock_too() {
    let both = || held_by(&[READER, OTHER_READER], &[]);
    assert_eq!(ran_for(READER, Action::Release, both(), key(Some(OTHER_READER), &[])), []);
    assert_eq!(ran_for(READER, Action::Release, both(), key(None, &[])), [Property::P4], "frees both");
    assert_eq!(ran_for(READER, Action::Renew, key(Some(OTHER_READER), &[]), both()), [Property::P4], "revives one");
    let marker = held_by(&[b"shared:7"], &[]);
    assert_eq!(ran_for(READER, Action::Release, key(Some(READER), &[]), marker), [Property::P4], "nobody holds it");
    let kept = || held_by(&[b"kept"], &[]);
    assert_eq!(ran(Action::Release, key(Some(ME), &[]), kept()), []);
    assert_eq!(ran(Action::Acquire, kept(), key(Some(ME), &[])), [Property::P4], "it stays taken");
}

#[test]
fn waiters_of_all_modes_are_served_in_one_order() {
    let [writer, reader, other] = [waiting(OTHER), waiting(READER), waiting(OTHER_READER)];
    let held = || key(Some(ME), &[reader.clone(), other.clone(), writer.clone()]);
    let [both, one] = [
        held_by(&[READER, OTHER_READER], std::slice::from_ref(&writer)),
        key(Some(READER), &[other.clone(), writer.clone()]),
    ];
    assert_eq!(ran(Action::Release, held(), both), []);
    assert_eq!(ran(Action::Release, held(), one), [Property::P6], "a reader waits beside a reader");
    let behind = || held_by(&[READER], std::slice::from_ref(&writer));
    let passed = held_by(&[READER, OTHER_READER], std::slice::from_ref(&writer));
    assert_eq!(ran_for(OTHER_READER, Action::Acquire, behind(), passed), [Property::P6], "past a writer");
    let queue = [waiting(SECOND), waiting(THIRD)];
    let before = || permits(&[(FIRST, 0)], &queue);
    let next = permits(&[(FIRST, 0), (THIRD, 1)], &[waiting(SECOND)]);
    assert_eq!(ran(Action::Cancel, before(), next), [Property::P6]);
    let full = || permits(&[(FIRST, 0), (SECOND, 1)], &[waiting(THIRD)]);
    let free = permits(&[(FIRST, 0)], &[waiting(THIRD)]);
    assert_eq!(ran_for(SECOND, Action::Release, full(), free), [Property::P6], "a permit is left");
}

#[test]
fn a_process_that_hears_nothing_is_not_granted_the_lock() {
    let deaf = Waiting { is_heard: false, is_alive: false, ..waiting(OTHER) };
    assert_eq!(ran(Action::Release, key(Some(ME), &[deaf]), key(Some(OTHER), &[])), [Property::P6]);
}

#[test]
fn a_grant_by_notification_lasts_for_its_claim_lease() {
    let before = || key(Some(ME), &[waiting(OTHER)]);
    let whole = with_lease(OTHER, Some(1_000), Some(201));
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
