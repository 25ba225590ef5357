//! Ours and a general checker say the same of small windows, right and wrong.

#![allow(clippy::indexing_slicing)]

use super::{is_linearizable, is_ours, makes_sense};
use crate::check::bad::Dice;
use crate::check::record::{Answer, Grant, Place};

const NOWHERE: Place = Place { file: 0, line: 0 };

/// Some grants, one after the other, with what is done under them.
fn right(dice: &mut Dice) -> (Vec<Grant>, Vec<Answer>) {
    let (mut grants, mut answers) = (Vec::new(), Vec::new());
    let (mut free, mut fence) = (1_000, 10);
    for process in 0..dice.between(2, 5) as u32 {
        fence += dice.between(1, 3);
        let granted = free + dice.below(20);
        let began = granted - dice.below(60);
        let mut now = granted + dice.below(5);
        let mut until = granted;
        for _ in 0..dice.below(3) {
            let ended = now + dice.below(8);
            let yes = !dice.one_in(6);
            answers.push(answer(fence, false, yes, now, ended));
            if !yes {
                until = until.max(granted);
                break;
            }
            until = ended;
            now = ended + dice.below(5);
        }
        if answers.last().is_none_or(|answer| answer.fence != fence || answer.yes) && !dice.one_in(4) {
            until = now;
            answers.push(answer(fence, true, true, now, now + dice.below(30)));
        }
        let known = !dice.one_in(8);
        grants.push(grant(process, fence, (began, granted), if known { until } else { granted }, known));
        free = until.max(granted);
    }
    (grants, answers)
}

fn answer(fence: u64, release: bool, yes: bool, began: u64, ended: u64) -> Answer {
    Answer { fence, release, yes, began, ended, begin: NOWHERE, end: NOWHERE }
}

fn grant(process: u32, fence: u64, (began, granted): (u64, u64), until: u64, certain: bool) -> Grant {
    Grant {
        process,
        handler: false,
        fence,
        began,
        granted,
        waiting: None,
        at_once: false,
        believed: None,
        until,
        certain,
        lost: None,
        revived: None,
        too_long: None,
        begin: NOWHERE,
        made: NOWHERE,
        end: NOWHERE,
    }
}

fn both(grants: &[Grant], answers: &[Answer]) -> (bool, bool) {
    let answers: Vec<&Answer> = answers.iter().collect();
    (is_ours(grants, &answers), is_linearizable(grants, &answers))
}

/// One after the other is always in order.
#[test]
fn both_accept_what_is_right() {
    for seed in 0..5_000 {
        let (grants, answers) = right(&mut Dice::new(seed));
        assert_eq!(both(&grants, &answers), (true, true), "seed {seed}: {grants:#?}\n{answers:#?}");
    }
}

/// With times moved at random, some windows are right still and some are not: both say so.
#[test]
fn both_say_the_same_of_what_may_be_wrong() {
    let mut rejected = 0;
    for seed in 0..20_000 {
        let mut dice = Dice::new(seed);
        let (mut grants, mut answers) = right(&mut dice);
        for _ in 0..dice.between(1, 3) {
            let by = dice.between(1, 60);
            let index = dice.below(grants.len() as u64) as usize;
            let grant = &mut grants[index];
            match dice.below(4) {
                0 => {
                    grant.granted += by;
                    grant.until = grant.until.max(grant.granted);
                }
                1 => {
                    grant.granted = grant.granted.saturating_sub(by);
                    grant.began = grant.began.min(grant.granted);
                }
                2 if grant.certain => {
                    grant.until += by;
                    // The end was about to begin then.
                    let fence = grant.fence;
                    for answer in answers.iter_mut().filter(|answer| answer.fence == fence && answer.release) {
                        answer.began += by;
                        answer.ended += by;
                    }
                }
                _ => {
                    if let Some(answer) = answers.get_mut(index) {
                        answer.began += by;
                        answer.ended += by;
                    }
                }
            }
        }
        answers.retain(|answer| {
            // Nothing is answered under a lock before it has been granted.
            grants.iter().any(|grant| grant.fence == answer.fence && grant.granted <= answer.began)
        });
        if !makes_sense(&grants, &answers.iter().collect::<Vec<_>>()) {
            continue;
        }
        let (ours, general) = both(&grants, &answers);
        assert_eq!(ours, general, "seed {seed}: {grants:#?}\n{answers:#?}");
        rejected += u32::from(!ours);
    }
    assert!(rejected > 2_000, "only {rejected} were wrong");
}
