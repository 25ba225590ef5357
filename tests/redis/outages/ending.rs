//! Programs that end right after they have dropped a guard: each is a process of its own.

use std::process::Command;
use std::time::{Duration, Instant};

use orchestrix_locking::{LockGuard, RedisLockProvider};
use tokio::runtime::{Builder, Runtime};

use super::scene::{NAME, SOON, keys, lock, patient_provider_at, provider_at};
use crate::support::{Proxy, RedisServer};

const TTL: Duration = Duration::from_secs(30);

/// How the guard of a program is dropped.
const WAYS: [&str; 6] =
    ["in main", "with its provider kept", "in a task", "in fifty tasks", "after its runtime", "an acquire"];

/// What `#[tokio::main]` makes.
fn runtime(flavor: &str) -> Runtime {
    let mut builder =
        if flavor == "current_thread" { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.enable_all().build().unwrap()
}

async fn take(provider: &RedisLockProvider, name: &str) -> LockGuard {
    let taken = lock(provider, name, TTL).try_acquire(Duration::ZERO).await.unwrap();
    taken.unwrap_or_else(|| panic!("{name} is held by a program that has ended"))
}

async fn end_without_end(guard: LockGuard) {
    let _guard = guard;
    std::future::pending::<()>().await;
}

/// Not a test by itself: the program, which the tests below start.
#[test]
#[ignore = "a program of the tests that are beside it"]
fn a_program_that_ends() {
    let Ok(given) = std::env::var("ORCHESTRIX_A_PROGRAM_THAT_ENDS") else { return };
    let [url, flavor, way] = given.split('|').collect::<Vec<_>>().try_into().unwrap();
    let provider = patient_provider_at(url);
    let runtime = runtime(flavor);
    match way {
        "in main" => runtime.block_on(async move {
            let _guard = take(&provider, NAME).await;
        }),
        "with its provider kept" => {
            std::mem::forget(provider.clone());
            runtime.block_on(async { drop(take(&provider, NAME).await) });
        }
        "in a task" => runtime.block_on(async {
            tokio::spawn(end_without_end(take(&provider, NAME).await));
            tokio::task::yield_now().await;
        }),
        "in fifty tasks" => runtime.block_on(async {
            for number in 0..50 {
                tokio::spawn(end_without_end(take(&provider, &format!("{NAME}:{number}")).await));
            }
        }),
        "after its runtime" => {
            let guard = runtime.block_on(take(&provider, NAME));
            drop(runtime);
            drop(guard);
            std::process::exit(0);
        }
        "an acquire" => runtime.block_on(async {
            // So that it is sent at once.
            drop(take(&provider, "another").await);
            let asked = lock(&provider, NAME, TTL);
            tokio::select! {
                biased;
                _ = asked.acquire() => panic!("not at once"),
                () = std::future::ready(()) => {}
            }
        }),
        way => panic!("{way}"),
    }
    drop(runtime);
    // At once, as after a `main` of few words: nothing of the test harness gives anything more time.
    std::process::exit(0);
}

/// Runs the program. Returns how long it took.
fn run(url: &str, flavor: &str, way: &str) -> Duration {
    let begun = Instant::now();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "outages::ending::a_program_that_ends", "--ignored", "--nocapture"])
        .env("ORCHESTRIX_A_PROGRAM_THAT_ENDS", format!("{url}|{flavor}|{way}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{way}, {flavor}: {}", String::from_utf8_lossy(&output.stderr));
    begun.elapsed()
}

/// Runs the program once in every way.
pub(crate) fn run_every_way(url: &str, ended: impl Fn(&str)) {
    for flavor in ["current_thread", "multi_thread"] {
        for way in WAYS {
            run(url, flavor, way);
            ended(way);
        }
    }
}

/// A job that takes its lock without waiting, drops the guard and ends: it runs each time that it is started, and its key
/// is gone when it has ended.
#[test]
fn a_job_that_drops_its_guard_and_ends_runs_six_times_in_a_row() {
    let server = RedisServer::start();
    for flavor in ["current_thread", "multi_thread"] {
        for way in WAYS {
            for number in 0..6 {
                run(&server.url(), flavor, way);
                assert!(keys(&server).is_empty(), "{way}, {flavor}, run {number}: {:?}", keys(&server));
            }
        }
    }
}

/// A server that does not answer keeps a program from its end for the response time-out, not for longer; one that is known
/// to be away does not.
#[test]
fn a_job_ends_though_its_server_does_not_answer() {
    let server = RedisServer::start();
    for flavor in ["current_thread", "multi_thread"] {
        for way in ["silent", "away"] {
            let proxy = Proxy::to(server.port());
            let provider = provider_at(proxy.url());
            let runtime = runtime(flavor);
            let guard = runtime.block_on(take(&provider, way));
            if way == "silent" {
                proxy.stall_answers(true);
            } else {
                drop(proxy);
            }
            runtime.block_on(async {
                if way == "away" {
                    // Until it is known.
                    while lock(&provider, "another", TTL).try_acquire(Duration::ZERO).await.is_ok() {}
                    _ = lock(&provider, "another", TTL).try_acquire(Duration::ZERO).await;
                }
                drop(guard);
            });
            let begun = Instant::now();
            drop(runtime);
            let most = if way == "silent" { Duration::from_secs(1) } else { Duration::ZERO };
            assert!(begun.elapsed() < most + Duration::from_millis(500), "{way}, {flavor}: {:?}", begun.elapsed());
            server.ask::<()>(redis::cmd("DEL").arg(format!("orchestrix:lock:{way}")));
        }
    }
}

/// With nothing pending the end of a runtime takes no time, and begins no thread.
#[test]
fn a_job_that_has_released_its_guard_does_not_wait() {
    let server = RedisServer::start();
    for flavor in ["current_thread", "multi_thread"] {
        let provider = provider_at(server.url());
        let runtime = runtime(flavor);
        runtime.block_on(async {
            take(&provider, NAME).await.release().await.unwrap();
        });
        let connections = || {
            server.cli(&["INFO", "stats"]).lines().find(|line| line.starts_with("total_connections")).map(str::to_owned)
        };
        let before = connections();
        drop(runtime);
        let after = connections();
        assert_eq!(number(before) + 1, number(after), "only the look itself");
        assert!(keys(&server).is_empty());
    }
}

fn number(line: Option<String>) -> u64 {
    line.unwrap().trim().rsplit(':').next().unwrap().parse().unwrap()
}

/// A guard that is held on past the end of a runtime is not released by that, nor is its end waited for.
#[test]
fn a_guard_that_lives_on_is_not_released_by_the_end_of_its_runtime() {
    let server = RedisServer::start();
    for flavor in ["current_thread", "multi_thread"] {
        let provider = provider_at(server.url());
        let runtime = runtime(flavor);
        let guard = runtime.block_on(take(&provider, NAME));
        drop(runtime);
        assert!(guard.is_held() && keys(&server).len() == 1);
        let begun = Instant::now();
        drop(guard);
        assert!(keys(&server).is_empty(), "and is released without one");
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
}
