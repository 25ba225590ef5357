//! From when to when a lock certainly was held.
//!
//! A lock that is ours stays ours until it is not, and never comes back. So a task that was granted it, and was seen to hold
//! it later (an `is_held` that said yes, an extension, a release of something held), has held it all the time between.
//!
//! Beyond the last look there is the deadline: `is_held` would have said yes until then, unless
//!
//! - it was released: then until the release was about to begin;
//! - it was about to be extended to an earlier end, which may hold from then on: then until that;
//! - the server had said before the deadline that it is lost. `lost()` is heard after that, it is not known how long. So
//!   where it resolved before the deadline, the deadline does not count, but the last look does;
//! - the process ended: then until the last look, as no task is there to believe anything. The guards of a task that
//!   panicked are dropped without a line.

use super::record::{Lost, Place};

/// The deadline may be looked at a little later than the clock, after a renewal.
pub(super) const BETWEEN_LOOKS: u64 = 100_000_000;

#[derive(Debug, Clone)]
pub(super) struct Hold {
    /// It was seen to be held at all.
    certain: bool,
    /// It certainly was held up to here.
    seen: u64,
    /// `is_held` says yes until then, as far as is known.
    deadline: u64,
    /// The longest lease that it was asked for.
    lease: u64,
    over: Over,
    pub(super) lost: Option<Lost>,
    /// The server, or its clock, has said that it is not ours any more.
    denied: Option<u64>,
    pub(super) revived: Option<(&'static str, Place)>,
    pub(super) too_long: Option<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    No,
    /// No deadline counts any more, from here on.
    At(u64),
}

impl Hold {
    pub(super) fn new(at: u64, deadline: u64, lease: u64, place: Place) -> Self {
        let mut hold = Self {
            certain: deadline > at,
            seen: at,
            deadline,
            lease,
            over: Over::No,
            lost: None,
            denied: None,
            revived: None,
            too_long: None,
        };
        hold.believes(at, deadline, place);
        hold
    }

    /// `is_held` said yes after `at`.
    pub(super) fn held(&mut self, at: u64, deadline: u64, place: Place) {
        self.certain = true;
        self.seen = self.seen.max(at);
        self.deadline = deadline;
        self.alive(at, "is held", place);
    }

    /// Is about to be extended.
    pub(super) fn extends(&mut self, at: u64, by: u64) {
        self.promised(at);
        self.lease = self.lease.max(by);
        // An earlier end than before counts at once. What a lease is worth is a little less than its length.
        if at.saturating_add(by) <= self.deadline.saturating_add(by / 50 + 10_000_000) {
            self.deadline = self.deadline.min(at);
        }
    }

    /// An extension that began at `began` was answered with yes.
    pub(super) fn extended(&mut self, began: u64, at: u64, deadline: u64, place: Place) {
        self.certain = true;
        if deadline > at {
            self.deadline = deadline;
            self.promised(at);
        } else {
            // It was ours after `began`, and is over by now: when it ended was not seen.
            self.seen = self.seen.max(began);
            self.deadline = self.seen;
        }
        self.alive(began, "was extended", place);
        self.believes(at, deadline, place);
    }

    /// An extension that began at `began` was answered with no.
    pub(super) fn denied(&mut self, began: u64, at: u64) {
        self.ends(began);
        self.denied = Some(self.denied.map_or(at, |denied| denied.min(at)));
    }

    /// An extension came to an unknown end. A deadline that is not after `at` says that it is over, not since when.
    pub(super) fn unknown(&mut self, at: u64, deadline: u64) {
        if deadline > at {
            self.deadline = self.deadline.min(deadline);
        } else if self.deadline > at {
            self.deadline = self.seen;
        }
    }

    pub(super) fn is_lost(&mut self, at: u64, deadline: u64) {
        if self.lost.is_none() {
            self.lost = Some(Lost { at, deadline });
        }
        if self.deadline <= at {
            self.promised(at);
        }
        self.ends(at);
    }

    /// Is about to be released.
    pub(super) fn released(&mut self, at: u64, held: bool, place: Place) {
        if held {
            self.certain = true;
            self.seen = self.seen.max(at);
            self.alive(at, "is held", place);
        } else if self.deadline <= at {
            self.promised(at);
        }
        self.ends(at);
    }

    /// A release that began at `began` was answered with yes.
    pub(super) fn was_ours(&mut self, began: u64, place: Place) {
        self.alive(began, "was released", place);
    }

    /// Until when it certainly was held; `None`: it is not known to have been held at all.
    pub(super) fn until(&self) -> Option<u64> {
        self.certain.then_some(self.seen)
    }

    /// Held as long as was promised, up to `at`.
    fn promised(&mut self, at: u64) {
        let at = match self.over {
            Over::No => at,
            Over::At(over) => at.min(over),
        };
        self.seen = self.seen.max(at.min(self.deadline));
    }

    fn ends(&mut self, at: u64) {
        self.over = match self.over {
            Over::No => Over::At(at),
            Over::At(before) => Over::At(at.min(before)),
        };
    }

    /// It was ours at some time after `at`.
    fn alive(&mut self, at: u64, how: &'static str, place: Place) {
        let gone = [self.lost.map(|lost| lost.at), self.denied].into_iter().flatten().min();
        if self.revived.is_none() && gone.is_some_and(|gone| gone < at) {
            self.revived = Some((how, place));
        }
    }

    fn believes(&mut self, at: u64, deadline: u64, place: Place) {
        if self.too_long.is_none() && deadline > at.saturating_add(self.lease).saturating_add(BETWEEN_LOOKS) {
            self.too_long = Some(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { file: 0, line: 0 };
    const S: u64 = 1_000_000_000;

    fn granted() -> Hold {
        Hold::new(10 * S, 20 * S, 10 * S, PLACE)
    }

    /// What was promised counts up to a loss at the deadline, and what was seen up to an earlier one.
    #[test]
    fn a_loss_ends_it_at_the_deadline_or_at_the_last_look() {
        let mut hold = granted();
        hold.is_lost(21 * S, 20 * S);
        assert_eq!(hold.until(), Some(20 * S));
        let mut hold = granted();
        hold.held(12 * S, 20 * S, PLACE);
        hold.is_lost(15 * S, 20 * S);
        assert_eq!(hold.until(), Some(12 * S));
    }

    #[test]
    fn a_killed_process_held_it_at_its_last_look() {
        let mut hold = granted();
        assert_eq!(hold.until(), Some(10 * S));
        hold.held(12 * S, 22 * S, PLACE);
        assert_eq!(hold.until(), Some(12 * S));
        assert_eq!(Hold::new(10 * S, 10 * S, S, PLACE).until(), None, "it was over before the first look");
    }

    /// Also beyond the deadline that was known: it has been renewed, or it would not be held.
    #[test]
    fn a_release_of_something_held_says_that_it_was_held() {
        let mut hold = granted();
        hold.released(30 * S, true, PLACE);
        assert_eq!(hold.until(), Some(30 * S));
        let mut hold = granted();
        hold.released(30 * S, false, PLACE);
        assert_eq!(hold.until(), Some(20 * S));
        let mut hold = granted();
        hold.released(15 * S, false, PLACE);
        assert_eq!(hold.until(), Some(10 * S), "lost at some time before");
    }

    /// A process that stood still after the answer says nothing of the time in which it did.
    #[test]
    fn an_extension_counts_as_long_as_it_is_seen() {
        let mut hold = granted();
        hold.extends(15 * S, 10 * S);
        hold.extended(15 * S, 16 * S, 25 * S, PLACE);
        assert_eq!(hold.until(), Some(16 * S));
        let mut hold = granted();
        hold.extends(15 * S, 10 * S);
        hold.extended(15 * S, 40 * S, 40 * S, PLACE);
        hold.released(41 * S, false, PLACE);
        assert_eq!(hold.until(), Some(15 * S));
    }

    /// An earlier end may hold as soon as it is asked for.
    #[test]
    fn an_extension_to_an_earlier_end_ends_the_promise() {
        let mut hold = granted();
        hold.extends(12 * S, S);
        hold.is_lost(30 * S, 20 * S);
        assert_eq!(hold.until(), Some(12 * S));
    }

    #[test]
    fn what_was_lost_does_not_come_back() {
        let mut hold = granted();
        hold.is_lost(20 * S, 20 * S);
        assert_eq!(hold.revived, None);
        hold.held(21 * S, 30 * S, PLACE);
        assert!(hold.revived.is_some());
    }
}
