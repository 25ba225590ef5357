//! Reading the lines of one process, as far as they are written yet.

use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::Line;

/// A history's file could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("{path} cannot be read")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path}:{line} is no line of a history: {text}")]
    Bad {
        path: PathBuf,
        line: u32,
        text: String,
        #[source]
        source: serde_json::Error,
    },
}

/// The file of one process, and how far it has been read.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    offset: u64,
    lines: u32,
}

impl File {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), offset: 0, lines: 0 }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives each line that has come since the last call, with its number from 1, to `each`.
    ///
    /// A last line without its end is not read: its writer was killed while it wrote, or still writes. Returns whether
    /// there is one.
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read, or a whole line is none of a history.
    pub(crate) fn read(&mut self, mut each: impl FnMut(u32, Line)) -> Result<bool, ReadError> {
        let failed = |source| ReadError::Io { path: self.path.clone(), source };
        let mut file = fs::File::open(&self.path).map_err(failed)?;
        file.seek(SeekFrom::Start(self.offset)).map_err(failed)?;
        let mut reader = BufReader::with_capacity(1 << 18, file);
        let mut bytes = Vec::with_capacity(512);
        loop {
            bytes.clear();
            let read = reader.read_until(b'\n', &mut bytes).map_err(failed)?;
            if bytes.pop_if(|last| *last == b'\n').is_none() {
                return Ok(read > 0);
            }
            self.offset += read as u64;
            self.lines = self.lines.saturating_add(1);
            let line = serde_json::from_slice(&bytes).map_err(|source| ReadError::Bad {
                path: self.path.clone(),
                line: self.lines,
                text: String::from_utf8_lossy(&bytes).chars().take(200).collect(),
                source,
            })?;
            each(self.lines, line);
        }
    }
}
