//! [`InFlight`]: the futures of what is in flight, in the order in which it was sent.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::{MaybeDone, maybe_done};
use tokio::task::coop::{Unconstrained, unconstrained};

type BoxedFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Futures that begin when they are added, and whose outputs come out in that order.
///
/// A server replies in the order in which it was asked, so that only the first future is ever polled. A collection that
/// takes the outputs in any order, like those of `futures-util`, wakes its own task whenever it has polled all of its
/// futures: two more switches of threads for each command.
pub(super) struct InFlight<T> {
    futures: VecDeque<MaybeDone<Unconstrained<BoxedFuture<T>>>>,
}

impl<T> InFlight<T> {
    pub(super) fn new() -> Self {
        Self { futures: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.futures.len()
    }

    /// Adds a future, and polls it once, so that it sends before those that are added later. Returns whether it is done
    /// by then.
    ///
    /// It runs without a budget of tokio's: without budget left it would not send, and a later one would go first.
    pub(super) fn push(&mut self, future: BoxedFuture<T>, cx: &mut Context<'_>) -> bool {
        let mut future = maybe_done(unconstrained(future));
        let done = Pin::new(&mut future).poll(cx).is_ready();
        self.futures.push_back(future);
        done
    }

    /// The output of the first future. Pending while there is none.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let Some(first) = self.futures.front_mut() else { return Poll::Pending };
        if Pin::new(&mut *first).poll(cx).is_pending() {
            return Poll::Pending;
        }
        let output = Pin::new(first).take_output();
        self.futures.pop_front();
        output.map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::{Wake, Waker};

    use tokio::sync::oneshot;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// Outputs come out in the order in which their futures were added, and no task is woken that need not be.
    #[test]
    fn in_order_and_without_a_wake_up_of_its_own() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut in_flight = InFlight::new();
        assert!(in_flight.poll_next(&mut cx).is_pending());

        let (first, answer) = oneshot::channel();
        assert!(!in_flight.push(Box::pin(answer), &mut cx));
        let (second, answer) = oneshot::channel();
        assert!(!in_flight.push(Box::pin(answer), &mut cx));
        assert!(in_flight.poll_next(&mut cx).is_pending());
        assert_eq!(woken.0.load(SeqCst), 0);

        assert_eq!(second.send(2), Ok(()));
        assert!(in_flight.poll_next(&mut cx).is_pending(), "the first is not answered yet");
        assert_eq!(first.send(1), Ok(()));
        assert_eq!(in_flight.poll_next(&mut cx), Poll::Ready(Ok(1)));
        assert_eq!(in_flight.poll_next(&mut cx), Poll::Ready(Ok(2)));
        assert!(in_flight.poll_next(&mut cx).is_pending() && in_flight.len() == 0);

        assert!(in_flight.push(Box::pin(async { Ok(3) }), &mut cx), "known at once");
        assert_eq!(in_flight.poll_next(&mut cx), Poll::Ready(Ok(3)));
    }
}
