//! The state of a table that one commit changes, and no other that is loaded in between.

use crate::storage::path_of;
use crate::upkeep::UNNAMED_MS_MIN;
use iceberg::spec::{Snapshot, TableMetadata};
use iceberg::table::Table;
use iceberg::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What describes a commit is named by nothing until the swap, and files that nothing names may be deleted as orphans from
/// some hours on: what was written longer ago than this is not put in place.
const WRITTEN_MAX: Duration = Duration::from_millis(UNNAMED_MS_MIN.unsigned_abs());

/// The base of a commit.
#[derive(Clone, Debug)]
pub struct PinnedBase {
    /// What is swapped.
    pub swapped: Table,
    /// The same as the library is to see it, which adds files of the default partition spec alone.
    pub seen: Table,
    began: Instant,
}

impl PinnedBase {
    /// A base whose commit begins to write now.
    pub fn new(swapped: &Table, seen: Table) -> PinnedBase {
        PinnedBase { swapped: swapped.clone(), seen, began: Instant::now() }
    }

    /// Refuses to swap it, so that the next attempt writes anew, when the commit began so long ago that what it has written
    /// may be gone.
    pub fn check_age(&self) -> Result<()> {
        if self.began.elapsed() > WRITTEN_MAX { Err(too_old()) } else { Ok(()) }
    }
}

/// The metadata of a table whose new files are of another of its partition specs.
pub fn with_default_spec(base: &Table, spec: i32) -> Result<TableMetadata> {
    let builder = base.metadata().clone().into_builder(base.metadata_location().map(str::to_owned));
    Ok(builder.set_default_partition_spec(spec)?.build()?.metadata)
}

/// The same by the clock of a disk, on which `newest` was written just now: it goes on while a machine sleeps.
pub async fn check_age_on_disk(base: &Table, snapshot: &Snapshot, newest: &Path) -> Result<()> {
    let list = base.manifest_list_reader(&Arc::new(snapshot.clone())).load().await?;
    let added = list.entries().iter().filter(|manifest| manifest.added_snapshot_id == snapshot.snapshot_id());
    let written = added.map(|manifest| manifest.manifest_path.as_str()).chain([snapshot.manifest_list()]);
    let time = |path: &Path| std::fs::metadata(path).and_then(|about| about.modified());
    for location in written {
        let path = path_of(location);
        let age = time(newest).and_then(|now| Ok(now.duration_since(time(&path)?).unwrap_or_default()));
        // One that is gone was deleted as an orphan.
        if age.map_or(true, |age| age > WRITTEN_MAX) {
            return Err(too_old());
        }
    }
    Ok(())
}

fn too_old() -> Error {
    let what = "what describes this commit was written so long ago that it may have been deleted";
    Error::new(ErrorKind::CatalogCommitConflicts, what)
}
