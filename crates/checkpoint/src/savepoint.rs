//! Savepoints: copies of a checkpoint, with the data files that it has pending, in a folder of whoever asked for one.
//!
//! ```text
//! .unfinished-savepoint-<hash of the checkpoints' folder>-<uuid>/     written, then renamed to the folder's name
//! <folder>/state-..       what the manifest names, under the same names
//! <folder>/data-<name>    the data files of outputs that were prepared and may not be committed
//! <folder>/manifest-..    as the checkpoint has it
//! ```
//!
//! Nothing of it is named from outside: a run that goes on from it copies all of it first, so that it may be moved, copied
//! and deleted like any other folder.

use crate::folder::{Folder, io_error, parent, sync_folder};
use crate::manifest::Manifest;
use crate::names;
use crate::reading;
use crate::store::{Created, Store};
use dataflow::{Error, OutputState, Result};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

const UNFINISHED: &str = ".unfinished-savepoint-";
const DATA: &str = "data-";

/// Gives the data files of what an output has pending.
pub type PendingFiles = dyn Fn(&OutputState) -> Result<Vec<PathBuf>> + Send + Sync;

/// A savepoint in a folder.
#[derive(Clone, Debug)]
pub struct Savepoint {
    folder: Folder,
    /// The checkpoint that it is a copy of.
    pub manifest: Manifest,
}

impl Savepoint {
    /// Opens the savepoint in a folder; its state is not read.
    pub fn open(folder: &Path) -> Result<Savepoint> {
        let none = || {
            Error::invalid(format!(
                "there is no savepoint in \"{}\", expected a folder that `riverrun savepoint` or `riverrun stop` has made; \
                 `riverrun jobs` lists those of this project",
                folder.display()
            ))
        };
        if !folder.is_dir() {
            return Err(none());
        }
        let folder = Folder::existing(folder)?;
        let manifest = reading::newest(&folder)?.ok_or_else(none)?;
        Ok(Savepoint { folder, manifest })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The copy of a data file that was pending.
    pub fn data_file(&self, original: &Path) -> PathBuf {
        self.folder.path().join(data_name(original))
    }

    pub(crate) fn store(&self) -> &Folder {
        &self.folder
    }

    /// Copies a checkpoint, which must stay meanwhile, into a folder that is not there yet: it is there whole, or not at
    /// all. Only the run that holds the checkpoints may.
    pub(crate) fn write(from: &Folder, manifest: Manifest, to: &Path, pending: &PendingFiles) -> Result<Savepoint> {
        let taken =
            || Error::invalid(format!("\"{}\" is there already, name another folder for the savepoint", to.display()));
        if to.symlink_metadata().is_ok() {
            return Err(taken());
        }
        let beside = Folder::create(parent(to))?;
        let own = format!("{UNFINISHED}{:016x}-", xxh3_64(from.path().as_os_str().as_encoded_bytes()));
        remove_unfinished(&beside, &own)?;
        let unfinished = beside.path().join(format!("{own}{}", uuid::Uuid::new_v4().simple()));
        let written = fill(from, &manifest, &unfinished, pending)
            .and_then(|()| std::fs::rename(&unfinished, to).map_err(|e| io_error("make", to, e)));
        if let Err(error) = written {
            // What stays of it is removed by the next savepoint; the error that matters is the first one.
            let _ = std::fs::remove_dir_all(&unfinished);
            return Err(error);
        }
        sync_folder(beside.path())?;
        Ok(Savepoint { folder: Folder::existing(to)?, manifest })
    }
}

/// Removes what a run that was killed has left of a savepoint.
fn remove_unfinished(beside: &Folder, own: &str) -> Result<()> {
    for name in beside.names()?.iter().filter(|name| name.starts_with(own)) {
        let path = beside.path().join(name);
        std::fs::remove_dir_all(&path).map_err(|e| io_error("remove", &path, e))?;
    }
    Ok(())
}

fn fill(from: &Folder, manifest: &Manifest, folder: &Path, pending: &PendingFiles) -> Result<()> {
    let into = Folder::create(folder)?;
    for output in manifest.outputs.iter().filter(|output| !output.pending.is_empty()) {
        for file in pending(output)? {
            copy_file(&file, &folder.join(data_name(&file)))?;
        }
    }
    copy(from, manifest, &into)
}

/// Copies the state and, when all of it is there, the manifest of a checkpoint into another store.
pub(crate) fn copy(from: &dyn Store, manifest: &Manifest, into: &dyn Store) -> Result<()> {
    for file in &manifest.files {
        create(into, &file.name, &reading::read_file(from, file)?)?;
    }
    create(into, &names::manifest(manifest.number), &manifest.to_bytes())
}

fn create(into: &dyn Store, name: &str, bytes: &[u8]) -> Result<()> {
    match into.create(name, bytes)? {
        Created::New => Ok(()),
        Created::Exists => Err(Error::unavailable(format!("{} is there already", into.place(name)))),
    }
}

/// Copies a file durably; the entry of its folder is made durable with the manifest.
///
/// One that is gone is left out: an output may have been silent since it was committed, and other tools have put its rows
/// into another file. Where a table lacks it, a run that begins from the savepoint is refused by the name of the file.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    match std::fs::copy(from, to) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        copied => copied.map_err(|e| io_error(&format!("copy \"{}\" to", from.display()), to, e))?,
    };
    File::open(to).and_then(|file| file.sync_all()).map_err(|e| io_error("write", to, e))
}

/// The name of the copy of a data file; those of data files are never used twice.
fn data_name(original: &Path) -> String {
    format!("{DATA}{}", original.file_name().unwrap_or(OsStr::new("")).to_string_lossy())
}
