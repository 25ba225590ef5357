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
    /// When the task looks next. Things come and go much more often than they are due: only one that is due earlier
    /// than this has to wake it, and one that was taken off does not.
    wakes: Option<Instant>,
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
            due: Mutex::new(Due { things: BTreeMap::new(), next: 0, wakes: None }),
            changed: Notify::new(),
            ended: AtomicBool::new(false),
        }
    }

    /// Puts a thing on the agenda.
    pub(super) fn add(&self, at: Instant, thing: T) -> Entry {
        let (entry, sooner) = {
            let mut due = self.due.lock();
            due.next += 1;
            let key = (at, due.next);
            due.things.insert(key, thing);
            let sooner = due.wakes.is_none_or(|wakes| at < wakes);
            if sooner {
                due.wakes = Some(at);
            }
            (Entry(key.0, key.1), sooner)
        };
        if sooner {
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
                let first = due.things.first_key_value().map(|((at, _), _)| *at);
                match first {
                    Some(at) if at <= Instant::now() => {
                        let thing = due.things.pop_first();
                        drop(due);
                        if let Some((_, thing)) = thing {
                            perform(thing);
                        }
                    }
                    next => {
                        due.wakes = next;
                        break next;
                    }
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
