//! [`Graph`]: the dependencies between files.

use std::collections::{BTreeMap, BTreeSet};

use super::parser::{Module, parse};
use super::resolver::Resolver;

pub(crate) struct Graph(BTreeSet<(String, String)>);

impl Graph {
    /// Builds the graph of a crate's files, given by their paths from `src/` on.
    pub(crate) fn of(files: &BTreeMap<String, String>) -> Self {
        let parsed: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), module_of(name), parse(text))).collect();
        let mut modules = BTreeMap::new();
        for (file, path, module) in &parsed {
            add(&mut modules, file, path.clone(), module);
        }
        let for_tests = for_tests(files);
        let resolver = Resolver { modules };
        let mut edges = BTreeSet::new();
        for (path, (file, module)) in &resolver.modules {
            if *file == "src/lib.rs" || is_for_tests(&for_tests, file) {
                continue;
            }
            let used = module.imports.values().chain(&module.globs).filter(|import| !import.re_exported);
            let used = used.map(|import| &import.path).chain(&module.paths);
            let targets = used.filter_map(|used| resolver.file_of(path, used));
            edges.extend(
                targets.filter(|to| to != file && *to != "src/lib.rs").map(|to| ((*file).to_owned(), to.to_owned())),
            );
        }
        Self(edges)
    }

    pub(crate) fn edges(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(from, to)| (from.as_str(), to.as_str()))
    }

    pub(crate) fn uses(&self, from: &str, to: &str) -> bool {
        self.0.contains(&(from.to_owned(), to.to_owned()))
    }
}

fn add<'a>(
    modules: &mut BTreeMap<Vec<String>, (&'a str, &'a Module)>,
    file: &'a str,
    path: Vec<String>,
    module: &'a Module,
) {
    for (name, block) in &module.blocks {
        let inner = path.iter().cloned().chain([name.clone()]).collect();
        add(modules, file, inner, block);
    }
    modules.insert(path, (file, module));
}

/// The module of a file: `src/a/b.rs` and `src/a/b/mod.rs` are `a::b`.
fn module_of(file: &str) -> Vec<String> {
    let inside = file.trim_start_matches("src/").trim_end_matches(".rs");
    let inside = inside.trim_end_matches("/mod");
    if inside == "lib" { Vec::new() } else { inside.split('/').map(str::to_owned).collect() }
}

/// The modules that a file declares only for tests, such as `src/a/b`. Their files are left out.
fn for_tests(files: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in files {
        let mut attributes = String::new();
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[") {
                attributes.push_str(line);
                continue;
            }
            let declared = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ").strip_prefix("mod ");
            if let Some(name) = declared.and_then(|name| name.strip_suffix(';'))
                && ["(test", " test", "fuzzing"].iter().any(|word| attributes.contains(word))
                && !attributes.contains("not(test")
            {
                let folder = module_of(file).join("/");
                let folder = if folder.is_empty() { "src".to_owned() } else { format!("src/{folder}") };
                found.push(format!("{folder}/{name}"));
            }
            if !line.is_empty() && !line.starts_with("//") {
                attributes.clear();
            }
        }
    }
    found
}

fn is_for_tests(for_tests: &[String], file: &str) -> bool {
    for_tests
        .iter()
        .any(|module| file.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/')))
}
