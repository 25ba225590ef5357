//! Locks in memory against a plain model, with a paused clock.
//!
//! The model knows one name at a time: a holder with an end, and a queue. The clock goes on by one millisecond at a
//! time, so that the order of what happens is certain; the provider's waiters are tasks, so that they have to be woken.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider, InMemoryLockProvider, LockGuard, LockHandle, LockOptions, Release};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::task::{JoinHandle, yield_now};

use crate::evidence::evidence;

#[derive(Debug, Clone)]
enum Step {
    /// With this wait (0: none; `None`: as long as it takes), lease and renewal.
    Acquire {
        name: usize,
        wait: Option<u64>,
        ttl: u64,
        renew: bool,
    },
    Release(usize),
    Cancel(usize),
    Extend(usize, u64),
    Leak(usize),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![Just(Some(0)), (1..40_u64).prop_map(Some), Just(None)];
    prop_oneof![
        4 => (0..2_usize, wait, 10..40_u64, any::<bool>())
            .prop_map(|(name, wait, ttl, renew)| Step::Acquire { name, wait, ttl, renew }),
        2 => (0..40_usize).prop_map(Step::Release),
        2 => (0..40_usize).prop_map(Step::Cancel),
        1 => (0..40_usize, 10..60_u64).prop_map(|(client, ttl)| Step::Extend(client, ttl)),
        1 => (0..40_usize).prop_map(Step::Leak),
        3 => (1..30_u64).prop_map(Step::Advance),
    ]
}

/// How a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Waiting,
    Held,
    Lost,
    Refused,
    Gone,
}

#[derive(Debug)]
struct Client {
    name: usize,
    ttl: u64,
    renew: bool,
    until: Option<u64>,
    ends: Option<u64>,
    standing: Standing,
}

/// What should be true.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    clients: Vec<Client>,
    /// The client that the name was granted last and that has not been replaced, expired or not.
    holders: [Option<usize>; 2],
    queues: [VecDeque<usize>; 2],
}

impl Model {
    fn grant(&mut self, client: usize) {
        let Client { name, ttl, renew, .. } = self.clients[client];
        self.clients[client].standing = Standing::Held;
        self.clients[client].ends = if renew { None } else { Some(self.now + ttl) };
        self.holders[name] = Some(client);
    }

    /// Gives the name to the next in line, if its holder has gone or expired.
    fn settle(&mut self, name: usize) {
        if let Some(holder) = self.holders[name]
            && self.clients[holder].standing != Standing::Held
        {
            self.holders[name] = None;
            if let Some(next) = self.queues[name].pop_front() {
                self.grant(next);
            }
        }
    }

    fn acquire(&mut self, name: usize, wait: Option<u64>, ttl: u64, renew: bool) {
        let client = self.clients.len();
        let until = wait.map(|wait| self.now + wait);
        self.clients.push(Client { name, ttl, renew, until, ends: None, standing: Standing::Waiting });
        self.settle(name);
        if self.holders[name].is_none() {
            self.grant(client);
        } else if wait == Some(0) {
            self.clients[client].standing = Standing::Refused;
        } else {
            self.queues[name].push_back(client);
        }
    }

    fn go(&mut self, client: usize) {
        let name = self.clients[client].name;
        self.clients[client].standing = Standing::Gone;
        self.queues[name].retain(|waiting| *waiting != client);
        if self.holders[name] == Some(client) {
            self.settle(name);
        }
    }

    /// One millisecond: leases end, then waits.
    fn tick(&mut self) {
        self.now += 1;
        for client in &mut self.clients {
            if client.standing == Standing::Held && client.ends.is_some_and(|ends| ends <= self.now) {
                client.standing = Standing::Lost;
            }
        }
        for name in 0..2 {
            if !self.queues[name].is_empty() {
                self.settle(name);
            }
            let clients = &mut self.clients;
            self.queues[name].retain(|waiting| {
                let client = &mut clients[*waiting];
                let over = client.until.is_some_and(|until| until <= self.now);
                if over {
                    client.standing = Standing::Refused;
                }
                !over
            });
        }
    }
}

/// What is true of a client of the provider.
#[derive(Default)]
struct Seen {
    guard: Option<LockGuard>,
    handle: Option<LockHandle>,
    refused: bool,
    losing: Option<JoinHandle<()>>,
}

struct Real {
    provider: InMemoryLockProvider,
    clients: Vec<(Arc<Mutex<Seen>>, JoinHandle<()>)>,
}

impl Real {
    fn acquire(&mut self, name: usize, wait: Option<u64>, ttl: u64, renew: bool) {
        let options = LockOptions::default().ttl(Duration::from_millis(ttl)).auto_renew(renew);
        let lock = self.provider.create_lock(format!("name:{name}").try_into().unwrap(), options).unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let told = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let guard = lock.try_acquire(wait.map_or(Duration::MAX, Duration::from_millis)).await.unwrap();
            let mut told = told.lock().unwrap();
            told.refused = guard.is_none();
            told.handle = guard.as_ref().map(LockGuard::handle);
            told.losing = guard.as_ref().map(|guard| tokio::spawn(guard.lost()));
            told.guard = guard;
        });
        self.clients.push((seen, task));
    }

    fn guard(&self, client: usize) -> Option<LockGuard> {
        self.clients[client].0.lock().unwrap().guard.take()
    }
}

async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    let mut real = Real { provider: InMemoryLockProvider::new(), clients: Vec::new() };
    for step in steps {
        let known = model.clients.len().max(1);
        match step {
            Step::Acquire { name, wait, ttl, renew } => {
                model.acquire(name, wait, ttl, renew);
                real.acquire(name, wait, ttl, renew);
            }
            Step::Advance(milliseconds) => {
                for _ in 0..milliseconds {
                    model.tick();
                    tokio::time::advance(Duration::from_millis(1)).await;
                    compare(&model, &real).await?;
                }
            }
            _ if model.clients.is_empty() => {}
            Step::Release(client) => {
                let client = client % known;
                if let Some(guard) = real.guard(client) {
                    let held = model.clients[client].standing == Standing::Held;
                    model.go(client);
                    let released = guard.release().await.unwrap();
                    prop_assert_eq!(released, if held { Release::Released } else { Release::AlreadyLost });
                }
            }
            Step::Cancel(client) => {
                let client = client % known;
                if model.clients[client].standing == Standing::Waiting {
                    model.go(client);
                    real.clients[client].1.abort();
                }
            }
            Step::Extend(client, ttl) => {
                let client = client % known;
                if let Some(guard) = real.guard(client) {
                    let held = model.clients[client].standing == Standing::Held;
                    if held && !model.clients[client].renew {
                        model.clients[client].ends = Some(model.now + ttl);
                    }
                    prop_assert_eq!(guard.extend(Duration::from_millis(ttl)).await.unwrap(), held);
                    real.clients[client].0.lock().unwrap().guard = Some(guard);
                }
            }
            Step::Leak(client) => std::mem::forget(real.guard(client % known)),
        }
        compare(&model, &real).await?;
    }
    Ok(())
}

/// Lets the tasks run, and looks.
async fn compare(model: &Model, real: &Real) -> Result<(), TestCaseError> {
    // A hand-over takes one turn, the loss signal's task another.
    for _ in 0..4 {
        yield_now().await;
    }
    for (at, (expected, (seen, task))) in model.clients.iter().zip(&real.clients).enumerate() {
        let seen = seen.lock().unwrap();
        let held = seen.handle.as_ref().is_some_and(LockHandle::is_held);
        let lost = seen.losing.as_ref().is_some_and(JoinHandle::is_finished);
        let waiting = !task.is_finished();
        let found = (waiting, held, lost, seen.refused);
        let wanted = match expected.standing {
            Standing::Waiting => (true, false, false, false),
            Standing::Held => (false, true, false, false),
            Standing::Lost => (false, false, true, false),
            Standing::Refused => (false, false, false, true),
            // Lost before it was released, or not.
            Standing::Gone => (false, false, lost, false),
        };
        prop_assert_eq!(found, wanted, "client {} at {} ms: {:?}", at, model.now, expected);
    }
    for name in 0..2 {
        let resource = format!("name:{name}").try_into().unwrap();
        let info = real.provider.inspect(&resource);
        prop_assert_eq!(info.is_some(), model.holders[name].is_some(), "name {} at {} ms", name, model.now);
        if let (Some(info), Some(holder)) = (info, model.holders[name]) {
            prop_assert_eq!(info.waiters, model.queues[name].len());
            let handle = real.clients[holder].0.lock().unwrap().handle.clone();
            prop_assert_eq!(Some(info.fencing_token), handle.map(|handle| handle.fencing_token()));
            let earlier = model.clients.iter().zip(&real.clients).filter(|(client, _)| client.name == name);
            let highest = earlier
                .filter_map(|(_, (seen, _))| {
                    seen.lock().unwrap().handle.as_ref().map(|handle| handle.fencing_token().get())
                })
                .max();
            prop_assert_eq!(highest, Some(info.fencing_token.get()), "the holder has the highest token");
        }
    }
    Ok(())
}

/// How many have held so far.
static CASES: AtomicU64 = AtomicU64::new(0);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn memory_behaves_like_the_model(steps in vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(steps))?;
        let cases = CASES.fetch_add(1, Relaxed) + 1;
        evidence("proptest", &serde_json::json!({ "cases": cases }));
    }
}
