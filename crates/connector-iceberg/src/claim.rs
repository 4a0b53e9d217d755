//! One writer of a table at a time: a lock where both see the same disk, and an epoch in the table where they do not.
//!
//! ```text
//! claim:   lock file taken? -> no: refused by name, nothing written
//!          epoch of the sink + 1, by compare and swap
//! commit:  on the base that is swapped: is the sink's epoch still mine? -> no: fenced by name
//! ```

use crate::commit::{CommitWait, Fence, TableChange};
use crate::failure;
use crate::layout::check_layout;
use crate::name::TableName;
use crate::output_fit::{FRESH, Present, check_output};
use crate::prepared_files::PreparedFiles;
use crate::storage::{create_folder, disk_time};
use crate::table::{TableOptions, plain_schema};
use crate::warehouse::{Warehouse, notes};
use crate::write::TableWriter;
use arrow::datatypes::SchemaRef;
use dataflow::{Committable, Committer, Error, EventTime, Result, TableLayout};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a commit waits for a catalog or a disk that does not answer.
const PATIENCE: Duration = Duration::from_secs(600);

/// How a lock file names its holder.
const PROCESS: &str = "process ";

/// The right to write a table, until the last clone is dropped or another claim takes a younger epoch.
///
/// The table need not exist yet: the holder of the claim creates it. One that exists can be replaced: rows go to a new
/// one, which nobody sees until it takes the place of the old one.
#[derive(Clone)]
pub struct TableClaim {
    pub(crate) shared: Arc<ClaimState>,
    pub(crate) patience: Duration,
    wait: Arc<dyn CommitWait>,
}

pub(crate) struct ClaimState {
    pub(crate) warehouse: Warehouse,
    pub(crate) table: TableName,
    pub(crate) sink: String,
    fences: Mutex<Fences>,
    lock: LockFile,
}

/// What a claim holds.
#[derive(Default)]
pub(crate) struct Fences {
    // The table of the name; `None` while there is none.
    pub table: Option<Fence>,
    // The table that is to take its place.
    pub staged: Option<Fence>,
    // Whether a checkpoint names that one, so that it stays when the claim ends before it has taken its place.
    pub keeps_staged: bool,
}

impl Fences {
    /// The table that rows are written to, and whether it is still to take its place.
    pub fn written(&self) -> Option<(&Fence, bool)> {
        let staged = self.staged.as_ref().map(|fence| (fence, true));
        staged.or_else(|| self.table.as_ref().map(|fence| (fence, false)))
    }
}

impl Drop for ClaimState {
    fn drop(&mut self) {
        let mut fences = self.fences();
        if fences.keeps_staged {
            return;
        }
        if let Some(staged) = fences.staged.take() {
            // What stays costs space and nothing else: the next run that makes a new table gives it up.
            let _ = self.warehouse.discard_staged(&self.table, Some(staged.table_uuid));
        }
    }
}

impl Warehouse {
    /// Takes the right to write a table for a sink, whose name stays the same from run to run. Refused by name while
    /// another process, or another claim of this one, holds the table.
    pub fn claim(&self, table: &str, sink: &str) -> Result<TableClaim> {
        TableClaim::take(self, TableName::parse(table)?, sink)
    }
}

impl Warehouse {
    /// The process that holds the right to write a table, and since when, as it has signed.
    pub fn writer_of(&self, table: &str) -> Result<Option<String>> {
        let path = lock_path(self, &TableName::parse(table)?);
        let failed = |error| failure::file(format!("lock file \"{}\" cannot be read", path.display()), error);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        // Whoever takes the lock of a process that is over waits while ours is there; before anybody has signed it is not
        // looked at, so that nobody is refused for that.
        let Some(signed) = holder(&file) else { return Ok(None) };
        match file.try_lock_shared() {
            Ok(()) => file.unlock().map(|()| None).map_err(failed),
            Err(TryLockError::WouldBlock) => Ok(Some(signed)),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

impl TableClaim {
    /// Takes the lock, then the epoch if there is a table.
    fn take(warehouse: &Warehouse, table: TableName, sink: &str) -> Result<TableClaim> {
        let lock = LockFile::take(&lock_path(warehouse, &table), &table)?;
        let claim = TableClaim {
            shared: Arc::new(ClaimState {
                warehouse: warehouse.clone(),
                table,
                sink: sink.to_owned(),
                fences: Mutex::default(),
                lock,
            }),
            patience: PATIENCE,
            wait: Arc::new(Unattended),
        };
        let now = claim.shared.taken()?;
        warehouse.finish_replacing(&claim.shared.table)?;
        warehouse.collect_replaced(&claim.shared.table, now)?;
        if claim.exists()? {
            claim.take_epoch()?;
        }
        Ok(claim)
    }

    /// The same claim, whose commits are attended to while they wait.
    #[must_use]
    pub fn attended_by(self, wait: Arc<dyn CommitWait>) -> TableClaim {
        TableClaim { wait, ..self }
    }

    /// The name of the table.
    pub fn table(&self) -> String {
        self.shared.table.to_string()
    }

    /// Whether there is a table.
    pub fn exists(&self) -> Result<bool> {
        self.shared.warehouse.exists(&self.table())
    }

    /// The epoch of the sink that this claim has taken; `None` while there is no table.
    pub fn epoch(&self) -> Option<u64> {
        self.shared.fences().table.as_ref().map(|fence| fence.epoch)
    }

    /// How many rows the table has; 0 while there is no table.
    pub fn rows(&self) -> Result<u64> {
        if self.exists()? { self.shared.warehouse.rows(&self.table()) } else { Ok(0) }
    }

    /// Creates the table if it does not exist. True when this call has created it.
    ///
    /// Someone who does not see the lock may make it at the same time: then the epoch is taken on theirs.
    pub fn create(&self, schema: &SchemaRef, options: &TableOptions) -> Result<bool> {
        if let Some(fence) = self.shared.fences().table.clone() {
            if self.rows()? == 0 {
                self.shared.warehouse.forget_commits(&self.shared.table, &fence)?;
            }
            return Ok(false);
        }
        if self.exists()? {
            return self.take_epoch().map(|()| false);
        }
        let ClaimState { warehouse, table, sink, .. } = &*self.shared;
        match warehouse.create_table(table, schema, &with_epoch(options, sink, 1))? {
            Some(table_uuid) => {
                self.shared.fences().table = Some(Fence { sink: sink.clone(), epoch: 1, table_uuid });
                Ok(true)
            }
            None => self.take_epoch().map(|()| false),
        }
    }

    /// Refuses a table that is there with other columns, partitions or another order than an output has, or that requires
    /// columns which the output does not have.
    pub fn check_output(&self, schema: &SchemaRef, layout: &TableLayout) -> Result<()> {
        let ClaimState { warehouse, table, .. } = &*self.shared;
        match warehouse.find(table, self.is_replacing())? {
            Some(found) => check_output(table, found.metadata(), (schema, Present::All), layout, FRESH),
            None => Ok(()),
        }
    }

    /// What people should know of how files of the table are written: what its properties ask for and is not done here.
    pub fn notes(&self) -> Result<Vec<String>> {
        let ClaimState { warehouse, table, .. } = &*self.shared;
        Ok(warehouse.find(table, self.is_replacing())?.map(|found| notes(table, &found)).unwrap_or_default())
    }

    /// Refuses a table that is there with other partitions or another order than a statement says.
    pub fn check_layout(&self, layout: &TableLayout) -> Result<()> {
        let ClaimState { warehouse, table, .. } = &*self.shared;
        match warehouse.find(table, self.is_replacing())? {
            Some(found) => check_layout(table, found.metadata(), layout, FRESH),
            None => Ok(()),
        }
    }

    /// Gives the table the columns of an output that it lacks; its rows have NULL in them.
    pub fn add_columns(&self, schema: &SchemaRef) -> Result<()> {
        let ClaimState { warehouse, table, .. } = &*self.shared;
        let fence = self.shared.fences().table.clone().ok_or_else(|| absent(table))?;
        warehouse.add_columns(table, &fence, schema)
    }

    /// Makes a new table without rows, which takes the rows that are written under this claim from here on. The one
    /// that is there stays as it is until [`TableClaim::take_places`]; where there is none, the new one is there at once.
    pub fn replace(&self, schema: &SchemaRef, options: &TableOptions) -> Result<()> {
        self.create(schema, options)?;
        let ClaimState { warehouse, table, sink, .. } = &*self.shared;
        // One without rows that is as the new one would be takes them itself.
        if self.rows()? == 0
            && plain_schema(schema) == warehouse.schema(&self.table())?
            && self.check_layout(&options.layout).is_ok()
        {
            // One that an earlier run left, and that nobody goes on with, costs space and nothing else.
            let _ = warehouse.discard_staged(table, None);
            return Ok(());
        }
        let mut fences = self.shared.fences();
        let epoch = fences.table.as_ref().map_or(0, |fence| fence.epoch) + 1;
        let table_uuid = warehouse.stage_table(table, schema, &with_epoch(options, sink, epoch))?;
        fences.staged = Some(Fence { sink: sink.clone(), epoch, table_uuid });
        Ok(())
    }

    /// Keeps the new table although it has not taken its place when the last clone of the claim is dropped: a checkpoint
    /// names it, and a later run goes on with it.
    pub fn keep_staged(&self) {
        self.shared.fences().keeps_staged = true;
    }

    /// Whether a new table waits to take the place of the one that is there.
    pub fn is_replacing(&self) -> bool {
        self.shared.fences().staged.is_some()
    }

    /// Lets the new tables of claims on one warehouse take the places of the old ones. In a folder that is one step: a reader
    /// sees either all old ones or all new ones. In a REST catalog it is one table after another; those that are left when
    /// it fails take their places with the next call, of this run or of one that goes on with it. Does nothing for claims
    /// that replace none.
    pub fn take_places<'a>(claims: impl IntoIterator<Item = &'a TableClaim>) -> Result<()> {
        // Commits wait meanwhile: they go to the table that is there before, or to the one that is there after.
        let mut waiting: Vec<(&TableClaim, MutexGuard<'_, Fences>)> =
            claims.into_iter().map(|claim| (claim, claim.shared.fences())).collect();
        waiting.retain(|(_, fences)| fences.staged.is_some());
        let warehouse = waiting.first().map(|one| one.0.shared.warehouse.clone());
        let Some(warehouse) = warehouse else { return Ok(()) };
        if warehouse.replaces_one_by_one() {
            return waiting.into_iter().try_for_each(|(claim, mut fences)| claim.take_place(&warehouse, &mut fences));
        }
        let old: Vec<(TableName, Option<Fence>)> =
            waiting.iter().map(|(claim, fences)| (claim.shared.table.clone(), fences.table.clone())).collect();
        warehouse.replace_tables(&old)?;
        waiting.iter_mut().for_each(|(_, fences)| fences.table = fences.staged.take());
        Ok(())
    }

    fn take_place(&self, warehouse: &Warehouse, fences: &mut Fences) -> Result<()> {
        let table = &self.shared.table;
        let Some(new) = &fences.staged else {
            return Err(Error::internal(format!("table \"{table}\" replaces none")));
        };
        // The old one gives way now, however long ago this run has begun.
        let now = disk_time(lock_path(warehouse, table).parent().unwrap_or(warehouse.dir()));
        let now = now.map_err(|error| failure::file("the time of the disk cannot be told", error))?;
        warehouse.replace_table(table, fences.table.as_ref(), new.table_uuid, now)?;
        fences.table = fences.staged.take();
        Ok(())
    }

    /// A writer of one worker. Columns are matched by name; those that a batch lacks become NULL.
    pub fn writer(&self, worker: usize) -> Result<TableWriter> {
        let ClaimState { warehouse, table, .. } = &*self.shared;
        let fences = self.shared.fences();
        let (fence, is_staged) = fences.written().ok_or_else(|| absent(table))?;
        warehouse.table_writer((table, is_staged), fence, worker)
    }

    /// The committer of the table. It leaves it to its host to try again while the catalog or the disk does not answer.
    pub fn committer(&self) -> Box<dyn Committer> {
        Box::new(TableClaim { patience: Duration::ZERO, ..self.clone() })
    }

    /// Commits what an archive has copied, and the frontier after it, if the table's frontier is `from` until then.
    /// `properties` go into the table and into the summary of the snapshot; the frontier is among them.
    pub fn commit_archive(
        &self,
        committables: &[Committable],
        properties: &[(String, String)],
        from: Option<&str>,
    ) -> Result<()> {
        let prepared = self.prepared(committables)?;
        self.commit_change(TableChange { prepared: &prepared, properties, from_frontier: Some(from) })
    }

    pub(crate) fn prepared(&self, committables: &[Committable]) -> Result<Vec<PreparedFiles>> {
        committables.iter().map(|bytes| PreparedFiles::from_committable(&self.shared.table, bytes)).collect()
    }

    pub(crate) fn commit_change(&self, change: TableChange<'_>) -> Result<()> {
        if change.prepared.is_empty() && change.properties.is_empty() {
            return Ok(());
        }
        let ClaimState { warehouse, table, .. } = &*self.shared;
        // Held throughout, so that no table takes its place under a commit.
        let fences = self.shared.fences();
        let (fence, is_staged) = fences.written().ok_or_else(|| absent(table))?;
        warehouse.commit((table, is_staged), change, fence.clone(), self.patience, self.wait.clone())
    }

    fn take_epoch(&self) -> Result<()> {
        let ClaimState { warehouse, table, sink, .. } = &*self.shared;
        let fence = warehouse.take_epoch((table, false), sink)?;
        self.shared.fences().table = Some(fence);
        Ok(())
    }
}

impl ClaimState {
    /// When the claim was taken, by the clock of the disk.
    pub(crate) fn taken(&self) -> Result<SystemTime> {
        self.lock.taken().map_err(|error| failure::file("a lock file cannot be looked at", error))
    }

    pub(crate) fn fences(&self) -> MutexGuard<'_, Fences> {
        self.fences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody attends to what waits.
struct Unattended;

impl CommitWait for Unattended {
    fn tell(&self, _: &str) {}

    fn is_over(&self) -> bool {
        false
    }
}

/// A claim without a table.
pub fn absent(table: &TableName) -> Error {
    Error::invalid(format!("there is no table \"{table}\""))
}

/// The options of a table that is made by a sink under an epoch.
fn with_epoch(options: &TableOptions, sink: &str, epoch: u64) -> TableOptions {
    let mut options = options.clone();
    options.properties.push((Fence::property(sink), epoch.to_string()));
    options
}

impl Committer for TableClaim {
    fn commit(&mut self, committables: Vec<Committable>) -> Result<()> {
        let prepared = self.prepared(&committables)?;
        self.commit_change(TableChange { prepared: &prepared, ..TableChange::default() })
    }
}

/// A folder beside those of the tables, whose name no namespace can have.
fn lock_path(warehouse: &Warehouse, table: &TableName) -> std::path::PathBuf {
    warehouse.dir().join(".locks").join(&table.namespace).join(format!("{}.lock", table.name))
}

/// A file that one process holds, and that the system frees when the process dies.
struct LockFile(File);

impl Drop for LockFile {
    fn drop(&mut self) {
        // A program that is being started at this moment has the file open too, and closing ours would not free the lock.
        let _ = self.0.unlock();
    }
}

impl LockFile {
    fn take(path: &Path, table: &TableName) -> Result<LockFile> {
        let failed = |error| failure::file(format!("lock file \"{}\" cannot be made", path.display()), error);
        path.parent().map_or(Ok(()), create_folder).map_err(failed)?;
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(path).map_err(failed)?;
        if !locks::lock_file(&file, holder_process).map_err(failed)? {
            return Err(held(path, table, &file));
        }
        sign(&mut file).map_err(failed)?;
        Ok(LockFile(file))
    }

    /// When it was taken, by the clock of the disk.
    fn taken(&self) -> io::Result<SystemTime> {
        self.0.metadata()?.modified()
    }
}

/// Writes who holds the lock, and since when by the clock of the disk.
fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    let process = format!("{PROCESS}{}", std::process::id());
    file.write_all(process.as_bytes())?;
    let since = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = EventTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    file.write_all(format!(", since {since}").as_bytes())
}

/// What the holder of a lock has written, if it has come to that.
fn holder(mut file: &File) -> Option<String> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
    Some(text).filter(|text| !text.is_empty())
}

fn holder_process(file: &File) -> Option<u32> {
    let text = holder(file)?;
    let (process, _) = text.strip_prefix(PROCESS)?.split_once(',')?;
    process.parse().ok()
}

fn held(path: &Path, table: &TableName, file: &File) -> Error {
    let holder = holder(file).unwrap_or_else(|| "another process".to_owned());
    Error::unavailable(format!(
        "table \"{table}\" is being written: {holder}, holds \"{}\"; stop it, or wait until it has ended",
        path.display()
    ))
}
