//! A local folder as a store: an object is a file, whole and durable before it has its name.
//!
//! ```text
//! .unfinished-<uuid>    written, synced, linked to the name that it gets, unlinked
//! <name>                there once the folder is synced
//! ```

use crate::store::{Created, Store};
use dataflow::{Error, Result};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const UNFINISHED: &str = ".unfinished-";

/// A folder of a local file system.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens a folder; makes it, durably, if it is not there.
    pub fn create(path: &Path) -> Result<Folder> {
        let mut missing = Vec::new();
        let mut at = path;
        while !at.as_os_str().is_empty() && !at.exists() {
            missing.push(at);
            at = at.parent().unwrap_or(Path::new(""));
        }
        for folder in missing.into_iter().rev() {
            match std::fs::create_dir(folder) {
                // Someone else may make it at the same moment.
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(io_error("make the folder", folder, e));
                }
                _ => sync_folder(parent(folder))?,
            }
        }
        Folder::existing(path)
    }

    /// Opens a folder that is there.
    pub fn existing(path: &Path) -> Result<Folder> {
        match path.is_dir() {
            true => Ok(Folder { path: path.to_owned() }),
            false => Err(Error::invalid(format!("\"{}\" is no folder, expected one with checkpoints", path.display()))),
        }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what runs that were killed have left unfinished; only the run that holds the folder may.
    pub(crate) fn remove_unfinished(&self) -> Result<()> {
        for name in self.names()?.iter().filter(|name| name.starts_with(UNFINISHED)) {
            self.delete(name)?;
        }
        Ok(())
    }

    /// The names of all that lies in it.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let failed = |e| io_error("list the folder", &self.path, e);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            // A name that is no text is none of ours.
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        Ok(names)
    }
}

impl Store for Folder {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created> {
        let unfinished = self.path.join(format!("{UNFINISHED}{}", uuid::Uuid::new_v4().simple()));
        let path = self.path.join(name);
        let linked = write(&unfinished, bytes)
            .map_err(|e| io_error(&format!("write {} bytes to", bytes.len()), &path, e))
            .and_then(|()| match std::fs::hard_link(&unfinished, &path) {
                Ok(()) => Ok(Created::New),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(Created::Exists),
                Err(e) => Err(link_error(&path, e)),
            });
        // What is left of it after a failure would only take up space; the error that matters is the first one.
        let removed = std::fs::remove_file(&unfinished);
        let created = linked?;
        removed.map_err(|e| io_error("remove", &unfinished, e))?;
        // Whoever has linked a name that was taken may not have come to this.
        sync_folder(&self.path)?;
        Ok(created)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io_error("read", &path, e)),
        }
    }

    fn read_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Option<Vec<u8>>> {
        let path = self.path.join(name);
        match read_range(&path, offset, bytes) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io_error(&format!("read {bytes} bytes of"), &path, e)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = self.names()?;
        names.retain(|name| name.starts_with(prefix) && !name.starts_with(UNFINISHED));
        names.sort_unstable();
        Ok(names)
    }

    fn delete(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("delete", &path, e)),
            _ => Ok(()),
        }
    }

    fn place(&self, name: &str) -> String {
        format!("\"{}\"", self.path.join(name).display())
    }
}

fn read_range(path: &Path, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut read = Vec::new();
    file.take(bytes).read_to_end(&mut read)?;
    Ok(read)
}

/// Writes and syncs a new file.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|opened| opened.sync_all()).map_err(|e| io_error("sync the folder", folder, e))
}

/// The folder that holds this one.
pub(crate) fn parent(folder: &Path) -> &Path {
    folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// An error of the operating system, with what was done and where.
pub(crate) fn io_error(doing: &str, path: &Path, error: io::Error) -> Error {
    Error::of_file(format!("cannot {doing} \"{}\"", path.display()), error)
}

/// An error of a link, which some file systems do not have.
fn link_error(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => Error::invalid(format!(
            "cannot make \"{}\" by a hard link: the file system has none, keep checkpoints on another one",
            path.display()
        ))
        .with_source(error),
        _ => io_error("make", path, error),
    }
}
