//! Where histories are while they are needed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::args::Options;

/// Its own, which is removed at the end unless it is kept.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    keep: bool,
}

impl Directory {
    pub(super) fn new(options: &Options) -> io::Result<Self> {
        let own = || std::env::temp_dir().join(format!("battery-{}", std::process::id()));
        let path = options.out.clone().unwrap_or_else(own);
        fs::create_dir_all(&path)?;
        Ok(Self { path: fs::canonicalize(path)?, keep: options.out.is_some() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A new one inside.
    pub(super) fn inner(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// It is still there afterwards.
    pub(super) fn keep(&mut self) -> &Path {
        self.keep = true;
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.keep {
            // An error here has no caller to go to.
            _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Their lines have been judged; the files stay, since the checker looks whether something has come.
pub(super) fn forget(histories: &[PathBuf]) -> io::Result<()> {
    histories.iter().try_for_each(|history| fs::write(history, ""))
}
