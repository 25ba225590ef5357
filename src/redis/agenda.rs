//! [`Agenda`]: what is to be done at which time, for all locks of a provider, by one task.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Things to do, by the time at which they are due.
#[derive(Debug)]
pub(super) struct Agenda<T> {
    due: Mutex<Due<T>>,
    /// The first thing to do is another than the task knows, or the task is to end.
    changed: Notify,
    ended: AtomicBool,
}

#[derive(Debug)]
struct Due<T> {
    things: BTreeMap<(Instant, u64), T>,
    next: u64,
}

/// By which a thing is taken off the agenda again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(Instant, u64);

impl Entry {
    /// When it is due.
    pub(super) fn at(self) -> Instant {
        self.0
    }
}

impl<T> Agenda<T> {
    pub(super) fn new() -> Self {
        Self {
            due: Mutex::new(Due { things: BTreeMap::new(), next: 0 }),
            changed: Notify::new(),
            ended: AtomicBool::new(false),
        }
    }

    /// Puts a thing on the agenda.
    pub(super) fn add(&self, at: Instant, thing: T) -> Entry {
        let (entry, first) = {
            let mut due = self.due.lock();
            due.next += 1;
            let key = (at, due.next);
            due.things.insert(key, thing);
            (Entry(key.0, key.1), due.things.first_key_value().is_some_and(|(first, _)| *first == key))
        };
        if first {
            self.changed.notify_one();
        }
        entry
    }

    /// Takes a thing off the agenda, if it is not done yet.
    pub(super) fn remove(&self, entry: Entry) {
        self.due.lock().things.remove(&(entry.0, entry.1));
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

    /// Does what is due when it is due.
    pub(super) async fn run(&self, mut perform: impl FnMut(T)) {
        while !self.has_ended() {
            let next = loop {
                let mut due = self.due.lock();
                let Some(first) = due.things.first_entry() else { break None };
                let at = first.key().0;
                if at > Instant::now() {
                    break Some(at);
                }
                let thing = first.remove();
                drop(due);
                perform(thing);
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
