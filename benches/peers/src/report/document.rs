//! The places of `docs/performance.md` that a run fills.

use std::path::{Path, PathBuf};

use crate::Result;

pub(super) fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

pub(super) fn read() -> Result<String> {
    Ok(std::fs::read_to_string(docs().join("performance.md"))?)
}

/// Replaces what is between `<!-- name:begin -->` and `<!-- name:end -->`.
pub(crate) fn write_between(name: &str, text: &str) -> Result<()> {
    let old = read()?;
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let (before, rest) = old.split_once(&begin).ok_or(format!("docs/performance.md has no {begin}"))?;
    let (_, after) = rest.split_once(&end).ok_or(format!("docs/performance.md has no {end}"))?;
    let new = format!("{before}{begin}\n{}\n{end}{after}", text.trim());
    Ok(std::fs::write(docs().join("performance.md"), new)?)
}
