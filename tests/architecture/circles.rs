//! The rules: dependencies between floors point one way, and there are no circles.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::Graph;

/// A known circle: its folder, and the files and folders in it that may be part of the circle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) folder: &'static str,
    pub(crate) members: &'static [&'static str],
}

/// The maximum number of files of one folder that may form a circle.
const MOST: usize = 3;

/// The part of `src` that a file belongs to: the name of its folder, or that of a file beside the folders.
pub(crate) fn part(file: &str) -> &str {
    let inside = file.trim_start_matches("src/");
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

/// The edges that lead to a floor which is not below their own.
pub(crate) fn broken_floors(graph: &Graph, floors: &[&[&str]]) -> Vec<String> {
    let floor = |part: &str| floors.iter().position(|floor| floor.contains(&part));
    let mut broken = BTreeSet::new();
    for (from, to) in graph.edges() {
        if part(from) == part(to) {
            continue;
        }
        match (floor(part(from)), floor(part(to))) {
            (Some(above), Some(below)) if above < below => {}
            (Some(_), Some(_)) => _ = broken.insert(format!("{from} uses {to}, which does not stand below it")),
            (None, _) => _ = broken.insert(format!("{} stands on no floor", part(from))),
            (_, None) => _ = broken.insert(format!("{} stands on no floor", part(to))),
        }
    }
    broken.into_iter().collect()
}

/// Circles between folders, circles of too many files in one folder, and known circles that no longer exist.
pub(crate) fn broken_rules(graph: &Graph, known: &[Known]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut seen = vec![false; known.len()];
    for (folder, edges) in folders(graph) {
        let is_folder = |name: &str| graph.edges().any(|(from, _)| from.starts_with(&format!("{folder}/{name}/")));
        for circle in circles(&edges) {
            let is_known =
                |known: &Known| known.folder == folder && circle.iter().all(|name| known.members.contains(name));
            if let Some(at) = known.iter().position(is_known) {
                seen[at] = true;
                continue;
            }
            if folder == "src" || circle.iter().any(|name| is_folder(name)) {
                broken.push(format!("a circle between folders, in {folder}: {}", shown(&circle, &edges)));
            } else if circle.len() > MOST {
                broken.push(format!("a circle of more than {MOST} files, in {folder}: {}", shown(&circle, &edges)));
            }
        }
    }
    let gone = known.iter().zip(seen).filter(|(_, seen)| !seen);
    broken.extend(gone.map(|(known, _)| format!("this circle is gone, so take it off the list: {known:?}")));
    broken
}

fn shown(circle: &BTreeSet<&str>, edges: &BTreeSet<(&str, &str)>) -> String {
    let inside = edges.iter().filter(|(from, to)| circle.contains(from) && circle.contains(to));
    inside.map(|(from, to)| format!("{from} -> {to}")).collect::<Vec<_>>().join(", ")
}

/// For each folder, the edges between its files and folders. A folder and the file of the same name are one node.
fn folders(graph: &Graph) -> BTreeMap<String, BTreeSet<(&str, &str)>> {
    let mut folders: BTreeMap<String, BTreeSet<(&str, &str)>> = BTreeMap::new();
    for (from, to) in graph.edges() {
        let (from, to): (Vec<_>, Vec<_>) = (from.split('/').collect(), to.split('/').collect());
        let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
        let (Some(one), Some(other)) = (from.get(shared), to.get(shared)) else { continue };
        let (one, other) = (one.trim_end_matches(".rs"), other.trim_end_matches(".rs"));
        if one != other {
            folders.entry(from[..shared].join("/")).or_default().insert((one, other));
        }
    }
    folders
}

/// The strongly connected components: the largest sets of names in which each name leads to every other.
fn circles<'a>(edges: &BTreeSet<(&'a str, &'a str)>) -> Vec<BTreeSet<&'a str>> {
    let names: BTreeSet<_> = edges.iter().flat_map(|(from, to)| [*from, *to]).collect();
    let reached: BTreeMap<_, _> = names.iter().map(|name| (*name, reached(edges, name))).collect();
    let mut circles: Vec<BTreeSet<&str>> = Vec::new();
    for name in &names {
        if circles.iter().any(|circle| circle.contains(name)) {
            continue;
        }
        let circle: BTreeSet<_> = names
            .iter()
            .copied()
            .filter(|other| reached[name].contains(other) && reached[other].contains(name))
            .collect();
        if circle.len() > 1 {
            circles.push(circle);
        }
    }
    circles
}

fn reached<'a>(edges: &BTreeSet<(&'a str, &'a str)>, from: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(name) = next.pop() {
        for (_, to) in edges.iter().filter(|(from, _)| *from == name) {
            if reached.insert(*to) {
                next.push(to);
            }
        }
    }
    reached
}
