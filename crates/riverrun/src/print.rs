//! What is printed: data on stdout, what people are told on stderr.

use crate::{show, width};
use dataflow::{Error, Result};
use indicatif::ProgressBar;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The line that moves on the terminal while a command works, if there is one.
static MOVING: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Names the line that moves on the terminal from now on: all that is printed goes above it.
pub fn moving(bar: Option<&ProgressBar>) {
    *MOVING.lock().unwrap_or_else(PoisonError::into_inner) = bar.cloned();
}

/// Writes while the line that moves is out of the way.
fn above_what_moves<T>(write: impl FnOnce() -> T) -> T {
    let bar = MOVING.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// How often a write to stdout has begun or ended: odd while one is under way.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// The write to stdout that is under way, which waits for whoever reads it where it stays the same for long.
pub fn write_under_way() -> Option<u64> {
    Some(WRITES.load(Ordering::SeqCst)).filter(|count| count % 2 == 1)
}

/// Writes data to stdout. False when whoever read it has gone away, which is no error; that it cannot be written is one.
pub fn data(text: &str) -> Result<bool> {
    let write = || {
        let mut out = stdout().lock();
        WRITES.fetch_add(1, Ordering::SeqCst);
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        WRITES.fetch_add(1, Ordering::SeqCst);
        written
    };
    match above_what_moves(write) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::of_file("cannot write to stdout", error)),
    }
}

/// Whether whoever read stdout has gone away, which a command that writes nothing for a while hears by asking only.
pub fn nobody_reads() -> bool {
    let out = stdout();
    let mut asked = [PollFd::new(&out, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let gone = PollFlags::ERR | PollFlags::HUP;
    poll(&mut asked, Some(&at_once)).is_ok() && asked[0].revents().intersects(gone)
}

/// Writes a line to stdout, as [`data`] does.
pub fn line(text: &str) -> Result<bool> {
    data(&format!("{text}\n"))
}

/// Writes a row to stdout, which a terminal does not wrap.
pub fn row(text: &str) -> Result<bool> {
    match width::of_stdout() {
        Some(columns) => line(&width::cut(text, columns)),
        None => line(text),
    }
}

/// A text of lines as stdout holds them: on a terminal those that are too long go on below.
pub fn for_terminal(text: String) -> String {
    match width::of_stdout() {
        Some(columns) => show::wrapped(&text, columns),
        None => text,
    }
}

/// Tells people something. That nobody can read it is no reason to stop.
pub fn note(text: Arguments<'_>) {
    note_text(&format!("{text}\n"));
}

/// Tells people a text of lines, as [`note`] does.
pub fn note_text(text: &str) {
    above_what_moves(|| {
        let _ = stderr().lock().write_all(text.as_bytes());
    });
}
