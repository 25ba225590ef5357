//! A server's wall clock that can be moved while it runs, and runs faster than the clients' clocks all the time.
//!
//! That it does is within what is promised: holders take 1 % off each lease for clocks that differ.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::history::clock;

/// How much faster than a right one, in millionths.
const FASTER: i64 = 8_000;

/// Preloaded into the server; it reads from the mapped file how far the clock is off.
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
        let begun = i64::try_from(clock::now() / 1_000).map_err(io::Error::other)?;
        std::fs::write(&path, [0, FASTER, begun].map(i64::to_ne_bytes).concat())?;
        let offset = File::options().write(true).open(&path)?;
        Ok(Self { shim, path, offset })
    }

    /// The variables of a server that has this clock.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [("LD_PRELOAD", self.shim.display().to_string()), ("BATTERY_CLOCK", self.path.display().to_string())]
    }

    /// So many milliseconds ahead of where it would be, or behind.
    pub(crate) fn set(&self, milliseconds: i64) -> io::Result<()> {
        self.offset.write_all_at(&(milliseconds * 1_000).to_ne_bytes(), 0)
    }
}
