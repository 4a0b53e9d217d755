//! The folders of a table: its own, and one for each table that took its place.
//!
//! ```text
//! <namespace>/<table>/{data,metadata}         the first table of the name
//! <namespace>/<table>/<uuid>/{data,metadata}  one that took its place, or is to
//! <namespace>/<table>/<uuid>/placed           from when it took its place: people have seen it
//! <namespace>/<table>/[<uuid>/]replaced       when another one took its place
//! ```
//!
//! Readers that have found the old table go on with its files for an hour. Whoever claims the table after that removes
//! them.

use crate::failure;
use crate::storage::path_of;
use dataflow::Result;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// The file that says when a table was replaced, by when it was written.
const REPLACED: &str = "replaced";
/// What it holds where the table wants that none of its files is deleted.
const KEEPS_ALL: &[u8] = b"0";
/// The property of a new table that names the one whose place it is to take.
pub const TAKES_PLACE_OF: &str = "riverrun.takes-place-of";
/// So long the files of a table stay that was replaced.
pub const KEPT: Duration = Duration::from_secs(3600);
/// The file that says that a table was in its place.
const PLACED: &str = "placed";

/// The location of a table that is to take the place of the one at another location.
pub fn new_location(own: &str) -> String {
    format!("{own}/{}", Uuid::new_v4())
}

/// The location of a table that is to take the place of the one at another location, beside it: where a catalog keeps tables
/// apart, none lies in another.
pub fn location_beside(current: &str) -> String {
    let current = current.trim_end_matches('/');
    let first = current.len().checked_sub(37).and_then(|at| current.split_at_checked(at));
    let is_id = |suffix: &str| suffix.strip_prefix('-').is_some_and(|id| Uuid::try_parse(id).is_ok());
    let first = first.filter(|(_, suffix)| is_id(suffix)).map_or(current, |(first, _)| first);
    format!("{first}-{}", Uuid::new_v4())
}

/// Notes that the table with this metadata file gives way now, if its folder is one of the table's own; `keeps_all` where
/// none of its files may be deleted.
pub fn retire(own: &Path, metadata: &str, keeps_all: bool) -> Result<()> {
    let Some(folder) = folder_with(own, metadata) else { return Ok(()) };
    let path = folder.join(REPLACED);
    let noted = File::create(&path).and_then(|mut file| {
        // A file that is empty already keeps its time.
        file.write_all(if keeps_all { KEEPS_ALL } else { b"1" })?;
        file.sync_all()
    });
    noted.map_err(|error| failure::file(format!("\"{}\" cannot be written", path.display()), error))
}

/// Notes that the table with this metadata file takes its place now, if its folder is one of the table's own: if somebody
/// drops it, its files are theirs.
pub fn place(own: &Path, metadata: &str) -> Result<()> {
    let Some(folder) = folder_with(own, metadata) else { return Ok(()) };
    let path = folder.join(PLACED);
    if path.exists() {
        return Ok(());
    }
    let noted = File::create(&path).and_then(|file| file.sync_all());
    noted.map_err(|error| failure::file(format!("\"{}\" cannot be written", path.display()), error))
}

/// Notes that the table with this metadata file is the one of its name: it has taken its place, also where an earlier
/// version of this program put it there, and gives way to none, also where one that was to take its place never did.
pub fn stands(own: &Path, metadata: &str) -> Result<()> {
    place(own, metadata)?;
    let Some(folder) = folder_with(own, metadata) else { return Ok(()) };
    let path = folder.join(REPLACED);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failure::file(format!("\"{}\" cannot be removed", path.display()), error))
        }
        _ => Ok(()),
    }
}

/// Removes the folder of a table that nobody has seen.
pub fn remove_of(own: &Path, metadata: &str) {
    folder_with(own, metadata).filter(|folder| folder != own).into_iter().for_each(|folder| remove(&folder));
}

/// Removes folders of tables that were replaced long before a moment, and those that a run left which never put them in
/// place. Those in which a metadata file lies that has a name stay, and so does everything behind a link.
pub fn collect(own: &Path, named: &[PathBuf], now: SystemTime) {
    let is_linked = |folder: &Path| folder.canonicalize().map_or(true, |real| real != folder);
    let inner = fs::read_dir(own).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let is_new = |folder: &PathBuf| {
        folder.file_name().and_then(|name| name.to_str()).is_some_and(|name| Uuid::try_parse(name).is_ok())
    };
    for folder in inner.filter(is_new).chain([own.to_owned()]).filter(|folder| !is_linked(folder)) {
        let is_due = match fs::metadata(folder.join(REPLACED)).and_then(|mark| mark.modified()) {
            Ok(since) => now.duration_since(since).is_ok_and(|age| age > KEPT) && !keeps_all(&folder),
            // Nobody has seen it, unless it is the table's own: what others have dropped is theirs to remove.
            Err(error) => error.kind() == io::ErrorKind::NotFound && folder != own && !was_placed(&folder),
        };
        let metadata = folder.join("metadata");
        if is_due && !named.iter().any(|file| file.starts_with(&metadata)) {
            remove(&folder);
        }
    }
}

/// Whether the table of a folder that has given way wants that none of its files is deleted.
fn keeps_all(folder: &Path) -> bool {
    fs::read(folder.join(REPLACED)).map_or(true, |told| told == KEEPS_ALL)
}

/// The folder of the table that has this metadata file, if it is one of the table's own.
fn folder_with(own: &Path, metadata: &str) -> Option<PathBuf> {
    let folder = path_of(metadata).parent()?.parent()?.to_owned();
    (folder == own || folder.parent() == Some(own)).then_some(folder)
}

/// Removes a table's files. What stays costs space and nothing else, and is come by again.
fn remove(folder: &Path) {
    // The mark goes last: without it nobody would look here again.
    let parts = ["data", "metadata"].map(|part| fs::remove_dir_all(folder.join(part)));
    let is_gone = |part: &io::Result<()>| match part {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if parts.iter().all(is_gone) {
        let _ = fs::remove_file(folder.join(PLACED));
        let _ = fs::remove_file(folder.join(REPLACED));
        let _ = fs::remove_dir(folder);
    }
}

/// Whether people have seen the table of a folder.
fn was_placed(folder: &Path) -> bool {
    folder.join(PLACED).try_exists().unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locations_of_tables_that_replace_each_other_do_not_grow() {
        let first = location_beside("s3://lake/tables/lake/plays/");
        let second = location_beside(&first);
        assert_ne!(first, second);
        for location in [&first, &second] {
            let id = location.strip_prefix("s3://lake/tables/lake/plays-").unwrap();
            assert!(Uuid::try_parse(id).is_ok(), "{location}");
        }
        assert!(location_beside("größe").starts_with("größe-"));
    }
}
