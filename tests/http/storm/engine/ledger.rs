//! The result of each request, as handlers, the layer and clients saw it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering::SeqCst};

use orchestrix_locking::LockHandle;

use super::plan::KEYS;

pub(super) struct Ledger {
    requests: Vec<Request>,
    keys: Vec<Key>,
    overlaps: AtomicUsize,
    stale: AtomicUsize,
}

#[derive(Default)]
struct Request {
    /// The server received the whole request.
    arrived: AtomicUsize,
    /// The server passed an answer on, and did not drop the request before.
    completed: AtomicUsize,
    ran: AtomicUsize,
    refused: AtomicUsize,
    /// The status, if the client has the whole answer; otherwise 0.
    answered: AtomicU16,
}

#[derive(Default)]
struct Key {
    inside: AtomicUsize,
    /// The highest token so far.
    fence: AtomicU64,
}

impl Ledger {
    pub(super) fn new(requests: usize) -> Self {
        Self {
            requests: (0..requests).map(|_| Request::default()).collect(),
            keys: (0..KEYS).map(|_| Key::default()).collect(),
            overlaps: AtomicUsize::new(0),
            stale: AtomicUsize::new(0),
        }
    }

    /// A handler starts. It is inside until the returned value is dropped.
    pub(super) fn enter(self: &Arc<Self>, id: usize, key: usize, lock: &LockHandle) -> Inside {
        self.requests[id].ran.fetch_add(1, SeqCst);
        if self.keys[key].inside.fetch_add(1, SeqCst) > 0 {
            self.overlaps.fetch_add(1, SeqCst);
        }
        let token = lock.fencing_token().get();
        if self.keys[key].fence.fetch_max(token, SeqCst) >= token || !lock.is_held() {
            self.stale.fetch_add(1, SeqCst);
        }
        Inside { ledger: self.clone(), key }
    }

    pub(super) fn arrived(&self, id: usize) {
        self.requests[id].arrived.fetch_add(1, SeqCst);
    }

    pub(super) fn completed(&self, id: usize) {
        self.requests[id].completed.fetch_add(1, SeqCst);
    }

    pub(super) fn refused(&self, id: usize) {
        self.requests[id].refused.fetch_add(1, SeqCst);
    }

    pub(super) fn answered(&self, id: usize, status: u16) {
        assert_eq!(self.requests[id].answered.swap(status, SeqCst), 0);
    }

    pub(super) fn check(&self) -> Sums {
        let mut sums = Sums { requests: self.requests.len(), ..Sums::default() };
        for (id, request) in self.requests.iter().enumerate() {
            let (ran, refused) = (request.ran.load(SeqCst), request.refused.load(SeqCst));
            let answered = request.answered.load(SeqCst);
            let (arrived, completed) = (request.arrived.load(SeqCst), request.completed.load(SeqCst));
            assert!(
                ran + refused <= arrived && arrived <= 1,
                "request {id}: {arrived} came, {ran} ran, {refused} refused"
            );
            // Every answer comes from a handler or is a refusal. A request without either was cancelled while it waited.
            assert!(completed <= ran + refused, "request {id} has an answer of neither a handler nor the layer");
            let given_up = arrived - ran - refused;
            match answered {
                0 => {}
                200 | 500 => assert_eq!((ran, refused), (1, 0), "request {id} was answered with {answered}"),
                400 | 409 | 429 | 503 => {
                    assert_eq!((ran, refused), (0, 1), "request {id} was answered with {answered}");
                }
                _ => panic!("request {id} was answered with {answered}"),
            }
            sums.ran += ran;
            sums.refused += refused;
            sums.given_up += given_up;
            sums.never += 1 - arrived;
            sums.answered += usize::from(answered != 0);
        }
        assert_eq!(sums.ran + sums.refused + sums.given_up + sums.never, sums.requests);
        assert_eq!(self.overlaps.load(SeqCst), 0, "handlers that were not alone inside");
        assert_eq!(self.stale.load(SeqCst), 0, "handlers without the newest token");
        assert!(self.keys.iter().all(|key| key.inside.load(SeqCst) == 0), "handlers that are inside still");
        // Enough requests of each kind must have occurred.
        if sums.requests >= 1000 {
            let many = sums.requests / 50;
            assert!(
                sums.ran > many
                    && sums.refused > many
                    && sums.given_up > 0
                    && sums.never > many
                    && sums.answered > many,
                "{sums}"
            );
        }
        sums
    }
}

/// Dropped under the lock: at the handler's end, or with the body that it is part of.
pub(super) struct Inside {
    ledger: Arc<Ledger>,
    key: usize,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.ledger.keys[self.key].inside.fetch_sub(1, SeqCst);
    }
}

#[derive(Default)]
pub(super) struct Sums {
    requests: usize,
    ran: usize,
    refused: usize,
    given_up: usize,
    never: usize,
    answered: usize,
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} handler runs + {} refusals + {} given up in the queue + {} that never came = {} requests; \
             {} answers read to the end",
            self.ran, self.refused, self.given_up, self.never, self.requests, self.answered,
        )
    }
}
