//! Two processes on one hot key, killed and started again at random moments.
//!
//! Each process writes what it believes as lines of a file of its own; then the lines of all of them are checked. A
//! killed process has written everything that it believed until then, since each line is written at once.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use orchestrix_locking::{LockGuard, LockOptions};
use tokio::time::sleep;

use crate::fixtures::{Random, lock_with, provider_at};
use crate::support::{RedisServer, TemporaryDirectory};

const TTL: Duration = Duration::from_millis(800);

/// How long a process that was started may take until it holds the lock for the first time.
const START: Duration = Duration::from_secs(10);

/// Nanoseconds by the one clock that all processes of the machine share.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

/// A line: what, which hold, when, and until when it is certain.
fn write(file: &mut File, what: &str, guard: &LockGuard) {
    // The clock first: a lock that is held after that was held then.
    let (at, left) = (now(), guard.remaining());
    if guard.is_held() {
        let line = format!("{what} {} {at} {}\n", guard.fencing_token().get(), at + left.as_nanos());
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Not a test by itself: one of the processes, which the test below starts. Ends when its standard input does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of the test that is beside it"]
async fn one_of_the_processes() {
    let Ok(given) = std::env::var("ORCHESTRIX_ONE_OF_THE_PROCESSES") else { return };
    let [url, path, seed] = given.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let mut random = Random::of(seed.parse().unwrap());
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let input_ended = std::sync::Arc::clone(&ended);
    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines() {}
        input_ended.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    let provider = provider_at(url);
    let lock = lock_with(&provider, "hot", LockOptions::default().ttl(TTL));
    while !ended.load(std::sync::atomic::Ordering::SeqCst) {
        let guard = lock.acquire().await.unwrap();
        write(&mut file, "granted", &guard);
        match random.below(40) {
            // Long enough to be renewed.
            0 => {
                for _ in 0..4 {
                    sleep(TTL / 6).await;
                    write(&mut file, "still", &guard);
                }
            }
            1..10 => {}
            _ => sleep(Duration::from_micros(random.below(8_000))).await,
        }
        write(&mut file, "done", &guard);
        if random.below(3) == 0 {
            drop(guard);
        } else {
            guard.release().await.unwrap();
        }
    }
}

/// One hold, as its process believed in it.
#[derive(Debug, Clone, Copy)]
struct Hold {
    process: usize,
    fence: u64,
    granted: u128,
    /// When it was given back; or, if its process was killed, until when it was certain.
    certain_until: u128,
}

/// The holds that the lines of one process tell of.
fn holds(process: usize, path: &Path) -> Vec<Hold> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut holds: Vec<Hold> = Vec::new();
    for line in text.lines() {
        let [what, fence, at, until] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let (fence, at, until): (u64, u128, u128) =
            (fence.parse().unwrap(), at.parse().unwrap(), until.parse().unwrap());
        if what == "granted" {
            holds.push(Hold { process, fence, granted: at, certain_until: until });
        } else {
            let hold = holds.last_mut().filter(|hold| hold.fence == fence).expect("of a hold that was granted");
            hold.certain_until = if what == "done" { at } else { until };
        }
    }
    holds
}

/// Starts and kills one process, again and again.
struct Process {
    child: Child,
    path: PathBuf,
}

impl Process {
    fn start(server: &RedisServer, directory: &Path, number: usize, random: &mut Random) -> Self {
        let path = directory.join(format!("process-{number}"));
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::one_of_the_processes", "--ignored", "--nocapture"])
            .env("ORCHESTRIX_ONE_OF_THE_PROCESSES", format!("{} {} {}", server.url(), path.display(), random.next()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, path }
    }

    /// When it was granted the lock for the first time after this, within a limit.
    async fn granted_after(&self, from: u128, limit: Duration, what: &str) -> Duration {
        loop {
            let text = std::fs::read_to_string(&self.path).unwrap_or_default();
            let last = text.rfind("granted ").and_then(|at| text.get(at..)?.split(' ').nth(2)?.parse::<u128>().ok());
            if last.is_some_and(|last| last > from) {
                return Duration::from_nanos(u64::try_from(now() - from).unwrap());
            }
            assert!(now() - from < limit.as_nanos(), "{what}: it is not granted the lock within {limit:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[tokio::test]
async fn killed_processes_keep_exclusion_and_lose_the_lock_in_time() {
    let seconds = std::env::var("ORCHESTRIX_PROCESSES_SECONDS").map_or(10, |seconds| seconds.parse().unwrap());
    let server = RedisServer::start();
    let directory = TemporaryDirectory::new();
    let mut random = Random::new();
    let mut started = 0;
    let mut start = |random: &mut Random| {
        started += 1;
        Process::start(&server, directory.path(), started - 1, random)
    };
    let mut processes = [start(&mut random), start(&mut random)];
    for process in &processes {
        process.granted_after(now(), START, "a process that was started").await;
    }
    let began = now();
    let (mut kills, mut slowest) = (0, Duration::ZERO);
    while now() - began < Duration::from_secs(seconds).as_nanos() {
        sleep(Duration::from_millis(100 + random.below(900))).await;
        let dead = usize::from(random.below(2) == 0);
        processes[dead].child.kill().unwrap();
        let killed = now();
        kills += 1;
        let limit = TTL + Duration::from_secs(1);
        slowest = slowest.max(processes[1 - dead].granted_after(killed, limit, "the survivor").await);
        processes[dead] = start(&mut random);
        processes[dead].granted_after(killed, START, "a process that was started again").await;
    }
    for process in &mut processes {
        drop(process.child.stdin.take());
        assert!(process.child.wait().unwrap().success(), "it ends by itself, without a panic");
    }
    drop(processes);

    let path = |number| directory.path().join(format!("process-{number}"));
    let mut all: Vec<Hold> = (0..started).flat_map(|number| holds(number, &path(number))).collect();
    all.sort_by_key(|hold| hold.granted);
    let moved = all.windows(2).filter(|pair| pair[0].process != pair[1].process).count();
    println!(
        "{} holds of {started} processes in {seconds} s, {moved} times from one to another; {kills} killed, the \
         survivor had the lock after {slowest:?} at most",
        all.len()
    );
    for pair in all.windows(2) {
        assert!(pair[0].certain_until <= pair[1].granted, "two at a time: {pair:?}");
        assert!(pair[0].fence < pair[1].fence, "fences rise: {pair:?}");
    }
    assert!(all.len() > 100 && moved > 20 && kills >= 3, "enough has happened to be of use");
}
