//! Where the frames of a server's answers begin and end (RESP2 and RESP3), for a stream in pieces of any size.
//!
//! Only lengths are read, no values. A nested frame needs no stack: every aggregate adds its parts to the number of
//! values that are still to come, and the frame ends when that is 0.

use thiserror::Error;

/// Longer than any line that a server writes: errors and numbers.
const LONGEST_LINE: usize = 64 * 1024;

/// Bytes that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Answers, or parts of them.
    Reply(Vec<u8>),
    /// One push frame (`>`), whole.
    Push(Vec<u8>),
}

/// The stream is no RESP, or of a kind that Redis does not send (lengths that are not known beforehand).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a header of RESP: {0:?}")]
pub(crate) struct NotResp(String);

/// What has been seen of the present frame.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    /// Bytes that have not been passed on.
    held: Vec<u8>,
    /// The header line that is being read.
    line: Vec<u8>,
    /// Bytes of a string that are still to come, its line end included.
    text: u64,
    /// Values of this frame that are still to come; 0 between frames.
    values: u64,
    /// Whether this frame is a push frame; not known while only attributes have been seen.
    push: Option<bool>,
    /// Frames that have ended.
    frames: u64,
}

impl Splitter {
    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    ///
    /// If they can't be RESP. All bytes that were not passed on are then in [`rest`](Self::rest), these included.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Piece>, NotResp> {
        let mut pieces = Vec::new();
        let mut left = bytes;
        while let Some((&byte, others)) = left.split_first() {
            if self.text > 0 {
                let count = usize::try_from(self.text).unwrap_or(usize::MAX).min(left.len());
                let (text, others) = left.split_at(count);
                self.held.extend_from_slice(text);
                left = others;
                self.text -= count as u64;
                if self.text == 0 {
                    self.value_ended();
                }
            } else {
                self.held.push(byte);
                self.line.push(byte);
                left = others;
                if let Err(error) = self.line_grew() {
                    self.held.extend_from_slice(left);
                    // What was complete before goes first.
                    let mut all: Vec<u8> = pieces.into_iter().flat_map(Piece::into_bytes).collect();
                    all.append(&mut self.held);
                    self.held = all;
                    return Err(error);
                }
            }
            self.pass_on(&mut pieces);
        }
        Ok(pieces)
    }

    /// How many frames have ended.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// What was held back for a frame that did not end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    fn line_grew(&mut self) -> Result<(), NotResp> {
        let known = self.line.first().is_some_and(|kind| b"+-:_#,($=!*~>%|".contains(kind));
        if !known || self.line.len() > LONGEST_LINE {
            return Err(self.not_resp());
        }
        if self.line.ends_with(b"\r\n") { self.header() } else { Ok(()) }
    }

    /// A whole header line is there.
    fn header(&mut self) -> Result<(), NotResp> {
        let kind = self.line[0];
        if self.values == 0 {
            self.values = 1;
            self.push = None;
        }
        // Only the frame's own first value is counted as one when it starts; those of an attribute come as well.
        if self.values == 1 && self.push.is_none() && kind != b'|' {
            self.push = Some(kind == b'>');
        }
        match kind {
            b'$' | b'=' | b'!' => match self.length()? {
                None => self.value_ended(),
                Some(length) => self.text = length.checked_add(2).ok_or_else(|| self.not_resp())?,
            },
            b'*' | b'~' | b'>' => {
                let parts = self.length()?.unwrap_or(0);
                self.more_values(parts)?;
                self.value_ended();
            }
            b'%' => {
                let parts = self.pairs()?;
                self.more_values(parts)?;
                self.value_ended();
            }
            // It goes before a value and is none itself.
            b'|' => {
                let parts = self.pairs()?;
                self.more_values(parts)?;
            }
            _ => self.value_ended(),
        }
        self.line.clear();
        Ok(())
    }

    /// The number in the header; -1 is the null of RESP2.
    fn length(&self) -> Result<Option<u64>, NotResp> {
        let digits = self.line.get(1..self.line.len() - 2).unwrap_or_default();
        if digits == b"-1" {
            return Ok(None);
        }
        let number = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = number.and_then(|text| text.parse().ok());
        number.map(Some).ok_or_else(|| self.not_resp())
    }

    fn pairs(&self) -> Result<u64, NotResp> {
        self.length()?.unwrap_or(0).checked_mul(2).ok_or_else(|| self.not_resp())
    }

    fn more_values(&mut self, count: u64) -> Result<(), NotResp> {
        self.values = self.values.checked_add(count).ok_or_else(|| self.not_resp())?;
        Ok(())
    }

    fn value_ended(&mut self) {
        self.values -= 1;
        self.frames += u64::from(self.values == 0);
    }

    /// Answers go on as they come, a push frame when it is whole.
    fn pass_on(&mut self, pieces: &mut Vec<Piece>) {
        match self.push {
            Some(true) if self.values == 0 && self.line.is_empty() && !self.held.is_empty() => {
                pieces.push(Piece::Push(self.rest()));
                self.push = None;
            }
            Some(false) => {
                let bytes = self.rest();
                if let Some(Piece::Reply(last)) = pieces.last_mut() {
                    last.extend_from_slice(&bytes);
                } else if !bytes.is_empty() {
                    pieces.push(Piece::Reply(bytes));
                }
                if self.values == 0 {
                    self.push = None;
                }
            }
            _ => {}
        }
    }

    fn not_resp(&self) -> NotResp {
        let shown = self.line.get(..self.line.len().min(80)).unwrap_or_default();
        NotResp(String::from_utf8_lossy(shown).into_owned())
    }
}

impl Piece {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        match self {
            Piece::Reply(bytes) | Piece::Push(bytes) => bytes,
        }
    }

    /// Whether it is a push frame with a published message, and not, say, the confirmation of a subscription.
    pub(crate) fn is_message(&self) -> bool {
        let Piece::Push(frame) = self else { return false };
        let mut lines = frame.split(|byte| *byte == b'\n');
        let kind = lines.nth(2).and_then(|line| line.strip_suffix(b"\r"));
        kind.is_some_and(|kind| [&b"message"[..], b"pmessage", b"smessage"].contains(&kind))
    }
}
