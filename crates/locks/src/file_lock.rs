//! Locks of files that one process holds for as long as it runs.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long is waited before a lock is tried again.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a lock is tried: for two seconds.
const TRIES: usize = 100;
/// The flag of a process that is being taken down.
const EXITING: u64 = 0x4;
/// The bit of the signal that kills, among those that a process is about to get.
const KILL: u64 = 1 << 8;

/// Takes the lock of a file; `false` where another process holds it, which `holder` reads from the file.
///
/// The system gives the lock of a killed process back only after it has taken the process down, which takes a while
/// where there is much memory. So where the holder is over, or about to be, its lock is waited for, for two seconds.
///
/// ```
/// let file = tempfile::tempfile()?;
/// assert!(locks::lock_file(&file, |_| None)?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn lock_file(file: &File, mut holder: impl FnMut(&File) -> Option<u32>) -> io::Result<bool> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if holder(file).is_some_and(is_ending) => pause(),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

#[expect(clippy::disallowed_methods, reason = "waits for the end of another process, which wakes nobody")]
fn pause() {
    std::thread::sleep(PAUSE);
}

/// Whether a process is over, or about to be. Where the system does not tell, it is taken to run.
fn is_ending(process: u32) -> bool {
    let folder = Path::new("/proc").join(process.to_string());
    if !Path::new("/proc/self").exists() {
        return false;
    }
    let (Ok(stat), Ok(status)) = (fs::read_to_string(folder.join("stat")), fs::read_to_string(folder.join("status")))
    else {
        return true;
    };
    // The name of the program, in parentheses, may hold blanks.
    let (state, flags) = match stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>()) {
        Some(fields) if fields.len() > 6 => (fields[0].to_owned(), fields[6].parse().unwrap_or(0)),
        _ => return false,
    };
    let is_killed = |line: &str| match line.split_once(':') {
        Some(("SigPnd" | "ShdPnd", signals)) => {
            u64::from_str_radix(signals.trim(), 16).is_ok_and(|signals| signals & KILL != 0)
        }
        _ => false,
    };
    matches!(state.as_str(), "Z" | "X") || flags & EXITING != 0 || status.lines().any(is_killed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_lock_of_a_process_that_is_over_is_waited_for_and_no_other() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (held, wanted) = (File::open(file.path()).unwrap(), File::open(file.path()).unwrap());
        assert!(lock_file(&held, |_| None).unwrap());
        assert!(!lock_file(&wanted, |_| None).unwrap(), "nobody knows who holds it");
        assert!(!lock_file(&wanted, |_| Some(std::process::id())).unwrap(), "its holder runs");
        let mut over = Command::new("true").spawn().unwrap();
        over.wait().unwrap();
        let mut asked = 0;
        let holder = |_: &File| {
            asked += 1;
            if asked == 3 {
                held.unlock().unwrap();
            }
            Some(over.id())
        };
        assert!(lock_file(&wanted, holder).unwrap());
        assert_eq!(asked, 3);
    }

    #[test]
    fn a_process_that_nobody_has_taken_leave_of_is_over() {
        assert!(!is_ending(std::process::id()));
        let mut over = Command::new("true").spawn().unwrap();
        while !is_ending(over.id()) {
            std::thread::yield_now();
        }
        over.wait().unwrap();
    }
}
