//! [`TimerQueue`]: the timers of all locks of a provider, which one task runs.
//!
//! # How it works
//!
//! Timers are kept by the time at which they are due. A provider with many locks has many timers for the same time, since
//! renewals are put together. So there is a tree of times, and for each time a list of slots. A slot that becomes free is
//! taken by the next timer of that time. Timers are added and removed much more often than they become due. What is kept true:
//!
//! - **A1** Each time in the tree has a timer, and no more slots than it had timers at once. A timer that was removed leaves
//!   nothing behind.
//! - **A2** No two timers in the queue have the same [`Entry`], and none has the entry of a timer that has become due: each
//!   time in the tree has a number of its own. A free slot is taken again, so the owner of a timer that it has removed must
//!   forget its entry.
//! - **A3** A time that has come is taken out of the tree as a whole, and its timers run one after the other. A timer that
//!   is removed meanwhile runs all the same. So the code that it runs compares its entry with the one that is expected.

mod slots;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as TreeEntry;
use std::iter::Enumerate;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::slots::Slots;
use crate::backend::PackedInstant;

/// Timers, by the time at which they are due.
#[derive(Debug)]
pub(super) struct TimerQueue<T> {
    timers: Mutex<Timers<T>>,
    /// The first timer is due earlier than the task expects, or the task is to end.
    changed: Notify,
    ended: AtomicBool,
}

#[derive(Debug)]
struct Timers<T> {
    times: BTreeMap<PackedInstant, Time<T>>,
    /// The number of the latest time that was put into the tree.
    latest: u32,
    /// The time that has come, its number, and its timers that have not run (A3).
    running: Option<(PackedInstant, u32, Enumerate<slots::IntoIter<T>>)>,
    /// When the task wakes up by itself. Timers are added and removed much more often than they become due: only one that is
    /// due before this wakes the task, and a removal does not.
    wakes_at: Option<Instant>,
}

/// The timers of one time.
#[derive(Debug)]
struct Time<T> {
    number: u32,
    slots: Slots<T>,
}

/// Identifies a timer, so that it can be removed: its time, and the numbers of the time in the tree and of the slot. The
/// number of a time is used again after four thousand million others, long after the timer has run.
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
        let timers = Timers { times: BTreeMap::new(), latest: 0, running: None, wakes_at: None };
        Self { timers: Mutex::new(timers), changed: Notify::new(), ended: AtomicBool::new(false) }
    }

    /// Adds a timer.
    pub(super) fn add(&self, at: Instant, timer: T) -> Entry {
        let (entry, sooner) = {
            let mut timers = self.timers.lock();
            let entry = timers.add(at.into(), timer);
            let sooner = timers.wakes_at.is_none_or(|wakes_at| at < wakes_at);
            if sooner {
                timers.wakes_at = Some(at);
            }
            (entry, sooner)
        };
        if sooner {
            self.changed.notify_one();
        }
        entry
    }

    /// Removes a timer, if its time has not come yet.
    pub(super) fn remove(&self, entry: Entry) {
        self.timers.lock().remove(entry);
    }

    /// Call this when the task that [ran](Self::run) the timers is not run any more and another one is to take over. The old
    /// task may wait for a change and never be polled again; it would keep a wake-up that is meant for its successor.
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

    /// Runs each timer when it is due. `perform` also gets the entry, since the timer may have been removed a moment before
    /// (A3).
    pub(super) async fn run(&self, mut perform: impl FnMut(Entry, T)) {
        while !self.has_ended() {
            let next = loop {
                let mut timers = self.timers.lock();
                let now = Instant::now();
                if let Some((entry, timer)) = timers.pop(now.into()) {
                    drop(timers);
                    perform(entry, timer);
                } else {
                    timers.wakes_at = timers.times.first_key_value().map(|(at, _)| at.instant());
                    break timers.wakes_at;
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

impl<T> Timers<T> {
    fn add(&mut self, at: PackedInstant, timer: T) -> Entry {
        match self.times.entry(at) {
            TreeEntry::Vacant(vacant) => {
                self.latest = self.latest.wrapping_add(1);
                vacant.insert(Time { number: self.latest, slots: Slots::One(timer) });
                Entry(at, self.latest, 0)
            }
            TreeEntry::Occupied(mut occupied) => {
                let time = occupied.get_mut();
                Entry(at, time.number, time.slots.add(timer))
            }
        }
    }

    fn remove(&mut self, Entry(at, number, slot): Entry) {
        if let TreeEntry::Occupied(mut occupied) = self.times.entry(at)
            && occupied.get().number == number
            && occupied.get_mut().slots.remove(slot)
        {
            occupied.remove();
        }
    }

    /// The next timer that is due by `now`.
    fn pop(&mut self, now: PackedInstant) -> Option<(Entry, T)> {
        loop {
            if let Some((at, number, slots)) = &mut self.running {
                for (index, slot) in slots {
                    if let (Ok(index), Some(timer)) = (u32::try_from(index), slot.into_timer()) {
                        return Some((Entry(*at, *number, index), timer));
                    }
                }
                self.running = None;
            }
            let first = self.times.first_entry().filter(|first| *first.key() <= now)?;
            let (at, Time { number, slots }) = first.remove_entry();
            match slots {
                Slots::One(timer) => return Some((Entry(at, number, 0), timer)),
                Slots::Many(many) => self.running = Some((at, number, many.into_iter().enumerate())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    fn timers() -> Timers<u64> {
        Timers { times: BTreeMap::new(), latest: 0, running: None, wakes_at: None }
    }

    fn at(second: u64) -> PackedInstant {
        PackedInstant::from(Instant::now()).after(Duration::from_secs(1_000 + second)).before(Duration::ZERO)
    }

    fn slots(timers: &Timers<u64>) -> usize {
        timers.times.values().map(|time| time.slots.len()).sum()
    }

    #[test]
    fn timers_run_in_the_order_of_their_times() {
        let (mut timers, first) = (timers(), at(0));
        for timer in [3_u64, 1, 2, 1, 3] {
            timers.add(first.after(Duration::from_secs(timer)), timer);
        }
        let soon = first.after(Duration::from_secs(2));
        let ran: Vec<_> = std::iter::from_fn(|| timers.pop(soon)).map(|(_, timer)| timer).collect();
        assert_eq!(ran, [1, 1, 2]);
        let ran: Vec<_> = std::iter::from_fn(|| timers.pop(first.after(Duration::from_secs(9)))).collect();
        assert_eq!(ran.iter().map(|(_, timer)| *timer).collect::<Vec<_>>(), [3, 3]);
        assert!(timers.times.is_empty());
    }

    /// A1: locks that are acquired and released, under leases that end much later, leave nothing in the queue.
    #[test]
    fn a_removed_timer_leaves_nothing() {
        let (mut timers, time) = (timers(), at(0));
        let mut held = std::collections::VecDeque::new();
        for timer in 0..100_000 {
            // Sixty-four at once, and a hundred in a row have the same time.
            held.push_back(timers.add(time.after(Duration::from_millis(timer / 100)), timer));
            if held.len() > 64 {
                timers.remove(held.pop_front().unwrap());
            }
            assert!(slots(&timers) <= 2 * 64 + 1, "{} slots", slots(&timers));
        }
        for entry in held {
            timers.remove(entry);
        }
        assert!(timers.times.is_empty(), "{timers:?}");
    }

    /// A2: an old entry removes no timer that has its time and slot now.
    #[test]
    fn an_old_entry_removes_no_other_timer() {
        let (mut timers, time) = (timers(), at(0));
        let old = [timers.add(time, 1), timers.add(time, 2)];
        assert_eq!(timers.pop(time), Some((old[0], 1)));
        // The time has come and is out of the tree. Timers that are added now get another time in the tree.
        let new = [timers.add(time, 3), timers.add(time, 4)];
        timers.remove(old[0]);
        timers.remove(old[1]);
        assert_eq!(timers.pop(time), Some((old[1], 2)), "it runs all the same, with its entry (A3)");
        assert_eq!(
            (timers.pop(time), timers.pop(time), timers.pop(time)),
            (Some((new[0], 3)), Some((new[1], 4)), None)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_runs_timers_when_they_are_due() {
        let timers = TimerQueue::new();
        let begun = Instant::now();
        let removed = timers.add(begun + Duration::from_secs(1), 1);
        timers.add(begun + Duration::from_secs(2), 2);
        timers.remove(removed);
        let done = Mutex::new(Vec::new());
        timers
            .run(|_, timer| {
                done.lock().push((timer, begun.elapsed().as_secs()));
                if timer == 2 {
                    timers.add(begun + Duration::from_secs(1), 3);
                } else {
                    timers.end();
                }
            })
            .await;
        assert_eq!(*done.lock(), [(2, 2), (3, 2)]);
    }
}
