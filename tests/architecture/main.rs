//! Checks of the source tree: dependencies point from higher floors to lower ones, there are no circles, and the core
//! names no backend.
//!
//! The files are read as text and not compiled, so that all features and platforms are included. Names are resolved
//! through re-exports: `use crate::LockError` in a backend is an edge to `src/types/error.rs`, and not to `src/lib.rs`.
//! Code of tests is left out. A method call is no edge: a file depends on an `impl` block in another file only if it
//! names the type.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod circles;
mod fixtures;
mod graph;
mod lexer;
mod parser;
mod resolver;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use circles::Known;
use graph::Graph;

/// The floors, from the highest to the lowest. A part may use the parts on lower floors, and none on its own floor.
/// `middleware` and `provider` are only the public modules that users import.
const FLOORS: &[&[&str]] = &[
    &["middleware", "provider"],
    &["conformance", "fuzz"],
    &["http"],
    &["tower"],
    &["registry"],
    &["memory", "redis"],
    &["engine"],
    &["lock"],
    &["backend"],
    &["telemetry"],
    &["types"],
    &["sync"],
];

/// The parts that must not name a backend, and the backends.
const CORE: &[&str] = &["lock", "backend", "types"];
const BACKENDS: &[&str] = &["memory", "redis"];

/// Known circles that are not resolved yet. A circle that no longer exists must be removed from this list.
const KNOWN: &[Known] = &[];

/// The text of every file under `src`, by its path.
fn sources() -> BTreeMap<String, String> {
    fn read(folder: &Path, name: &str, files: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{name}/{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                read(&entry.path(), &name, files);
            } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
                files.insert(name, fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "src", &mut files);
    files
}

fn graph() -> Graph {
    Graph::of(&sources())
}

/// A checker that finds no edges would find no circles either.
#[test]
fn the_checker_sees_the_tree() {
    let graph = graph();
    assert!(graph.uses("src/lock/guard.rs", "src/types/error.rs"), "through the re-exports of lib.rs and types");
    assert!(graph.uses("src/memory/provider.rs", "src/lock/provider.rs"), "DistributedLockProvider");
    assert!(graph.uses("src/redis/provider.rs", "src/telemetry.rs"), "a module that is named as a whole");
    assert!(graph.edges().count() > 400, "{} edges", graph.edges().count());
}

#[test]
fn nothing_uses_what_stands_above_it() {
    let broken = circles::broken_floors(&graph(), FLOORS);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_core_names_no_backend() {
    let graph = graph();
    let named: Vec<_> = graph
        .edges()
        .filter(|(from, to)| CORE.contains(&circles::part(from)) && BACKENDS.contains(&circles::part(to)))
        .map(|(from, to)| format!("{from} uses {to}"))
        .collect();
    assert!(named.is_empty(), "{}", named.join("\n"));
}

#[test]
fn there_are_no_circles() {
    let broken = circles::broken_rules(&graph(), KNOWN);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
