//! Files below a table's location that nothing names: left by commits that did not happen, by runs that were killed, and
//! by snapshots that have expired.
//!
//! ```text
//! what the table names -> the folders, without what is named, prepared or young -> what it names by now -> deleted
//! ```

use super::holds::TableHolds;
use super::listing::{ListedFile, delete_all, list, list_disk};
use super::named_files::NamedFiles;
use crate::commit::Fence;
use crate::data_name::{epoch_of, is_of_a_sink};
use crate::failure;
use crate::name::TableName;
use crate::object_files::is_local;
use crate::plain_location::plain;
use crate::storage::{disk_time, path_of};
use crate::table_catalog::TableFolder;
use crate::upkeep::{COLLECT, keeps_all};
use crate::warehouse::Warehouse;
use dataflow::{Error, Result};
use iceberg::spec::TableMetadata;
use iceberg::table::Table;
use std::collections::HashSet;
use std::time::{Duration, UNIX_EPOCH};

/// The folders of a table in which writers put files.
const FOLDERS: [&str; 2] = ["data", "metadata"];
/// A file of ours may be open for so long before it is written to: a job commits at least this often.
const OPEN_MS_MAX: i64 = 24 * 3_600_000;
/// The sink of archives, which no checkpoint prepares files for.
const ARCHIVE: &str = "archive";
/// The names of files that a compaction writes begin so.
const COMPACTED: &str = "compact-";

/// What is taken for an orphan.
#[derive(Clone, Copy, Debug)]
pub struct OrphanOptions {
    /// What was written later than that stays: whoever has written it may be about to commit it.
    pub older_than: Duration,
}

/// What would go from a table as it is now.
#[derive(Clone, Debug, Default)]
pub struct OrphanPlan {
    /// The files, each with its bytes.
    pub files: Vec<(String, u64)>,
    /// Files of this machine that were on their way to a store, or that were sorted, each with its bytes.
    pub beside: Vec<(String, u64)>,
    /// How many files that nothing names stay since they are young, or since a commit has let go of them within the last hour.
    pub young: usize,
    /// How many stay since a checkpoint or a savepoint has prepared them.
    pub prepared: usize,
    /// How many stay since they are of jobs of which it is not known here what they have prepared.
    pub unknown_jobs: usize,
    /// How many files were looked at.
    pub listed: usize,
}

/// What has gone.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrphanSummary {
    /// Files that are deleted, and their bytes.
    pub files: usize,
    pub bytes: u64,
    /// Files that could not be deleted.
    pub files_left: usize,
}

impl Warehouse {
    /// Which files below a table's location nothing names. Where it lies on a disk, the clock of the disk says how old they
    /// are; one of a store differs from that of this machine by 15 minutes at most, since stores refuse requests else.
    ///
    ///  A location that another table has, too, is refused, and so is a
    /// table whose property `gc.enabled` is false.
    pub fn plan_orphans(
        &self,
        table: &str,
        options: OrphanOptions,
        holds: &TableHolds,
        now_ms: i64,
    ) -> Result<OrphanPlan> {
        let name = TableName::parse(table)?;
        let table = self.load(&name)?;
        if keeps_all(table.metadata()) {
            return Err(Error::invalid(format!(
                "table \"{name}\" has {COLLECT} = false: files below its location may be those of others, and none is \
                 deleted"
            )));
        }
        self.check_alone(&name, &table)?;
        let now_ms = now_ms.min(disk_now_ms(table.metadata().location()).unwrap_or(i64::MAX));
        let old_ms = now_ms.saturating_sub(i64::try_from(options.older_than.as_millis()).unwrap_or(i64::MAX));
        let search = Search { name: &name, holds, old_ms, open_ms: now_ms.saturating_sub(OPEN_MS_MAX).min(old_ms) };
        let folder = self.runtime().block_on(self.tables_catalog().folder(&name));
        let folder = folder.map_err(|error| failure::iceberg(format!("table \"{name}\" cannot be loaded"), error))?;
        let folder = folder.ok_or_else(|| Error::invalid(format!("there is no table \"{name}\"")))?;
        let mut plan = self.runtime().block_on(search.run(self, &table, &folder))?;
        let (uploads, runs) = self.scratch_folders();
        for scratch in [uploads, runs] {
            list_disk(&scratch, &mut |file| {
                plan.beside.extend((file.written_ms < search.open_ms).then_some((file.location, file.bytes)));
            })?;
        }
        Ok(plan)
    }

    /// Deletes the files of a plan that was made just now.
    pub fn delete_orphans(
        &self,
        table: &str,
        plan: &OrphanPlan,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<OrphanSummary> {
        let name = TableName::parse(table)?;
        let table = self.load(&name)?;
        let total = (plan.files.len() + plan.beside.len()) as u64;
        let mut of_table = |done| progress(done, total);
        let deleted = self.runtime().block_on(delete_all(table.file_io(), &plan.files, &mut of_table));
        let mut summary = OrphanSummary { files: deleted.files, bytes: deleted.bytes, files_left: deleted.left };
        for (file, bytes) in &plan.beside {
            match std::fs::remove_file(file).is_ok() {
                true => (summary.files, summary.bytes) = (summary.files + 1, summary.bytes + bytes),
                false => summary.files_left += 1,
            }
        }
        progress(total, total);
        Ok(summary)
    }

    /// Refuses a table in whose folders another one of the catalog lies, or that lies in those of another one.
    fn check_alone(&self, name: &TableName, table: &Table) -> Result<()> {
        let own = plain(table.metadata().location());
        for (other, location) in self.other_locations(name)? {
            let other_place = plain(&location);
            let is_within = |inner: &str, outer: &str| {
                inner == outer
                    || FOLDERS.iter().any(|folder| {
                        let folder = format!("{outer}/{folder}");
                        inner == folder || inner.strip_prefix(&folder).is_some_and(|rest| rest.starts_with('/'))
                    })
            };
            if is_within(&own, &other_place) || is_within(&other_place, &own) {
                return Err(Error::invalid(format!(
                    "table \"{name}\" lies at \"{}\", and {other} at \"{location}\": nobody can say whose the files there \
                     are, and none is deleted; give one of the two a location of its own",
                    table.metadata().location()
                )));
            }
        }
        Ok(())
    }
}

/// Now by the clock of the disk that a location is on; `None` where it is on none, or where nothing can be written.
fn disk_now_ms(location: &str) -> Option<i64> {
    let folder = is_local(location).then(|| path_of(location).join("metadata"))?;
    let now = disk_time(&folder).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(now.as_millis()).ok()
}

struct Search<'a> {
    name: &'a TableName,
    holds: &'a TableHolds,
    // Written before this: old, and old for a file of ours that may be open.
    old_ms: i64,
    open_ms: i64,
}

/// Why a file that nothing names stays, or that it goes.
enum Fate {
    Goes,
    Young,
    Prepared,
    OfUnknownJob,
}

impl Search<'_> {
    async fn run(&self, warehouse: &Warehouse, table: &Table, folder: &TableFolder) -> Result<OrphanPlan> {
        let (mut named, mut read) = (NamedFiles::default(), HashSet::new());
        self.add_named(table, &mut named, &mut read).await?;
        let mut prepared = NamedFiles::default();
        self.holds.prepared.iter().for_each(|location| prepared.add(location));
        let location = table.metadata().location().trim_end_matches('/');
        let folders = FOLDERS.map(|part| format!("{location}/{part}"));
        // What the newest state of the table names has to be there: else paths are written in a way that is not known.
        let mut expected = NamedFiles::default();
        let anchors = anchors(table, location);
        anchors.iter().for_each(|anchor| expected.add(anchor));
        let (mut plan, mut found) = (OrphanPlan::default(), 0);
        let mut each = |file: ListedFile| {
            plan.listed += 1;
            found += usize::from(expected.has(&file.location));
            if named.has(&file.location) {
                return;
            }
            match self.fate(&file, table.metadata(), &prepared) {
                Fate::Goes => plan.files.push((file.location, file.bytes)),
                Fate::Young => plan.young += 1,
                Fate::Prepared => plan.prepared += 1,
                Fate::OfUnknownJob => plan.unknown_jobs += 1,
            }
        };
        list(folder, &folders, &mut each).await?;
        if found < anchors.len() {
            return Err(Error::corrupt(format!(
                "table \"{}\" names \"{}\", which is not among the files below \"{location}\": paths are written in a way \
                 that is not understood here, or files are missing; nothing is deleted",
                self.name,
                anchors.first().map_or("", String::as_str)
            )));
        }
        // Somebody may have committed meanwhile what was prepared long ago.
        let now = warehouse.tables_catalog().find(self.name).await;
        let now = now.map_err(|error| failure::iceberg(format!("table \"{}\" cannot be loaded", self.name), error))?;
        let now = now.filter(|now| now.metadata().uuid() == table.metadata().uuid()).ok_or_else(|| {
            Error::unavailable(format!("table \"{}\" was made again while its files were listed; try again", self.name))
        })?;
        self.add_named(&now, &mut named, &mut read).await?;
        plan.files.retain(|(location, _)| !named.has(location));
        plan.files.sort_unstable();
        Ok(plan)
    }

    async fn add_named(&self, table: &Table, named: &mut NamedFiles, read: &mut HashSet<String>) -> Result<()> {
        named.add_metadata(table, &HashSet::new());
        for snapshot in table.metadata().snapshots() {
            // The list of a snapshot never changes.
            if read.insert(snapshot.manifest_list().to_owned()) {
                named.add_snapshot(self.name, table, snapshot, read).await?;
            }
        }
        Ok(())
    }

    /// Whether checkpoints that were looked at have prepared files under an epoch of a sink.
    fn has_prepared(&self, sink: &str, epoch: u64) -> bool {
        let name = |location: &String| location.rsplit('/').next().and_then(|name| epoch_of(name, sink));
        self.holds.prepared.iter().any(|location| name(location) == Some(epoch))
    }

    fn fate(&self, file: &ListedFile, metadata: &TableMetadata, prepared: &NamedFiles) -> Fate {
        let name = file.name();
        if prepared.has(&file.location) {
            return Fate::Prepared;
        }
        let is_of_a_sink = is_of_a_sink(name);
        let sink = self.holds.sinks.iter().find_map(|sink| Some((sink, epoch_of(name, sink)?)));
        let may_be_open = match sink {
            // Whoever has an older epoch commits nothing more, but for what a checkpoint has. The checkpoints of the epoch that
            // writes now are here if one of them has prepared such a file; else they may be elsewhere.
            Some((sink, epoch)) => {
                let is_open = Fence::epoch_in(self.name, metadata, sink).map_or(true, |known| epoch >= known);
                if is_open && sink != ARCHIVE && !self.has_prepared(sink, epoch) {
                    return Fate::OfUnknownJob;
                }
                is_open
            }
            None => is_of_a_sink || name.starts_with(COMPACTED),
        };
        if file.written_ms >= if may_be_open { self.open_ms } else { self.old_ms } {
            return Fate::Young;
        }
        if is_of_a_sink && sink.is_none() { Fate::OfUnknownJob } else { Fate::Goes }
    }
}

/// Files that a table names now and that have to lie below its location: its metadata file, and the list of its snapshot.
fn anchors(table: &Table, location: &str) -> Vec<String> {
    let below = format!("{}/", plain(location));
    let list = table.metadata().current_snapshot().map(|snapshot| snapshot.manifest_list());
    let named = table.metadata_location().into_iter().chain(list);
    named.filter(|path| plain(path).starts_with(&below)).map(str::to_owned).collect()
}
