//! Where checkpoints and savepoints of the jobs of a project lie.
//!
//! ```text
//! <checkpoints>/project, /job-<name>               of the whole project, and of a job
//! <checkpoints>/savepoints/project/<number>        savepoints that are given no place
//! <checkpoints>/as-<person>/..                     the same of those who write under names of their own
//! ```
//!
//! In a store these lie in folders of the project and the environment, since others may have the same location.

use crate::checkpoint_settings::{CheckpointStoreKeys, CheckpointsIn};
use crate::load::within;
use crate::open::Project;
use crate::store_keys::StoreKeys;
use crate::table_place::TablePlace;
use checkpoint::Place;
use dataflow::Result;
use object_stores::{ObjectFolder, StoreAccess};
use std::path::{Path, PathBuf};

/// The folder of a warehouse for checkpoints.
const CHECKPOINTS: &str = "_riverrun/checkpoints";
/// That of what is kept on this machine beside the tables of a catalog.
const CHECKPOINTS_BESIDE: &str = "checkpoints";
/// The folder of the checkpoints of a job of all outputs.
pub const WHOLE_PROJECT: &str = "project";
/// What the folder with the checkpoints of those who write under names of their own begins with.
pub const OF_ONES_OWN: &str = "as-";
/// The folder beside those of the jobs' checkpoints.
const SAVEPOINTS: &str = "savepoints";

/// How a place in a store is reached that people name on the command line, or in the settings.
#[derive(Clone)]
pub struct NamedPlaces {
    keys: StoreKeys,
    ca: Option<PathBuf>,
    // What errors call the key that these belong to.
    of: &'static str,
    // The project's folder.
    root: PathBuf,
    // What a run keeps on this machine.
    local: PathBuf,
}

impl NamedPlaces {
    /// The place of a name: a folder, or a location in a store.
    pub fn at(&self, named: &Path) -> Result<Place> {
        match named.to_str().filter(|text| is_location(text)) {
            None => Ok(Place::from(named)),
            Some(location) => Ok(Place::Store { objects: self.open(location)?, local: self.local.clone() }),
        }
    }

    fn open(&self, location: &str) -> Result<ObjectFolder> {
        let settings = self.keys.settings(&self.root, self.of)?;
        ObjectFolder::open(location, StoreAccess::new(&settings, self.ca.as_deref(), [])?)
    }
}

/// Whether a text is a location in a store, and no path.
pub fn is_location(text: &str) -> bool {
    text.contains("://")
}

impl Project {
    /// The folder of the checkpoints of a job; of the whole project without a name. Where checkpoints lie in a store, that of
    /// what a run of the job keeps on this machine: its lock, and the socket that it is asked by.
    pub fn checkpoints_path(&self, job: Option<&str>) -> PathBuf {
        self.own_path(self.checkpoints_folder()).join(folder_of(job))
    }

    /// Where the checkpoints of a job lie.
    pub fn checkpoints_place(&self, job: Option<&str>) -> Result<Place> {
        Ok(self.checkpoints_root()?.inner(&folder_of(job)))
    }

    /// Where savepoints of a job lie that are given no other place.
    pub fn savepoints_place(&self, job: Option<&str>) -> Result<Place> {
        Ok(self.checkpoints_root()?.inner(SAVEPOINTS).inner(&folder_of(job)))
    }

    /// Where the checkpoints of all jobs lie.
    pub(crate) fn checkpoints_root(&self) -> Result<Place> {
        let all = self.checkpoints_of_all()?;
        Ok(self.own.as_ref().map_or(all.clone(), |own| all.inner(&format!("{OF_ONES_OWN}{}", own.person))))
    }

    /// The same, whoever runs them.
    pub(crate) fn checkpoints_of_all(&self) -> Result<Place> {
        let local = self.checkpoints_folder();
        let Some(keys) = self.checkpoint_store_keys() else { return Ok(Place::Folder(local)) };
        let all = match self.checkpoint_store.get() {
            Some(all) => all,
            None => {
                let opened = self.named_places(None).open(&keys.location)?;
                self.checkpoint_store.get_or_init(|| opened)
            }
        };
        Ok(Place::Store { objects: all.within(self.name()).within(self.environment_name()), local })
    }

    /// What people name places of savepoints of a job by.
    pub(crate) fn named_places(&self, job: Option<&str>) -> NamedPlaces {
        let own = self.checkpoint_store_keys().and_then(|keys| keys.own.as_ref());
        let (keys, ca, of) = match (own, &self.environment.history.place) {
            (Some((keys, ca)), _) => (keys.clone(), ca.clone(), "checkpoints"),
            (None, TablePlace::Rest(place)) => {
                let (keys, ca) = place.store_keys();
                (keys.clone(), ca.map(Path::to_owned), "history")
            }
            (None, TablePlace::Folder(_)) => (StoreKeys::default(), None, "checkpoints"),
        };
        let root = self.folder.root.clone();
        NamedPlaces { keys, ca: ca.map(|ca| root.join(ca)), of, root, local: self.checkpoints_path(job) }
    }

    fn checkpoint_store_keys(&self) -> Option<&CheckpointStoreKeys> {
        match &self.environment.checkpoints.as_ref()?.place {
            CheckpointsIn::Folder(_) => None,
            CheckpointsIn::Store(keys) => Some(keys),
        }
    }

    /// The folder of all checkpoints, or of what runs keep on this machine beside those in a store.
    fn checkpoints_folder(&self) -> PathBuf {
        match (self.environment.checkpoints.as_ref().map(|settings| &settings.place), &self.environment.history.place) {
            (Some(CheckpointsIn::Folder(folder)), _) => within(&self.folder.root, folder),
            (_, TablePlace::Folder(_)) => self.warehouse_path().join(CHECKPOINTS),
            (_, TablePlace::Rest(_)) => self.warehouse_path().join(CHECKPOINTS_BESIDE),
        }
    }

    fn own_path(&self, all: PathBuf) -> PathBuf {
        match &self.own {
            Some(own) => all.join(format!("{OF_ONES_OWN}{}", own.person)),
            None => all,
        }
    }
}

/// The folder of a job.
fn folder_of(job: Option<&str>) -> String {
    job.map_or_else(|| WHOLE_PROJECT.to_owned(), |job| format!("job-{job}"))
}
