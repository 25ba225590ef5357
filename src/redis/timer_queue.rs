//! [`TimerQueue`]: what is to be done at which time, for all locks of a provider, by one task.
//!
//! # How it works
//!
//! Things are kept by the time at which they are due. A provider with many locks has many things due at the same time,
//! since renewals are [put together](super::locks): the times are a tree, and the things of one time a list of places.
//! A place that is given back is taken by the next thing of that time. Things come and go much more often than they are
//! due, and so:
//!
//! - **A1** A time of the tree has something to do, and no more places than there were things for it at once. Nothing
//!   that was taken off stays.
//! - **A2** No two things have the same [`Entry`] at once, and none has that of one that has come: each time of the tree
//!   has a number of its own. A place that was given back is given again, so whoever takes a thing off forgets its entry.
//! - **A3** A time that has come is taken out of the tree as a whole, and its things are done one after the other. One
//!   that is taken off meanwhile is done all the same: whoever does it asks whether its entry is still the one that is
//!   waited for.

mod slots;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::iter::Enumerate;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::slots::Places;
use crate::backend::PackedInstant;

/// Things to do, by the time at which they are due.
#[derive(Debug)]
pub(super) struct TimerQueue<T> {
    due: Mutex<Due<T>>,
    /// The first thing to do is another than the task knows, or the task is to end.
    changed: Notify,
    ended: AtomicBool,
}

#[derive(Debug)]
struct Due<T> {
    times: BTreeMap<PackedInstant, Time<T>>,
    next: u32,
    /// The time that has come, and what is left to be done of it (A3).
    come: Option<(PackedInstant, u32, Enumerate<slots::IntoIter<T>>)>,
    /// When the task looks next. Things come and go much more often than they are due: only one that is due earlier
    /// than this has to wake it, and one that was taken off does not.
    wakes: Option<Instant>,
}

/// What is due at one time.
#[derive(Debug)]
struct Time<T> {
    number: u32,
    places: Places<T>,
}

/// By which a thing is taken off the agenda again: the time, and the numbers of the time in the tree and of the place.
/// The former comes again after four thousand million others, long after the thing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(PackedInstant, u32, u32);

impl Entry {
    /// Whether it is due at this time.
    pub(super) fn is_at(self, at: Instant) -> bool {
        self.0 == at.into()
    }
}

impl<T> TimerQueue<T> {
    pub(super) fn new() -> Self {
        Self {
            due: Mutex::new(Due { times: BTreeMap::new(), next: 0, come: None, wakes: None }),
            changed: Notify::new(),
            ended: AtomicBool::new(false),
        }
    }

    /// Puts a thing on the agenda.
    pub(super) fn add(&self, at: Instant, thing: T) -> Entry {
        let (entry, sooner) = {
            let mut due = self.due.lock();
            let entry = due.add(at.into(), thing);
            let sooner = due.wakes.is_none_or(|wakes| at < wakes);
            if sooner {
                due.wakes = Some(at);
            }
            (entry, sooner)
        };
        if sooner {
            self.changed.notify_one();
        }
        entry
    }

    /// Takes a thing off the agenda, if its time has not come yet.
    pub(super) fn remove(&self, entry: Entry) {
        self.due.lock().remove(entry);
    }

    /// The task that has [run](Self::run) is not run any more, and another one will be: it may wait for a change, never to
    /// be polled again, and would keep that from its successor.
    pub(super) fn depose(&self) {
        self.changed.notify_waiters();
    }

    /// Lets [`run`](Self::run) end.
    pub(super) fn end(&self) {
        self.ended.store(true, SeqCst);
        self.changed.notify_one();
    }

    /// Whether [`end`](Self::end) was called.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(SeqCst)
    }

    /// Does what is due when it is due. Whoever does it is told the entry, which may have been taken off a moment ago
    /// (A3).
    pub(super) async fn run(&self, mut perform: impl FnMut(Entry, T)) {
        while !self.has_ended() {
            let next = loop {
                let mut due = self.due.lock();
                let now = Instant::now();
                if let Some((entry, thing)) = due.pop(now.into()) {
                    drop(due);
                    perform(entry, thing);
                } else {
                    due.wakes = due.times.first_key_value().map(|(at, _)| at.instant());
                    break due.wakes;
                }
            };
            match next {
                Some(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }
}

impl<T> Due<T> {
    fn add(&mut self, at: PackedInstant, thing: T) -> Entry {
        match self.times.entry(at) {
            Slot::Vacant(vacant) => {
                self.next = self.next.wrapping_add(1);
                vacant.insert(Time { number: self.next, places: Places::One(thing) });
                Entry(at, self.next, 0)
            }
            Slot::Occupied(mut occupied) => {
                let time = occupied.get_mut();
                Entry(at, time.number, time.places.add(thing))
            }
        }
    }

    fn remove(&mut self, Entry(at, number, place): Entry) {
        if let Slot::Occupied(mut occupied) = self.times.entry(at)
            && occupied.get().number == number
            && occupied.get_mut().places.remove(place)
        {
            occupied.remove();
        }
    }

    /// The next thing whose time has come by `now`.
    fn pop(&mut self, now: PackedInstant) -> Option<(Entry, T)> {
        loop {
            if let Some((at, number, things)) = &mut self.come {
                for (place, thing) in things {
                    if let (Ok(place), Some(thing)) = (u32::try_from(place), thing.taken()) {
                        return Some((Entry(*at, *number, place), thing));
                    }
                }
                self.come = None;
            }
            let first = self.times.first_entry().filter(|first| *first.key() <= now)?;
            let (at, Time { number, places }) = first.remove_entry();
            match places {
                Places::One(thing) => return Some((Entry(at, number, 0), thing)),
                Places::Many(many) => self.come = Some((at, number, many.into_iter().enumerate())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    fn due() -> Due<u64> {
        Due { times: BTreeMap::new(), next: 0, come: None, wakes: None }
    }

    fn at(second: u64) -> PackedInstant {
        PackedInstant::from(Instant::now()).after(Duration::from_secs(1_000 + second)).before(Duration::ZERO)
    }

    /// How many places there are in all.
    fn places(due: &Due<u64>) -> usize {
        due.times.values().map(|time| time.places.len()).sum()
    }

    #[test]
    fn things_come_in_the_order_of_their_times() {
        let (mut due, first) = (due(), at(0));
        for thing in [3_u64, 1, 2, 1, 3] {
            due.add(first.after(Duration::from_secs(thing)), thing);
        }
        let soon = first.after(Duration::from_secs(2));
        let come: Vec<_> = std::iter::from_fn(|| due.pop(soon)).map(|(_, thing)| thing).collect();
        assert_eq!(come, [1, 1, 2]);
        let come: Vec<_> = std::iter::from_fn(|| due.pop(first.after(Duration::from_secs(9)))).collect();
        assert_eq!(come.iter().map(|(_, thing)| *thing).collect::<Vec<_>>(), [3, 3]);
        assert!(due.times.is_empty());
    }

    /// A1: locks that come and go, under leases whose time is far away, leave nothing on the agenda.
    #[test]
    fn what_was_taken_off_does_not_stay() {
        let (mut due, time) = (due(), at(0));
        let mut held = std::collections::VecDeque::new();
        for thing in 0..100_000 {
            // Sixty-four at once, of which a hundred have the same time.
            held.push_back(due.add(time.after(Duration::from_millis(thing / 100)), thing));
            if held.len() > 64 {
                due.remove(held.pop_front().unwrap());
            }
            assert!(places(&due) <= 2 * 64 + 1, "{} places", places(&due));
        }
        for entry in held {
            due.remove(entry);
        }
        assert!(due.times.is_empty(), "{due:?}");
    }

    /// A2: an entry that is old takes nothing off that has its time and place now.
    #[test]
    fn an_old_entry_is_nobody_elses() {
        let (mut due, time) = (due(), at(0));
        let old = [due.add(time, 1), due.add(time, 2)];
        assert_eq!(due.pop(time), Some((old[0], 1)));
        // The time has come, and another thing is too late for it, and another time of the tree.
        let new = [due.add(time, 3), due.add(time, 4)];
        due.remove(old[0]);
        due.remove(old[1]);
        assert_eq!(due.pop(time), Some((old[1], 2)), "done all the same, and told by its entry (A3)");
        assert_eq!((due.pop(time), due.pop(time), due.pop(time)), (Some((new[0], 3)), Some((new[1], 4)), None));
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_does_what_is_due_when_it_is() {
        let timers = TimerQueue::new();
        let begun = Instant::now();
        let taken_off = timers.add(begun + Duration::from_secs(1), 1);
        timers.add(begun + Duration::from_secs(2), 2);
        timers.remove(taken_off);
        let done = Mutex::new(Vec::new());
        timers
            .run(|_, thing| {
                done.lock().push((thing, begun.elapsed().as_secs()));
                if thing == 2 {
                    timers.add(begun + Duration::from_secs(1), 3);
                } else {
                    timers.end();
                }
            })
            .await;
        assert_eq!(*done.lock(), [(2, 2), (3, 2)]);
    }
}
