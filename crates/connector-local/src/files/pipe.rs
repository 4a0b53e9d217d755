//! Bytes that somebody else writes to a pipe, read as they come.

use super::stop::{InputEnd, StopSignal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

/// How often it is looked whether reading is to stop.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A pipe, from which nothing is taken once somebody has asked to stop: what was taken is in nobody else's hands.
pub struct Pipe {
    bytes: File,
    stop: Arc<StopSignal>,
    end: Arc<OnceLock<InputEnd>>,
}

impl Pipe {
    /// Takes the end that is read, and gives where it will be told that reading was stopped.
    pub fn new(bytes: File, stop: &Arc<StopSignal>) -> (Pipe, Arc<OnceLock<InputEnd>>) {
        let end = Arc::new(OnceLock::new());
        (Pipe { bytes, stop: stop.clone(), end: end.clone() }, end)
    }
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stop.check(&self.end)?;
            match poll(&mut [PollFd::new(&self.bytes, PollFlags::IN)], Some(&LOOK_EVERY)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return self.bytes.read(into),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
