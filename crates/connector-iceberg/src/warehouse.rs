//! A warehouse: a folder with a catalog and tables, or a REST catalog and a store, for callers that block.

use crate::catalog::SqliteCatalog;
use crate::commit::{CommitWait, Fence, TableChange, TableCommitter, add_columns, forget_commits, take_epoch};
use crate::compression::not_followed;
use crate::failure;
use crate::file_settings::{DATA_PATH, check_data_place};
use crate::files::TableFiles;
use crate::name::TableName;
use crate::object_files::is_local;
use crate::output_fit::{self, FRESH, Present};
use crate::parquet_file::Upload;
use crate::prepared_files::{check_size, not_looked_at};
use crate::rest::RestCatalog;
use crate::settings::RestSettings;
use crate::storage::{DurableFilesFactory, create_folder, path_of, sync_folder};
use crate::store::Store;
use crate::table::{self, TableOptions};
use crate::table_catalog::TableCatalog;
use crate::unknown_types::UNKNOWN_TYPES;
use crate::write::TableWriter;
use arrow::datatypes::{Schema, SchemaRef};
use dataflow::{Error, Result, RowFilter, TableLayout, TimedFiles};
use iceberg::io::{FileIOBuilder, StorageFactory};
use iceberg::spec::{DataFile, SnapshotRef};
use iceberg::table::Table;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

mod orphans;
mod replace;
mod rest_replace;
mod tags;

/// The folder for files on their way to a store.
const UPLOADS: &str = "_riverrun/uploads";
/// The folder for rows that are sorted.
const SORTING: &str = "_riverrun/sorting";

/// Iceberg tables in a folder, or of a REST catalog. Cloning gives another handle of the same; all calls block and may come from any thread.
///
/// Tables are named `namespace.name`; a name without a dot is in the namespace `default`. Several processes may use
/// one warehouse at the same time.
#[derive(Clone)]
pub struct Warehouse(Arc<WarehouseState>);

struct WarehouseState {
    // That of the tables, or one for what a process keeps beside tables that lie elsewhere.
    folder: PathBuf,
    catalog: TableCatalog,
    // Tables that are to take the place of those of their names.
    staged: TableCatalog,
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
        let staged = TableCatalog::Sqlite(catalog.staged());
        let catalog = TableCatalog::Sqlite(catalog);
        Ok(Warehouse(Arc::new(WarehouseState { folder, catalog, staged, runtime, turns: Mutex::default() })))
    }

    /// Opens the tables of a REST catalog, of which nothing is asked yet. The folder is for what a process keeps beside
    /// them on this machine: locks, and files on their way to a store. It is made when the first of them is.
    pub fn open_rest(settings: RestSettings, folder: &Path) -> Result<Warehouse> {
        let failed = |error| failure::file("the catalog cannot be opened", error);
        let folder = std::path::absolute(folder).map_err(failed)?;
        // Connections are kept up while nobody waits for the catalog.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let catalog = RestCatalog::new(settings, iceberg::Runtime::new(&runtime))?;
        let (catalog, staged) = (TableCatalog::Rest(catalog.clone()), TableCatalog::Rest(catalog.staged()));
        let turns = Mutex::default();
        Ok(Warehouse(Arc::new(WarehouseState { folder, catalog, staged, runtime, turns })))
    }

    /// The folder of the tables, or of what is kept on this machine beside those of a REST catalog; absolute.
    pub fn dir(&self) -> &Path {
        &self.0.folder
    }

    /// The names of all tables, sorted.
    pub fn tables(&self) -> Result<Vec<String>> {
        let tables: Vec<TableName> = match &self.0.catalog {
            TableCatalog::Sqlite(catalog) => catalog.store().tables()?.into_iter().map(|(name, _)| name).collect(),
            TableCatalog::Rest(catalog) => {
                let listed = self.0.runtime.block_on(catalog.tables());
                listed.map_err(|error| failure::iceberg("the tables cannot be listed", error))?
            }
        };
        Ok(tables.iter().map(TableName::to_string).collect())
    }

    /// Where the tables are, for messages to people.
    pub fn place(&self) -> String {
        self.0.catalog.place()
    }

    /// Whether there is a table of this name.
    pub fn exists(&self, table: &str) -> Result<bool> {
        let name = TableName::parse(table)?;
        self.0.runtime.block_on(self.0.catalog.has(&name)).map_err(|error| not_loaded(&name, error))
    }

    /// The columns of a table, all of them nullable. One whose type is not known here is there as bytes, and an error
    /// where it is read.
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
        self.create_in(&self.0.catalog, name, self.location_of(name), schema, options)
    }

    fn create_in(
        &self,
        catalog: &TableCatalog,
        name: &TableName,
        location: Option<String>,
        schema: &SchemaRef,
        options: &TableOptions,
    ) -> Result<Option<Uuid>> {
        let creation = table::creation(name, location, schema, options)?;
        if let Some(location) = &creation.location {
            creation.properties.get(DATA_PATH).map_or(Ok(()), |own| check_data_place(name, location, own))?;
            self.check_data_path(name, location, &creation.properties)?;
        }
        let created = self.0.runtime.block_on(catalog.as_catalog().create_table(&name.ident().namespace, creation));
        match created {
            Ok(table) => Ok(Some(table.metadata().uuid())),
            Err(error) if error.kind() == iceberg::ErrorKind::TableAlreadyExists => Ok(None),
            Err(error) => Err(failure::iceberg(format!("table \"{name}\" cannot be made"), error)),
        }
    }

    /// Where the files of a table lie, if it is there.
    pub fn location(&self, table: &str) -> Result<Option<String>> {
        let found = self.find(&TableName::parse(table)?, false)?;
        Ok(found.map(|found| found.metadata().location().to_owned()))
    }

    /// The properties of a table.
    pub fn properties(&self, table: &str) -> Result<BTreeMap<String, String>> {
        let loaded = self.load(&TableName::parse(table)?)?;
        let properties = loaded.metadata().properties().clone().into_iter();
        Ok(properties.filter(|(key, _)| key != UNKNOWN_TYPES).collect())
    }

    /// Refuses a table that is there and that an output of a job does not fit, as [`TableClaim::check_output`](crate::TableClaim::check_output)
    /// does, but for columns that it lacks.
    pub fn check_output(&self, table: &str, schema: &Schema, layout: &TableLayout) -> Result<()> {
        self.check_rows_of(table, (schema, Present::Some), layout, FRESH)
    }

    /// What people should know of how files of a table are written, if it is there: what its properties ask for and is not
    /// done here.
    pub fn notes(&self, table: &str) -> Result<Vec<String>> {
        let name = TableName::parse(table)?;
        Ok(self.find(&name, false)?.map(|found| notes(&name, &found)).unwrap_or_default())
    }

    /// Refuses a table that is there and that the rows of an archive do not fit; `otherwise` is what else can be done than to
    /// change the statement.
    pub fn check_archive(&self, table: &str, schema: &Schema, layout: &TableLayout, otherwise: &str) -> Result<()> {
        self.check_rows_of(table, (schema, Present::All), layout, otherwise)
    }

    fn check_rows_of(
        &self,
        table: &str,
        columns: (&Schema, Present),
        layout: &TableLayout,
        otherwise: &str,
    ) -> Result<()> {
        let name = TableName::parse(table)?;
        let check = |found: &Table| output_fit::check_output(&name, found.metadata(), columns, layout, otherwise);
        let Some(Err(refused)) = self.find(&name, false)?.map(|found| check(&found)) else { return Ok(()) };
        // A run that starts over may have been killed: the next one goes on with the table that is to take the place.
        match self.find(&name, true)? {
            Some(new) if check(&new).is_ok() => Ok(()),
            _ => Err(refused),
        }
    }

    /// How many rows a table has. Where rows of its files are deleted, it reads those files.
    pub fn rows(&self, table: &str) -> Result<u64> {
        let name = TableName::parse(table)?;
        let loaded = self.load(&name)?;
        let Some(snapshot) = loaded.metadata().current_snapshot() else { return Ok(0) };
        let total = |key: &str| snapshot.summary().additional_properties.get(key)?.parse::<u64>().ok();
        // Those that are deleted are counted among the records.
        match (total("total-records"), total("total-delete-files")) {
            (Some(rows), Some(0)) => Ok(rows),
            _ => self.read_files(&name, &loaded, Some(snapshot))?.rows(),
        }
    }

    /// The metadata file that is current now, for readers that take one.
    pub fn metadata_file(&self, table: &str) -> Result<PathBuf> {
        let name = TableName::parse(table)?;
        let loaded = self.load(&name)?;
        loaded.metadata_location_result().map(path_of).map_err(|error| not_loaded(&name, error))
    }

    /// The files of the current snapshot. An archive with rows that are not the archive job's is an error.
    pub fn read(&self, table: &str) -> Result<Arc<dyn TimedFiles>> {
        self.read_where(table, None, &|_| RowFilter::everything())
    }

    /// The files of a snapshot, as [`SNAPSHOT`] names it; one that the table has no more is an error.
    pub fn read_at(&self, table: &str, snapshot: i64) -> Result<Arc<dyn TimedFiles>> {
        self.read_where(table, Some(snapshot), &|_| RowFilter::everything())
    }

    /// The files of a snapshot, the current one where none is named, that may hold wanted rows: which those are is asked
    /// with the columns of the table. Files of which partitions and bounds of columns tell that they hold none are not
    /// among them, nor are manifests read that name none. Rows that are not wanted come all the same.
    pub fn read_where(
        &self,
        table: &str,
        snapshot: Option<i64>,
        wanted: &dyn Fn(&SchemaRef) -> RowFilter,
    ) -> Result<Arc<dyn TimedFiles>> {
        let name = TableName::parse(table)?;
        let loaded = self.load(&name)?;
        let snapshot = match snapshot {
            Some(id) => Some(loaded.metadata().snapshot_by_id(id).ok_or_else(|| gone(&name, id))?),
            None => loaded.metadata().current_snapshot(),
        };
        Ok(Arc::new(self.0.runtime.block_on(TableFiles::load(&name, &loaded, snapshot, wanted))?))
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
        let location = loaded.metadata().location();
        self.check_data_path(table, location, loaded.metadata().properties())?;
        let store = match (is_local(location), &self.0.catalog) {
            (true, _) => None,
            (false, TableCatalog::Rest(_)) => {
                let upload = Upload { file_io: loaded.file_io().clone(), runtime: self.0.runtime.handle().clone() };
                Some((self.0.folder.join(UPLOADS), upload))
            }
            (false, TableCatalog::Sqlite(_)) => {
                return Err(Error::invalid(format!(
                    "table \"{table}\" lies at \"{location}\", and a warehouse in a folder writes on its disk alone"
                )));
            }
        };
        TableWriter::new((table.clone(), loaded.metadata_ref()), fence, worker, store)
    }

    /// Refuses data files in the folder of the warehouse that do not lie below their table's location: they would be deleted
    /// with the table whose folder that is, which is another one, or one that this table has taken the place of.
    pub(crate) fn check_data_path(
        &self,
        name: &TableName,
        location: &str,
        properties: &HashMap<String, String>,
    ) -> Result<()> {
        let (TableCatalog::Sqlite(catalog), Some(own)) = (&self.0.catalog, properties.get(DATA_PATH)) else {
            return Ok(());
        };
        let path = path_of(own);
        let goes_up = path.components().any(|part| part == std::path::Component::ParentDir);
        let is_elsewhere = !path.starts_with(catalog.folder()) || path.starts_with(path_of(location));
        if !is_local(own) || (is_elsewhere && !goes_up) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "table \"{name}\" has {DATA_PATH} = {own}, in the warehouse and not below the table's own folder, where its files \
             would go with another table: name a folder outside of the warehouse, or leave the property out"
        )))
    }

    /// Refuses a prepared file that lies in a store in another size than it had.
    pub(crate) fn check_stored(&self, name: &TableName, table: &Table, file: &DataFile) -> Result<()> {
        let path = file.file_path();
        let look = async { table.file_io().new_input(path)?.metadata().await };
        let found = self.0.runtime.block_on(look);
        let found = found.map_err(|error| failure::iceberg(not_looked_at(name, path), error))?;
        check_size(name, path, found.size, file.file_size_in_bytes())
    }

    /// What asynchronous calls run on.
    pub(crate) fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.0.runtime
    }

    /// The catalog of the tables that all see.
    pub(crate) fn tables_catalog(&self) -> &TableCatalog {
        &self.0.catalog
    }

    /// The folders for files on their way to a store, and for rows that are sorted.
    pub(crate) fn scratch_folders(&self) -> (PathBuf, PathBuf) {
        (self.0.folder.join(UPLOADS), self.0.folder.join(SORTING))
    }

    /// The table of this name, or the one that is to take its place, if there is one.
    pub(crate) fn find(&self, table: &TableName, is_staged: bool) -> Result<Option<Table>> {
        self.0.runtime.block_on(self.catalog(is_staged).find(table)).map_err(|error| not_loaded(table, error))
    }

    fn catalog(&self, is_staged: bool) -> &TableCatalog {
        if is_staged { &self.0.staged } else { &self.0.catalog }
    }

    fn read_files(&self, name: &TableName, table: &Table, snapshot: Option<&SnapshotRef>) -> Result<TableFiles> {
        self.0.runtime.block_on(TableFiles::load(name, table, snapshot, &|_| RowFilter::everything()))
    }

    /// The catalog file of a folder.
    #[cfg(test)]
    fn store(&self) -> &Store {
        match &self.0.catalog {
            TableCatalog::Sqlite(catalog) => catalog.store(),
            TableCatalog::Rest(_) => panic!("the tests of this crate have tables in folders"),
        }
    }

    /// Where a table is put that is made; `None` where the catalog decides that.
    fn location_of(&self, name: &TableName) -> Option<String> {
        match &self.0.catalog {
            TableCatalog::Sqlite(catalog) => Some(catalog.location_of(name)),
            TableCatalog::Rest(_) => None,
        }
    }

    pub(crate) fn load(&self, table: &TableName) -> Result<Table> {
        self.load_from(&self.0.catalog, table)
    }

    fn load_from(&self, catalog: &TableCatalog, table: &TableName) -> Result<Table> {
        let found = self.0.runtime.block_on(catalog.find(table)).map_err(|error| not_loaded(table, error))?;
        found.ok_or_else(|| Error::invalid(format!("there is no table \"{table}\" in {}", self.place())))
    }
}

/// What the properties of a table ask for and is not done here.
pub fn notes(name: &TableName, table: &Table) -> Vec<String> {
    let told = not_followed(table.metadata().properties()).into_iter();
    told.map(|told| format!("table \"{name}\" has {told}")).collect()
}

fn not_loaded(table: &TableName, error: iceberg::Error) -> Error {
    failure::iceberg(format!("table \"{table}\" cannot be loaded"), error)
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
