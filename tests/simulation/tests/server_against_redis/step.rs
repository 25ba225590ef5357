//! What is done in a case.

use fastrand::Rng;

/// Locks, and tokens by their numbers: first the exclusive ones, then the shared ones, then those for permits. The last token
/// looks like none of the crate's.
pub(crate) const LOCKS: usize = 3;
pub(crate) const TOKENS: usize = 13;
const SHARED: usize = 6;
const PERMITS: usize = 9;
/// Few tokens ask most often, so that they meet their own entries and locks.
const OFTEN: [usize; 7] = [0, 1, SHARED, SHARED + 1, PERMITS, PERMITS + 1, PERMITS + 2];
pub(crate) const INBOXES: usize = 3;

/// One step of a case. It means the same whatever was before it, so that others may be left out.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A call of a script, for these locks and the tokens that ask.
    Call {
        call: Call,
        locks: Vec<(usize, usize)>,
        publishes: bool,
    },
    /// A command of another program.
    Command(Vec<String>),
    /// Another program's entries in the queue of a lock.
    Enqueue {
        lock: usize,
        token: usize,
        deadline: i64,
        rest: &'static str,
        count: usize,
    },
    /// Another program's hash in place of a key.
    PutHash(String),
    /// Another program's holders of a lock, whose leases end so long from now.
    Hold {
        lock: usize,
        ends: i64,
        count: usize,
    },
    Subscribe(usize),
    Unsubscribe(usize),
    MemoryFull(bool),
    Replica(bool),
}

#[derive(Debug, Clone)]
pub(crate) enum Call {
    Acquire { lease: &'static str, mode: String, known: Known },
    Release { keep: Option<&'static str> },
    Renew { lease: &'static str, exactly: bool },
    Cancel { known: Option<(Known, &'static str)>, keep: Option<&'static str> },
}

/// The deadline of an entry in the queue, as far as the caller knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Known {
    Nothing,
    /// As the last acquire of that lock and token was answered.
    AsAnswered,
    /// In milliseconds from now.
    FromNow(i64),
    Odd(&'static str),
}

pub(crate) fn lock_key(lock: usize) -> String {
    format!("p:{}", ["a", "b", "c"][lock])
}

pub(crate) fn queue_key(lock: usize) -> String {
    format!("{{{}}}:q", lock_key(lock))
}

pub(crate) fn holders_key(lock: usize) -> String {
    format!("{{{}}}{{h}}:q", lock_key(lock))
}

pub(crate) const FENCE: &str = "p:{}:f";

pub(crate) fn inbox(client: usize) -> String {
    format!("p:inbox:{client:016x}")
}

pub(crate) fn token(token: usize) -> String {
    if token + 1 == TOKENS {
        return "foreign".to_owned();
    }
    let inbox = token % INBOXES;
    match token {
        ..SHARED => format!("{inbox:016x}.{token:032x}"),
        SHARED..PERMITS => format!("{inbox:016x}.s00000{token:026x}"),
        _ => format!("{inbox:016x}.p{:05x}{token:026x}", token + 1 - PERMITS),
    }
}

pub(crate) fn is_of_another_mode(token: usize) -> bool {
    (SHARED..TOKENS - 1).contains(&token)
}

fn of<T: Copy>(rng: &mut Rng, all: &[T]) -> T {
    all[rng.usize(..all.len())]
}

/// In milliseconds. The short ones end within a case.
const LEASES: [&str; 9] = ["1", "5", "50", "60", "3000", "30000", "30000", "30000", "86400000"];
const ODD_LEASES: [&str; 6] = ["0", "-5", "", "x", "1.5", "9223372036854775807"];
/// From now, in milliseconds: about what an entry lives, half of it, and far from it.
const DEADLINES: [i64; 16] =
    [-100_000, -20_000, -1000, -1, 0, 1, 1000, 1499, 1501, 2999, 3001, 7499, 7501, 14_999, 15_001, 100_000];
const FENCES: [&str; 14] = [
    "",
    "abc",
    "-5",
    "0",
    "1",
    "7.5",
    " 12 ",
    "0x10",
    "1e3",
    "nan",
    "inf",
    "9007199254740990",
    "9007199254740991",
    "99999999999999999999",
];
const ENTRIES: [&str; 6] = ["x", "", ":::", "1:2:m:", "1:2:mm:token", "12345678901234567890:100:m:foreign"];

impl Step {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        match rng.u32(..100) {
            0..30 => Self::call(rng, |rng| Call::Acquire { lease: lease(rng), mode: mode(rng), known: known(rng) }),
            30..50 => Self::call(rng, |rng| Call::Release { keep: keep(rng) }),
            50..60 => Self::call(rng, |rng| Call::Renew { lease: renewal(rng), exactly: rng.bool() }),
            60..70 => Self::call(rng, |rng| Call::Cancel {
                known: rng.bool().then(|| (known(rng), left(rng))),
                keep: keep(rng),
            }),
            70..82 => Self::Subscribe(rng.usize(..INBOXES)),
            82..86 => Self::Unsubscribe(rng.usize(..INBOXES)),
            86..90 => Self::Enqueue {
                lock: rng.usize(..LOCKS),
                token: rng.usize(..TOKENS),
                deadline: of(rng, &DEADLINES),
                rest: of(rng, &["30000:m", "1000:p", "5000:m", "x:m", "1000:z"]),
                count: of(rng, &[1, 1, 1, 2, 70, 600]),
            },
            90..97 => Self::foreign(rng),
            // Seldom for long: what they refuse is not to be all that there is.
            97 => Self::MemoryFull(rng.u32(..4) == 0),
            98 => Self::Replica(rng.u32(..4) == 0),
            _ => Self::Command(vec!["DEL".into(), key(rng)]),
        }
    }

    fn call(rng: &mut Rng, call: impl FnOnce(&mut Rng) -> Call) -> Self {
        let mut locks: Vec<usize> = (0..LOCKS).collect();
        rng.shuffle(&mut locks);
        locks.truncate(of(rng, &[1, 1, 1, 1, 2, 3]));
        let token = |rng: &mut Rng| if rng.bool() { of(rng, &OFTEN) } else { rng.usize(..TOKENS) };
        let locks = locks.into_iter().map(|lock| (lock, token(rng))).collect();
        Self::Call { call: call(rng), locks, publishes: rng.u32(..8) > 0 }
    }

    fn foreign(rng: &mut Rng) -> Self {
        let (lock, queue) = (lock_key(rng.usize(..LOCKS)), queue_key(rng.usize(..LOCKS)));
        let words: Vec<String> = match rng.u32(..13) {
            0 => vec!["SET".into(), lock, "another program's".into(), "NX".into()],
            1 => vec!["SET".into(), lock, token(rng.usize(..TOKENS)), "PX".into(), of(rng, &LEASES).into()],
            2 => vec!["SET".into(), FENCE.into(), of(rng, &FENCES).into()],
            3 => vec!["SET".into(), queue, "text".into()],
            4 => vec!["RPUSH".into(), lock, "entry".into()],
            5 => vec!["RPUSH".into(), FENCE.into(), "entry".into()],
            6 => vec!["PEXPIRE".into(), queue, "50".into()],
            7 => return Self::PutHash(key(rng)),
            8 | 9 => {
                let (ends, count) = (of(rng, &DEADLINES), of(rng, &[1, 1, 3, 300, 600]));
                return Self::Hold { lock: rng.usize(..LOCKS), ends, count };
            }
            10 => vec!["SET".into(), lock, of(rng, &["permits", "shared:7", "shared:", "kept"]).into()],
            11 => vec!["ZADD".into(), queue, "1".into(), "entry".into()],
            _ => vec!["RPUSH".into(), queue, of(rng, &ENTRIES).into()],
        };
        Self::Command(words)
    }
}

fn key(rng: &mut Rng) -> String {
    let lock = rng.usize(..LOCKS);
    match rng.u32(..6) {
        0 => FENCE.to_owned(),
        5 => holders_key(lock),
        1 | 2 => queue_key(lock),
        _ => lock_key(lock),
    }
}

fn lease(rng: &mut Rng) -> &'static str {
    if rng.u32(..25) == 0 { of(rng, &ODD_LEASES) } else { of(rng, &LEASES) }
}

fn keep(rng: &mut Rng) -> Option<&'static str> {
    (rng.u32(..6) == 0).then(|| lease(rng))
}

fn renewal(rng: &mut Rng) -> &'static str {
    if rng.u32(..4) == 0 { "0" } else { lease(rng) }
}

fn mode(rng: &mut Rng) -> String {
    match rng.u32(..20) {
        0..4 => "n".to_owned(),
        4..7 => "p".to_owned(),
        7..9 => "m".to_owned(),
        9 => of(rng, &["", "z", "5", "p7", "n7", "m-5"]).to_owned(),
        _ => format!("m{}", of(rng, &LEASES)),
    }
}

fn known(rng: &mut Rng) -> Known {
    match rng.u32(..20) {
        0..7 => Known::Nothing,
        7..15 => Known::AsAnswered,
        15..19 => Known::FromNow(of(rng, &DEADLINES)),
        _ => Known::Odd(of(rng, &["", "x", "-1", "1e3", "1.5", "99999999999999999999"])),
    }
}

/// What an entry that is left has after its deadline.
fn left(rng: &mut Rng) -> &'static str {
    of(rng, &["30000:m", "5000:m", "1000:p", "30000:p", ""])
}
