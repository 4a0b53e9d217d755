//! Where the checkpoints of a job, or a savepoint, lie: in a folder of this machine, or in one of an object store.

use crate::folder::{Folder, io_error};
use crate::store::Store;
use dataflow::Result;
use object_stores::ObjectFolder;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where checkpoints lie.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a folder.
    Folder(PathBuf),
    /// In a folder of a store.
    Store {
        /// That folder.
        objects: ObjectFolder,
        /// The folder of what a run of the job keeps on this machine: its lock, and the socket that it is asked by.
        local: PathBuf,
    },
}

impl Place {
    /// The folder on this machine: that of the checkpoints, or of what a run keeps here.
    pub fn local(&self) -> &Path {
        match self {
            Place::Folder(folder) | Place::Store { local: folder, .. } => folder,
        }
    }

    /// The place as people name it in settings and on the command line.
    pub fn shown(&self) -> PathBuf {
        match self {
            Place::Folder(folder) => folder.clone(),
            Place::Store { objects, .. } => objects.location().into(),
        }
    }

    /// A place in this one.
    pub fn inner(&self, name: &str) -> Place {
        match self {
            Place::Folder(folder) => Place::Folder(folder.join(name)),
            Place::Store { objects, local } => Place::Store { objects: objects.within(name), local: local.join(name) },
        }
    }

    /// The places in this one, sorted by their names; those that are being written begin with a dot, and are none yet. None
    /// where there is nothing.
    pub fn folders(&self) -> Result<Vec<Place>> {
        match self {
            Place::Folder(folder) => Ok(folders(folder)?.into_iter().map(Place::Folder).collect()),
            Place::Store { objects, .. } => Ok(objects.folders()?.iter().map(|name| self.inner(name)).collect()),
        }
    }

    /// The last part of its name.
    pub fn name(&self) -> &str {
        match self {
            Place::Folder(folder) => folder.file_name().and_then(|name| name.to_str()).unwrap_or_default(),
            Place::Store { objects, .. } => objects.name(),
        }
    }

    /// Whether something is there.
    pub fn is_taken(&self) -> Result<bool> {
        match self {
            Place::Folder(folder) => Ok(folder.symlink_metadata().is_ok()),
            Place::Store { objects, .. } => Ok(!objects.names()?.is_empty()),
        }
    }

    /// What holds the objects; none for a folder that is not there.
    pub(crate) fn opened(&self) -> Result<Option<Arc<dyn Store>>> {
        match self {
            Place::Folder(folder) if !folder.exists() => Ok(None),
            Place::Folder(folder) => Ok(Some(Arc::new(Folder::existing(folder)?))),
            Place::Store { objects, .. } => Ok(Some(Arc::new(objects.clone()))),
        }
    }
}

/// The folders in a folder.
fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let failed = |e| io_error("list the folder", path, e);
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?.path();
        let is_hidden = entry.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        folders.extend(Some(entry).filter(|entry| !is_hidden && entry.is_dir()));
    }
    folders.sort_unstable();
    Ok(folders)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shown().display())
    }
}

impl From<&Path> for Place {
    fn from(folder: &Path) -> Place {
        Place::Folder(folder.to_owned())
    }
}

impl From<&PathBuf> for Place {
    fn from(folder: &PathBuf) -> Place {
        Place::Folder(folder.clone())
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Place {
        place.clone()
    }
}
