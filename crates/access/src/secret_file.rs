//! Files with secrets, which others replace while a process runs.

use dataflow::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// So long the text that a file had is used while the file is away or empty: a file that is cut and written anew, or is
/// removed and put there again, is so for a moment.
const KEPT: Duration = Duration::from_secs(60);

/// What the files that this process has read had in them. There are as many as the settings name.
static READ: Mutex<BTreeMap<PathBuf, LastText>> = Mutex::new(BTreeMap::new());

struct LastText {
    text: String,
    // Since when the file has none.
    away_since: Option<Instant>,
}

/// The text of a file without what is blank around it.
///
/// A file that this process has read before and that is away or empty for the moment has the text that it had, for a
/// minute; after that the error is `Unavailable`, so that whoever can wait waits until it is there again. `what` says in
/// errors whose it is.
pub fn read(path: &Path, what: &str) -> Result<String> {
    read_at(path, what, Instant::now())
}

fn read_at(path: &Path, what: &str, now: Instant) -> Result<String> {
    let found = std::fs::read_to_string(path);
    let shown = path.display();
    let wrong = match found.as_deref().map(str::trim) {
        Ok("") => Error::invalid(format!("the file {shown} with {what} is empty")),
        Ok(text) => {
            let last = LastText { text: text.to_owned(), away_since: None };
            READ.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), last);
            return Ok(text.to_owned());
        }
        Err(error) => {
            Error::invalid(format!("the file {shown} with {what} cannot be read")).with_source(error.to_string())
        }
    };
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(last) = read.get_mut(path) else { return Err(wrong) };
    let since = *last.away_since.get_or_insert(now);
    if now.duration_since(since) < KEPT {
        return Ok(last.text.clone());
    }
    let what = format!("{wrong} for over {} s, and what it had before is not used any longer", KEPT.as_secs());
    Err(Error::unavailable(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::ErrorKind;

    #[test]
    fn a_file_that_is_away_or_empty_has_for_a_minute_what_it_had() {
        let folder = std::env::temp_dir().join(format!("riverrun-secret-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, never) = (folder.join("token"), folder.join("never"));
        let begun = Instant::now();
        let read = |path: &Path, after: Duration| read_at(path, "the token", begun + after);
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(read(&path, Duration::ZERO).unwrap(), "one");
        std::fs::write(&path, "").unwrap();
        assert_eq!(read(&path, Duration::ZERO).unwrap(), "one");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(&path, KEPT / 2).unwrap(), "one");
        let late = read(&path, KEPT).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Unavailable, "who can wait waits");
        let told = late.to_string();
        assert!(told.contains("token with the token cannot be read for over 60 s") && !told.contains("one"), "{told}");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(read(&path, KEPT).unwrap(), "two");
        std::fs::write(&path, " \n").unwrap();
        assert_eq!(read(&path, KEPT + KEPT / 2).unwrap(), "two", "a new minute has begun");
        assert_eq!(read(&never, KEPT).unwrap_err().kind(), ErrorKind::Invalid);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
