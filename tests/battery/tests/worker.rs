//! Real workers, without any fault but a kill: what they write down is whole, and they leave nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code, unused_imports, reason = "a part of it is used here")]
#[path = "../src/history/mod.rs"]
mod history;
#[path = "../../support/redis/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use history::{Event, Line, Outcome};
use serde_json::{Value, json};
use support::{RedisServer, TemporaryDirectory};

const TTL: u64 = 400;

/// For what takes a second or two.
const LIMIT: Duration = Duration::from_secs(30);

struct Worker {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    history: PathBuf,
}

impl Worker {
    fn start(process: u32, directory: &Path, locks: &RedisServer, stores: &RedisServer) -> Self {
        let history = directory.join(format!("{process}.jsonl"));
        let load = json!({ "shared": 6, "own": 4, "long": 2, "tasks": 16, "slow": 8, "ttl": TTL, "fencing": true });
        let setup = json!({
            "process": process, "history": history, "locks": locks.url(), "stores": stores.url(),
            "seed": 7, "load": load,
        });
        let mut child = Command::new(env!("CARGO_BIN_EXE_battery"))
            .args(["worker", &setup.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, orders, answers, history }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    /// Waits until it has written so much.
    fn until_written(&self, lines: usize) {
        let begun = Instant::now();
        while std::fs::read_to_string(&self.history).map_or(0, |text| text.lines().count()) < lines {
            assert!(begun.elapsed() < LIMIT, "{lines} lines are not written within {LIMIT:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn quiet(&mut self) -> Value {
        self.order(r#"{"order":"quiet"}"#);
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Ends its input, and it ends well.
    fn end(self) -> String {
        let Self { mut child, orders, history, .. } = self;
        drop(orders);
        assert!(child.wait().unwrap().success());
        std::fs::read_to_string(history).unwrap()
    }

    fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::fs::read_to_string(&self.history).unwrap()
    }
}

fn parse(text: &str) -> Vec<Line> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn by_operation(lines: Vec<Line>) -> BTreeMap<u64, Vec<Event>> {
    let mut operations: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
    for line in lines {
        operations.entry(line.op).or_default().push(line.event);
    }
    operations
}

/// Whether these are the lines of one whole operation.
fn is_whole(events: &[Event]) -> bool {
    let [first, middle @ .., last] = events else { return false };
    let granted = middle.iter().filter(|event| matches!(event, Event::Granted { .. })).count();
    let count = |wanted: fn(&Event) -> bool| middle.iter().filter(|event| wanted(event)).count();
    let answered = count(|event| matches!(event, Event::Extend { .. }))
        == count(|event| matches!(event, Event::Extended { .. }))
        && count(|event| matches!(event, Event::Store { .. })) == count(|event| matches!(event, Event::Stored { .. }));
    match (first, last) {
        (Event::Acquire { .. }, Event::Ended { .. }) => middle.iter().all(|event| *event == Event::Waiting),
        (Event::Acquire { .. }, Event::Release { dropped: true, .. }) => granted == 1 && answered,
        (Event::Acquire { .. }, Event::Released { .. }) => {
            granted == 1 && answered && matches!(middle.last(), Some(Event::Release { dropped: false, .. }))
        }
        (Event::Request { .. }, Event::HandlerEnds { .. }) => {
            matches!(middle, [Event::Handler { .. }, Event::Answered { outcome: Outcome::GivenUp }])
        }
        // The lock was lost while the handler worked, and the task that watched for that could say so before it ended.
        (Event::Request { .. }, Event::Answered { outcome: Outcome::Failed(why) })
            if why.starts_with("Lost") && matches!(middle, [_, Event::Lost { .. }, _]) =>
        {
            matches!(middle, [Event::Handler { .. }, _, Event::HandlerEnds { .. }])
        }
        (Event::Request { .. }, Event::Answered { outcome: Outcome::Failed(_) | Outcome::GivenUp }) => {
            matches!(middle, [] | [Event::Handler { .. }, Event::HandlerEnds { .. }])
        }
        (Event::Request { .. }, Event::Answered { outcome: Outcome::Yes }) => {
            matches!(middle, [Event::Handler { .. }, Event::HandlerEnds { .. }])
        }
        _ => false,
    }
}

/// Two workers for some seconds, then quiet: each operation is there from its first line to its last, in order of
/// time; every kind of step occurs; and the server has no key but fences.
#[test]
fn workers_write_down_everything_and_leave_nothing() {
    let (locks, stores) = (RedisServer::start(), RedisServer::start());
    let directory = TemporaryDirectory::new();
    let mut workers = [1, 2].map(|process| Worker::start(process, directory.path(), &locks, &stores));
    std::thread::sleep(Duration::from_millis(1_500));
    workers[0].order(r#"{"order":"block","milliseconds":600}"#);
    std::thread::sleep(Duration::from_secs(2));
    // One goes on once more, which is no different.
    workers[0].quiet();
    workers[0].order(r#"{"order":"go_on"}"#);
    std::thread::sleep(Duration::from_millis(500));
    let mut kinds = BTreeSet::new();
    for worker in &mut workers {
        let quiet = worker.quiet();
        assert_eq!((&quiet["locks"], &quiet["waiters"]), (&json!(0), &json!(0)), "{quiet}");
        assert!(quiet["operations"].as_u64().unwrap() > 100, "{quiet}");
        println!("{quiet}");
    }
    let left: Vec<String> = locks.keys().into_iter().filter(|key| !key.ends_with("}:f")).collect();
    assert_eq!(left, Vec::<String>::new());
    for worker in workers {
        let text = worker.end();
        assert!(text.ends_with('\n'));
        let lines = parse(&text);
        assert!(lines.is_sorted_by_key(|line| line.at));
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            kinds.insert(line["event"].as_str().unwrap().to_owned());
        }
        let operations = by_operation(lines);
        for (op, events) in &operations {
            assert!(is_whole(events), "operation {op}: {events:#?}");
        }
    }
    let expected = [
        "acquire",
        "waiting",
        "granted",
        "ended",
        "held",
        "extend",
        "extended",
        "lost",
        "release",
        "released",
        "store",
        "stored",
        "request",
        "handler",
        "handler_ends",
        "answered",
    ];
    assert_eq!(kinds, expected.map(str::to_owned).into());
}

/// A worker that is killed has written every line whole, but at most the last, and the other one goes on: whatever
/// the dead one held is free after its lease.
#[test]
fn a_killed_worker_loses_no_line() {
    let (locks, stores) = (RedisServer::start(), RedisServer::start());
    let directory = TemporaryDirectory::new();
    let [killed, mut other] = [1, 2].map(|process| Worker::start(process, directory.path(), &locks, &stores));
    killed.until_written(1_000);
    let text = killed.kill();
    let whole = &text[..=text.rfind('\n').unwrap()];
    let operations = by_operation(parse(whole));
    // Each task is within one operation at most.
    let parts = operations.values().filter(|events| !is_whole(events)).count();
    assert!(parts <= 16, "{parts} operations are not whole");
    assert!(operations.len() > 50, "{} operations", operations.len());
    std::thread::sleep(Duration::from_millis(TTL * 3));
    assert_eq!(other.quiet()["locks"], json!(0));
    other.end();
}
