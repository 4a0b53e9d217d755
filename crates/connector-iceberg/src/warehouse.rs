//! A warehouse: a folder with a catalog and tables, for callers that block.

use crate::catalog::SqliteCatalog;
use crate::commit::{Fence, TableChange, TableCommitter, WaitNotice, take_epoch};
use crate::failure;
use crate::files::TableFiles;
use crate::name::TableName;
use crate::storage::{DurableFilesFactory, create_folder, path_of, sync_folder};
use crate::store::Store;
use crate::table::{self, TableOptions};
use crate::write::TableWriter;
use arrow::datatypes::SchemaRef;
use dataflow::{Error, Result, TimedFiles};
use iceberg::Catalog;
use iceberg::io::{FileIOBuilder, StorageFactory};
use iceberg::table::Table;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// A folder of Iceberg tables. Cloning gives another handle of the same; all calls block and may come from any thread.
///
/// Tables are named `namespace.name`; a name without a dot is in the namespace `default`. Several processes may use
/// one warehouse at the same time.
#[derive(Clone)]
pub struct Warehouse(Arc<WarehouseState>);

struct WarehouseState {
    folder: PathBuf,
    catalog: SqliteCatalog,
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
        Ok(Warehouse(Arc::new(WarehouseState { folder, catalog, runtime, turns: Mutex::default() })))
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

    pub(crate) fn take_epoch(&self, table: &TableName, sink: &str) -> Result<Fence> {
        self.0.runtime.block_on(take_epoch(&self.0.catalog, table, sink))
    }

    /// Makes a table without rows, and gives its uuid. All columns may be NULL, whatever the schema says. `None` when
    /// there is a table of this name.
    pub(crate) fn create_table(
        &self,
        name: &TableName,
        schema: &SchemaRef,
        options: &TableOptions,
    ) -> Result<Option<Uuid>> {
        let creation = table::creation(name, self.0.catalog.location_of(name), schema, options)?;
        let created = self.0.runtime.block_on(self.0.catalog.create_table(&name.ident().namespace, creation));
        match created {
            Ok(table) => Ok(Some(table.metadata().uuid())),
            Err(error) if error.kind() == iceberg::ErrorKind::TableAlreadyExists => Ok(None),
            Err(error) => Err(failure::iceberg(format!("table \"{name}\" cannot be made"), error)),
        }
    }

    /// Removes a table from the catalog, and its files if it lives in a folder of its own in this warehouse. Nothing is
    /// removed when someone else has taken the table.
    pub(crate) fn drop_fenced(&self, name: &TableName, fence: &Fence) -> Result<()> {
        let loaded = self.load(name)?;
        fence.check(name, loaded.metadata())?;
        let wrong = |error| failure::iceberg(format!("table \"{name}\" cannot be dropped"), error);
        let location = loaded.metadata_location_result().map_err(wrong)?;
        if !self.0.catalog.store().remove(name, location)? {
            return Err(Error::unavailable(format!(
                "table \"{name}\" was changed by someone else while it was dropped"
            )));
        }
        // The catalog comes first: a table without files would be broken, files without a table are only in the way.
        let own = path_of(&self.0.catalog.location_of(name));
        if path_of(location).parent().and_then(Path::parent) != Some(&own) || self.is_shared(&own)? {
            return Ok(());
        }
        let failed = |error| {
            failure::file(format!("table \"{name}\" is dropped; its files in \"{}\" stay", own.display()), error)
        };
        for part in ["data", "metadata"] {
            ignore_missing(fs::remove_dir_all(own.join(part))).map_err(failed)?;
        }
        match fs::remove_dir(&own) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            other => ignore_missing(other).map_err(failed),
        }
    }

    /// Whether a table of another name has its metadata in the folder, or the folder is a link to elsewhere.
    fn is_shared(&self, folder: &Path) -> Result<bool> {
        let elsewhere = folder.canonicalize().is_ok_and(|real| real != folder);
        let tables = self.0.catalog.store().tables()?;
        Ok(elsewhere || tables.iter().any(|(_, location)| path_of(location).starts_with(folder)))
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
            None => Ok(self.read_files(&name, &loaded)?.files().iter().map(|file| file.rows).sum()),
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
        Ok(Arc::new(self.read_files(&name, &loaded)?))
    }

    pub(crate) fn commit(
        &self,
        table: &TableName,
        change: TableChange<'_>,
        fence: Fence,
        patience: Duration,
        tell: WaitNotice,
    ) -> Result<()> {
        let turn =
            self.0.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(table.clone()).or_default().clone();
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (catalog, table) = (self.0.catalog.clone(), table.clone());
        let committer = TableCommitter { catalog, table, fence, patience, tell };
        self.0.runtime.block_on(committer.commit(change))
    }

    pub(crate) fn table_writer(&self, table: &TableName, worker: usize) -> Result<TableWriter> {
        TableWriter::new(table.clone(), self.load(table)?.metadata_ref(), worker)
    }

    fn read_files(&self, name: &TableName, table: &Table) -> Result<TableFiles> {
        self.0.runtime.block_on(TableFiles::load(name, table))
    }

    fn location(&self, table: &TableName) -> Result<String> {
        let location = self.0.catalog.store().location(table)?;
        location.ok_or_else(|| {
            Error::invalid(format!("there is no table \"{table}\" in warehouse \"{}\"", self.0.folder.display()))
        })
    }

    fn load(&self, table: &TableName) -> Result<Table> {
        self.location(table)?;
        let loaded = self.0.runtime.block_on(self.0.catalog.load_table(&table.ident()));
        loaded.map_err(|error| failure::iceberg(format!("table \"{table}\" cannot be loaded"), error))
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
