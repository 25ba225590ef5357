//! Where and with what a run was made.

use std::fmt::Write as _;
use std::process::Command;

/// Of the peers, as they are locked.
const LOCKFILE: &str = include_str!("../Cargo.lock");

pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown").to_owned()
}

/// One paragraph.
pub(crate) fn describe(load_before: &str) -> String {
    let date = output("date", &["-u", "+%Y-%m-%d"]);
    let rustc = output("rustc", &["--version"]);
    let server = output("redis-server", &["--version"]);
    let server = server.split(' ').find_map(|word| word.strip_prefix("v=")).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |pair| pair.1);
    let mut text = format!(
        "{date}; {cores} cores{}{cpu}, {} {}; {}; redis-server {server} over loopback; load average {load_before} \
         before and {} after the run.\nVersions:",
        if cpu.is_empty() { "" } else { " of " },
        std::env::consts::OS,
        std::env::consts::ARCH,
        rustc.split(" (").next().unwrap_or_default(),
        load(),
    );
    let names =
        ["async-redis-lock", "rslock", "distributed-lock-redis", "redis", "lockable", "keyed-lock", "dashmap", "tokio"];
    for (at, name) in names.iter().enumerate() {
        _ = write!(text, "{} {name} {}", if at == 0 { "" } else { "," }, version(name));
    }
    text + "."
}

fn version(name: &str) -> &'static str {
    LOCKFILE
        .split_once(&format!("name = \"{name}\"\nversion = \""))
        .and_then(|(_, rest)| rest.split('"').next())
        .unwrap_or("unknown")
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default().trim().to_owned()
}
