//! The clock of the machine, for tests of live jobs.

use dataflow::{Clock, ProcessingTime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;

/// The machine's clock, as a component.
pub struct Machine;

impl Clock for Machine {
    fn now(&self) -> ProcessingTime {
        ProcessingTime(now())
    }
}

/// Microseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the jobs under test run by the machine's clock")]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    since.as_micros() as i64
}

/// Waits until a moment.
pub fn until(moment: i64) {
    pause((moment - now()).max(0));
}

/// Waits for so many microseconds.
#[expect(clippy::disallowed_methods, reason = "time has to go by, and nothing tells when it has")]
pub fn pause(micros: i64) {
    std::thread::sleep(Duration::from_micros(micros as u64));
}
