//! Savepoints: copies of a checkpoint, with the data files that it has pending, in a folder of whoever asked for one, or in
//! one of a store, where the manifest is put last and makes a savepoint of it.
//!
//! ```text
//! .unfinished-savepoint-<hash of the checkpoints' folder>-<uuid>/     written, then renamed to the folder's name
//! <folder>/state-..       what the manifest names, under the same names
//! <folder>/data-<name>    the data files of outputs that were prepared and may not be committed
//! <folder>/manifest-..    as the checkpoint has it
//! <folder>/begun          in a store: made before all else, so that of two who write one place at once one is refused
//! ```
//!
//! Nothing of it is named from outside: a run that goes on from it copies all of it first, so that it may be moved, copied
//! and deleted like any other folder.

use crate::folder::{Folder, io_error, parent, sync_folder};
use crate::manifest::Manifest;
use crate::names;
use crate::place::Place;
use crate::reading;
use crate::store::{Created, Store};
use dataflow::{Error, OutputState, Result};
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

const UNFINISHED: &str = ".unfinished-savepoint-";
const DATA: &str = "data-";
/// The object by which who writes a savepoint into a store takes its place.
const BEGUN: &str = "begun";
/// The folders that data files in a store are fetched into.
const FETCHED: &str = "fetched-";

/// Gives the data files of what an output has pending.
pub type PendingFiles = dyn Fn(&OutputState) -> Result<Vec<PathBuf>> + Send + Sync;

/// A savepoint.
#[derive(Clone, Debug)]
pub struct Savepoint {
    place: Place,
    shown: PathBuf,
    /// The checkpoint that it is a copy of.
    pub manifest: Manifest,
}

/// Data files of a savepoint as files of this machine, until this is dropped.
#[derive(Debug)]
pub struct DataCopies {
    folder: PathBuf,
    is_own: bool,
}

impl Savepoint {
    /// Opens the savepoint in a place; its state is not read.
    pub fn open(place: impl Into<Place>) -> Result<Savepoint> {
        let place = place.into();
        let none = || {
            Error::invalid(format!(
                "there is no savepoint in \"{place}\", expected a folder that `riverrun savepoint` or `riverrun stop` has \
                 made; `riverrun jobs` lists those of this project"
            ))
        };
        if matches!(&place, Place::Folder(folder) if !folder.is_dir()) {
            return Err(none());
        }
        let store = place.opened()?.ok_or_else(none)?;
        let manifest = reading::newest(&*store)?.ok_or_else(none)?;
        Ok(Savepoint::of(place, manifest))
    }

    fn of(place: Place, manifest: Manifest) -> Savepoint {
        Savepoint { shown: place.shown(), place, manifest }
    }

    /// Where it lies, as people name it.
    pub fn path(&self) -> &Path {
        &self.shown
    }

    /// The copies of data files that were pending. Those in a store are fetched into the folder that the run holds on this
    /// machine; one that is not there is left out.
    pub fn data_copies(&self, originals: &[PathBuf]) -> Result<DataCopies> {
        let (objects, local) = match &self.place {
            Place::Folder(folder) => return Ok(DataCopies { folder: folder.clone(), is_own: false }),
            Place::Store { objects, local } => (objects, local),
        };
        remove_all(&Folder::create(local)?, FETCHED)?;
        let folder = Folder::create(&local.join(format!("{FETCHED}{}", uuid::Uuid::new_v4().simple())))?;
        let copies = DataCopies { folder: folder.path().to_owned(), is_own: true };
        for name in originals.iter().map(|original| data_name(original)) {
            if let Some(bytes) = objects.read(&name)? {
                create(&folder, &name, &bytes)?;
            }
        }
        Ok(copies)
    }

    pub(crate) fn store(&self) -> Result<Arc<dyn Store>> {
        self.place.opened()?.ok_or_else(|| Error::unavailable(format!("savepoint \"{}\" is gone", self.place)))
    }

    /// Copies a checkpoint, which must stay meanwhile, into a place where there is none yet: it is there whole, or not at
    /// all. Only the run that holds the checkpoints may.
    pub(crate) fn write(from: &dyn Store, manifest: Manifest, to: &Place, pending: &PendingFiles) -> Result<Savepoint> {
        match to {
            Place::Folder(folder) if folder.symlink_metadata().is_ok() => return Err(taken(to)),
            Place::Folder(folder) => write_folder(from, &manifest, (to, folder), pending)?,
            Place::Store { objects, .. } => write_objects(from, &manifest, (to, objects), pending)?,
        }
        Ok(Savepoint::of(to.clone(), manifest))
    }
}

impl DataCopies {
    /// The copy of a data file.
    pub fn file(&self, original: &Path) -> PathBuf {
        self.folder.join(data_name(original))
    }
}

impl Drop for DataCopies {
    fn drop(&mut self) {
        if self.is_own {
            // What stays is removed by the next run that fetches some.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A place that holds something.
fn taken(to: &dyn Display) -> Error {
    Error::invalid(format!("\"{to}\" is there already, name another folder for the savepoint"))
}

/// Writes a savepoint into a folder beside, and gives that its name.
fn write_folder(
    from: &dyn Store,
    manifest: &Manifest,
    (place, to): (&Place, &Path),
    pending: &PendingFiles,
) -> Result<()> {
    let named = |e: io::Error| match e.kind() {
        // Another savepoint got the name meanwhile.
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => taken(place),
        _ => io_error("make", to, e),
    };
    let beside = Folder::create(parent(to))?;
    let own = format!("{UNFINISHED}{:016x}-", xxh3_64(from.place("").as_bytes()));
    remove_all(&beside, &own)?;
    let unfinished = beside.path().join(format!("{own}{}", uuid::Uuid::new_v4().simple()));
    let written = Folder::create(&unfinished)
        .and_then(|into| {
            copy_pending(manifest, pending, &mut |file, name| copy_file(file, &into.path().join(name)))?;
            copy(from, manifest, &into)
        })
        .and_then(|()| std::fs::rename(&unfinished, to).map_err(named));
    if let Err(error) = written {
        // What stays of it is removed by the next savepoint; the error that matters is the first one.
        let _ = std::fs::remove_dir_all(&unfinished);
        return Err(error);
    }
    sync_folder(beside.path())
}

/// Removes folders that runs which were killed have left.
fn remove_all(beside: &Folder, own: &str) -> Result<()> {
    for name in beside.names()?.iter().filter(|name| name.starts_with(own)) {
        let path = beside.path().join(name);
        std::fs::remove_dir_all(&path).map_err(|e| io_error("remove", &path, e))?;
    }
    Ok(())
}

/// Writes a savepoint into a store. Its place is taken by an object that is made once, before anything else is, and stays:
/// of two that are written at the same moment, of one job or of two, one is refused, and nothing of it is mixed in. Without
/// its manifest, which comes last, it is none.
pub(crate) fn write_objects(
    from: &dyn Store,
    manifest: &Manifest,
    (place, into): (&dyn Display, &dyn Store),
    pending: &PendingFiles,
) -> Result<()> {
    let sign = uuid::Uuid::new_v4().simple().to_string();
    let begun = into.create(BEGUN, sign.as_bytes());
    // One of an older riverrun was not begun like this.
    let is_there = || names::manifests(into).map(|numbers| !numbers.is_empty());
    match begun {
        Ok(Created::New) if is_there()? => return Err(taken(place)),
        Ok(Created::New) => {}
        Ok(Created::Exists) if is_there()? => return Err(taken(place)),
        Ok(Created::Exists) => {
            return Err(Error::invalid(format!(
                "another savepoint is being written to \"{place}\", or was begun there by a process that was killed meanwhile: \
                 name another folder, or remove what is in this one"
            )));
        }
        Err(error) => {
            // It may have come there all the same, and would keep everybody out.
            if matches!(into.read(BEGUN), Ok(Some(found)) if found == sign.as_bytes()) {
                let _ = into.delete(BEGUN);
            }
            return Err(error);
        }
    }
    let mut made = Vec::new();
    if let Err(error) = copy_objects(from, manifest, into, pending, &mut made) {
        // The place is free again once nothing of this is in it. What stays keeps others out, who are told so.
        let is_gone = made.iter().all(|name| into.delete(name).is_ok());
        let _ = is_gone.then(|| into.delete(BEGUN));
        return Err(error);
    }
    // Where nobody knows whether this has come there, all that it names stays.
    create(into, &names::manifest(manifest.number), &manifest.to_bytes())
}

/// Copies data files and state into a store; names what was made.
fn copy_objects(
    from: &dyn Store,
    manifest: &Manifest,
    into: &dyn Store,
    pending: &PendingFiles,
    made: &mut Vec<String>,
) -> Result<()> {
    copy_pending(manifest, pending, &mut |file, name| {
        let bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            // It is left out, as it is where copies lie in a folder.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(io_error("read", file, e)),
        };
        create(into, name, &bytes)?;
        made.push(name.to_owned());
        Ok(())
    })?;
    for file in &manifest.files {
        create(into, &file.name, &reading::read_file(from, file)?)?;
        made.push(file.name.clone());
    }
    Ok(())
}

/// Copies the data files that a checkpoint has pending, each by its name.
fn copy_pending(
    manifest: &Manifest,
    pending: &PendingFiles,
    copy_data: &mut dyn FnMut(&Path, &str) -> Result<()>,
) -> Result<()> {
    for output in manifest.outputs.iter().filter(|output| !output.pending.is_empty()) {
        for file in pending(output)? {
            copy_data(&file, &data_name(&file))?;
        }
    }
    Ok(())
}

/// Copies the state and, when all of it is there, the manifest of a checkpoint into another store.
pub(crate) fn copy(from: &dyn Store, manifest: &Manifest, into: &dyn Store) -> Result<()> {
    for file in &manifest.files {
        create(into, &file.name, &reading::read_file(from, file)?)?;
    }
    create(into, &names::manifest(manifest.number), &manifest.to_bytes())
}

fn create(into: &dyn Store, name: &str, bytes: &[u8]) -> Result<()> {
    match into.upload(name, bytes)? {
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
