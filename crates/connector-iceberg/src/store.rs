//! The catalog file: which metadata file is the current one of each table, in SQLite.
//!
//! The tables are those of Iceberg's JDBC catalog, so that other tools open the same file.

use crate::failure;
use crate::name::TableName;
use dataflow::{Error, Result};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The name of the catalog within the file; PyIceberg's `SqlCatalog` takes it as its first argument.
pub const CATALOG: &str = "riverrun";
/// The name under which tables stand that are to take the place of others; no other tool looks there.
const STAGED: &str = "riverrun.staged";

/// How long a statement waits for another process that holds the file.
const BUSY_MS: u64 = 5_000;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS iceberg_tables (
        catalog_name VARCHAR(255) NOT NULL,
        table_namespace VARCHAR(255) NOT NULL,
        table_name VARCHAR(255) NOT NULL,
        metadata_location VARCHAR(1000),
        previous_metadata_location VARCHAR(1000),
        iceberg_type VARCHAR(5),
        PRIMARY KEY (catalog_name, table_namespace, table_name));
    CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
        catalog_name VARCHAR(255) NOT NULL,
        namespace VARCHAR(255) NOT NULL,
        property_key VARCHAR(255) NOT NULL,
        property_value VARCHAR(1000) NOT NULL,
        PRIMARY KEY (catalog_name, namespace, property_key));";

/// What came of an attempt to make another metadata file the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// It is the current one now, durably.
    Done,
    /// Another one had become current before; nothing was changed.
    Conflict,
}

/// The open catalog file. Every change is one transaction that is durable when the call returns.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
    // The name of the catalog within the file.
    catalog: &'static str,
}

/// A table whose current metadata file gives way to that of the table that is staged under its name.
#[derive(Debug)]
pub struct Replacement {
    pub table: TableName,
    /// The one that gives way; `None` where there is no table of the name.
    pub from: Option<String>,
    pub to: String,
}

impl Store {
    /// Opens the catalog file, making it when it is absent.
    pub fn open(path: &Path) -> Result<Store> {
        let doing = || format!("catalog \"{}\"", path.display());
        let connection = Connection::open(path).map_err(|error| failure::sqlite(doing(), error))?;
        let connection = Arc::new(Mutex::new(connection));
        let store = Store { path: path.to_owned(), connection, catalog: CATALOG };
        store.prepare().map_err(|error| failure::sqlite(doing(), error))?;
        Ok(store)
    }

    /// The tables of the same file that are to take the place of others.
    pub fn staged(&self) -> Store {
        Store { path: self.path.clone(), connection: self.connection.clone(), catalog: STAGED }
    }

    fn prepare(&self) -> rusqlite::Result<()> {
        let mut connection = self.lock();
        connection.busy_timeout(Duration::from_millis(BUSY_MS))?;
        // A commit deletes the journal. FULL does not sync the folder after that, so that a power cut could bring
        // the journal back and undo an acknowledged commit; EXTRA does.
        connection.pragma_update(None, "synchronous", "EXTRA")?;
        let columns = |connection: &Connection, table: &str| {
            connection.query_row("SELECT count(*) FROM pragma_table_info(?1)", [table], |row| row.get::<_, i64>(0))
        };
        if columns(&connection, "iceberg_tables")? < 6 || columns(&connection, "iceberg_namespace_properties")? == 0 {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(TABLES)?;
            if columns(&transaction, "iceberg_tables")? == 5 {
                // A file of an older tool, from before views had a row here too.
                transaction.execute_batch("ALTER TABLE iceberg_tables ADD COLUMN iceberg_type VARCHAR(5)")?;
            }
            transaction.commit()?;
        }
        Ok(())
    }

    /// A thread that panicked with the connection left no open transaction: dropping one rolls it back.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for others that hold the file only so long.
    #[cfg(test)]
    pub fn wait_at_most(&self, wait_ms: u64) {
        self.lock().busy_timeout(Duration::from_millis(wait_ms)).unwrap();
    }

    fn failed(&self, doing: &str, error: rusqlite::Error) -> Error {
        failure::sqlite(format!("catalog \"{}\": cannot {doing}", self.path.display()), error)
    }

    /// The current metadata file of a table; `None` when there is no such table.
    pub fn location(&self, table: &TableName) -> Result<Option<String>> {
        self.find(&self.lock(), table).map_err(|error| self.failed(&format!("look up table \"{table}\""), error))
    }

    fn find(&self, connection: &Connection, table: &TableName) -> rusqlite::Result<Option<String>> {
        let row = connection
            .query_row(
                "SELECT metadata_location FROM iceberg_tables
                 WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3
                   AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)",
                params![self.catalog, table.namespace, table.name],
                |row| row.get::<_, Option<String>>(0),
            )
            .optional()?;
        Ok(row.flatten())
    }

    /// All tables with their metadata files, sorted by name.
    pub fn tables(&self) -> Result<Vec<(TableName, String)>> {
        let read = || {
            let connection = self.lock();
            let mut rows = connection.prepare(
                "SELECT table_namespace, table_name, metadata_location FROM iceberg_tables
                 WHERE catalog_name = ?1 AND metadata_location IS NOT NULL
                   AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)
                 ORDER BY table_namespace, table_name",
            )?;
            let rows = rows.query_map([self.catalog], |row| {
                Ok((TableName { namespace: row.get(0)?, name: row.get(1)? }, row.get(2)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| self.failed("list the tables", error))
    }

    /// Adds a table, and its namespace when that is new. False when there is one of this name.
    pub fn insert(&self, table: &TableName, location: &str) -> Result<bool> {
        let insert = || {
            let mut connection = self.lock();
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let rows = self.add(&transaction, table, location)?;
            transaction.commit()?;
            Ok(rows == 1)
        };
        insert().map_err(|error| self.failed(&format!("add table \"{table}\""), error))
    }

    /// How many rows have come: none when there is a table of this name.
    fn add(&self, connection: &Connection, table: &TableName, location: &str) -> rusqlite::Result<usize> {
        self.add_namespace(connection, &table.namespace)?;
        connection.execute(
            "INSERT OR IGNORE INTO iceberg_tables
             (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)
             VALUES (?1, ?2, ?3, ?4, 'TABLE')",
            params![self.catalog, table.namespace, table.name, location],
        )
    }

    /// Removes a table if `location` is its current metadata file. False when it is not, or there is no such table.
    pub fn remove(&self, table: &TableName, location: &str) -> Result<bool> {
        let remove = || {
            let mut connection = self.lock();
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let rows = transaction.execute(
                "DELETE FROM iceberg_tables
                 WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND metadata_location = ?4",
                params![self.catalog, table.namespace, table.name, location],
            )?;
            transaction.commit()?;
            Ok(rows > 0)
        };
        remove().map_err(|error| self.failed(&format!("remove table \"{table}\""), error))
    }

    /// Makes `to` the current metadata file of a table if `from` is it now.
    ///
    /// When the commit itself fails, the file is read again: it says whether the commit happened. An error means that
    /// it did not, or that this could not be found out.
    pub fn swap(&self, table: &TableName, from: &str, to: &str) -> Result<Swap> {
        let attempt = self.try_swap(table, from, to);
        match attempt {
            Ok(swap) => Ok(swap),
            Err(error) => {
                let found = self.location(table).ok().flatten();
                settle(found.as_deref(), to).ok_or_else(|| self.failed(&format!("commit to table \"{table}\""), error))
            }
        }
    }

    fn try_swap(&self, table: &TableName, from: &str, to: &str) -> rusqlite::Result<Swap> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let rows = transaction.execute(
            "UPDATE iceberg_tables SET metadata_location = ?5, previous_metadata_location = ?4
             WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND metadata_location = ?4",
            params![self.catalog, table.namespace, table.name, from, to],
        )?;
        transaction.commit()?;
        Ok(if rows == 1 { Swap::Done } else { Swap::Conflict })
    }

    /// The names of all namespaces, sorted.
    pub fn namespaces(&self) -> Result<Vec<String>> {
        let read = || {
            let connection = self.lock();
            let mut rows = connection.prepare(
                "SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = ?1
                 UNION SELECT table_namespace FROM iceberg_tables WHERE catalog_name = ?1 ORDER BY 1",
            )?;
            let rows = rows.query_map([self.catalog], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<Vec<String>>>()
        };
        read().map_err(|error| self.failed("list the namespaces", error))
    }

    /// Adds a namespace if it is not there.
    pub fn create_namespace(&self, namespace: &str) -> Result<()> {
        let create = || {
            let mut connection = self.lock();
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            self.add_namespace(&transaction, namespace)?;
            transaction.commit()
        };
        create().map_err(|error| self.failed(&format!("add namespace \"{namespace}\""), error))
    }

    fn add_namespace(&self, connection: &Connection, namespace: &str) -> rusqlite::Result<usize> {
        connection.execute(
            "INSERT OR IGNORE INTO iceberg_namespace_properties
             (catalog_name, namespace, property_key, property_value) VALUES (?1, ?2, 'exists', 'true')",
            params![self.catalog, namespace],
        )
    }

    /// Gives all these tables the metadata files of those that are staged, in one transaction; a conflict when one of
    /// them is not what was seen of it. Errors mean what they mean for [`Store::swap`].
    pub fn replace(&self, replacements: &[Replacement]) -> Result<Swap> {
        match self.try_replace(replacements) {
            Ok(swap) => Ok(swap),
            Err(error) => {
                let is_done =
                    |one: &Replacement| self.location(&one.table).is_ok_and(|at| at.as_ref() == Some(&one.to));
                match replacements.iter().all(is_done) {
                    true => Ok(Swap::Done),
                    false => Err(self.failed("put the new tables in place", error)),
                }
            }
        }
    }

    fn try_replace(&self, replacements: &[Replacement]) -> rusqlite::Result<Swap> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for Replacement { table, from, to } in replacements {
            let swapped = match from {
                Some(from) => transaction.execute(
                    "UPDATE iceberg_tables SET metadata_location = ?5, previous_metadata_location = ?4
                     WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND metadata_location = ?4",
                    params![self.catalog, table.namespace, table.name, from, to],
                )?,
                None => self.add(&transaction, table, to)?,
            };
            let left = transaction.execute(
                "DELETE FROM iceberg_tables
                 WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND metadata_location = ?4",
                params![STAGED, table.namespace, table.name, to],
            )?;
            if (swapped, left) != (1, 1) {
                return Ok(Swap::Conflict);
            }
        }
        transaction.commit()?;
        Ok(Swap::Done)
    }
}

/// What a failed commit has done, by what is found in the file afterwards; `None` when it has not happened, or when a
/// later commit hides it. A name of a metadata file is made once, so finding it proves the commit.
fn settle(found: Option<&str>, to: &str) -> Option<Swap> {
    (found == Some(to)).then_some(Swap::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::ErrorKind;

    fn name() -> TableName {
        TableName::parse("lake.t").unwrap()
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("catalog.db")).unwrap();
        (folder, store)
    }

    #[test]
    fn a_swap_needs_the_current_location() {
        let (_folder, store) = store();
        assert!(store.insert(&name(), "a").unwrap());
        assert!(!store.insert(&name(), "b").unwrap());
        assert_eq!(store.swap(&name(), "a", "b").unwrap(), Swap::Done);
        assert_eq!(store.swap(&name(), "a", "c").unwrap(), Swap::Conflict);
        assert_eq!(store.location(&name()).unwrap().as_deref(), Some("b"));
        assert!(!store.remove(&name(), "a").unwrap(), "another one has become current");
        assert!(store.remove(&name(), "b").unwrap());
        assert!(!store.remove(&name(), "b").unwrap());
        assert_eq!(store.namespaces().unwrap(), ["lake"]);
    }

    #[test]
    fn staged_tables_take_their_places_together_or_not_at_all() {
        let (_folder, store) = store();
        let (staged, other) = (store.staged(), TableName::parse("lake.u").unwrap());
        for (table, from, to) in [(name(), "a", "b"), (other.clone(), "c", "d")] {
            assert!(store.insert(&table, from).unwrap() && staged.insert(&table, to).unwrap());
        }
        let of = |table: &TableName, from: &str, to: &str| Replacement {
            table: table.clone(),
            from: Some(from.to_owned()),
            to: to.to_owned(),
        };
        assert_eq!(store.tables().unwrap().len(), 2, "what is staged is nobody's table");
        let wrong = store.replace(&[of(&name(), "a", "b"), of(&other, "x", "d")]).unwrap();
        assert_eq!(wrong, Swap::Conflict);
        assert_eq!(store.location(&name()).unwrap().as_deref(), Some("a"));
        assert_eq!(store.replace(&[of(&name(), "a", "b"), of(&other, "c", "d")]).unwrap(), Swap::Done);
        let at = |table: &TableName| store.location(table).unwrap();
        assert_eq!((at(&name()).as_deref(), at(&other).as_deref()), (Some("b"), Some("d")));
        assert_eq!(staged.tables().unwrap(), []);
        // Somebody has dropped the old one.
        assert!(staged.insert(&name(), "e").unwrap());
        let none = || Replacement { table: name(), from: None, to: "e".to_owned() };
        assert_eq!(store.replace(&[none()]).unwrap(), Swap::Conflict, "there is one");
        assert!(store.remove(&name(), "b").unwrap());
        assert_eq!(store.replace(&[none()]).unwrap(), Swap::Done);
        assert_eq!((at(&name()).as_deref(), staged.tables().unwrap().len()), (Some("e"), 0));
    }

    #[test]
    fn a_failed_commit_is_an_error_and_not_an_acknowledgement() {
        let (folder, store) = store();
        store.insert(&name(), "a").unwrap();
        store.wait_at_most(1);
        // A reader in the middle of its transaction lets the update pass, and only COMMIT fails.
        let mut reader = Connection::open(folder.path().join("catalog.db")).unwrap();
        let reading = reader.transaction().unwrap();
        reading.query_row("SELECT count(*) FROM iceberg_tables", [], |row| row.get::<_, i64>(0)).unwrap();
        let error = store.swap(&name(), "a", "b").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.chain().contains("locked by another process"), "{}", error.chain());
        drop(reading);
        assert_eq!(store.location(&name()).unwrap().as_deref(), Some("a"));
        assert_eq!(store.swap(&name(), "a", "b").unwrap(), Swap::Done);
    }

    #[test]
    fn a_commit_that_is_found_in_the_file_has_happened() {
        assert_eq!(settle(Some("b"), "b"), Some(Swap::Done));
        assert_eq!(settle(Some("a"), "b"), None);
        assert_eq!(settle(None, "b"), None);
    }

    #[test]
    fn a_file_that_is_no_database_is_corrupt() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        std::fs::write(&path, "not a database, and longer than a header of one hundred bytes, ".repeat(40)).unwrap();
        let error = Store::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.chain().contains("catalog.db"), "{}", error.chain());
    }

    #[test]
    fn a_file_of_an_older_tool_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        let old = TABLES.replace(
            "previous_metadata_location VARCHAR(1000),\n        iceberg_type VARCHAR(5),",
            "previous_metadata_location VARCHAR(1000),",
        );
        assert_ne!(old, TABLES);
        Connection::open(&path).unwrap().execute_batch(&old).unwrap();
        let store = Store::open(&path).unwrap();
        assert!(store.insert(&name(), "a").unwrap());
    }

    #[test]
    fn a_catalog_that_is_read_only_is_named_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        Store::open(&path).unwrap();
        let connection = Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let error = connection.execute("DELETE FROM iceberg_tables", []).unwrap_err();
        let told = failure::sqlite("the catalog", error).chain();
        assert!(told.contains("it or its folder is read-only for this user"), "{told}");
    }
}
