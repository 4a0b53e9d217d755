//! New tables that take the places of old ones, in the warehouse of a folder.

use super::Warehouse;
use crate::catalog::SqliteCatalog;
use crate::commit::Fence;
use crate::failure;
use crate::generations;
use crate::name::TableName;
use crate::storage::path_of;
use crate::store::{Replacement, Store, Swap};
use crate::table::TableOptions;
use crate::table_catalog::TableCatalog;
use arrow::datatypes::SchemaRef;
use dataflow::{Error, Result};
use std::path::PathBuf;
use std::time::SystemTime;
use uuid::Uuid;

/// How often new tables are tried to be put in place when others change the old ones at the same time.
const REPLACE_ATTEMPTS: u32 = 40;

impl Warehouse {
    /// Makes a table without rows that nobody sees before it takes the place of the one of its name; in a folder of its
    /// own, so that both are whole. One that an earlier run left is given up.
    pub(crate) fn stage_table(&self, name: &TableName, schema: &SchemaRef, options: &TableOptions) -> Result<Uuid> {
        let (catalog, staged) = self.folder_catalogs(name)?;
        self.discard_staged(name, None)?;
        let location = generations::new_location(&catalog.location_of(name));
        let staged = TableCatalog::Sqlite(staged.clone());
        self.create_in(&staged, name, Some(location), schema, options)?.ok_or_else(|| {
            Error::unavailable(format!("table \"{name}\": another process makes a new one at the same time; stop it"))
        })
    }

    /// Gives up the staged table of this name with its files, if there is one, or if it is the one with this uuid.
    pub(crate) fn discard_staged(&self, name: &TableName, only: Option<Uuid>) -> Result<()> {
        let (_, staged) = self.folder_catalogs(name)?;
        let store = staged.store();
        let Some(location) = store.location(name)? else { return Ok(()) };
        if let Some(uuid) = only
            && self.load_from(&TableCatalog::Sqlite(staged.clone()), name)?.metadata().uuid() != uuid
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
            let (mut replacements, mut store) = (Vec::new(), None);
            for (table, fence) in fences {
                let (catalog, staged) = self.folder_catalogs(table)?;
                store = Some(catalog.store());
                let current = self.load(table)?;
                fence.check(table, current.metadata())?;
                let from = current.metadata_location_result().map(str::to_owned);
                let from = from.map_err(|error| failure::iceberg(format!("table \"{table}\" has no place"), error))?;
                let to = staged.store().location(table)?.ok_or_else(|| {
                    Error::invalid(format!("table \"{table}\": the new one is gone, since another run has begun one"))
                })?;
                generations::retire(&self.folder_of(table), &from)?;
                replacements.push(Replacement { table: table.clone(), from, to });
            }
            if store.map_or(Ok(Swap::Done), |store| store.replace(&replacements))? == Swap::Done {
                return Ok(());
            }
        }
        Err(Error::unavailable(format!(
            "{REPLACE_ATTEMPTS} attempts to put new tables in place met changes by others; stop some of them"
        )))
    }

    /// Removes the files of tables that were replaced long before a moment, by the clock of the disk.
    pub(crate) fn collect_replaced(&self, name: &TableName, now: SystemTime) -> Result<()> {
        // Elsewhere no table takes the place of another.
        let Ok((catalog, staged)) = self.folder_catalogs(name) else { return Ok(()) };
        let stores = [catalog.store(), staged.store()];
        let tables = stores.map(Store::tables).into_iter().collect::<Result<Vec<_>>>()?;
        let named: Vec<PathBuf> = tables.iter().flatten().map(|(_, location)| path_of(location)).collect();
        generations::collect(&self.folder_of(name), &named, now);
        Ok(())
    }

    /// The folder of a table and of those that had its name before.
    fn folder_of(&self, name: &TableName) -> PathBuf {
        self.location_of(name).map(|location| path_of(&location)).unwrap_or_default()
    }

    /// The catalog of a folder, and the one of the tables that are to take the places of others.
    fn folder_catalogs(&self, name: &TableName) -> Result<(&SqliteCatalog, &SqliteCatalog)> {
        match (&self.0.catalog, &self.0.staged) {
            (TableCatalog::Sqlite(catalog), Some(TableCatalog::Sqlite(staged))) => Ok((catalog, staged)),
            _ => Err(Error::invalid(format!(
                "table \"{name}\" has rows or other columns, and in {} no new table can take its place in one step: drop \
                 the table, or write another one",
                self.place()
            ))),
        }
    }
}
