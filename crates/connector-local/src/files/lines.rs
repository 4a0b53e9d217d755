//! The lines of a text file, with their numbers.

use super::text_input::read_error;
use dataflow::Result;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The most bytes that one row may have; a message has the same limit.
pub(super) const ROW_BYTES_MAX: usize = 64 << 20;

/// A line.
pub(super) struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// Its bytes, the line break among them; of one that is too long, the beginning.
    pub bytes: Vec<u8>,
    /// Whether it is longer than [`ROW_BYTES_MAX`].
    pub is_too_long: bool,
}

impl Line {
    /// Whether nothing stands on it.
    pub fn is_blank(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_whitespace)
    }

    /// Its bytes without the line break.
    pub fn content(&self) -> &[u8] {
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        bytes.strip_suffix(b"\r").unwrap_or(bytes)
    }
}

const BUFFER_BYTES: usize = 1 << 18;

/// The lines of a file, one after the other.
pub(super) struct Lines {
    path: PathBuf,
    input: BufReader<Box<dyn BufRead + Send>>,
    // Whether the end of what is there may not be the end of the input.
    grows: bool,
    number: u64,
    // The last byte of a line.
    end: u8,
    // Lines that were given back, to be read again.
    again: VecDeque<Line>,
}

impl Lines {
    pub fn new(path: &Path, input: Box<dyn BufRead + Send>) -> Lines {
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        Lines { path: path.to_owned(), input, grows: false, number: 0, end: b'\n', again: VecDeque::new() }
    }

    /// Lets lines end with a carriage return alone, as on old Macs, if the first one does. A quoted value may hold one.
    pub fn find_end(&mut self) -> Result<()> {
        let some = self.input.fill_buf().map_err(|e| read_error(&self.path, e))?;
        let mut is_quoted = false;
        let first = some.iter().position(|&byte| {
            is_quoted ^= byte == b'"';
            !is_quoted && matches!(byte, b'\n' | b'\r')
        });
        let after = first.and_then(|first| some.get(first..)).unwrap_or_default();
        if let [b'\r', next, ..] = after
            && *next != b'\n'
        {
            self.end = b'\r';
        }
        Ok(())
    }

    /// The lines of an input that others still write to, so that reading it may wait.
    pub fn of_growing(path: &Path, input: Box<dyn BufRead + Send>) -> Lines {
        Lines { grows: true, ..Lines::new(path, input) }
    }

    /// Whether the next line is there already, so that reading it does not wait.
    pub fn is_ready(&self) -> bool {
        !self.grows || !self.again.is_empty() || self.input.buffer().contains(&self.end)
    }

    /// The next line, of the memory of one that is not needed any more; `None` at the end.
    pub fn next(&mut self, mut bytes: Vec<u8>) -> Result<Option<Line>> {
        if let Some(line) = self.again.pop_front() {
            return Ok(Some(line));
        }
        bytes.clear();
        let limit = ROW_BYTES_MAX as u64 + 1;
        let read =
            (&mut self.input).take(limit).read_until(self.end, &mut bytes).map_err(|e| read_error(&self.path, e))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        // One byte more than a row may have may be the end of the line.
        let is_too_long = read as u64 == limit && bytes.last() != Some(&self.end);
        if is_too_long {
            self.pass_line()?;
            // Lines of a batch are kept together, and this one has the memory of the longest.
            bytes.truncate(1 << 10);
            bytes.shrink_to_fit();
        }
        Ok(Some(Line { number: self.number, bytes, is_too_long }))
    }

    /// Takes lines back: they come next, in this sequence.
    pub fn give_back(&mut self, lines: Vec<Line>) {
        lines.into_iter().rev().for_each(|line| self.again.push_front(line));
    }

    /// Passes what is left of a line.
    fn pass_line(&mut self) -> Result<()> {
        loop {
            let some = self.input.fill_buf().map_err(|e| read_error(&self.path, e))?;
            let (count, is_end) = match some.iter().position(|&byte| byte == self.end) {
                Some(at) => (at + 1, true),
                None => (some.len(), some.is_empty()),
            };
            self.input.consume(count);
            if is_end {
                return Ok(());
            }
        }
    }
}

/// What is wrong with a row that is too long.
pub(super) fn too_long() -> String {
    format!(
        "a row of more than {} MiB begins, expected the row to end; is a quote or a line break missing?",
        ROW_BYTES_MAX >> 20
    )
}
