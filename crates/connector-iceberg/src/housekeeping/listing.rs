//! The files that lie below a folder, on a disk of this machine or in a store.

use crate::failure;
use crate::object_files::is_local;
use crate::storage::path_of;
use crate::table_catalog::TableFolder;
use dataflow::Result;
use futures::StreamExt;
use iceberg::io::FileIO;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// So many files are being deleted at once.
const DELETES_AT_ONCE: usize = 16;

/// What was deleted of some files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deleted {
    /// How many, and their bytes.
    pub files: usize,
    pub bytes: u64,
    /// How many could not be.
    pub left: usize,
}

/// Deletes files, each given with its bytes; one that is not there any more is deleted. What cannot be deleted costs space
/// and nothing else. `progress` is told how many are done.
pub async fn delete_all(file_io: &FileIO, files: &[(String, u64)], progress: &mut dyn FnMut(u64)) -> Deleted {
    let delete = |(file, bytes): (String, u64)| async move { (file_io.delete(&file).await.is_ok(), bytes) };
    let mut ends = futures::stream::iter(files.to_vec()).map(delete).buffer_unordered(DELETES_AT_ONCE);
    let (mut deleted, mut done) = (Deleted::default(), 0);
    while let Some((is_gone, bytes)) = ends.next().await {
        match is_gone {
            true => (deleted.files, deleted.bytes) = (deleted.files + 1, deleted.bytes + bytes),
            false => deleted.left += 1,
        }
        done += 1;
        progress(done);
    }
    deleted
}

/// A file as a listing has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// Its path on a disk, or its location in a store.
    pub location: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// When it was last written, in milliseconds since 1970, by the clock of the disk or the store.
    pub written_ms: i64,
}

impl ListedFile {
    /// Its name without the folder.
    pub fn name(&self) -> &str {
        self.location.rsplit('/').next().unwrap_or_default()
    }
}

/// Gives all files below some folders of a table. A folder that is not there has none.
pub async fn list(table: &TableFolder, folders: &[String], each: &mut dyn FnMut(ListedFile)) -> Result<()> {
    for folder in folders {
        match (&table.files, is_local(folder)) {
            (_, true) => list_disk(&path_of(folder), each)?,
            (Some(files), false) => {
                let mut of_store = |location, bytes, written_ms| each(ListedFile { location, bytes, written_ms });
                let listed = files.list(folder, &mut of_store).await;
                listed.map_err(|error| failure::iceberg(format!("\"{folder}\" cannot be listed"), error))?;
            }
            (None, false) => {
                return Err(dataflow::Error::invalid(format!(
                    "\"{folder}\" lies in a store that is not listed here; expected a folder, or a table of a REST catalog"
                )));
            }
        }
    }
    Ok(())
}

/// Gives the files of a folder of a disk, and of those in it. Nothing behind a link.
pub fn list_disk(folder: &Path, each: &mut dyn FnMut(ListedFile)) -> Result<()> {
    let failed = |error| failure::file(format!("cannot look through \"{}\"", folder.display()), error);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let (kind, path) = (entry.file_type().map_err(failed)?, entry.path());
        if kind.is_dir() {
            list_disk(&path, each)?;
            continue;
        }
        // A file may go while it is looked at, and one whose name is no text is none of a table.
        let (true, Some(location), Ok(about)) = (kind.is_file(), path.to_str(), entry.metadata()) else { continue };
        let written = about.modified().map_err(failed)?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let written_ms = i64::try_from(written.as_millis()).unwrap_or(i64::MAX);
        each(ListedFile { location: location.to_owned(), bytes: about.len(), written_ms });
    }
    Ok(())
}
