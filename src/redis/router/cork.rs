//! [`Corked`]: keeps back what a thread would send, so that several calls go out together.
//!
//! Only flushes of the same thread and the same router are kept back. So no other caller waits, and the flush or the supervisor
//! of another thread may still send what is queued here, earlier than the rest: that costs a command, and nothing else.

use std::cell::RefCell;

thread_local! {
    /// The addresses of the routers that this thread has corked.
    static CORKED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Until it is dropped, [`is_corked`] is true on this thread. Its drop flushes.
pub(super) struct Corked<F: FnMut()> {
    router: usize,
    flush: F,
}

impl<F: FnMut()> Corked<F> {
    pub(super) fn new(router: usize, flush: F) -> Self {
        with(|corked| corked.push(router));
        Self { router, flush }
    }
}

impl<F: FnMut()> Drop for Corked<F> {
    /// Also while a panic unwinds.
    fn drop(&mut self) {
        with(|corked| {
            if let Some(at) = corked.iter().rposition(|router| *router == self.router) {
                corked.remove(at);
            }
        });
        (self.flush)();
    }
}

/// Whether this thread keeps back what it would send over the router at this address.
pub(super) fn is_corked(router: usize) -> bool {
    with(|corked| corked.contains(&router)).unwrap_or(false)
}

/// `None` on a thread that is ending: it keeps nothing back.
fn with<T>(change: impl FnOnce(&mut Vec<usize>) -> T) -> Option<T> {
    CORKED.try_with(|corked| change(&mut corked.borrow_mut())).ok()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn one_router_is_corked_on_one_thread_until_the_outermost_calls_are_done() {
        let flushed = Cell::new(0);
        let flush = || {
            if !is_corked(1) {
                flushed.set(flushed.get() + 1);
            }
        };
        let outer = Corked::new(1, flush);
        let inner = Corked::new(1, flush);
        let other = Corked::new(2, || {});
        assert!(is_corked(1) && is_corked(2) && !is_corked(3));
        assert!(std::thread::spawn(|| !is_corked(1)).join().unwrap_or(false), "another thread sends");
        drop((inner, other));
        assert!(is_corked(1) && !is_corked(2) && flushed.get() == 0);
        drop(outer);
        assert!(!is_corked(1) && flushed.get() == 1);
    }

    #[test]
    #[allow(clippy::panic)]
    fn a_panic_uncorks() {
        let flushed = Cell::new(false);
        let calls = AssertUnwindSafe(|| {
            let _corked = Corked::new(4, || flushed.set(!is_corked(4)));
            panic!("a mistake in a subscriber");
        });
        assert!(catch_unwind(calls).is_err());
        assert!(flushed.get() && !is_corked(4));
    }
}
