//! Signals of the system: Ctrl-C, and the limit of a file's size.

use crate::print;
use dataflow::{Error, Result};
use signal_hook::consts::{SIGINT, SIGXFSZ};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sets a flag at Ctrl-C; the second one ends the process at once.
pub fn on_interrupt() -> Result<Arc<AtomicBool>> {
    let stopped = Arc::new(AtomicBool::new(false));
    let failed = |error| Error::internal("Ctrl-C cannot be handled").with_source(error);
    let mut signals = Signals::new([SIGINT]).map_err(failed)?;
    let flag = stopped.clone();
    let attend = move || {
        for _ in signals.forever() {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            print::note(format_args!("finishing what was read; Ctrl-C again ends at once"));
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(attend).map_err(failed)?;
    Ok(stopped)
}

/// Makes a write beyond the limit of a file's size fail, as one on a full disk does. Unhandled, the signal that comes
/// with it kills the process, which says nothing.
pub fn survive_file_limit() -> Result<()> {
    let handled = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    handled.map(drop).map_err(|error| Error::internal("SIGXFSZ cannot be handled").with_source(error))
}
