//! Enqueueing and flushing, over a connection whose server is played by a test.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, RedisConnectionInfo, Value};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Handle;

use super::connect::{ReadyConnection, Signals};
use super::sender::Sender;
use super::sender_guard::SenderGuard;
use super::{Call, Caller, Connection, Node, Redirect, Reply, SupervisorExit};
use crate::engine::{Command, Joining, Step};
use crate::engine::{InboxId, OwnerToken};
use crate::redis::RedisLockOptions;
use crate::redis::discovery::cluster::SlotMap;
use crate::redis::keys::Keys;
use crate::redis::protocol::Publishing;
use crate::{LockMode, Resource};

const ACQUIRE: Step = Step::Acquire { lease: Duration::from_secs(30), joining: Joining::No, whole: false };

#[derive(Default)]
struct Answered {
    /// The numbers of the calls that were answered.
    numbers: Mutex<Vec<u32>>,
    /// How often every call had its reply.
    drained: AtomicUsize,
    connection: Mutex<Weak<Connection<Self>>>,
}

impl Caller for Answered {
    type CallKind = u32;

    fn answered(self: &Arc<Self>, call: Call<u32>, reply: Reply) {
        if let Some(connection) = self.connection.lock().upgrade() {
            assert!(connection.sender.try_lock().is_some(), "a reply is delivered under the mutex of the sender");
        }
        if matches!(reply, Reply::Answered { answer: Value::Int(1), .. }) {
            self.numbers.lock().push(call.kind);
        }
    }

    fn drained(&self) {
        self.drained.fetch_add(1, SeqCst);
    }

    fn notified(self: &Arc<Self>, _node: Node, _message: &str) {}

    fn reconnected(self: &Arc<Self>, _node: Node) {}

    fn redirected(self: &Arc<Self>, _calls: Vec<(Call<u32>, Redirect)>) {}

    fn mapped(self: &Arc<Self>, _map: SlotMap) -> bool {
        false
    }

    fn lost_node(self: &Arc<Self>) {}

    fn supervisor_ended(self: &Arc<Self>, _exit: SupervisorExit) -> bool {
        false
    }
}

/// A connection that is up, and no task that drives it: what goes out is what a flush has sent.
struct Scene {
    connection: Arc<Connection<Answered>>,
    caller: Arc<Answered>,
}

impl Scene {
    async fn new() -> Self {
        let settings = RedisLockOptions::default().settings().unwrap();
        let connection = Arc::new(Connection::new(settings, Keys::new("p:"), InboxId::random().unwrap()));
        let (near, far) = duplex(1 << 16);
        tokio::spawn(answer_each_command(far));
        let (shared, connected) =
            MultiplexedConnection::new_with_config(&RedisConnectionInfo::default(), near, AsyncConnectionConfig::new())
                .await
                .unwrap();
        tokio::spawn(connected);
        let ready = ReadyConnection {
            shared,
            publishing: Publishing::Allowed,
            signals: Arc::new(Signals::default()),
            primary: None,
            in_cluster: false,
            one_lock_per_command: false,
        };
        let generation = connection.task.claim(&Handle::current()).unwrap();
        let caller = Arc::new(Answered::default());
        *caller.connection.lock() = Arc::downgrade(&connection);
        *connection.sender.lock() = Some(Sender::new(&caller, &ready, generation, Waker::noop().clone()));
        Self { connection, caller }
    }

    fn enqueue(&self, number: u32, step: Step) -> OwnerToken {
        let token = OwnerToken::random(self.connection.inbox(), LockMode::Exclusive).unwrap();
        let resource = Resource::try_from(format!("order:{number}")).unwrap();
        self.connection.enqueue(Call::new(Command { resource, token, step }, number));
        token
    }

    fn in_flight(&self) -> usize {
        self.connection.sender.lock().as_ref().unwrap().in_flight.len()
    }

    /// Whether the supervisor was woken since this was asked last.
    fn was_woken(&self) -> bool {
        self.connection.was_woken()
    }

    /// Waits for the replies of the first batch in flight, and returns the numbers of its calls in the order in which they
    /// were answered.
    async fn next_batch(&self) -> Vec<u32> {
        let mut completed = poll_fn(|cx| self.connection.sender.lock().as_mut().unwrap().poll_next(cx)).await;
        completed.deliver(usize::MAX).unwrap();
        self.connection.sender.lock().as_mut().unwrap().end_delivery(super::batch::SendMode::default());
        std::mem::take(&mut *self.caller.numbers.lock())
    }
}

/// Every command is answered with 1. No argument of a command of ours begins with an asterisk.
async fn answer_each_command(mut stream: DuplexStream) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
        let commands = bytes.iter().take(read).filter(|byte| **byte == b'*').count();
        stream.write_all(":1\r\n".repeat(commands).as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_flush_sends_all_that_was_enqueued_as_one_batch() {
    let scene = Scene::new().await;
    scene.enqueue(1, ACQUIRE);
    scene.enqueue(2, Step::Release { keep: None });
    scene.enqueue(3, Step::Release { keep: None });
    assert_eq!(scene.in_flight(), 0, "enqueueing sends nothing");
    scene.connection.flush();
    assert_eq!(scene.in_flight(), 1);
    assert!(scene.connection.is_queue_empty() && !scene.was_woken());
    scene.connection.flush();
    assert_eq!(scene.in_flight(), 1, "nothing was enqueued since");
    assert!(!scene.was_woken());
}

#[tokio::test]
async fn one_call_after_another_is_sent_without_the_supervisor() {
    let scene = Scene::new().await;
    for number in 0..3 {
        scene.enqueue(number, ACQUIRE);
        scene.connection.flush();
        assert_eq!(scene.next_batch().await, [number]);
    }
    assert!(!scene.was_woken() && scene.connection.is_drained());
}

#[tokio::test]
async fn while_a_batch_is_in_flight_a_flush_wakes_the_supervisor_once() {
    let scene = Scene::new().await;
    scene.enqueue(1, ACQUIRE);
    scene.connection.flush();
    for (number, step) in [(2, ACQUIRE), (3, Step::Release { keep: None })] {
        scene.enqueue(number, step);
        scene.connection.flush();
        assert_eq!(scene.was_woken(), number == 2);
    }
    assert_eq!(scene.next_batch().await, [1]);
    scene.connection.sender.lock().as_mut().unwrap().send_queued(&scene.connection);
    assert_eq!(scene.caller.drained.load(SeqCst), 0, "two calls have no reply");
    assert_eq!(scene.next_batch().await, [3, 2], "as one batch, the release first");
    assert_eq!(scene.caller.drained.load(SeqCst), 1);
}

/// The supervisor is deposed while it delivers the replies of a batch: the rest is delivered where a caller may flush.
#[tokio::test]
async fn a_deposed_supervisor_delivers_the_rest_under_no_mutex() {
    let scene = Scene::new().await;
    for number in 0..3 {
        // Of different leases, so that each is a command of its own.
        let lease = Duration::from_secs(30 + u64::from(number));
        scene.enqueue(number, Step::Acquire { lease, joining: Joining::No, whole: false });
    }
    scene.connection.flush();
    let mut completed = poll_fn(|cx| scene.connection.sender.lock().as_mut().unwrap().poll_next(cx)).await;
    assert!(completed.deliver(1).is_none());
    let generation = scene.connection.sender.lock().as_ref().unwrap().generation;
    let guard = SenderGuard::of(&scene.connection, generation);
    assert!(scene.connection.depose(generation));
    guard.keep_undelivered(completed);
    assert_eq!(*scene.caller.numbers.lock(), [0, 1, 2]);
}

/// Both callers have enqueued before either flushes: neither finds exactly one call in the queue.
#[tokio::test]
async fn two_callers_that_enqueue_before_they_flush_wake_the_supervisor() {
    let scene = Scene::new().await;
    let busy = scene.connection.sender.lock();
    scene.enqueue(1, ACQUIRE);
    scene.enqueue(2, ACQUIRE);
    scene.connection.flush();
    assert!(scene.was_woken());
    scene.connection.flush();
    assert!(!scene.was_woken(), "it knows of both");
    drop(busy);
}

/// The flush of the second caller sends both calls; that of the first finds nothing to do.
#[tokio::test]
async fn a_flush_also_sends_what_another_caller_has_enqueued() {
    let scene = Scene::new().await;
    scene.enqueue(1, Step::Release { keep: None });
    scene.enqueue(2, Step::Release { keep: None });
    scene.connection.flush();
    scene.connection.flush();
    assert_eq!(scene.in_flight(), 1);
    assert!(!scene.was_woken());
}

#[tokio::test]
async fn a_flush_from_outside_of_the_supervisors_runtime_wakes_it() {
    let scene = Scene::new().await;
    scene.enqueue(1, ACQUIRE);
    std::thread::scope(|threads| threads.spawn(|| scene.connection.flush()).join().unwrap());
    assert_eq!(scene.in_flight(), 0);
    assert!(scene.was_woken());
}

#[tokio::test]
async fn a_call_is_withdrawn_between_enqueueing_and_the_flush() {
    let scene = Scene::new().await;
    let token = scene.enqueue(1, ACQUIRE);
    drop(scene.connection.withdraw(token).unwrap());
    assert!(scene.connection.is_drained());
    scene.connection.flush();
    assert_eq!(scene.in_flight(), 0);
    assert!(!scene.was_woken());
    scene.enqueue(2, ACQUIRE);
    scene.connection.flush();
    assert_eq!(scene.next_batch().await, [2]);
}
