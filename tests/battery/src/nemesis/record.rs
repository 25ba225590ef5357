//! The history's lines of process 0.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::history::{Event, Line, clock};

/// Where they are written, by several threads.
#[derive(Debug)]
pub(crate) struct Record {
    path: PathBuf,
    file: Mutex<File>,
    next: AtomicU64,
}

impl Record {
    /// `first`: the number of the first operation; later records of the same run go on from [`next`](Self::next).
    pub(crate) fn new(path: PathBuf, first: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create_new(true).append(true).open(&path)?;
        Ok(Self { path, file: Mutex::new(file), next: AtomicU64::new(first) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A number that no other operation of process 0 has.
    pub(crate) fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes down what happens now, or has just happened.
    pub(crate) fn write(&self, op: u64, event: Event) -> io::Result<()> {
        // Times in one file rise: the clock is read under the file's mutex.
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut line = serde_json::to_vec(&Line { at: clock::now(), process: 0, op, event })?;
        line.push(b'\n');
        file.write_all(&line)
    }
}
