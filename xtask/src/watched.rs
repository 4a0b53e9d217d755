//! This program once more, as a child: so that one that aborts, hangs or fills the memory is seen, and ends nothing else.

use crate::failure;
use dataflow::Result;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Where what is found stays.
pub fn found() -> PathBuf {
    std::env::temp_dir().join("riverrun-fuzz")
}

/// A child that says line by line what it does; it ends with its owner.
pub struct Watched {
    child: Child,
    lines: Receiver<String>,
}

/// What a child did next.
pub enum Event {
    /// It said something.
    Line(String),
    /// It said nothing for as long as it may.
    Silent,
    /// It has ended.
    Ended(ExitStatus),
}

impl Watched {
    /// Starts this program with other arguments, and with so much memory at most where that is limited.
    pub fn start(arguments: &[String], memory_kib: Option<u64>) -> Result<Watched> {
        let program = std::env::current_exe().map_err(|error| failure::program("xtask", error))?;
        let mut command = match memory_kib {
            None => Command::new(program),
            Some(kib) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("ulimit -v {kib} && exec \"$0\" \"$@\"")).arg(program);
                shell
            }
        };
        // A guarded panic is no news, and where it was is seen in what it says.
        command.env("RUST_BACKTRACE", "0");
        let started = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| failure::program("xtask", error))?;
        let (send, lines) = channel();
        if let Some(said) = child.stdout.take() {
            std::thread::spawn(move || {
                BufReader::new(said).lines().map_while(std::result::Result::ok).try_for_each(|line| send.send(line))
            });
        }
        Ok(Watched { child, lines })
    }

    /// Waits for what it does next, for so long at most.
    pub fn next(&mut self, within: Duration) -> Result<Event> {
        match self.lines.recv_timeout(within) {
            Ok(line) => Ok(Event::Line(line)),
            Err(RecvTimeoutError::Timeout) => Ok(Event::Silent),
            Err(RecvTimeoutError::Disconnected) => {
                self.child.wait().map(Event::Ended).map_err(|error| failure::program("xtask", error))
            }
        }
    }
}

impl Watched {
    /// The seconds of CPU that it has had: a machine that does much else makes nothing hang.
    pub fn cpu_s(&self) -> Result<f64> {
        let path = PathBuf::from(format!("/proc/{}/stat", self.child.id()));
        let text = std::fs::read_to_string(&path).map_err(|error| failure::file("read", &path, error))?;
        // After the name, which may hold anything, come the state and ten numbers; then those of user and system.
        let after = text.rsplit(')').next().unwrap_or_default();
        let ticks = after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
        Ok(ticks.sum::<f64>() / TICKS_A_SECOND)
    }
}

/// How Linux counts the time of processes.
const TICKS_A_SECOND: f64 = 100.0;

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
