//! [`Plan`]: what happens in a run, as far as it is decided before the run begins.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use orchestrix_locking::{LockMode, LockOptions};

/// Microseconds since the run began.
pub type Time = u64;

/// A millisecond.
pub const MILLISECOND: Time = 1_000;
/// A second.
pub const SECOND: Time = 1_000_000;

/// Everything that a seed decides but the delays of the network.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// How many servers there are: more than one are a cluster.
    pub servers: usize,
    /// How many resources there are.
    pub resources: usize,
    /// The processes.
    pub processes: Vec<ProcessPlan>,
    /// Faults, in no order.
    pub faults: Vec<Fault>,
    /// How the network is when nothing is wrong with it.
    pub network: Network,
    /// After how long without a reply a connection is given up.
    pub response_timeout: Duration,
}

/// One process.
#[derive(Debug, Clone)]
pub struct ProcessPlan {
    /// By how many millionths its clock is faster than the server's.
    pub drift: i64,
    /// Whether it may publish and is notified.
    pub publishing: bool,
    /// What its tasks do, one after the other.
    pub tasks: Vec<Vec<Operation>>,
}

/// What a task does with one lock.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Which one.
    pub resource: usize,
    /// After how long it begins.
    pub pause: Time,
    /// The options of the lock.
    pub options: LockOptions,
    /// For how long it waits.
    pub wait: Wait,
    /// After how long the caller drops its future, if it has no answer by then.
    pub cancel: Option<Time>,
    /// For how long it holds the lock.
    pub hold: Time,
    /// After which part of the hold it extends the lease, and to what.
    pub extend: Option<(Time, Duration)>,
    /// Whether it waits for the result of its release.
    pub awaits_release: bool,
}

/// For how long a caller waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// So long.
    AtMost(Duration),
    /// Until it has the lock.
    Forever,
}

/// The network's delays.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// The shortest way from a process to the server or back.
    pub shortest: Time,
    /// The longest, usually.
    pub longest: Time,
    /// How many of a thousand messages take longer, and by how much at most.
    pub slow: (u64, Time),
    /// How many of a thousand notifications are lost.
    pub lost_notifications: u64,
    /// How many of a thousand notifications are late, and by how much at most.
    pub late_notifications: (u64, Time),
}

/// Something that goes wrong at a time.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// When.
    pub at: Time,
    /// With which server, if with one. That to which a slot is moved, counted from its present one.
    pub server: usize,
    /// What.
    pub kind: FaultKind,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A process's connection is closed. What it has sent runs so much later, or never; the server notices after a time.
    Cut {
        /// Of which process.
        process: usize,
        /// How many of its commands that are on their way get to the server.
        arriving: usize,
        /// How much later those run.
        late: Time,
        /// After how long the server notices.
        noticed: Time,
    },
    /// What a process sends is lost, or what it is told, or both, until it gives the connection up.
    Silence {
        /// Of which process.
        process: usize,
        /// What it sends is lost.
        requests: bool,
        /// What it is told is lost.
        replies: bool,
        /// If requests are not lost they run so much later.
        late: Time,
    },
    /// A process ends, and another one begins in its place.
    Crash {
        /// Which.
        process: usize,
        /// After how long the server notices.
        noticed: Time,
        /// How much later the commands run that it has sent.
        late: Time,
    },
    /// A process does nothing for a time.
    Pause {
        /// Which.
        process: usize,
        /// For how long.
        time: Time,
    },
    /// The tasks of a process do nothing for a time, while the provider goes on.
    Block {
        /// Of which process.
        process: usize,
        /// For how long.
        time: Time,
    },
    /// The machine of a process is suspended: its monotonic clock stands still.
    Suspend {
        /// Which.
        process: usize,
        /// For how long.
        time: Time,
    },
    /// The provider of a process is closed.
    Close {
        /// Of which process.
        process: usize,
    },
    /// The server does nothing for a time.
    ServerPause {
        /// For how long.
        time: Time,
    },
    /// The server ends and comes back.
    Restart {
        /// After how long.
        time: Time,
        /// Whether with its data.
        keeps_data: bool,
    },
    /// A replica takes the server's place, that lacks the writes of so long.
    Failover {
        /// After how long.
        time: Time,
        /// What is lost.
        lost: Time,
    },
    /// The server forgets its scripts.
    ScriptFlush,
    /// The server's memory is full for a time.
    MemoryFull {
        /// For how long.
        time: Time,
    },
    /// The server is a replica for a time.
    ReadOnly {
        /// For how long.
        time: Time,
    },
    /// The slot of a resource is moved to another server, key by key.
    SlotMove {
        /// Of which resource.
        resource: usize,
        /// How long it takes, roughly.
        time: Time,
    },
    /// The server's clock is set.
    ClockStep {
        /// By how many microseconds.
        by: i64,
    },
}

/// How many kinds there are.
pub const KINDS: usize = 15;

impl FaultKind {
    /// The number of its kind.
    pub fn number(&self) -> usize {
        match self {
            Self::Cut { .. } => 0,
            Self::Silence { .. } => 1,
            Self::Crash { .. } => 2,
            Self::Pause { .. } => 3,
            Self::Block { .. } => 4,
            Self::Suspend { .. } => 5,
            Self::Close { .. } => 6,
            Self::ServerPause { .. } => 7,
            Self::Restart { keeps_data: true, .. } => 8,
            Self::Restart { keeps_data: false, .. } => 9,
            Self::Failover { .. } => 10,
            Self::ScriptFlush => 11,
            Self::MemoryFull { .. } | Self::ReadOnly { .. } => 12,
            Self::ClockStep { .. } => 13,
            Self::SlotMove { .. } => 14,
        }
    }

    /// The names of all kinds, by their numbers.
    pub fn names() -> [&'static str; KINDS] {
        [
            "connection cut",
            "connection silent",
            "process crash",
            "process pause",
            "tasks blocked",
            "machine suspended",
            "provider closed",
            "server pause",
            "restart with data",
            "restart without data",
            "failover",
            "script flush",
            "memory full or read-only",
            "clock step",
            "slot moved",
        ]
    }

    /// Whether the server may forget a lock, or end it early: then two may hold it for a time.
    pub fn breaks_exclusion(&self) -> bool {
        matches!(self, Self::Restart { keeps_data: false, .. } | Self::Failover { .. } | Self::ClockStep { .. })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, server {}", self.kind, self.server)
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed ^ 0x5eed_0000_0000_0000);
        let random = &mut random;
        let resources = pick(random, &[1, 1, 1, 2, 3]);
        let network = network(random);
        let response_timeout = Duration::from_millis(pick(random, &[300, 1_000, 1_000]));
        let style = Style {
            resources,
            ttls: pick(
                random,
                &[
                    &[60, 200, 500][..],
                    &[200, 1_000][..],
                    &[1_000, 3_000][..],
                    &[3_000][..],
                    &[1_000, 10_000, 30_000][..],
                    &[200, 10_000][..],
                ],
            ),
            longest_hold: pick(random, &[2, 20, 200, 3_000]) * MILLISECOND,
            longest_pause: pick(random, &[1, 20, 300]) * MILLISECOND,
        };
        let (processes, drift) = (random.usize(2..=5), pick(random, &[0, 0, 2_000, 9_900]));
        let operations = random.usize(2..=12);
        let most_tasks = pick(random, &[2, 4, 6]);
        let all_publish = random.u32(0..8) > 0;
        let mut processes: Vec<_> = (0..processes)
            .map(|_| ProcessPlan {
                drift: random.i64(-drift..=drift),
                publishing: all_publish || random.bool(),
                tasks: (0..random.usize(1..=most_tasks))
                    .map(|_| (0..random.usize(1..=operations)).map(|_| style.operation(random)).collect())
                    .collect(),
            })
            .collect();
        let mut faults = faults(random, processes.len());
        // By another sequence, so that the rest of a plan is the same for one server and for several.
        let random = &mut Rng::with_seed(seed ^ 0xc105_7e00_0000_0000);
        let servers = pick(random, &[1, 1, 1, 2, 3]);
        if servers > 1 {
            let within = faults.iter().map(|fault| fault.at).max().unwrap_or(0).max(50 * MILLISECOND);
            for fault in &mut faults {
                fault.server = random.usize(0..servers);
                // The servers of a cluster have clocks of their own, and here one time.
                if matches!(fault.kind, FaultKind::ClockStep { .. }) {
                    fault.kind = slot_move(random, resources);
                }
            }
            for _ in 0..random.usize(1..=4) {
                let (at, server) = (random.u64(0..=within), random.usize(0..servers));
                faults.push(Fault { at, server, kind: slot_move(random, resources) });
            }
        }
        choose_modes(&mut Rng::with_seed(seed ^ 0x30de_5000_0000_0000), resources, &mut processes);
        Self { seed, servers, resources, processes, faults, network, response_timeout }
    }

    /// Whether the server may lose its counter of grants, and its clock is set back as well: then fencing tokens may fall.
    /// A counter that was lost goes on from the clock, so that it rises where the clock was only set forward.
    pub fn breaks_fences(&self) -> bool {
        let loses = |kind: &FaultKind| {
            matches!(kind, FaultKind::Restart { keeps_data: false, .. } | FaultKind::Failover { .. })
        };
        self.faults.iter().any(|fault| loses(&fault.kind)) && self.sets_clock_back()
    }

    /// Whether the server's clock is set back. Then notifications come in the order in which the server has written them
    /// among its replies, as they do over one connection: by a clock that was set back a late one cannot be told from a new
    /// one, and its fencing token would be an old one.
    pub fn sets_clock_back(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.kind, FaultKind::ClockStep { by } if by < 0))
    }

    /// How many operations there are.
    pub fn operations(&self) -> usize {
        self.processes.iter().flat_map(|process| &process.tasks).map(Vec::len).sum()
    }

    /// The longest lease that is asked for, or for which a name stays taken.
    pub fn longest_lease(&self) -> Duration {
        let operations = self.processes.iter().flat_map(|process| process.tasks.iter().flatten());
        let leases = operations.flat_map(|operation| {
            let options = operation.options;
            let kept = options.configured_ttl().max(options.configured_at_least());
            [Some(kept), operation.extend.map(|(_, to)| to)].into_iter().flatten()
        });
        leases.max().unwrap_or_default()
    }
}

/// In which modes locks are wanted, and how long they stay taken at least. Some names are used in one mode alone.
fn choose_modes(random: &mut Rng, resources: usize, processes: &mut [ProcessPlan]) {
    use LockMode::{Exclusive, Permits, Shared};
    const SOME: LockMode = Permits(0);
    let kinds: Vec<_> = (0..resources)
        .map(|_| {
            let modes = pick(
                random,
                &[
                    &[Exclusive][..],
                    &[Exclusive],
                    &[Exclusive, Shared, SOME],
                    &[Exclusive, Shared, SOME],
                    &[Exclusive, Shared, Shared, Shared],
                    &[Exclusive, SOME, SOME, SOME, SOME, SOME],
                ],
            );
            (modes, random.u32(1..=3))
        })
        .collect();
    let keeps = random.u32(0..3) == 0;
    for operation in processes.iter_mut().flat_map(|process| process.tasks.iter_mut().flatten()) {
        let Some((modes, permits)) = kinds.get(operation.resource) else { continue };
        let mode = match pick(random, modes) {
            // The limit is being changed.
            Permits(_) if random.u32(0..6) == 0 => Permits(random.u32(1..=3)),
            Permits(_) => Permits(*permits),
            mode => mode,
        };
        operation.options = operation.options.mode(mode);
        let at_least = operation.options.configured_ttl() * random.u32(20..=200) / 100;
        let at_least = at_least.min(Duration::from_secs(10));
        let may_be = operation.options.configured_max_hold().is_none_or(|longest| at_least <= longest);
        if keeps && may_be && random.u32(0..5) == 0 {
            operation.options = operation.options.at_least(at_least);
        }
    }
}

/// What the operations of a run have in common.
struct Style {
    resources: usize,
    ttls: &'static [u64],
    longest_hold: Time,
    longest_pause: Time,
}

impl Style {
    fn operation(&self, random: &mut Rng) -> Operation {
        let ttl = pick(random, self.ttls);
        let mut options = LockOptions::default().ttl(Duration::from_millis(ttl)).auto_renew(random.u32(0..3) > 0);
        if random.u32(0..12) == 0 {
            options = options.max_hold(Some(Duration::from_millis(random.u64(10..=2 * ttl))));
        }
        if random.u32(0..20) == 0 {
            options = options.max_waiters(Some(random.usize(0..=2)));
        }
        let wait = match random.u32(0..10) {
            0..=2 => Wait::No,
            3..=7 => Wait::AtMost(Duration::from_micros(random.u64(1..=4 * self.longest_hold + 200 * MILLISECOND))),
            _ => Wait::Forever,
        };
        let mut hold = random.u64(0..=self.longest_hold);
        // Now and then beyond its lease.
        if random.u32(0..12) == 0 {
            hold = (ttl * MILLISECOND * random.u64(80..=140) / 100).min(20 * SECOND);
        }
        let extend = (random.u32(0..8) == 0).then(|| {
            let to = Duration::from_millis(pick(random, self.ttls) * random.u64(50..=150) / 100);
            (random.u64(0..=hold), to.max(LockOptions::MIN_TTL))
        });
        Operation {
            resource: random.usize(0..self.resources),
            pause: random.u64(0..=self.longest_pause),
            options,
            wait,
            cancel: (random.u32(0..6) == 0).then(|| random.u64(0..=self.longest_hold + 5 * MILLISECOND)),
            hold,
            extend,
            awaits_release: random.u32(0..4) > 0,
        }
    }
}

fn network(random: &mut Rng) -> Network {
    let (shortest, longest) = pick(random, &[(20, 100), (20, 1_000), (100, 300), (1_000, 5_000), (5_000, 60_000)]);
    let slow = (pick(random, &[0, 5, 50]), pick(random, &[5, 100, 1_500]) * MILLISECOND);
    Network {
        shortest,
        longest,
        slow,
        lost_notifications: pick(random, &[0, 0, 20, 200]),
        late_notifications: (pick(random, &[0, 0, 50, 300]), pick(random, &[10, 300, 900]) * MILLISECOND),
    }
}

fn faults(random: &mut Rng, processes: usize) -> Vec<Fault> {
    let count = pick(random, &[0, 2, 4, 8, 8, 16]);
    // Two seeds of three have none that break exclusion.
    let may_break = random.u32(0..3) == 0;
    let within = pick(random, &[50, 500, 5_000]) * MILLISECOND;
    let mut faults = Vec::new();
    while faults.len() < count {
        let fault = Fault { at: random.u64(0..=within), server: 0, kind: fault(random, processes) };
        if may_break || !fault.kind.breaks_exclusion() {
            faults.push(fault);
        }
    }
    faults
}

fn slot_move(random: &mut Rng, resources: usize) -> FaultKind {
    let span = pick(random, &[1, 10, 100, 1_000]) * MILLISECOND;
    FaultKind::SlotMove { resource: random.usize(0..resources), time: random.u64(1..=span) }
}

fn fault(random: &mut Rng, processes: usize) -> FaultKind {
    let process = random.usize(0..processes);
    let span = pick(random, &[1, 10, 100, 1_000, 4_000]) * MILLISECOND;
    let time = random.u64(1..=span);
    let late = if random.bool() { 0 } else { random.u64(0..=3 * SECOND) };
    let noticed = if random.bool() { 0 } else { random.u64(0..=3 * SECOND) };
    match random.u32(0..40) {
        0..=5 => FaultKind::Cut { process, arriving: random.usize(0..=3), late, noticed },
        6..=10 => {
            let requests = random.bool();
            FaultKind::Silence { process, requests, replies: !requests || random.bool(), late }
        }
        11..=13 => FaultKind::Crash { process, noticed, late },
        14..=15 => FaultKind::Pause { process, time },
        16..=17 => FaultKind::Block { process, time },
        18..=23 => FaultKind::Suspend { process, time: time + 11 * MILLISECOND },
        24 => FaultKind::Close { process },
        25..=26 => FaultKind::ServerPause { time },
        27 => FaultKind::Restart { time, keeps_data: true },
        28..=29 => FaultKind::Restart { time, keeps_data: false },
        30 => FaultKind::Failover { time, lost: random.u64(0..=SECOND) },
        31 => FaultKind::ScriptFlush,
        32..=35 => FaultKind::MemoryFull { time },
        36 => FaultKind::ReadOnly { time },
        _ => {
            let by = i64::try_from(pick(random, &[10, 1_000, 60_000]) * MILLISECOND).unwrap_or(0);
            FaultKind::ClockStep { by: random.i64(-by..=by) }
        }
    }
}

fn pick<T: Copy>(random: &mut Rng, among: &[T]) -> T {
    // A choice among nothing is a mistake in this file.
    #[expect(clippy::indexing_slicing, reason = "the number is less than the length")]
    among[random.usize(0..among.len())]
}
