//! The scripts against a plain model: after every step of a random walk the server has what the model has.

mod beside;
mod bounds;
mod kept;
mod modes;
mod permits;
mod shared;
mod table;

use std::collections::{HashMap, VecDeque};

use redis::{Connection, ConnectionLike, Value};

use crate::fixtures::{lock, provider_at, soon, until};
use crate::support::RedisServer;

const INBOXES: &str = "orchestrix:lock:inbox:";
const KEYS: [&str; 4] =
    ["orchestrix:lock:walk", "{orchestrix:lock:walk}:q", "{orchestrix:lock:walk}{h}:q", "orchestrix:lock:{}:f"];
const HOLDERS: &str = KEYS[2];
const FENCE: &str = KEYS[3];
const STEPS: usize = 4_000;

/// The files of one version's scripts.
struct Version {
    head: &'static str,
    one: &'static str,
    several: &'static str,
    grant: &'static str,
    holders: &'static str,
    queue: &'static str,
    acquire: &'static str,
    renew: &'static str,
    release: &'static str,
    cancel: &'static str,
    /// It counts the grants of each name apart.
    old: bool,
    /// It knows locks that several hold together.
    modes: bool,
}

macro_rules! version {
    ($folder:literal, old: $old:literal, holders: $holders:expr) => {
        Version {
            head: include_str!(concat!($folder, "/head.lua")),
            one: include_str!(concat!($folder, "/one.lua")),
            several: include_str!(concat!($folder, "/several.lua")),
            grant: include_str!(concat!($folder, "/grant.lua")),
            holders: match $holders {
                Some(text) => text,
                None => "",
            },
            queue: include_str!(concat!($folder, "/queue.lua")),
            acquire: include_str!(concat!($folder, "/acquire.lua")),
            renew: include_str!(concat!($folder, "/renew.lua")),
            release: include_str!(concat!($folder, "/release.lua")),
            cancel: include_str!(concat!($folder, "/cancel.lua")),
            old: $old,
            modes: $holders.is_some(),
        }
    };
}

const PRESENT: Version = version!(
    "../../src/redis/protocol",
    old: false,
    holders: Some(include_str!("../../src/redis/protocol/holders.lua"))
);
const VERSION_0_1: Version = version!("version_0_1", old: true, holders: None::<&str>);
/// The last scripts that know exclusive locks only.
const BEFORE_MODES: Version = version!("before_modes", old: false, holders: None::<&str>);

/// What version 0.1 has in place of the counter of all grants.
const OLD_FENCE: &str = "{orchestrix:lock:walk}:f";

impl Version {
    /// How the crate puts a script together, for one lock or for several.
    fn script(&self, body: &str, several: bool) -> redis::Script {
        let body = body
            .replace("--#include grant.lua", self.grant)
            .replace("--#include holders.lua", self.holders)
            .replace("--#include queue.lua", self.queue);
        let framed = if several {
            let function = if self.old { "local function one()" } else { "local function run()" };
            let body = format!("{}\nend", body.replace("--#for each lock", function));
            self.several.replace("--#script", &body)
        } else if self.old {
            self.one.replace("--#script", &body)
        } else {
            let fence = if self.modes { "KEYS[4]" } else { "KEYS[3]" };
            let keys = [("lock", "KEYS[1]"), ("queue", "KEYS[2]"), ("holders", "KEYS[3]"), ("fence", fence)];
            let body = keys.iter().fold(body, |body, (name, key)| {
                let body = body.replace(&format!(", {name},"), &format!(", {key},"));
                body.replace(&format!(", {name})"), &format!(", {key})"))
            });
            self.one.replace("--#script", &body)
        };
        redis::Script::new(&format!("{}\n{framed}", self.head))
    }
}

/// What is asked for beside the lock that is looked at: one of its own, and a key that is no lock's.
const BESIDE: [[&str; 2]; 2] =
    [["orchestrix:lock:free", "{orchestrix:lock:free}:q"], ["orchestrix:lock:set", "{orchestrix:lock:set}:q"]];

struct Scripts {
    connection: Connection,
    /// Each command is one for several locks.
    several: bool,
    old: bool,
    modes: bool,
    acquire: redis::Script,
    renew: redis::Script,
    release: redis::Script,
    cancel: redis::Script,
}

impl Scripts {
    fn new(server: &RedisServer) -> Self {
        Self::of(server, &PRESENT, false)
    }

    fn of(server: &RedisServer, version: &Version, several: bool) -> Self {
        let mut connection = server.client().get_connection().unwrap();
        redis::cmd("SADD").arg(BESIDE[1][0]).arg("member").exec(&mut connection).unwrap();
        let mut script = |body| {
            let script = version.script(body, several);
            script.prepare_invoke().load(&mut connection).unwrap();
            script
        };
        let acquire = script(version.acquire);
        let renew = script(version.renew);
        let release = script(version.release);
        let cancel = script(version.cancel);
        Self { connection, several, old: version.old, modes: version.modes, acquire, renew, release, cancel }
    }

    /// Runs a script for one lock: the beginning of inboxes, the token, and what the script is told besides.
    fn run(&mut self, script: &redis::Script, arguments: &[&str]) -> Vec<i64> {
        let [inboxes, token, rest @ ..] = arguments else { panic!("an inbox and a token") };
        let mut call = redis::cmd("EVALSHA");
        call.arg(script.get_hash());
        if self.several {
            let beside = "00000000000000cc.beside";
            call.arg(7).arg(&BESIDE[0]).arg(&KEYS[..2]).arg(&BESIDE[1]).arg(FENCE);
            call.arg(*inboxes).arg(&[beside, token, beside]);
        } else if self.old {
            call.arg(3).arg(&KEYS[..2]).arg(OLD_FENCE).arg(*inboxes).arg(*token);
        } else if !self.modes {
            call.arg(3).arg(&KEYS[..2]).arg(FENCE).arg(*inboxes).arg(*token);
        } else {
            call.arg(4).arg(&KEYS).arg(*inboxes).arg(*token);
        }
        for argument in rest {
            call.arg(*argument);
        }
        let mut answer = self.connection.req_command(&call).unwrap();
        if self.several {
            let Value::Array(answers) = answer else { panic!("a list, not {answer:?}") };
            let [free, ours, set]: [Value; 3] = answers.try_into().unwrap();
            assert!(matches!(free, Value::Int(_) | Value::Array(_)), "{free:?}");
            let error = set.extract_error().unwrap_err();
            assert!(error.code() == Some("WRONGTYPE") && error.to_string().contains("script: "), "{error}");
            answer = ours;
        }
        match answer {
            // The usual grant is told by its number alone.
            Value::Int(number) if number > 1_000_000 => vec![1, number, number, 0],
            Value::Int(number) => vec![number],
            answer => redis::from_redis_value(answer).unwrap(),
        }
    }

    fn owner(&mut self) -> Option<String> {
        redis::cmd("GET").arg(KEYS[0]).query(&mut self.connection).unwrap()
    }

    /// The number of the latest grant, of whichever version.
    fn fence(&mut self) -> i64 {
        let counters: Vec<Option<i64>> =
            redis::cmd("MGET").arg(FENCE).arg(OLD_FENCE).query(&mut self.connection).unwrap();
        counters.into_iter().flatten().max().unwrap_or_default()
    }

    fn queue(&mut self) -> Vec<String> {
        let entries: Vec<String> =
            redis::cmd("LRANGE").arg(KEYS[1]).arg(0).arg(-1).query(&mut self.connection).unwrap();
        entries.into_iter().map(|entry| entry.splitn(4, ':').nth(3).unwrap().to_owned()).collect()
    }
}

/// What the lock should be.
#[derive(Default)]
struct Model {
    owner: Option<String>,
    queue: VecDeque<String>,
}

impl Model {
    /// Grants a free lock to the first who is alive, or who asks.
    fn promote(&mut self, me: &str, alive: impl Fn(&str) -> bool) {
        while let Some(first) = self.queue.pop_front() {
            if first == me || alive(&first) {
                self.owner = Some(first);
                return;
            }
        }
    }

    fn acquire(&mut self, me: &str, joins: bool, alive: impl Fn(&str) -> bool) -> i64 {
        if self.owner.as_deref() == Some(me) {
            return 1;
        }
        let stand = |queue: &mut VecDeque<String>| {
            if joins && !queue.iter().any(|other| other == me) {
                queue.push_back(me.to_owned());
            }
        };
        if self.owner.is_none() {
            if !self.queue.is_empty() {
                stand(&mut self.queue);
                self.promote(me, alive);
            }
            if self.owner.is_none() {
                self.owner = Some(me.to_owned());
            }
            if self.owner.as_deref() == Some(me) {
                return 1;
            }
        }
        stand(&mut self.queue);
        if joins { 0 } else { 2 }
    }

    fn release(&mut self, me: &str, alive: impl Fn(&str) -> bool) -> i64 {
        if self.owner.as_deref() != Some(me) {
            return 0;
        }
        self.owner = None;
        self.promote(me, alive);
        1
    }

    fn cancel(&mut self, me: &str, alive: impl Fn(&str) -> bool) -> bool {
        let queued = self.queue.iter().any(|other| other == me);
        self.queue.retain(|other| other != me);
        let owned = self.owner.as_deref() == Some(me);
        if owned {
            self.owner = None;
        }
        if (queued || owned) && self.owner.is_none() {
            self.promote(me, alive);
        }
        queued || owned
    }
}

/// Random numbers of a seed (`SplitMix64`, Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % most as u64).unwrap()
    }
}

/// S1, S2 and S3: one owner, rising numbers, first come first served among live processes; two of three
/// processes listen, the third is gone.
#[test]
fn the_scripts_do_what_a_plain_model_does() {
    for seed in 1..=3 {
        walk(seed, &[(PRESENT, false)]);
    }
}

/// S5: the same for a lock among several, of which one is no lock at all.
#[test]
fn the_scripts_do_the_same_for_a_lock_among_others() {
    for seed in 4..=6 {
        walk(seed, &[(PRESENT, true)]);
    }
}

/// The same while a service is brought up to date process by process: each step is of version 0.1 or of this one. There is
/// one owner, both versions' waiters are served in their turn, and numbers rise from each version to the other.
#[test]
fn the_scripts_do_the_same_beside_those_of_version_0_1() {
    for seed in 7..=9 {
        walk(seed, &[(PRESENT, false), (VERSION_0_1, false)]);
    }
}

/// The same while processes that know exclusive locks only are brought up to date.
#[test]
fn the_scripts_do_the_same_beside_those_that_know_no_modes() {
    for seed in 10..=12 {
        walk(seed, &[(PRESENT, false), (BEFORE_MODES, false)]);
    }
}

fn walk(seed: u64, versions: &[(Version, bool)]) {
    let server = RedisServer::start();
    let mut versions: Vec<_> =
        versions.iter().map(|(version, several)| Scripts::of(&server, version, *several)).collect();
    let mut listening = server.client().get_connection().unwrap();
    let mut listening = listening.as_pubsub();
    for inbox in ["00000000000000aa", "00000000000000bb"] {
        listening.subscribe(format!("{INBOXES}{inbox}")).unwrap();
    }
    let tokens: Vec<String> = ["aa", "bb", "cc"]
        .iter()
        .flat_map(|inbox| (0..3).map(move |number| format!("00000000000000{inbox}.{number:032x}")))
        .collect();
    let alive = |token: &str| !token.starts_with("00000000000000cc");
    let mut random = Random(seed);
    let mut model = Model::default();
    let mut highest = 0;
    let mut known: HashMap<&str, i64> = HashMap::new();
    for step in 0..STEPS {
        let me = tokens[random.below(tokens.len())].as_str();
        let version = random.below(versions.len());
        let scripts = &mut versions[version];
        let acquire = scripts.acquire.clone();
        let (renew, release, cancel) = (scripts.renew.clone(), scripts.release.clone(), scripts.cancel.clone());
        let at = format!("seed {seed}, step {step}, {me}");
        match random.below(8) {
            0..=3 => {
                let joins = random.below(4) > 0;
                // What a process knows of its entry, or nothing right any more.
                let deadline = match (known.get(me), random.below(3)) {
                    (Some(_), 0) => "0".to_owned(),
                    (Some(deadline), _) => deadline.to_string(),
                    (None, _) => String::new(),
                };
                let mode = match (joins, scripts.old) {
                    (true, true) => "m",
                    (true, false) => "m5000",
                    (false, _) => "n",
                };
                let again = scripts.old && model.owner.as_deref() == Some(me);
                let answer = scripts.run(&acquire, &[INBOXES, me, "60000", mode, &deadline]);
                assert_eq!(answer[0], model.acquire(me, joins, alive), "acquire, {at}");
                match answer[0] {
                    1 if again => {}
                    1 => assert!(answer[1] > highest, "numbers rise, {at}"),
                    0 => _ = known.insert(me, answer[3]),
                    _ => {}
                }
            }
            4 | 5 => {
                // Most releases are the owner's.
                let me = model.owner.clone().filter(|_| random.below(4) > 0).unwrap_or_else(|| me.to_owned());
                let answer = scripts.run(&release, &[INBOXES, &me]);
                assert_eq!(answer[0], model.release(&me, alive), "release, {at}");
            }
            6 => {
                let answer = scripts.run(&cancel, &[INBOXES, me]);
                assert_eq!(answer[0] > 0, model.cancel(me, alive), "cancel, {at}");
            }
            _ => {
                let answer = scripts.run(&renew, &[INBOXES, me, "60000"]);
                assert_eq!(answer[0] > 0, model.owner.as_deref() == Some(me), "renew, {at}");
            }
        }
        assert_eq!(scripts.owner(), model.owner, "the owner, {at}");
        assert_eq!(scripts.queue(), Vec::from(model.queue.clone()), "the queue, {at}");
        // A process that is not in the queue any more comes without an entry.
        known.retain(|token, _| model.queue.iter().any(|other| other == token));
        let fence = scripts.fence();
        assert!(fence >= highest, "the fence never falls, {at}");
        highest = fence;
    }
}

/// A server that refuses a message: the lock is free, its waiters keep their places, and no call fails.
#[test]
fn a_refused_message_costs_no_waiter_its_place() {
    let server = RedisServer::start();
    let mut scripts = Scripts::new(&server);
    let (acquire, release) = (scripts.acquire.clone(), scripts.release.clone());
    let tokens = ["a", "b", "c"].map(|process| format!("00000000000000a{process}.{:032x}", 1));
    for token in &tokens {
        scripts.run(&acquire, &[INBOXES, token, "60000", "m5000"]);
    }
    let queue = server.queue_of(KEYS[0]);
    assert_eq!(queue.len(), 2);
    server.cli(&["ACL", "SETUSER", "mute", "on", ">secret", "~*", "&*", "+@all", "-publish"]);
    redis::cmd("AUTH").arg("mute").arg("secret").exec(&mut scripts.connection).unwrap();
    let deadlines: Vec<_> = queue.iter().map(|entry| entry.split(':').next().unwrap()).collect();
    // It would tell the holder that others wait.
    assert_eq!(scripts.run(&acquire, &[INBOXES, &tokens[1], "60000", "m5000", deadlines[0]])[0], 0);
    for (holder, next) in [(0, 1), (1, 2)] {
        assert_eq!(scripts.run(&release, &[INBOXES, &tokens[holder]]), [1]);
        assert_eq!(scripts.owner(), None);
        assert_eq!(server.queue_of(KEYS[0]), queue[next - 1..], "each has its place");
        let asked_again = [INBOXES, &tokens[next], "60000", "m5000", deadlines[next - 1]];
        assert_eq!(scripts.run(&acquire, &asked_again)[0], 1, "it is its turn");
    }
}

/// S2: the number goes on above the last one though the server's clock is behind it; and nonsense in the fence's key
/// is overcome, as its loss is.
#[test]
fn numbers_rise_over_a_clock_that_went_back() {
    let server = RedisServer::start();
    let mut scripts = Scripts::new(&server);
    let acquire = scripts.acquire.clone();
    let release = scripts.release.clone();
    let token = "00000000000000aa.00000000000000000000000000000001";
    let ahead = 4_000_000_000_000_000_i64;
    let _: Value = redis::cmd("SET").arg(FENCE).arg(ahead).query(&mut scripts.connection).unwrap();
    for more in 1..=3 {
        let answer = scripts.run(&acquire, &[INBOXES, token, "60000", "m"]);
        assert_eq!(answer[..2], [1, ahead + more], "one more than the last, to the digit");
        scripts.run(&release, &[INBOXES, token]);
    }
    let clocks = |number: i64| (1_700_000_000_000_000..ahead).contains(&number);
    for nonsense in ["nonsense", "", "inf", "nan", "1e300", "9007199254740992", "99999999999999999999", "-5"] {
        let _: Value = redis::cmd("SET").arg(FENCE).arg(nonsense).query(&mut scripts.connection).unwrap();
        let answer = scripts.run(&acquire, &[INBOXES, token, "60000", "m"]);
        assert!(answer[0] == 1 && clocks(answer[1]), "the clock's number after {nonsense:?}: {answer:?}");
        assert_eq!(scripts.fence(), answer[1], "{nonsense:?}");
        scripts.run(&release, &[INBOXES, token]);
    }
    let _: Value = redis::cmd("DEL").arg(FENCE).query(&mut scripts.connection).unwrap();
    let answer = scripts.run(&acquire, &[INBOXES, token, "60000", "m"]);
    assert!(answer[0] == 1 && clocks(answer[1]), "{answer:?}");
}

/// S2: all names have one counter. Those that are granted in one call have numbers that follow each other, also where the
/// counter is ahead of the clock, and the counter is at the last of them.
#[test]
fn grants_of_one_call_have_numbers_of_their_own() {
    let server = RedisServer::start();
    let mut connection = server.client().get_connection().unwrap();
    let acquire = PRESENT.script(PRESENT.acquire, true);
    acquire.prepare_invoke().load(&mut connection).unwrap();
    let ahead = 4_000_000_000_000_000_i64;
    for before in [None, Some(ahead)] {
        let mut call = redis::cmd("EVALSHA");
        call.arg(acquire.get_hash()).arg(2 * 64 + 1);
        for name in 0..64 {
            call.arg(format!("orchestrix:lock:{name}")).arg(format!("{{orchestrix:lock:{name}}}:q"));
        }
        call.arg(FENCE).arg(INBOXES);
        for token in 0..64 {
            call.arg(format!("00000000000000aa.{token:032x}"));
        }
        if let Some(before) = before {
            redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
            redis::cmd("SET").arg(FENCE).arg(before).exec(&mut connection).unwrap();
        }
        let numbers: Vec<i64> = call.arg(60_000).arg("m5000").query(&mut connection).unwrap();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        assert!(before.is_none_or(|before| numbers[0] == before + 1), "{numbers:?}");
        let counter: i64 = redis::cmd("GET").arg(FENCE).query(&mut connection).unwrap();
        assert_eq!(Some(&counter), numbers.last());
    }
}

/// S4 where memory is full: nothing is granted that cannot be counted. An owner that asks again, since it was not told, is
/// answered, and the lock is handed on.
#[test]
fn full_memory_grants_nothing_new_and_keeps_no_owner_waiting() {
    let server = RedisServer::start();
    let mut scripts = Scripts::new(&server);
    let (acquire, release) = (scripts.acquire.clone(), scripts.release.clone());
    let [holder, waiter] = ["aa", "bb"].map(|inbox| format!("00000000000000{inbox}.{:032x}", 1));
    let mut listening = server.client().get_connection().unwrap();
    let mut listening = listening.as_pubsub();
    listening.subscribe(format!("{INBOXES}00000000000000bb")).unwrap();
    let first = scripts.run(&acquire, &[INBOXES, &holder, "60000", "m5000"]);
    assert_eq!(scripts.run(&acquire, &[INBOXES, &waiter, "60000", "m5000"])[0], 0);
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let again = scripts.run(&acquire, &[INBOXES, &holder, "60000", "m5000"]);
    assert!(again[0] == 1 && again[1] > first[1], "{again:?} after {first:?}");
    assert_eq!(scripts.run(&release, &[INBOXES, &holder]), [1]);
    assert_eq!(scripts.owner(), Some(waiter.clone()));
    assert_eq!(scripts.run(&release, &[INBOXES, &waiter]), [1]);
    let before = scripts.fence();
    let mut call = acquire.prepare_invoke();
    let refused: redis::RedisResult<Value> =
        call.key(&KEYS[..]).arg(INBOXES).arg(&holder).arg(60_000).arg("m5000").invoke(&mut scripts.connection);
    assert_eq!(refused.unwrap_err().code(), Some("OOM"));
    assert_eq!((scripts.owner(), scripts.fence()), (None, before));
}

/// S4: no process is told of a grant that was not made. Here it fails for want of a permission, at the last step.
#[test]
fn a_grant_that_fails_is_not_told() {
    let server = RedisServer::start();
    let mut scripts = Scripts::new(&server);
    let (acquire, release) = (scripts.acquire.clone(), scripts.release.clone());
    let [holder, waiter] = ["aa", "bb"].map(|inbox| format!("00000000000000{inbox}.{:032x}", 1));
    let mut listening = server.client().get_connection().unwrap();
    let mut listening = listening.as_pubsub();
    listening.subscribe(format!("{INBOXES}00000000000000bb")).unwrap();
    assert_eq!(scripts.run(&acquire, &[INBOXES, &holder, "60000", "m"])[0], 1);
    assert_eq!(scripts.run(&acquire, &[INBOXES, &waiter, "60000", "m"])[0], 0);
    server.cli(&["ACL", "SETUSER", "default", "-set"]);
    let mut call = release.prepare_invoke();
    let refused: redis::RedisResult<i64> =
        call.key(&KEYS[..]).arg(INBOXES).arg(&holder).invoke(&mut scripts.connection);
    assert!(refused.is_err(), "{refused:?}");
    server.cli(&["ACL", "SETUSER", "default", "+set"]);
    // A mark behind whatever was published.
    server.cli(&["PUBLISH", &format!("{INBOXES}00000000000000bb"), "the end"]);
    assert_eq!(listening.get_message().unwrap().get_payload::<String>().unwrap(), "the end");
    // The waiter asks again, and is granted the free lock.
    assert_eq!(scripts.run(&acquire, &[INBOXES, &waiter, "60000", "m"])[0], 1);
    assert_eq!(scripts.owner(), Some(waiter));
}

/// A process of version 0.1 and one of this version hand a lock over to each other: each understands what the other tells
/// it, and has the lease that it believes in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_of_version_0_1_and_of_this_one_take_turns() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    let mut old = Scripts::of(&server, &VERSION_0_1, false);
    let (acquire, release) = (old.acquire.clone(), old.release.clone());
    let token = format!("00000000000000aa.{:032x}", 1);
    let mut listening = server.client().get_connection().unwrap();
    let mut listening = listening.as_pubsub();
    listening.subscribe(format!("{INBOXES}00000000000000aa")).unwrap();
    let mut latest = 0;
    for _ in 0..3 {
        let granted = old.run(&acquire, &[INBOXES, &token, "60000", "m"]);
        assert!(granted[0] == 1 && granted[1] > latest, "{granted:?} after {latest}");
        let waiting = lock(&provider, "walk");
        let waiting = tokio::spawn(async move { waiting.acquire().await });
        until("it waits", || server.queue_of(KEYS[0]).len() == 1).await;
        // The process of version 0.1 is told that it is wanted; then it is granted the lock, by the other's release.
        let wanted: String = listening.get_message().unwrap().get_payload().unwrap();
        assert_eq!(wanted, format!("wanted:{token}:{}", KEYS[0]));
        assert_eq!(old.run(&release, &[INBOXES, &token])[0], 1);
        let guard = soon("it is handed to this version", waiting).await.unwrap().unwrap();
        let left = server.pttl(KEYS[0]);
        assert!(guard.remaining().as_millis() <= u128::try_from(left).unwrap(), "no more than the server keeps it for");
        let number = i64::try_from(guard.fencing_token().get() >> 10).unwrap();
        assert!(number > granted[1]);

        assert_eq!(old.run(&acquire, &[INBOXES, &token, "60000", "m"])[0], 0);
        guard.release().await.unwrap();
        let told: String = listening.get_message().unwrap().get_payload().unwrap();
        let parts: Vec<&str> = told.splitn(6, ':').collect();
        let ["granted", fence, time, "0", to, key] = parts[..] else { panic!("{told}") };
        assert_eq!((to, key), (token.as_str(), KEYS[0]));
        latest = fence.parse().unwrap();
        assert!(latest > number && time.parse::<i64>().is_ok(), "{told}");
        assert!(server.pttl(KEYS[0]) > 55_000, "the lease that it asked for, which it counts on");
        assert_eq!(old.run(&release, &[INBOXES, &token])[0], 1);
        assert_eq!((old.owner(), old.queue()), (None, Vec::new()));
    }
}

/// S3 after the clock was set back: an entry whose deadline is further away than any is written belongs to no live
/// process, and a free lock does not wait for it. A living one's is written anew when it asks.
#[test]
fn entries_from_before_the_clock_was_set_back_block_no_waiter() {
    for mode in ["m", "p"] {
        let server = RedisServer::start();
        let mut scripts = Scripts::new(&server);
        let acquire = scripts.acquire.clone();
        let [dead, waiter] = ["cc", "bb"].map(|inbox| format!("00000000000000{inbox}.{:032x}", 1));
        let [seconds, _]: [i64; 2] = redis::cmd("TIME").query(&mut scripts.connection).unwrap();
        let far = (seconds + 3_600) * 1_000;
        let push = format!("{far}:60000:{mode}:{dead}");
        redis::cmd("RPUSH").arg(KEYS[1]).arg(push).exec(&mut scripts.connection).unwrap();
        let answer = scripts.run(&acquire, &[INBOXES, &waiter, "60000", "m"]);
        assert_eq!(answer[0], 1, "granted past an entry of mode {mode}");
        // One who waits, and knows such a deadline as its own, has a present one after it has asked.
        let other = format!("00000000000000aa.{:032x}", 2);
        let push = format!("{far}:60000:m:{other}");
        redis::cmd("RPUSH").arg(KEYS[1]).arg(push).exec(&mut scripts.connection).unwrap();
        let answer = scripts.run(&acquire, &[INBOXES, &other, "60000", "m", &far.to_string()]);
        assert_eq!(answer[0], 0);
        assert!(answer[3] <= (seconds + 60) * 1_000, "{answer:?}");
        assert_eq!(scripts.queue(), [other]);
    }
}
