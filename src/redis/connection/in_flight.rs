//! [`InFlight`]: what is on its way, in the order in which it was sent.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::{MaybeDone, maybe_done};
use tokio::task::coop::{Unconstrained, unconstrained};

type Flight<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Futures that are begun when they are added, and whose outputs come out in that order.
///
/// One connection answers in the order in which it was asked, so only the first is ever looked at. A collection that
/// serves its members in any order, like those of `futures-util`, wakes its own task whenever it has polled all of
/// them: two more switches of threads for each command.
pub(super) struct InFlight<T> {
    flights: VecDeque<MaybeDone<Unconstrained<Flight<T>>>>,
}

impl<T> InFlight<T> {
    pub(super) fn new() -> Self {
        Self { flights: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// Adds a future, and polls it once, so that what it sends goes out before what is sent by later ones. Whether it
    /// is done by then.
    ///
    /// It runs without a budget, which would keep it back and let a later one pass it.
    pub(super) fn begin(&mut self, flight: Flight<T>, cx: &mut Context<'_>) -> bool {
        let mut flight = maybe_done(unconstrained(flight));
        let done = Pin::new(&mut flight).poll(cx).is_ready();
        self.flights.push_back(flight);
        done
    }

    /// The output of the first. There is none while there is no first.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let Some(first) = self.flights.front_mut() else { return Poll::Pending };
        if Pin::new(&mut *first).poll(cx).is_pending() {
            return Poll::Pending;
        }
        let output = Pin::new(first).take_output();
        self.flights.pop_front();
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

    /// Answers come out in the order of the questions, and nobody is woken who does not have to be.
    #[test]
    fn in_order_and_without_a_wake_up_of_its_own() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut in_flight = InFlight::new();
        assert!(in_flight.poll_next(&mut cx).is_pending());

        let (first, answer) = oneshot::channel();
        assert!(!in_flight.begin(Box::pin(answer), &mut cx));
        let (second, answer) = oneshot::channel();
        assert!(!in_flight.begin(Box::pin(answer), &mut cx));
        assert!(in_flight.poll_next(&mut cx).is_pending());
        assert_eq!(woken.0.load(SeqCst), 0);

        assert_eq!(second.send(2), Ok(()));
        assert!(in_flight.poll_next(&mut cx).is_pending(), "the first is not answered yet");
        assert_eq!(first.send(1), Ok(()));
        assert_eq!(in_flight.poll_next(&mut cx), Poll::Ready(Ok(1)));
        assert_eq!(in_flight.poll_next(&mut cx), Poll::Ready(Ok(2)));
        assert!(in_flight.poll_next(&mut cx).is_pending() && in_flight.is_empty());

        assert!(in_flight.begin(Box::pin(async { Ok(3) }), &mut cx), "known at once");
        assert_eq!(in_flight.poll_next(&mut cx), Poll::Ready(Ok(3)));
    }
}
