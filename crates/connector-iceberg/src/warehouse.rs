//! A warehouse: a folder with a catalog and tables, for callers that block.

use crate::catalog::SqliteCatalog;
use crate::commit::{CommitWait, Fence, TableChange, TableCommitter, add_columns, forget_commits, take_epoch};
use crate::failure;
use crate::files::TableFiles;
use crate::generations;
use crate::name::TableName;
use crate::storage::{DurableFilesFactory, create_folder, path_of, sync_folder};
use crate::store::{Replacement, Store, Swap};
use crate::table::{self, TableOptions};
use crate::write::TableWriter;
use arrow::datatypes::{Schema, SchemaRef};
use dataflow::{Error, Result, TimedFiles};
use iceberg::Catalog;
use iceberg::io::{FileIOBuilder, StorageFactory};
use iceberg::spec::SnapshotRef;
use iceberg::table::Table;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

mod orphans;
mod tags;

/// How often new tables are tried to be put in place when others change the old ones at the same time.
const REPLACE_ATTEMPTS: u32 = 40;

/// A folder of Iceberg tables. Cloning gives another handle of the same; all calls block and may come from any thread.
///
/// Tables are named `namespace.name`; a name without a dot is in the namespace `default`. Several processes may use
/// one warehouse at the same time.
#[derive(Clone)]
pub struct Warehouse(Arc<WarehouseState>);

struct WarehouseState {
    folder: PathBuf,
    catalog: SqliteCatalog,
    // Tables that are to take the place of those of their names.
    staged: SqliteCatalog,
    runtime: tokio::runtime::Runtime,
    // Commits to one table take turns within a process, so that they conflict only with other processes.
    turns: Mutex<HashMap<TableName, Arc<Mutex<()>>>>,
}

impl Warehouse {
    /// Opens the warehouse in a folder; makes the folder and its `catalog.db` when they are absent.
    pub fn open(folder: &Path) -> Result<Warehouse> {
        Warehouse::open_with(folder, Arc::new(DurableFilesFactory))
    }

    /// Opens a warehouse whose metadata files are written by a storage of the caller's.
    pub(crate) fn open_with(folder: &Path, files: Arc<dyn StorageFactory>) -> Result<Warehouse> {
        let failed = |error| failure::file(format!("warehouse \"{}\" cannot be opened", folder.display()), error);
        let absolute = std::path::absolute(folder).map_err(failed)?;
        create_folder(&absolute).map_err(failed)?;
        let folder = absolute.canonicalize().map_err(failed)?;
        if folder.to_str().is_none() {
            return Err(Error::invalid(format!("warehouse \"{}\": the path is not Unicode", folder.display())));
        }
        let store = Store::open(&folder.join("catalog.db"))?;
        sync_folder(&folder).map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let library_runtime = iceberg::Runtime::new(&runtime);
        let catalog = SqliteCatalog::new(store, folder.clone(), FileIOBuilder::new(files).build(), library_runtime);
        let staged = catalog.staged();
        Ok(Warehouse(Arc::new(WarehouseState { folder, catalog, staged, runtime, turns: Mutex::default() })))
    }

    /// The folder, absolute.
    pub fn dir(&self) -> &Path {
        &self.0.folder
    }

    /// The names of all tables, sorted.
    pub fn tables(&self) -> Result<Vec<String>> {
        let tables = self.0.catalog.store().tables()?;
        Ok(tables.into_iter().map(|(name, _)| name.to_string()).collect())
    }

    /// Whether there is a table of this name.
    pub fn exists(&self, table: &str) -> Result<bool> {
        Ok(self.0.catalog.store().location(&TableName::parse(table)?)?.is_some())
    }

    /// The columns of a table, all of them nullable.
    pub fn schema(&self, table: &str) -> Result<SchemaRef> {
        let name = TableName::parse(table)?;
        let loaded = self.load(&name)?;
        Ok(table::plain_schema(&*table::arrow_schema(&name, loaded.metadata().current_schema())?))
    }

    /// Takes the next epoch of a sink on the table of this name, or on the one that is to take its place.
    pub(crate) fn take_epoch(&self, (table, is_staged): (&TableName, bool), sink: &str) -> Result<Fence> {
        self.0.runtime.block_on(take_epoch(self.catalog(is_staged), table, sink))
    }

    /// Gives a table the columns that it lacks.
    pub(crate) fn add_columns(&self, table: &TableName, fence: &Fence, schema: &Schema) -> Result<()> {
        self.0.runtime.block_on(add_columns(&self.0.catalog, table, fence, schema))
    }

    /// Lets a table without rows know of no commit of a sink.
    pub(crate) fn forget_commits(&self, table: &TableName, fence: &Fence) -> Result<()> {
        self.0.runtime.block_on(forget_commits(&self.0.catalog, table, fence))
    }

    /// Makes a table without rows, and gives its uuid. All columns may be NULL, whatever the schema says. `None` when
    /// there is a table of this name.
    pub(crate) fn create_table(
        &self,
        name: &TableName,
        schema: &SchemaRef,
        options: &TableOptions,
    ) -> Result<Option<Uuid>> {
        self.create_in(&self.0.catalog, name, self.0.catalog.location_of(name), schema, options)
    }

    /// Makes a table without rows that nobody sees before it takes the place of the one of its name; in a folder of its
    /// own, so that both are whole. One that an earlier run left is given up.
    pub(crate) fn stage_table(&self, name: &TableName, schema: &SchemaRef, options: &TableOptions) -> Result<Uuid> {
        self.discard_staged(name, None)?;
        let location = generations::new_location(&self.0.catalog.location_of(name));
        self.create_in(&self.0.staged, name, location, schema, options)?.ok_or_else(|| {
            Error::unavailable(format!("table \"{name}\": another process makes a new one at the same time; stop it"))
        })
    }

    fn create_in(
        &self,
        catalog: &SqliteCatalog,
        name: &TableName,
        location: String,
        schema: &SchemaRef,
        options: &TableOptions,
    ) -> Result<Option<Uuid>> {
        let creation = table::creation(name, location, schema, options)?;
        let created = self.0.runtime.block_on(catalog.create_table(&name.ident().namespace, creation));
        match created {
            Ok(table) => Ok(Some(table.metadata().uuid())),
            Err(error) if error.kind() == iceberg::ErrorKind::TableAlreadyExists => Ok(None),
            Err(error) => Err(failure::iceberg(format!("table \"{name}\" cannot be made"), error)),
        }
    }

    /// Gives up the staged table of this name with its files, if there is one, or if it is the one with this uuid.
    pub(crate) fn discard_staged(&self, name: &TableName, only: Option<Uuid>) -> Result<()> {
        let store = self.0.staged.store();
        let Some(location) = store.location(name)? else { return Ok(()) };
        if let Some(uuid) = only
            && self.load_from(&self.0.staged, name)?.metadata().uuid() != uuid
        {
            return Ok(());
        }
        if store.remove(name, &location)? {
            generations::remove_of(&self.folder_of(name), &location);
        }
        Ok(())
    }

    /// Lets staged tables take the places of those of their names, all at once. The fences are those of the tables that
    /// are there: where one has changed hands, none is replaced.
    pub(crate) fn replace_tables(&self, fences: &[(TableName, Fence)]) -> Result<()> {
        for _ in 0..REPLACE_ATTEMPTS {
            let mut replacements = Vec::new();
            for (table, fence) in fences {
                let current = self.load(table)?;
                fence.check(table, current.metadata())?;
                let from = current.metadata_location_result().map(str::to_owned);
                let from = from.map_err(|error| failure::iceberg(format!("table \"{table}\" has no place"), error))?;
                let to = self.0.staged.store().location(table)?.ok_or_else(|| {
                    Error::invalid(format!("table \"{table}\": the new one is gone, since another run has begun one"))
                })?;
                generations::retire(&self.folder_of(table), &from)?;
                replacements.push(Replacement { table: table.clone(), from, to });
            }
            if self.0.catalog.store().replace(&replacements)? == Swap::Done {
                return Ok(());
            }
        }
        Err(Error::unavailable(format!(
            "{REPLACE_ATTEMPTS} attempts to put new tables in place met changes by others; stop some of them"
        )))
    }

    /// Removes the files of tables that were replaced long before a moment, by the clock of the disk.
    pub(crate) fn collect_replaced(&self, name: &TableName, now: SystemTime) -> Result<()> {
        let stores = [self.0.catalog.store(), self.0.staged.store()];
        let tables = stores.map(Store::tables).into_iter().collect::<Result<Vec<_>>>()?;
        let named: Vec<PathBuf> = tables.iter().flatten().map(|(_, location)| path_of(location)).collect();
        generations::collect(&self.folder_of(name), &named, now);
        Ok(())
    }

    /// The folder of a table and of those that had its name before.
    fn folder_of(&self, name: &TableName) -> PathBuf {
        path_of(&self.0.catalog.location_of(name))
    }

    /// The properties of a table.
    pub fn properties(&self, table: &str) -> Result<BTreeMap<String, String>> {
        let loaded = self.load(&TableName::parse(table)?)?;
        Ok(loaded.metadata().properties().clone().into_iter().collect())
    }

    /// How many rows a table has.
    pub fn rows(&self, table: &str) -> Result<u64> {
        let name = TableName::parse(table)?;
        let loaded = self.load(&name)?;
        let Some(snapshot) = loaded.metadata().current_snapshot() else { return Ok(0) };
        let total = snapshot.summary().additional_properties.get("total-records");
        match total.and_then(|rows| rows.parse().ok()) {
            Some(rows) => Ok(rows),
            None => Ok(self.read_files(&name, &loaded, Some(snapshot))?.files().iter().map(|file| file.rows).sum()),
        }
    }

    /// The metadata file that is current now, for readers that take one.
    pub fn metadata_file(&self, table: &str) -> Result<PathBuf> {
        Ok(path_of(&self.location(&TableName::parse(table)?)?))
    }

    /// The files of the current snapshot. An archive with rows that are not the archive job's is an error.
    pub fn read(&self, table: &str) -> Result<Arc<dyn TimedFiles>> {
        let name = TableName::parse(table)?;
        let loaded = self.load(&name)?;
        Ok(Arc::new(self.read_files(&name, &loaded, loaded.metadata().current_snapshot())?))
    }

    /// The files of a snapshot, as [`SNAPSHOT`] names it; one that the table has no more is an error.
    pub fn read_at(&self, table: &str, snapshot: i64) -> Result<Arc<dyn TimedFiles>> {
        let name = TableName::parse(table)?;
        let loaded = self.load(&name)?;
        let snapshot = loaded.metadata().snapshot_by_id(snapshot).ok_or_else(|| gone(&name, snapshot))?;
        Ok(Arc::new(self.read_files(&name, &loaded, Some(snapshot))?))
    }

    pub(crate) fn commit(
        &self,
        (table, is_staged): (&TableName, bool),
        change: TableChange<'_>,
        fence: Fence,
        patience: Duration,
        wait: Arc<dyn CommitWait>,
    ) -> Result<()> {
        let turn =
            self.0.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(table.clone()).or_default().clone();
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (catalog, table) = (self.catalog(is_staged).clone(), table.clone());
        let committer = TableCommitter { catalog, table, fence, patience, wait };
        self.0.runtime.block_on(committer.commit(change))
    }

    /// A writer into the table of this name, or into the one that is to take its place.
    pub(crate) fn table_writer(
        &self,
        (table, is_staged): (&TableName, bool),
        fence: &Fence,
        worker: usize,
    ) -> Result<TableWriter> {
        let loaded = self.load_from(self.catalog(is_staged), table)?;
        TableWriter::new(table.clone(), loaded.metadata_ref(), fence, worker)
    }

    /// The table of this name, or the one that is to take its place, if there is one.
    pub(crate) fn find(&self, table: &TableName, is_staged: bool) -> Result<Option<Table>> {
        let catalog = self.catalog(is_staged);
        let location = catalog.store().location(table)?;
        location.map(|_| self.load_from(catalog, table)).transpose()
    }

    fn catalog(&self, is_staged: bool) -> &SqliteCatalog {
        if is_staged { &self.0.staged } else { &self.0.catalog }
    }

    fn read_files(&self, name: &TableName, table: &Table, snapshot: Option<&SnapshotRef>) -> Result<TableFiles> {
        self.0.runtime.block_on(TableFiles::load(name, table, snapshot))
    }

    fn location(&self, table: &TableName) -> Result<String> {
        let location = self.0.catalog.store().location(table)?;
        location.ok_or_else(|| {
            Error::invalid(format!("there is no table \"{table}\" in warehouse \"{}\"", self.0.folder.display()))
        })
    }

    fn load(&self, table: &TableName) -> Result<Table> {
        self.location(table)?;
        self.load_from(&self.0.catalog, table)
    }

    fn load_from(&self, catalog: &SqliteCatalog, table: &TableName) -> Result<Table> {
        let loaded = self.0.runtime.block_on(catalog.load_table(&table.ident()));
        loaded.map_err(|error| failure::iceberg(format!("table \"{table}\" cannot be loaded"), error))
    }
}

/// A snapshot that a table has no more.
fn gone(table: &TableName, snapshot: i64) -> Error {
    Error::invalid(format!(
        "table \"{table}\" has no snapshot {snapshot} any more, which the job reads as history: it has expired, or the \
         table was made again; start over with --fresh"
    ))
}

#[cfg(test)]
mod tests;
