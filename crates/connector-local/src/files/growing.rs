//! A file that somebody appends to, read until another one takes its place.

use super::stop::{InputEnd, StopSignal};
use crate::disk::io_error;
use dataflow::Result;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// How often a file is looked at that has not grown.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// So many looks the file that was there before is still read: whoever writes to it may not know of the new one yet.
const LOOKS_AFTER: u32 = 10;

/// The files that have a name, one after the other.
pub struct GrowingFiles {
    path: PathBuf,
    stop: Arc<StopSignal>,
    later: Arc<LaterFiles>,
}

/// Files that were seen to have taken the name while the one before them is still read. They are held open, since
/// another one may take it before they are read.
type LaterFiles = Mutex<VecDeque<File>>;

impl GrowingFiles {
    /// The files of a name, of which the first one may not be there yet.
    pub fn new(path: &Path, stop: &Arc<StopSignal>) -> GrowingFiles {
        GrowingFiles { path: path.to_owned(), stop: stop.clone(), later: Arc::default() }
    }

    /// The next file, from its start, and where it will be told why reading it has ended. Waits until there is one;
    /// `None` when it was asked to stop before.
    pub fn next_file(&mut self) -> Result<Option<(GrowingFile, Arc<OnceLock<InputEnd>>)>> {
        let seen = self.later.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let file = match seen {
            Some(file) => Some(file),
            None => self.named_file()?,
        };
        let (path, stop, later) = (self.path.clone(), self.stop.clone(), self.later.clone());
        let end = Arc::new(OnceLock::new());
        Ok(file.map(|file| {
            let growing = GrowingFile { path, file, read: 0, looks_after: 0, later, stop, end: end.clone() };
            (growing, end)
        }))
    }

    /// Opens the file that has the name, which may have to be made first.
    fn named_file(&self) -> Result<Option<File>> {
        while !self.stop.is_asked() {
            match File::open(&self.path) {
                Ok(file) => return Ok(Some(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.stop.wait(LOOK_EVERY),
                Err(error) => return Err(io_error("open", &self.path, error)),
            }
        }
        Ok(None)
    }
}

/// A file whose end is waited at for more.
pub struct GrowingFile {
    path: PathBuf,
    file: File,
    read: u64,
    // How often it was looked at since another file has the name and it has grown last.
    looks_after: u32,
    later: Arc<LaterFiles>,
    stop: Arc<StopSignal>,
    end: Arc<OnceLock<InputEnd>>,
}

impl GrowingFile {
    /// Looks whether this is the file of its name still; a name that nothing has is being given to another one.
    fn look(&mut self) -> io::Result<Option<InputEnd>> {
        let own = self.file.metadata()?;
        if own.len() < self.read {
            return Ok(Some(InputEnd::Truncated));
        }
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        let is_replaced = match File::open(&self.path) {
            Ok(named) => {
                let (named_is, own_is) = (identity(&named)?, identity(&self.file)?);
                let is_seen = later.back().map(identity).transpose()? == Some(named_is);
                if named_is != own_is && !is_seen {
                    later.push_back(named);
                }
                named_is != own_is
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => !later.is_empty(),
            Err(error) => return Err(error),
        };
        self.looks_after = if is_replaced { self.looks_after + 1 } else { 0 };
        Ok((self.looks_after > LOOKS_AFTER).then_some(InputEnd::Replaced))
    }
}

/// What tells a file from any other that is there at the same time.
fn identity(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Read for GrowingFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stop.check(&self.end)?;
            let count = self.file.read(into)?;
            if count > 0 || into.is_empty() {
                self.read += count as u64;
                self.looks_after = 0;
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

    fn growing(path: &Path) -> (GrowingFile, Arc<OnceLock<InputEnd>>, Arc<StopSignal>) {
        let stop = Arc::new(StopSignal::default());
        let (file, end) = GrowingFiles::new(path, &stop).next_file().unwrap().unwrap();
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
        assert_eq!(end.get(), Some(&InputEnd::Replaced));
    }

    /// Reads one file to the end of it that is told.
    fn whole(file: &mut GrowingFile) -> String {
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_replaced_file_is_read_while_it_grows_and_none_that_came_between_is_passed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "one.").unwrap();
        let stop = Arc::new(StopSignal::default());
        let mut files = GrowingFiles::new(&path, &stop);
        let (mut file, end) = files.next_file().unwrap().unwrap();
        let mut writer = File::options().append(true).open(&path).unwrap();
        std::fs::rename(&path, folder.path().join("log.1")).unwrap();
        std::fs::write(&path, "two.").unwrap();
        assert_eq!(next(&mut file), "one.");
        // It is looked at more often than it would be after its end, and grows between the looks.
        for _ in 0..=2 * LOOKS_AFTER {
            assert_eq!(file.look().unwrap(), None);
            writer.write_all(b"more.").unwrap();
            assert_eq!(next(&mut file), "more.");
        }
        std::fs::rename(&path, folder.path().join("log.2")).unwrap();
        assert_eq!(file.look().unwrap(), None);
        std::fs::write(&path, "three.").unwrap();
        assert_eq!((whole(&mut file), end.get()), (String::new(), Some(&InputEnd::Replaced)));
        let (mut file, end) = files.next_file().unwrap().unwrap();
        assert_eq!((whole(&mut file), end.get()), ("two.".to_owned(), Some(&InputEnd::Replaced)));
        let (mut file, end) = files.next_file().unwrap().unwrap();
        assert_eq!((next(&mut file), end.get()), ("three.".to_owned(), None));
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
        assert_eq!(end.get(), Some(&InputEnd::Truncated));
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
        assert_eq!(end.get(), Some(&InputEnd::Stopped));
        assert!(GrowingFiles::new(&folder.path().join("none"), &stop).next_file().unwrap().is_none());
    }
}
