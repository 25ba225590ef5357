//! The floors of the source tree: which file uses which, that there are no circles, and that the core names no backend.
//!
//! The files are read as text and not compiled, so that every feature and every platform counts. Names are resolved through
//! re-exports: `use crate::LockError` in a backend is an edge to `src/types/error.rs`, and not to `src/lib.rs`. What tests
//! use does not count. A call of a method is no name: an `impl` block of another file's type is seen where that type is
//! named, and nowhere else.

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

/// The floors, from the highest to the lowest: what stands on one may use what stands below it, and nothing beside it. The
/// two faces are only names for what users import.
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
    &["mutant"],
];

/// What must not know of any backend, and which those are.
const CORE: &[&str] = &["lock", "backend", "types"];
const BACKENDS: &[&str] = &["memory", "redis"];

/// Circles that are known and have not been untied yet. One that is not there any more has to be taken off this list.
const KNOWN: &[Known] = &[Known {
    folder: "src/redis/connection",
    members: &[
        "batch",
        "call_queue",
        "completed_batch",
        "connect",
        "health",
        "sender",
        "sender_guard",
        "shared",
        "supervisor",
        "supervisor_guard",
        "unanswered",
    ],
}];

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

/// A checker that sees nothing finds no circle.
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
        .filter(|(from, to)| CORE.contains(&circles::room(from)) && BACKENDS.contains(&circles::room(to)))
        .map(|(from, to)| format!("{from} uses {to}"))
        .collect();
    assert!(named.is_empty(), "{}", named.join("\n"));
}

#[test]
fn there_are_no_circles() {
    let broken = circles::broken_rules(&graph(), KNOWN);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
