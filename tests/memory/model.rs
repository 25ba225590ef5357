//! Locks in memory against a plain model, with a paused clock.
//!
//! The model knows one name at a time: holders with an end and a number each, and a queue. The clock goes on by one
//! millisecond at a time, so that the order of what happens is certain; the provider's waiters are tasks, so that they have
//! to be woken.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orchestrix_locking::{
    DistributedLockProvider, InMemoryLockProvider, LockGuard, LockHandle, LockMode, LockOptions, Release,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::task::{JoinHandle, yield_now};

use crate::evidence::evidence;

#[derive(Debug, Clone)]
enum Step {
    /// With this wait (0: none; `None`: as long as it takes), and these options.
    Acquire {
        name: usize,
        wait: Option<u64>,
        options: Options,
    },
    Release(usize),
    Cancel(usize),
    Extend(usize, u64),
    Leak(usize),
    Advance(u64),
}

/// What a client asks for.
#[derive(Debug, Clone, Copy)]
struct Options {
    mode: LockMode,
    ttl: u64,
    renew: bool,
    /// For how long the lock stays taken at least.
    least: u64,
}

impl Options {
    fn of_the_provider(self) -> LockOptions {
        LockOptions::default()
            .mode(self.mode)
            .ttl(Duration::from_millis(self.ttl))
            .auto_renew(self.renew)
            .at_least(Duration::from_millis(self.least))
    }
}

fn options() -> impl Strategy<Value = Options> {
    let mode = prop_oneof![
        2 => Just(LockMode::Exclusive),
        2 => Just(LockMode::Shared),
        2 => (1..4_u32).prop_map(LockMode::permits),
    ];
    let least = prop_oneof![3 => Just(0), 1 => 1..60_u64];
    (mode, 10..40_u64, any::<bool>(), least).prop_map(|(mode, ttl, renew, least)| Options { mode, ttl, renew, least })
}

fn step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![Just(Some(0)), (1..40_u64).prop_map(Some), Just(None)];
    prop_oneof![
        4 => (0..2_usize, wait, options()).prop_map(|(name, wait, options)| Step::Acquire { name, wait, options }),
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
    options: Options,
    until: Option<u64>,
    granted: u64,
    ends: Option<u64>,
    standing: Standing,
    number: Option<u32>,
    /// Rises with each grant, except among readers that hold the lock together.
    phase: u64,
}

/// A place that is taken: by a client whose lease has ended or not, or kept until a time, without a holder.
#[derive(Debug, Clone, Copy)]
struct Place {
    client: usize,
    number: u32,
    kept_until: Option<u64>,
}

/// What should be true.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    phase: u64,
    clients: Vec<Client>,
    /// Who has held the name and has not been replaced, expired or not. All of one mode.
    places: [Vec<Place>; 2],
    queues: [VecDeque<usize>; 2],
}

impl Model {
    fn grant(&mut self, client: usize) {
        let Client { name, options, .. } = self.clients[client];
        let places = &mut self.places[name];
        let phase = match places.first() {
            Some(beside) if options.mode == LockMode::Shared => self.clients[beside.client].phase,
            _ => self.phase + 1,
        };
        self.phase = self.phase.max(phase);
        let number = (0..1000).find(|number| places.iter().all(|place| place.number != *number)).unwrap();
        places.push(Place { client, number, kept_until: None });
        let granted = &mut self.clients[client];
        granted.standing = Standing::Held;
        granted.granted = self.now;
        granted.ends = if options.renew { None } else { Some(self.now + options.ttl) };
        granted.number = matches!(options.mode, LockMode::Permits(_)).then_some(number);
        granted.phase = phase;
    }

    /// Whether a client may hold the name beside those that have it.
    fn admits(&self, name: usize, client: usize) -> bool {
        let mode = self.clients[client].options.mode;
        let places = &self.places[name];
        let alike = places.iter().all(|place| self.clients[place.client].options.mode.is_compatible_with(mode));
        places.is_empty()
            || alike
                && match mode {
                    LockMode::Permits(n) => places.len() < n as usize,
                    _ => true,
                }
    }

    /// Gives the name to those in front of the queue that may have it.
    fn serve(&mut self, name: usize) {
        while let Some(next) = self.queues[name].front().copied()
            && self.admits(name, next)
        {
            self.queues[name].pop_front();
            self.grant(next);
        }
    }

    /// Takes the places from those whose leases have ended, and gives them to others.
    fn settle(&mut self, name: usize) {
        let (clients, now) = (&self.clients, self.now);
        self.places[name].retain(|place| match place.kept_until {
            Some(until) => now < until,
            None => clients[place.client].standing == Standing::Held,
        });
        self.serve(name);
    }

    fn acquire(&mut self, name: usize, wait: Option<u64>, options: Options) {
        let client = self.clients.len();
        let until = wait.map(|wait| self.now + wait);
        let standing = Standing::Waiting;
        self.clients.push(Client { name, options, until, granted: 0, ends: None, standing, number: None, phase: 0 });
        self.settle(name);
        if self.queues[name].is_empty() && self.admits(name, client) {
            self.grant(client);
        } else if wait == Some(0) {
            self.clients[client].standing = Standing::Refused;
        } else {
            self.queues[name].push_back(client);
        }
    }

    fn go(&mut self, client: usize) {
        let Client { name, standing, granted, options, .. } = self.clients[client];
        self.clients[client].standing = Standing::Gone;
        self.queues[name].retain(|waiting| *waiting != client);
        let kept_until = granted + options.least;
        let is_kept = standing == Standing::Held && self.now < kept_until;
        for place in &mut self.places[name] {
            if place.client == client && is_kept {
                place.kept_until = Some(kept_until);
            }
        }
        self.places[name].retain(|place| place.client != client || is_kept);
        self.serve(name);
    }

    /// A wait that ends at another time than that of every other waiter. Otherwise it is not certain whether a waiter whose
    /// time is up has the lock because the one before it has just given up.
    fn wait_of_its_own(&self, name: usize, wait: Option<u64>) -> Option<u64> {
        let taken = |wait: &u64| self.queues[name].iter().any(|of| self.clients[*of].until == Some(self.now + *wait));
        wait.map(|wait| if wait == 0 { 0 } else { (wait..wait + 1000).find(|wait| !taken(wait)).unwrap() })
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
            self.serve(name);
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
    fn acquire(&mut self, name: usize, wait: Option<u64>, options: Options) {
        let name = format!("name:{name}").try_into().unwrap();
        let lock = self.provider.create_lock(name, options.of_the_provider()).unwrap();
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
            Step::Acquire { name, wait, options } => {
                let wait = model.wait_of_its_own(name, wait);
                model.acquire(name, wait, options);
                real.acquire(name, wait, options);
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
                    if held && !model.clients[client].options.renew {
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
        if let Some(handle) = &seen.handle {
            prop_assert_eq!((handle.mode(), handle.permit()), (expected.options.mode, expected.number));
        }
    }
    for name in 0..2 {
        let resource = format!("name:{name}").try_into().unwrap();
        let info = real.provider.inspect(&resource);
        let places = &model.places[name];
        prop_assert_eq!(info.is_some(), !places.is_empty(), "name {} at {} ms: {:?}", name, model.now, places);
        let mut tokens: Vec<_> = model
            .clients
            .iter()
            .zip(&real.clients)
            .filter(|(client, _)| client.name == name)
            .filter_map(|(client, (seen, _))| {
                let handle = seen.lock().unwrap().handle.clone()?;
                Some((client.phase, handle.fencing_token().get()))
            })
            .collect();
        tokens.sort_unstable();
        for pair in tokens.windows(2) {
            let ((earlier, lower), (later, higher)) = (pair[0], pair[1]);
            prop_assert_eq!(
                earlier.cmp(&later),
                lower.cmp(&higher),
                "tokens rise with each grant, and readers share one"
            );
        }
        if let Some(info) = info {
            prop_assert_eq!(info.waiters, model.queues[name].len());
            let held = places.iter().filter(|place| model.clients[place.client].standing == Standing::Held).count();
            prop_assert_eq!(info.holders, held, "name {} at {} ms: {:?}", name, model.now, places);
            prop_assert_eq!(Some(info.fencing_token.get()), tokens.last().map(|(_, token)| *token), "the latest token");
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
