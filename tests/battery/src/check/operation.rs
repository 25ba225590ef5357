//! One acquire or request, from line to line.

use super::hold::Hold;
use super::record::{Answer, Place, Reply, Store, StoreEnd};
use super::statistics::Figures;
use crate::history::{Event, Outcome, Side};

/// An acquire or a request, and what was done under its lock.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) resource: u32,
    pub(super) began: u64,
    pub(super) begin: Place,
    pub(super) end: Place,
    pub(super) kind: Kind,
    pub(super) hold: Option<Held>,
    pub(super) extending: Option<(u64, Place)>,
    pub(super) releasing: Option<(u64, Place)>,
    pub(super) storing: Option<(Side, u64, Option<u64>, Place)>,
    pub(super) read: Option<u64>,
    pub(super) stores: Vec<Store>,
    pub(super) closed: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    Acquire { lease: u64, renewed: bool, wait: Option<u64>, waiting: Option<u64>, left: Option<u64>, ended: bool },
    Request { lease: u64, runs: u32, ended: u32, finished: bool, held: bool, ended_at: u64, reply: Reply },
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) fence: u64,
    pub(super) at: u64,
    /// As it was known at first.
    pub(super) deadline: u64,
    pub(super) place: Place,
    pub(super) hold: Hold,
}

impl Operation {
    pub(super) fn new(resource: u32, began: u64, place: Place, kind: Kind) -> Self {
        Self {
            resource,
            began,
            begin: place,
            end: place,
            kind,
            hold: None,
            extending: None,
            releasing: None,
            storing: None,
            read: None,
            stores: Vec::new(),
            closed: false,
        }
    }

    /// Takes in its next line; the answer to an extension or a release, if it is one.
    pub(super) fn goes_on(
        &mut self,
        at: u64,
        event: Event,
        place: Place,
        figures: &mut Figures,
    ) -> Result<Option<Answer>, &'static str> {
        self.end = place;
        match event {
            Event::Waiting | Event::Granted { .. } | Event::Ended { .. } => self.acquires(at, event, place, figures)?,
            Event::Handler { .. } | Event::HandlerEnds { .. } | Event::Answered { .. } => {
                self.handles(at, event, place)?;
            }
            Event::Store { side, value } => {
                if self.hold.is_none() {
                    return Err("a store without a lock");
                }
                self.give_up_storing();
                self.storing = Some((side, at, value, place));
            }
            Event::Stored { side, outcome, value } => self.stored(side, &outcome, value, at)?,
            event => return self.holds(at, event, place, figures),
        }
        Ok(None)
    }

    fn acquires(&mut self, at: u64, event: Event, place: Place, figures: &mut Figures) -> Result<(), &'static str> {
        let Kind::Acquire { lease, wait, waiting, left, ended, .. } = &mut self.kind else {
            return Err("a request goes on as an acquire");
        };
        if *ended {
            return Err("an acquire ends twice, or goes on when it has ended");
        }
        match event {
            Event::Waiting => *waiting = Some(at),
            Event::Granted { fence, deadline } => {
                *ended = true;
                let hold = Hold::new(at, deadline, *lease, place);
                self.hold = Some(Held { fence: fence.get(), at, deadline, place, hold });
            }
            Event::Ended { outcome } => {
                *ended = true;
                self.closed = true;
                match outcome {
                    Outcome::Yes => return Err("an acquire ends with yes and without a grant"),
                    Outcome::No => {
                        figures.not_granted += 1;
                        // Its time was up then, at the earliest.
                        *left = Some(wait.map_or(at, |wait| self.began.saturating_add(wait).min(at)));
                    }
                    Outcome::GivenUp => {
                        figures.given_up += 1;
                        *left = Some(at);
                    }
                    // When it left the queue is not known.
                    Outcome::Failed(_) | Outcome::Unknown(_) => figures.failed += 1,
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn handles(&mut self, at: u64, event: Event, place: Place) -> Result<(), &'static str> {
        let Kind::Request { lease, runs, ended, finished, held, ended_at, reply } = &mut self.kind else {
            return Err("an acquire goes on as a request");
        };
        match event {
            Event::Handler { fence, deadline } => {
                *runs += 1;
                if self.hold.is_none() {
                    let hold = Hold::new(at, deadline, *lease, place);
                    self.hold = Some(Held { fence: fence.get(), at, deadline, place, hold });
                }
            }
            Event::HandlerEnds { finished: by_itself, held: is_held } => {
                *ended += 1;
                (*finished, *held, *ended_at) = (by_itself, is_held, at);
                if let Some(Held { hold, .. }) = &mut self.hold {
                    hold.released(at, is_held, place);
                }
            }
            Event::Answered { outcome } => {
                if self.closed {
                    return Err("a request is answered twice");
                }
                self.closed = true;
                *reply = match outcome {
                    Outcome::Yes => Reply::Handler,
                    Outcome::Failed(text) if text.starts_with("Lost") => Reply::Lost,
                    Outcome::No | Outcome::Failed(_) => Reply::Refusal,
                    Outcome::Unknown(_) => Reply::Unknown,
                    Outcome::GivenUp => Reply::GivenUp,
                };
            }
            _ => {}
        }
        Ok(())
    }

    fn holds(
        &mut self,
        at: u64,
        event: Event,
        place: Place,
        figures: &mut Figures,
    ) -> Result<Option<Answer>, &'static str> {
        let Some(Held { fence, hold, .. }) = &mut self.hold else { return Err("a hold goes on that never began") };
        let (begun, release, outcome) = match event {
            Event::Held { deadline } => {
                hold.held(at, deadline, place);
                return Ok(None);
            }
            Event::Extend { by } => {
                self.extending = Some((at, place));
                hold.extends(at, by);
                return Ok(None);
            }
            Event::Lost { deadline } => {
                hold.is_lost(at, deadline);
                return Ok(None);
            }
            Event::Release { held, dropped } => {
                self.releasing = Some((at, place));
                hold.released(at, held, place);
                self.closed |= dropped;
                return Ok(None);
            }
            Event::Extended { outcome, deadline } => {
                let begun = self.extending.take().ok_or("an extension is answered that never began")?;
                match &outcome {
                    Outcome::Yes => hold.extended(begun.0, at, deadline, place),
                    Outcome::No => hold.denied(begun.0, at),
                    _ => hold.unknown(at, deadline),
                }
                match &outcome {
                    Outcome::Yes => figures.extended += 1,
                    Outcome::No => figures.not_extended += 1,
                    _ => figures.extension_failed += 1,
                }
                (begun, false, outcome)
            }
            Event::Released { outcome } => {
                self.closed = true;
                let begun = self.releasing.take().ok_or("a release is answered that never began")?;
                match &outcome {
                    Outcome::Yes => figures.released += 1,
                    Outcome::No => figures.already_lost += 1,
                    _ => figures.release_failed += 1,
                }
                if outcome == Outcome::Yes {
                    hold.was_ours(begun.0, place);
                }
                (begun, true, outcome)
            }
            _ => return Err("a line of no operation"),
        };
        let yes = match outcome {
            Outcome::Yes => true,
            Outcome::No => false,
            _ => return Ok(None),
        };
        Ok(Some(Answer { fence: *fence, release, yes, began: begun.0, ended: at, begin: begun.1, end: place }))
    }

    fn stored(&mut self, side: Side, outcome: &Outcome, value: Option<u64>, at: u64) -> Result<(), &'static str> {
        match &self.storing {
            Some((begun, ..)) if *begun == side => {}
            _ => return Err("a store answers what it was not asked"),
        }
        let end = match outcome {
            Outcome::Yes => StoreEnd::Done { at },
            Outcome::No => StoreEnd::Refused { at },
            _ => StoreEnd::Unknown,
        };
        self.store_ends(end, value);
        Ok(())
    }

    /// A store that was not answered before the next one, or at all.
    pub(super) fn give_up_storing(&mut self) {
        self.store_ends(StoreEnd::Unknown, None);
    }

    fn store_ends(&mut self, end: StoreEnd, read: Option<u64>) {
        let Some((side, began, written, place)) = self.storing.take() else { return };
        let Some(Held { fence, .. }) = &self.hold else { return };
        let write = side == Side::Write;
        let value = if write { written } else { read }.unwrap_or(0);
        let before = if write { self.read.take() } else { None };
        if !write && matches!(end, StoreEnd::Done { .. }) {
            self.read = Some(value);
        }
        self.stores.push(Store { fence: *fence, write, value, read: before, began, end, begin: place });
    }
}
