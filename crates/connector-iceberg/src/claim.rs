//! One writer of a table at a time: a lock where both see the same disk, and an epoch in the table where they do not.
//!
//! ```text
//! claim:   lock file taken? -> no: refused by name, nothing written
//!          epoch of the sink + 1, by compare and swap
//! commit:  on the base that is swapped: is the sink's epoch still mine? -> no: fenced by name
//! ```

use crate::commit::{Fence, PreparedFiles, TableChange, WaitNotice};
use crate::failure;
use crate::name::TableName;
use crate::storage::create_folder;
use crate::table::TableOptions;
use crate::warehouse::Warehouse;
use crate::write::TableWriter;
use arrow::datatypes::SchemaRef;
use dataflow::{Committable, Committer, Error, EventTime, Result};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

/// How long a commit waits for a catalog or a disk that does not answer.
const PATIENCE: Duration = Duration::from_secs(600);

/// The right to write a table, until the last clone is dropped or another claim takes a younger epoch.
///
/// The table need not exist yet: the holder of the claim creates it, and drops it.
#[derive(Clone)]
pub struct TableClaim {
    shared: Arc<ClaimState>,
    pub(crate) patience: Duration,
    tell: WaitNotice,
}

struct ClaimState {
    warehouse: Warehouse,
    table: TableName,
    sink: String,
    // `None` while there is no table.
    fence: Mutex<Option<Fence>>,
    // The epoch that a table gets that is made under this claim.
    epoch_if_made: Mutex<u64>,
    _lock: LockFile,
}

impl Warehouse {
    /// Takes the right to write a table for a sink, whose name stays the same from run to run. Refused by name while
    /// another process, or another claim of this one, holds the table.
    pub fn claim(&self, table: &str, sink: &str) -> Result<TableClaim> {
        TableClaim::take(self, TableName::parse(table)?, sink)
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
                fence: Mutex::new(None),
                epoch_if_made: Mutex::new(1),
                _lock: lock,
            }),
            patience: PATIENCE,
            tell: Arc::new(|_| {}),
        };
        if claim.exists()? {
            claim.take_epoch()?;
        }
        Ok(claim)
    }

    /// The same claim, whose commits say what they wait for.
    #[must_use]
    pub fn with_wait_notice(self, tell: WaitNotice) -> TableClaim {
        TableClaim { tell, ..self }
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
        self.shared.fence().as_ref().map(|fence| fence.epoch)
    }

    /// How many rows the table has; 0 while there is no table.
    pub fn rows(&self) -> Result<u64> {
        if self.exists()? { self.shared.warehouse.rows(&self.table()) } else { Ok(0) }
    }

    /// Creates the table if it does not exist. True when this call has created it.
    ///
    /// Someone who does not see the lock may make it at the same time: then the epoch is taken on theirs.
    pub fn create(&self, schema: &SchemaRef, options: &TableOptions) -> Result<bool> {
        if self.shared.fence().is_some() {
            return Ok(false);
        }
        if self.exists()? {
            return self.take_epoch().map(|()| false);
        }
        let ClaimState { warehouse, table, sink, .. } = &*self.shared;
        let epoch = *self.shared.epoch_if_made.lock().unwrap_or_else(PoisonError::into_inner);
        let mut options = options.clone();
        options.properties.push((Fence::property(sink), epoch.to_string()));
        match warehouse.create_table(table, schema, &options)? {
            Some(table_uuid) => {
                *self.shared.fence() = Some(Fence { sink: sink.clone(), epoch, table_uuid });
                Ok(true)
            }
            None => self.take_epoch().map(|()| false),
        }
    }

    /// Removes the table from the catalog, if it is there, and its files if it lives in a folder of its own.
    pub fn drop_table(&self) -> Result<()> {
        let Some(fence) = self.shared.fence().clone() else { return Ok(()) };
        self.shared.warehouse.drop_fenced(&self.shared.table, &fence)?;
        *self.shared.epoch_if_made.lock().unwrap_or_else(PoisonError::into_inner) = fence.epoch + 1;
        *self.shared.fence() = None;
        Ok(())
    }

    /// A writer of one worker. Columns are matched by name; those that a batch lacks become NULL.
    pub fn writer(&self, worker: usize) -> Result<TableWriter> {
        self.shared.warehouse.table_writer(&self.shared.table, worker)
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

    fn prepared(&self, committables: &[Committable]) -> Result<Vec<PreparedFiles>> {
        committables.iter().map(|bytes| PreparedFiles::from_committable(&self.shared.table, bytes)).collect()
    }

    pub(crate) fn commit_change(&self, change: TableChange<'_>) -> Result<()> {
        if change.prepared.is_empty() && change.properties.is_empty() {
            return Ok(());
        }
        let ClaimState { warehouse, table, .. } = &*self.shared;
        let fence = self.shared.fence().clone();
        let fence = fence.ok_or_else(|| Error::invalid(format!("there is no table \"{table}\"")))?;
        warehouse.commit(table, change, fence, self.patience, self.tell.clone())
    }

    fn take_epoch(&self) -> Result<()> {
        let ClaimState { warehouse, table, sink, .. } = &*self.shared;
        let fence = warehouse.take_epoch(table, sink)?;
        *self.shared.fence() = Some(fence);
        Ok(())
    }
}

impl ClaimState {
    fn fence(&self) -> std::sync::MutexGuard<'_, Option<Fence>> {
        self.fence.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(path, table, file)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        sign(&mut file).map_err(failed)?;
        Ok(LockFile(file))
    }
}

/// Writes who holds the lock, and since when by the clock of the disk.
fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    let process = format!("process {}", std::process::id());
    file.write_all(process.as_bytes())?;
    let since = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = EventTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    file.write_all(format!(", since {since}").as_bytes())
}

fn held(path: &Path, table: &TableName, mut file: File) -> Error {
    let mut holder = String::new();
    let read = file.read_to_string(&mut holder);
    let holder = if read.is_ok() && !holder.is_empty() { holder } else { "another process".to_owned() };
    Error::unavailable(format!(
        "table \"{table}\" is being written: {holder}, holds \"{}\"; stop it, or wait until it has ended",
        path.display()
    ))
}
