//! Who copies messages into a topic from elsewhere, known from the topic's folder.
//!
//! A copier is a producer whose name begins with [`COPIER`], and it touches the lock file of its name while it runs. So
//! everyone who reads the topic knows that it is copied into, whatever his settings say.

use crate::disk::io_error;
use dataflow::{ProcessingTime, Result, Span};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// What the names of producers begin with that copy from Google Pub/Sub.
pub const COPIER: &str = "pubsub:";
/// The same as it stands in the name of a file.
const COPIER_FILE: &str = "pubsub%3a";
/// Who did not touch his file for so long does not run.
const GONE_AFTER: Span = Span(15_000_000);
/// How often it is looked who runs.
const LOOK_EVERY: Span = Span(1_000_000);

/// The lock files of those who copy into a topic, or have done so.
pub(crate) fn copiers(topic: &Path) -> Result<Vec<PathBuf>> {
    let folder = topic.join("producers");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io_error("list", &folder, e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| io_error("list", &folder, e))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(COPIER_FILE) && name.ends_with(".lock") {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// When a file was last written or touched.
pub(crate) fn modified(path: &Path) -> Result<ProcessingTime> {
    let found = std::fs::metadata(path).and_then(|found| found.modified());
    let since = found.map_err(|e| io_error("look at", path, e))?.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Ok(ProcessingTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)))
}

/// Whether somebody copies into a topic now.
pub(crate) fn is_copied_now(topic: &Path, now: ProcessingTime) -> Result<bool> {
    for copier in copiers(topic)? {
        if modified(&copier)? > now.plus(Span(-GONE_AFTER.0)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a reader knows of who copies into its topic.
#[derive(Default)]
pub(crate) struct Copying {
    // When it looked, and what it saw.
    seen: Option<(ProcessingTime, bool)>,
}

impl Copying {
    /// Whether somebody copies into a topic, as of a second ago at most.
    pub fn is_on(&mut self, topic: &Path, now: ProcessingTime) -> Result<bool> {
        if let Some((at, is_on)) = self.seen
            && at <= now
            && now < at.plus(LOOK_EVERY)
        {
            return Ok(is_on);
        }
        let is_on = is_copied_now(topic, now)?;
        self.seen = Some((now, is_on));
        Ok(is_on)
    }
}
