//! How the program ends, and what it writes.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use simulation::fleet::{Plan, run};
use simulation::scripts::Scripts;

fn simulation(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulation")).args(words).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// That no seed has failed is no success where there was none.
#[test]
fn without_a_seed_it_fails() {
    let beyond = u64::MAX.to_string();
    for words in [&["--seeds", "0"][..], &["--first", &beyond, "--seeds", "5"]] {
        let output = simulation(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(said(&output).contains("no seed was run"), "{}", said(&output));
    }
}

#[test]
fn without_a_grant_it_fails() {
    let scripts = Scripts::compile().unwrap();
    let mut seeds = 0..1_000;
    let without = seeds.find(|seed| run(&Plan::new(*seed), &scripts, false).counts.granted == 0).unwrap();
    let output = simulation(&["--first", &without.to_string(), "--seeds", "1"]);
    assert_eq!(output.status.code(), Some(1), "seed {without}");
    assert!(said(&output).contains("no lock was granted"), "{}", said(&output));
}

#[test]
fn the_figures_are_written() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("simulation.json");
    let output = simulation(&["--seeds", "20", "--json", path.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    let figures: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(figures.get("seeds"), Some(&20.into()));
    assert_eq!(figures.get("violations"), Some(&0.into()));
    for name in ["operations", "granted", "releases", "events", "scripts", "faults"] {
        assert!(figures.get(name).and_then(Value::as_u64).unwrap() > 0, "{name}");
    }
    let seconds = figures.get("seconds").and_then(Value::as_f64);
    assert!(seconds.is_some_and(|seconds| seconds >= 0.0), "{figures}");
    assert!(figures.get("faults_by_kind").is_some_and(Value::is_object), "{figures}");
}

#[test]
fn figures_that_cannot_be_written_are_a_failure() {
    let directory = env!("CARGO_TARGET_TMPDIR");
    let output = simulation(&["--seeds", "2", "--json", directory]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains(directory), "{}", said(&output));
}
