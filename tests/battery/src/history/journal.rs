//! The writer of a process's own history.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::clock;
use super::line::{Event, Line};

/// Appends lines to a file that only this process writes to.
///
/// A line is in the file, whole, when the method that writes it returns: the process may be killed at once and nothing
/// is lost that was said. The clock is read under the same mutex under which the line is written, so the lines of a
/// file are in order of `at`. A file that cannot be written to ends the process, since whatever it did from then on
/// would not be known.
#[derive(Debug)]
pub(crate) struct Journal {
    process: u32,
    next: AtomicU64,
    file: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    file: File,
    /// Kept, so that a line costs no allocation.
    line: Vec<u8>,
}

impl Journal {
    /// Opens or makes the file of a process.
    ///
    /// # Errors
    ///
    /// Those of opening it.
    pub(crate) fn open(path: &Path, process: u32) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let pages = Pages { file, line: Vec::with_capacity(256) };
        Ok(Self { process, next: AtomicU64::new(1), file: Mutex::new(pages) })
    }

    /// The number of a new operation.
    pub(crate) fn operation(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes that this is so, now.
    pub(crate) fn say(&self, op: u64, event: Event) {
        self.look(op, |_| Some(event));
    }

    /// Reads the clock, then looks, then writes what was seen, if it was something. `look` must not write itself.
    pub(crate) fn look(&self, op: u64, look: impl FnOnce(u64) -> Option<Event>) {
        let mut pages = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let at = clock::now();
        let Some(event) = look(at) else { return };
        let Pages { file, line } = &mut *pages;
        line.clear();
        let written = serde_json::to_writer(&mut *line, &Line { at, process: self.process, op, event });
        line.push(b'\n');
        if let Err(error) = written.map_err(Into::into).and_then(|()| file.write_all(line)) {
            eprintln!("process {}: its history cannot be written: {error}", self.process);
            process::exit(74);
        }
    }
}
