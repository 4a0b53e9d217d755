//! Who may put checkpoints into a place: one run at a time.

use crate::folder::Folder;
use crate::lease::{Lease, LeaseHolder, living_holder};
use crate::place::Place;
use crate::run_lock::{self, RunLock};
use crate::store::Store;
use dataflow::{Clock, Error, Result};
use object_stores::check_exclusive;
use std::os::unix::fs::MetadataExt;

/// The name of the file with the id of a folder of this machine.
const ID: &str = "id";

/// The right to put checkpoints into a place, until this is dropped or the process ends.
pub(crate) struct Hold {
    // Given back while the folder of this machine is still ours.
    lease: Option<Lease>,
    _lock: RunLock,
}

impl Hold {
    /// Takes the lock of a folder, which is made if it is not there; for checkpoints in a store that of the folder of this
    /// machine, and the lease. A store that cannot hold what is made once is refused.
    pub fn take(place: &Place, clock: &dyn Clock) -> Result<Hold> {
        let folder = Folder::create(place.local())?;
        let lock = RunLock::take(folder.path(), &place.to_string(), clock)?;
        folder.remove_unfinished()?;
        let lease = match place {
            Place::Folder(_) => None,
            Place::Store { objects, .. } => {
                let own = LeaseHolder::own(id_of(&folder)?, clock);
                let lapsed = Lease::look(objects, &own)?;
                check_exclusive(objects, clock.now())?;
                Some(Lease::take(objects, own, lapsed.as_deref())?)
            }
        };
        Ok(Hold { lease, _lock: lock })
    }

    /// An error once another run has taken over.
    pub fn check(&self) -> Result<()> {
        self.lease.as_ref().map_or(Ok(()), Lease::check)
    }
}

/// The id of a folder, which it keeps.
fn id_of(folder: &Folder) -> Result<String> {
    folder.create(ID, uuid::Uuid::new_v4().simple().to_string().as_bytes())?;
    known_id(folder)?.ok_or_else(|| {
        Error::corrupt(format!("{} holds no id, remove it while no run of the job is there", folder.place(ID)))
    })
}

/// The id of a folder, if it has one, and the number of the file that holds it: a copy of the folder is another one.
fn known_id(folder: &Folder) -> Result<Option<String>> {
    let id = folder.read(ID)?.and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(id) = id.filter(|id| uuid::Uuid::try_parse(id).is_ok()) else { return Ok(None) };
    match folder.path().join(ID).metadata() {
        Ok(file) => Ok(Some(format!("{id}-{}", file.ino()))),
        Err(error) => Err(Error::unavailable(format!("{}: {error}", folder.place(ID)))),
    }
}

/// Whether a run of a job is there now: one that starts, runs or ends, or one that makes a savepoint. Of checkpoints in a
/// store that looks at this machine alone.
pub fn is_held(place: impl Into<Place>) -> Result<bool> {
    run_lock::is_locked(place.into().local())
}

/// The run on another machine that holds checkpoints in a store, where nobody on this one does; looked for up to eight
/// seconds, where one has not given them back.
pub fn holder_elsewhere(place: impl Into<Place>) -> Result<Option<LeaseHolder>> {
    let Place::Store { objects, local } = place.into() else { return Ok(None) };
    let id = match local.is_dir() {
        true => known_id(&Folder::existing(&local)?)?,
        false => None,
    };
    living_holder(&objects, id.as_deref())
}
