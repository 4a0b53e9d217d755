//! A file that somebody appends to, read until another one takes its place.

use crate::disk::io_error;
use dataflow::Result;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// How often a file is looked at that has not grown.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// So many looks the file that was there before is still read: whoever writes to it may not know of the new one yet.
const LOOKS_AFTER: u32 = 10;

/// Tells those who wait that they are to stop.
#[derive(Default)]
pub struct StopSignal {
    asked: Mutex<bool>,
    changed: Condvar,
}

impl StopSignal {
    /// Asks everyone who waits to stop.
    pub fn ask(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Whether it was asked for.
    pub fn is_asked(&self) -> bool {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits so long, or until it is asked for.
    fn wait(&self, at_most: Duration) {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(asked, at_most, |asked| !*asked));
    }
}

/// Why a growing file is read no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrowingEnd {
    /// Somebody asked for it; the rest of the file was not looked at.
    Stopped,
    /// Another file has its name.
    Replaced,
    /// It is shorter than what was read of it.
    Truncated,
}

/// A file whose end is waited at for more.
pub struct GrowingFile {
    path: PathBuf,
    file: File,
    read: u64,
    // How often the end was seen since another file has the name.
    looks_after: u32,
    stop: Arc<StopSignal>,
    end: Arc<OnceLock<GrowingEnd>>,
}

impl GrowingFile {
    /// Opens the file of this name at its start, and gives where it will be told why reading it has ended. Waits until
    /// there is one; `None` when it was asked to stop before.
    pub fn open(path: &Path, stop: &Arc<StopSignal>) -> Result<Option<(GrowingFile, Arc<OnceLock<GrowingEnd>>)>> {
        let file = loop {
            match File::open(path) {
                _ if stop.is_asked() => return Ok(None),
                Ok(file) => break file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => stop.wait(LOOK_EVERY),
                Err(error) => return Err(io_error("open", path, error)),
            }
        };
        let end = Arc::new(OnceLock::new());
        let growing =
            GrowingFile { path: path.to_owned(), file, read: 0, looks_after: 0, stop: stop.clone(), end: end.clone() };
        Ok(Some((growing, end)))
    }

    /// Looks whether this is the file of its name still; a name that nothing has is being given to another one.
    fn look(&mut self) -> io::Result<Option<GrowingEnd>> {
        let own = self.file.metadata()?;
        if own.len() < self.read {
            return Ok(Some(GrowingEnd::Truncated));
        }
        let is_own = match std::fs::metadata(&self.path) {
            Ok(named) => (named.dev(), named.ino()) == (own.dev(), own.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error),
        };
        self.looks_after = if is_own { 0 } else { self.looks_after + 1 };
        Ok((self.looks_after > LOOKS_AFTER).then_some(GrowingEnd::Replaced))
    }
}

impl Read for GrowingFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.is_asked() {
                let _ = self.end.set(GrowingEnd::Stopped);
                return Err(io::Error::other("it is read no further"));
            }
            let count = self.file.read(into)?;
            if count > 0 || into.is_empty() {
                self.read += count as u64;
                return Ok(count);
            }
            if let Some(end) = self.look()? {
                let _ = self.end.set(end);
                return Ok(0);
            }
            self.stop.wait(LOOK_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn growing(path: &Path) -> (GrowingFile, Arc<OnceLock<GrowingEnd>>, Arc<StopSignal>) {
        let stop = Arc::new(StopSignal::default());
        let (file, end) = GrowingFile::open(path, &stop).unwrap().unwrap();
        (file, end, stop)
    }

    fn next(file: &mut GrowingFile) -> String {
        let mut bytes = [0; 64];
        let count = file.read(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn a_file_is_read_on_and_a_new_one_of_its_name_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "one").unwrap();
        let (mut file, end, _) = growing(&path);
        assert_eq!(next(&mut file), "one");
        let mut writer = File::options().append(true).open(&path).unwrap();
        writer.write_all(b"two").unwrap();
        assert_eq!(next(&mut file), "two");
        std::fs::rename(&path, folder.path().join("log.1")).unwrap();
        std::fs::write(&path, "three").unwrap();
        // Whoever has the old file open may still write to it.
        writer.write_all(b"late").unwrap();
        assert_eq!((next(&mut file), next(&mut file)), ("late".to_owned(), String::new()));
        assert_eq!(end.get(), Some(&GrowingEnd::Replaced));
    }

    #[test]
    fn a_file_that_has_become_shorter_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "a long line").unwrap();
        let (mut file, end, _) = growing(&path);
        assert_eq!(next(&mut file), "a long line");
        std::fs::write(&path, "new").unwrap();
        assert_eq!(next(&mut file), "");
        assert_eq!(end.get(), Some(&GrowingEnd::Truncated));
    }

    #[test]
    fn whoever_waits_at_the_end_is_woken_to_stop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "").unwrap();
        let (mut file, end, stop) = growing(&path);
        let waiting = std::thread::spawn(move || file.read(&mut [0; 8]).is_err());
        stop.ask();
        assert!(waiting.join().unwrap());
        assert_eq!(end.get(), Some(&GrowingEnd::Stopped));
        assert!(GrowingFile::open(&folder.path().join("none"), &stop).unwrap().is_none());
    }
}
