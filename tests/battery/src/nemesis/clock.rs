//! A server's wall clock that can be moved while it runs.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Preloaded into the server; it reads the offset from the mapped file.
const SHIM: &str = include_str!("clock_shim.c");

#[derive(Debug)]
pub(crate) struct Clock {
    shim: PathBuf,
    path: PathBuf,
    offset: File,
}

impl Clock {
    /// Compiles the shim into this directory, with the C compiler that Rust links with.
    pub(crate) fn new(directory: &Path) -> io::Result<Self> {
        let source = directory.join("clock_shim.c");
        let shim = directory.join("clock_shim.so");
        std::fs::write(&source, SHIM)?;
        let output =
            Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&shim).arg(&source).output().map_err(
                |error| io::Error::new(error.kind(), format!("the C compiler cc can't be started: {error}")),
            )?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let path = directory.join("clock");
        std::fs::write(&path, 0_i64.to_ne_bytes())?;
        let offset = File::options().write(true).open(&path)?;
        Ok(Self { shim, path, offset })
    }

    /// The variables of a server that has this clock.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [("LD_PRELOAD", self.shim.display().to_string()), ("BATTERY_CLOCK", self.path.display().to_string())]
    }

    /// So many milliseconds ahead of the right time, or behind it.
    pub(crate) fn set(&self, milliseconds: i64) -> io::Result<()> {
        self.offset.write_all_at(&(milliseconds * 1_000).to_ne_bytes(), 0)
    }
}
