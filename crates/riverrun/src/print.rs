//! What is printed: data on stdout, what people are told on stderr.

use dataflow::{Error, Result, no_room};
use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};

/// Writes data to stdout. False when whoever read it has gone away, which is no error; that it cannot be written is one.
pub fn data(text: &str) -> Result<bool> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            let why = no_room(&error).map(|why| format!(": {why}")).unwrap_or_default();
            Err(Error::unavailable(format!("cannot write to stdout{why}")).with_source(error))
        }
    }
}

/// Writes a line to stdout, as [`data`] does.
pub fn line(text: &str) -> Result<bool> {
    data(&format!("{text}\n"))
}

/// Tells people something. That nobody can read it is no reason to stop.
pub fn note(text: Arguments<'_>) {
    note_text(&format!("{text}\n"));
}

/// Tells people a text of lines, as [`note`] does.
pub fn note_text(text: &str) {
    let _ = stderr().lock().write_all(text.as_bytes());
}
