//! Figures to be collected: a JSON file of each suite, in the directory that `ORCHESTRIX_EVIDENCE` names.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part of it")]

/// Writes `NAME.json`, in place of an earlier one. Does nothing where the variable is not set.
///
/// # Panics
///
/// If the file can't be written.
pub(crate) fn evidence(name: &str, figures: &serde_json::Value) {
    let Some(directory) = std::env::var_os("ORCHESTRIX_EVIDENCE") else { return };
    std::fs::create_dir_all(&directory).unwrap();
    let path = std::path::Path::new(&directory).join(format!("{name}.json"));
    std::fs::write(path, format!("{figures}\n")).unwrap();
}
