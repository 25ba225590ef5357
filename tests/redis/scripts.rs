//! The scripts against a plain model: after every step of a random walk the server has what the model has.

use std::collections::{HashMap, VecDeque};

use redis::{Connection, ConnectionLike, Value};

use crate::support::RedisServer;

const INBOXES: &str = "orchestrix:lock:inbox:";
const KEYS: [&str; 3] = ["orchestrix:lock:walk", "{orchestrix:lock:walk}:q", "{orchestrix:lock:walk}:f"];
const STEPS: usize = 4_000;

/// How the crate puts a script together, for one lock or for several.
fn script(body: &str, several: bool) -> redis::Script {
    let body = body
        .replace("--#include grant.lua", include_str!("../../src/redis/script/grant.lua"))
        .replace("--#include queue.lua", include_str!("../../src/redis/script/queue.lua"));
    let framed = if several {
        let body = format!("{}\nend", body.replace("--#for each lock", "local function one()"));
        include_str!("../../src/redis/script/several.lua").replace("--#script", &body)
    } else {
        include_str!("../../src/redis/script/one.lua").replace("--#script", &body)
    };
    redis::Script::new(&format!("{}\n{framed}", include_str!("../../src/redis/script/head.lua")))
}

/// What is asked for beside the lock that is looked at: one of its own, and a key that is no lock's.
const BESIDE: [[&str; 3]; 2] = [
    ["orchestrix:lock:free", "{orchestrix:lock:free}:q", "{orchestrix:lock:free}:f"],
    ["orchestrix:lock:set", "{orchestrix:lock:set}:q", "{orchestrix:lock:set}:f"],
];

struct Scripts {
    connection: Connection,
    /// Each command is one for several locks.
    several: bool,
    acquire: redis::Script,
    renew: redis::Script,
    release: redis::Script,
    undo: redis::Script,
}

impl Scripts {
    fn new(server: &RedisServer) -> Self {
        Self::of(server, false)
    }

    fn of(server: &RedisServer, several: bool) -> Self {
        let mut connection = server.client().get_connection().unwrap();
        redis::cmd("SADD").arg(BESIDE[1][0]).arg("member").exec(&mut connection).unwrap();
        let mut script = |body| {
            let script = script(body, several);
            script.prepare_invoke().load(&mut connection).unwrap();
            script
        };
        let acquire = script(include_str!("../../src/redis/script/acquire.lua"));
        let renew = script(include_str!("../../src/redis/script/renew.lua"));
        let release = script(include_str!("../../src/redis/script/release.lua"));
        let undo = script(include_str!("../../src/redis/script/undo.lua"));
        Self { connection, several, acquire, renew, release, undo }
    }

    /// Runs a script for one lock: the beginning of inboxes, the token, and what the script is told besides.
    fn run(&mut self, script: &redis::Script, arguments: &[&str]) -> Vec<i64> {
        let [inboxes, token, rest @ ..] = arguments else { panic!("an inbox and a token") };
        let mut call = redis::cmd("EVALSHA");
        call.arg(script.get_hash());
        if self.several {
            let beside = "00000000000000cc.beside";
            call.arg(9).arg(&BESIDE[0]).arg(&KEYS).arg(&BESIDE[1]).arg(*inboxes).arg(&[beside, token, beside]);
        } else {
            call.arg(3).arg(&KEYS).arg(*inboxes).arg(*token);
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
            // The usual grant is told by its time alone.
            Value::Int(time) if time > 1_000_000 => vec![1, time, time, 0],
            Value::Int(number) => vec![number],
            answer => redis::from_redis_value(answer).unwrap(),
        }
    }

    fn owner(&mut self) -> Option<String> {
        redis::cmd("GET").arg(KEYS[0]).query(&mut self.connection).unwrap()
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

    fn undo(&mut self, me: &str, alive: impl Fn(&str) -> bool) -> bool {
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

/// S1, S2 and S3: one owner, rising numbers, first come first served among those who are there; two of three
/// processes listen, the third is gone.
#[test]
fn the_scripts_do_what_a_plain_model_does() {
    for seed in 1..=3 {
        walk(seed, false);
    }
}

/// S5: the same for a lock among several, of which one is no lock at all.
#[test]
fn the_scripts_do_the_same_for_a_lock_among_others() {
    for seed in 4..=6 {
        walk(seed, true);
    }
}

fn walk(seed: u64, several: bool) {
    let server = RedisServer::start();
    let mut scripts = Scripts::of(&server, several);
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
        let acquire = scripts.acquire.clone();
        let (renew, release, undo) = (scripts.renew.clone(), scripts.release.clone(), scripts.undo.clone());
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
                let was_owner = model.owner.as_deref() == Some(me);
                let mode = if joins { "m" } else { "n" };
                let answer = scripts.run(&acquire, &[INBOXES, me, "60000", mode, &deadline]);
                assert_eq!(answer[0], model.acquire(me, joins, alive), "acquire, {at}");
                match answer[0] {
                    1 if was_owner => assert_eq!(answer[1], highest, "asking again gives the same number, {at}"),
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
                let answer = scripts.run(&undo, &[INBOXES, me]);
                assert_eq!(answer[0] > 0, model.undo(me, alive), "undo, {at}");
            }
            _ => {
                let answer = scripts.run(&renew, &[INBOXES, me, "60000"]);
                assert_eq!(answer[0] > 0, model.owner.as_deref() == Some(me), "renew, {at}");
            }
        }
        assert_eq!(scripts.owner(), model.owner, "the owner, {at}");
        assert_eq!(scripts.queue(), Vec::from(model.queue.clone()), "the queue, {at}");
        // Whoever is not in the queue any more comes without an entry.
        known.retain(|token, _| model.queue.iter().any(|other| other == token));
        let fence: Option<i64> = redis::cmd("GET").arg(KEYS[2]).query(&mut scripts.connection).unwrap();
        let fence = fence.unwrap_or(0);
        assert!(fence >= highest, "the fence never falls, {at}");
        highest = fence;
    }
}

/// S2: the number goes on above the last one though the server's clock is behind it; and nonsense in the fence's key
/// is overcome.
#[test]
fn numbers_rise_over_a_clock_that_went_back() {
    let server = RedisServer::start();
    let mut scripts = Scripts::new(&server);
    let acquire = scripts.acquire.clone();
    let release = scripts.release.clone();
    let token = "00000000000000aa.00000000000000000000000000000001";
    let ahead = 4_000_000_000_000_000_i64;
    let _: Value = redis::cmd("SET").arg(KEYS[2]).arg(ahead).query(&mut scripts.connection).unwrap();
    for more in 1..=3 {
        let answer = scripts.run(&acquire, &[INBOXES, token, "60000", "m"]);
        assert_eq!(answer[..2], [1, ahead + more], "one more than the last, to the digit");
        scripts.run(&release, &[INBOXES, token]);
    }
    let _: Value = redis::cmd("SET").arg(KEYS[2]).arg("nonsense").query(&mut scripts.connection).unwrap();
    let answer = scripts.run(&acquire, &[INBOXES, token, "60000", "m"]);
    assert!(answer[0] == 1 && answer[1] > 1_700_000_000_000_000, "the clock's number: {answer:?}");
}

/// The fence outlives every lease: whoever is granted the lock finds, or sets, an end that is more than 46 hours away.
#[test]
fn a_fence_in_use_does_not_come_to_its_end() {
    const HOUR: i64 = 3_600_000_000;
    let server = RedisServer::start();
    let mut scripts = Scripts::new(&server);
    let (acquire, release) = (scripts.acquire.clone(), scripts.release.clone());
    let token = "00000000000000aa.00000000000000000000000000000001";
    let cycle = |scripts: &mut Scripts| {
        let granted = scripts.run(&acquire, &[INBOXES, token, "60000", "m"]);
        scripts.run(&release, &[INBOXES, token]);
        let left: i64 = redis::cmd("TTL").arg(KEYS[2]).query(&mut scripts.connection).unwrap();
        (granted, left)
    };
    let (first, left) = cycle(&mut scripts);
    assert_eq!(left, 172_800);
    // As if that grant had been an hour and more ago, and the end had come near since.
    let earlier = first[1] - HOUR;
    redis::cmd("SET").arg(KEYS[2]).arg(earlier).arg("EX").arg(3_600).exec(&mut scripts.connection).unwrap();
    let (again, left) = cycle(&mut scripts);
    assert!(again[1] > first[1]);
    assert_eq!(left, 172_800, "set anew");
    // Within an hour it stays as it is, and the number goes on.
    redis::cmd("EXPIRE").arg(KEYS[2]).arg(169_200).exec(&mut scripts.connection).unwrap();
    let ((last, left), hour) = (cycle(&mut scripts), |granted: &[i64]| granted[1] / HOUR);
    assert!(last[1] > again[1]);
    assert!(left <= 169_200 || hour(&last) > hour(&again), "{left}");
}

/// S4: nobody is told of a grant that was not made. Here it fails for want of a permission, at the last step.
#[test]
fn a_grant_that_fails_is_told_to_nobody() {
    let server = RedisServer::start();
    let mut scripts = Scripts::new(&server);
    let (acquire, release) = (scripts.acquire.clone(), scripts.release.clone());
    let [holder, waiter] = ["aa", "bb"].map(|inbox| format!("00000000000000{inbox}.{:032x}", 1));
    let mut listening = server.client().get_connection().unwrap();
    let mut listening = listening.as_pubsub();
    listening.subscribe(format!("{INBOXES}00000000000000bb")).unwrap();
    assert_eq!(scripts.run(&acquire, &[INBOXES, &holder, "60000", "m"])[0], 1);
    assert_eq!(scripts.run(&acquire, &[INBOXES, &waiter, "60000", "m"])[0], 0);
    server.cli(&["ACL", "SETUSER", "default", "-incrby", "-set"]);
    let mut call = release.prepare_invoke();
    let refused: redis::RedisResult<i64> =
        call.key(&KEYS[..]).arg(INBOXES).arg(&holder).invoke(&mut scripts.connection);
    assert!(refused.is_err(), "{refused:?}");
    server.cli(&["ACL", "SETUSER", "default", "+incrby", "+set"]);
    // A mark behind whatever was published.
    server.cli(&["PUBLISH", &format!("{INBOXES}00000000000000bb"), "the end"]);
    assert_eq!(listening.get_message().unwrap().get_payload::<String>().unwrap(), "the end");
    // Whoever waited asks again, and is granted what nobody has.
    assert_eq!(scripts.run(&acquire, &[INBOXES, &waiter, "60000", "m"])[0], 1);
    assert_eq!(scripts.owner(), Some(waiter));
}

/// S3 after the clock was set back: an entry whose deadline is further away than any is written belongs to nobody who
/// is there, and a free lock does not wait for it. A living one's is written anew when it asks.
#[test]
fn entries_from_before_the_clock_was_set_back_are_in_nobodys_way() {
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
