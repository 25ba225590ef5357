//! [`CallQueue`]: the calls that wait to be sent, in the order in which they are sent.

use std::collections::VecDeque;

use super::call::Call;
use crate::engine::OwnerToken;

/// How many calls are worth a batch of their own while several batches are in flight.
pub(super) const WORTH_A_BATCH: usize = 16;

/// The calls that wait to be sent (K2): those that free or keep a lock before those that acquire one.
#[derive(Debug)]
pub(super) struct CallQueue<K> {
    urgent: VecDeque<Call<K>>,
    acquires: VecDeque<Call<K>>,
    /// How many of the calls in the queue the supervisor was woken for. Never more than there are.
    announced: usize,
}

impl<K> CallQueue<K> {
    pub(super) fn new() -> Self {
        Self { urgent: VecDeque::new(), acquires: VecDeque::new(), announced: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.urgent.len() + self.acquires.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a call waits that frees or keeps a lock.
    pub(super) fn has_urgent(&self) -> bool {
        !self.urgent.is_empty()
    }

    pub(super) fn push_back(&mut self, call: Call<K>) {
        self.of_kind(&call).push_back(call);
    }

    /// Puts calls back that have not run, before all that were enqueued since.
    pub(super) fn put_back(&mut self, calls: Vec<Call<K>>) {
        for call in calls.into_iter().rev() {
            self.of_kind(&call).push_front(call);
        }
    }

    fn of_kind(&mut self, call: &Call<K>) -> &mut VecDeque<Call<K>> {
        if call.command.is_urgent() { &mut self.urgent } else { &mut self.acquires }
    }

    /// Removes the acquire of this token, if it waits and has not run in part.
    pub(super) fn remove_acquire(&mut self, token: OwnerToken) -> Option<Call<K>> {
        let at = self.acquires.iter().position(|call| call.command.token == token && !call.repeated)?;
        let call = self.acquires.remove(at);
        self.announced = self.announced.min(self.len());
        call
    }

    /// Removes the first calls, so many at most, in the order in which they are to be sent.
    pub(super) fn take(&mut self, most: usize) -> Vec<Call<K>> {
        let urgent = self.urgent.len().min(most);
        let acquires = self.acquires.len().min(most - urgent);
        let mut taken = Vec::with_capacity(urgent + acquires);
        taken.extend(self.urgent.drain(..urgent));
        taken.extend(self.acquires.drain(..acquires));
        self.announced = self.announced.min(self.len());
        self.shrink();
        taken
    }

    /// A provider that holds very many locks enqueues as many renewals now and then. Their memory is not kept for the
    /// next time.
    fn shrink(&mut self) {
        const KEPT: usize = 1024;
        for calls in [&mut self.urgent, &mut self.acquires] {
            if calls.is_empty() && calls.capacity() > KEPT {
                *calls = VecDeque::new();
            }
        }
    }

    /// Whether the supervisor has to be woken for what is in the queue: because it has not been since the queue was empty,
    /// or because there is enough now for a batch that goes out beside several others. Notes that it was.
    ///
    /// Calls are enqueued and announced in two steps, and other callers' steps come in between. So what counts is how many
    /// calls were announced, and not that the number of them is a certain one: of two callers that both enqueue before
    /// either announces, none would find one call in the queue.
    #[must_use = "the supervisor is to be woken"]
    pub(super) fn announce(&mut self) -> bool {
        let waiting = self.len();
        let is_first = self.announced == 0 && waiting > 0;
        let is_enough = self.announced < WORTH_A_BATCH && waiting >= WORTH_A_BATCH;
        if is_first || is_enough {
            self.announced = waiting;
        }
        is_first || is_enough
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::time::Duration;

    use super::*;
    use crate::LockMode;
    use crate::engine::InboxId;
    use crate::engine::{Command, Joining, Step};

    const ACQUIRE: Step = Step::Acquire { lease: Duration::from_secs(30), joining: Joining::No, whole: false };

    fn call(kind: usize, step: Step) -> Call<usize> {
        let token = OwnerToken::random(InboxId::random().unwrap(), LockMode::Exclusive).unwrap();
        Call::new(Command { resource: "order:42".try_into().unwrap(), token, step }, kind)
    }

    fn kinds(calls: &[Call<usize>]) -> Vec<usize> {
        calls.iter().map(|call| call.kind).collect()
    }

    #[test]
    fn calls_leave_in_the_order_in_which_they_came_the_urgent_ones_first() {
        let mut queue = CallQueue::new();
        for (kind, step) in [(1, ACQUIRE), (2, Step::Release { keep: None }), (3, ACQUIRE), (4, Step::Check)] {
            queue.push_back(call(kind, step));
        }
        let taken = queue.take(3);
        assert_eq!(kinds(&taken), [2, 4, 1]);
        queue.push_back(call(5, ACQUIRE));
        queue.put_back(taken);
        assert!(queue.has_urgent());
        assert_eq!(kinds(&queue.take(usize::MAX)), [2, 4, 1, 3, 5]);
        assert!(queue.is_empty() && !queue.has_urgent());
    }

    #[test]
    fn only_the_acquire_of_a_token_is_removed() {
        let mut queue = CallQueue::new();
        let (acquire, mut release) = (call(1, ACQUIRE), call(2, Step::Release { keep: None }));
        let token = acquire.command.token;
        release.command.token = token;
        queue.push_back(acquire);
        queue.push_back(release);
        assert_eq!(queue.remove_acquire(token).unwrap().kind, 1);
        assert!(queue.remove_acquire(token).is_none());
        // One that has run in part stays: its caller has to learn of that.
        let mut in_part = call(3, ACQUIRE);
        in_part.repeated = true;
        let token = in_part.command.token;
        queue.push_back(in_part);
        assert!(queue.remove_acquire(token).is_none());
        assert_eq!(kinds(&queue.take(usize::MAX)), [2, 3]);
    }

    #[test]
    fn the_supervisor_is_woken_for_the_first_call_and_once_a_batch_is_worth_it() {
        let mut queue = CallQueue::new();
        let woken_at = |queue: &mut CallQueue<usize>, until: usize| {
            let mut woken = Vec::new();
            while queue.len() < until {
                queue.push_back(call(0, ACQUIRE));
                if queue.announce() {
                    woken.push(queue.len());
                }
            }
            woken
        };
        assert!(!queue.announce(), "nothing waits");
        assert_eq!(woken_at(&mut queue, 2 * WORTH_A_BATCH), [1, WORTH_A_BATCH]);
        queue.take(2 * WORTH_A_BATCH - 1);
        assert!(!queue.announce(), "the one that is left was announced");
        queue.take(1);
        assert_eq!(woken_at(&mut queue, 1), [1]);
    }

    /// What two callers and the supervisor do, each step under the queue's mutex.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Action {
        Enqueue,
        Withdraw,
        Flush,
        Supervise,
    }

    /// Two callers that enqueue and flush, one of which may withdraw in between, beside a supervisor that takes what there
    /// is whenever it is woken: in each order of their steps, nothing is left once the supervisor sleeps.
    #[test]
    fn no_order_of_enqueueing_and_flushing_leaves_a_call_without_a_wake_up() {
        let plain = vec![Action::Enqueue, Action::Flush];
        let withdrawn = vec![Action::Enqueue, Action::Withdraw, Action::Flush];
        let supervisor = vec![Action::Supervise; 2];
        let mut orders = 0;
        for first in [plain.clone(), withdrawn] {
            each_order(&mut [first, plain.clone(), supervisor.clone()], &mut Vec::new(), &mut |order| {
                orders += 1;
                let (mut queue, mut woken, mut tokens) = (CallQueue::new(), false, [None; 2]);
                for &(actor, step) in order {
                    match step {
                        Action::Enqueue => {
                            let call = call(actor, ACQUIRE);
                            tokens[actor] = Some(call.command.token);
                            queue.push_back(call);
                        }
                        Action::Withdraw => drop(queue.remove_acquire(tokens[actor].unwrap())),
                        Action::Flush => woken |= queue.announce(),
                        Action::Supervise if woken => {
                            woken = false;
                            queue.take(usize::MAX);
                        }
                        Action::Supervise => {}
                    }
                }
                assert!(queue.is_empty() || woken, "left without a wake-up: {order:?}");
            });
        }
        assert_eq!(orders, 90 + 210);
    }

    type Order = Vec<(usize, Action)>;

    fn each_order(left: &mut [Vec<Action>; 3], order: &mut Order, look: &mut impl FnMut(&Order)) {
        if left.iter().all(Vec::is_empty) {
            return look(order);
        }
        for actor in 0..left.len() {
            if left[actor].is_empty() {
                continue;
            }
            let step = left[actor].remove(0);
            order.push((actor, step));
            each_order(left, order, look);
            order.pop();
            left[actor].insert(0, step);
        }
    }
}
