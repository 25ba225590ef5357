//! `battery evidence`: the figures of all tools as one document.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

use super::document::Document;

/// Found by hand, and kept by hand beside the document.
const FOUND: &str = "evidence-found.md";

/// The figures by the file's name without `.json`.
pub(super) type Figures = BTreeMap<String, Value>;

/// Reads every `NAME.json` of a directory and writes the document. What is missing is said to be not run.
///
/// # Errors
/// If a file can't be read or written, or one is no JSON; it is named.
pub(crate) fn evidence(from: &Path, to: &Path) -> io::Result<bool> {
    let figures = read(from)?;
    let found = to.with_file_name(FOUND);
    let found = if found.exists() { Some(fs::read_to_string(&found)?) } else { None };
    fs::write(to, Document::new(&figures).text(found.as_deref()))?;
    println!("{} of {} files of figures", to.display(), figures.len());
    Ok(true)
}

fn read(from: &Path) -> io::Result<Figures> {
    let named = |path: &Path, error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
    let mut figures = Figures::new();
    for entry in fs::read_dir(from).map_err(|error| named(from, &error))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let Some(name) = path.file_stem().map(|name| name.to_string_lossy().into_owned()) else { continue };
        let text = fs::read_to_string(&path).map_err(|error| named(&path, &error))?;
        figures.insert(name, serde_json::from_str(&text).map_err(|error| named(&path, &error))?);
    }
    Ok(figures)
}
