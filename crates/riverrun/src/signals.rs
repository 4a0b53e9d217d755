//! What asks a command to stop: signals of the system, or another command; and the limit of a file's size.

use crate::clock::rest;
use crate::print;
use dataflow::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// How many rests a write may take after a signal: a quarter of a second.
const BLOCKED_RESTS: usize = 12;

/// Stands for `riverrun stop` among the signals that ask a command to stop.
const BY_COMMAND: i32 = -1;

/// Whether the command has done what it was asked for, and waits for what runs beside it.
static IS_DONE: AtomicBool = AtomicBool::new(false);

/// From now on one Ctrl-C ends the process at once: the command has done what it was asked for.
pub fn is_done() {
    IS_DONE.store(true, Ordering::Relaxed);
}

/// Whether the command was asked to stop.
#[derive(Clone)]
pub struct Stop(Arc<AtomicI32>);

impl Stop {
    /// Listens for Ctrl-C (SIGINT) and SIGTERM from here on; the second one of either ends the process at once.
    pub fn listen() -> Result<Stop> {
        let stop = Stop(Arc::new(AtomicI32::new(0)));
        let failed = |error| Error::internal("signals cannot be handled").with_source(error);
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
        let asked = stop.0.clone();
        let attend = move || {
            for signal in signals.forever() {
                if asked.swap(signal, Ordering::Relaxed) != 0 || IS_DONE.load(Ordering::Relaxed) {
                    std::process::exit(code(signal).into());
                }
                project::end_waits();
                // Before anything is said: a write that waits holds up what is said too. Without the thread a second
                // signal ends it.
                let _ = std::thread::Builder::new().spawn(move || end_when_blocked(signal));
                // On a thread of its own, since nobody may read stderr: a second signal is heard all the same.
                let _ = std::thread::Builder::new().spawn(|| {
                    print::note(format_args!("finishing what was read; Ctrl-C again ends at once"));
                });
            }
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(attend).map_err(failed)?;
        Ok(stop)
    }

    /// Whether it was.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Asks for it, as `riverrun stop` does.
    pub fn ask(&self) {
        if self.0.compare_exchange(0, BY_COMMAND, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            project::end_waits();
            print::note(format_args!("`riverrun stop`: finishing what was read; Ctrl-C ends at once"));
        }
    }

    /// The name of the signal or the command that asked for it.
    pub fn name(&self) -> Option<&'static str> {
        match self.0.load(Ordering::Relaxed) {
            SIGINT => Some("Ctrl-C"),
            SIGTERM => Some("SIGTERM"),
            BY_COMMAND => Some("riverrun stop"),
            _ => None,
        }
    }

    /// How a command ends that has an end of its own: 130 or 143, as a shell says it of the signal, where one stopped it
    /// before it came there.
    pub fn exit_code(&self) -> ExitCode {
        match self.0.load(Ordering::Relaxed) {
            0 | BY_COMMAND => ExitCode::SUCCESS,
            signal => ExitCode::from(code(signal)),
        }
    }
}

/// Ends the process when it does nothing but wait for whoever reads its output: it would not hear that it is to stop.
fn end_when_blocked(signal: i32) {
    loop {
        let write = print::write_under_way();
        (0..BLOCKED_RESTS).for_each(|_| rest());
        if write.is_some() && write == print::write_under_way() {
            std::process::exit(code(signal).into());
        }
    }
}

fn code(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// Makes a write beyond the limit of a file's size fail, as one on a full disk does. Unhandled, the signal that comes
/// with it kills the process, which says nothing.
pub fn survive_file_limit() -> Result<()> {
    let handled = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    handled.map(drop).map_err(|error| Error::internal("SIGXFSZ cannot be handled").with_source(error))
}
