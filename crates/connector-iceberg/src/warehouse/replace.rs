//! New tables that take the places of old ones.

use super::Warehouse;
use super::rest_replace::{NewTable, Places};
use crate::catalog::SqliteCatalog;
use crate::commit::Fence;
use crate::failure;
use crate::generations::{self, TAKES_PLACE_OF};
use crate::name::TableName;
use crate::prepared_files::made_again;
use crate::storage::path_of;
use crate::store::{Replacement, Store, Swap};
use crate::table::TableOptions;
use crate::table_catalog::TableCatalog;
use crate::upkeep::keeps_all;
use arrow::datatypes::SchemaRef;
use dataflow::{Error, Result};
use iceberg::spec::TableMetadata;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// How often new tables are tried to be put in place when others change the old ones at the same time.
const REPLACE_ATTEMPTS: u32 = 40;

impl Warehouse {
    /// Makes a table without rows that nobody sees before it takes the place of the one of its name; in a folder of its
    /// own, so that both are whole. One that an earlier run left is given up.
    pub(crate) fn stage_table(&self, name: &TableName, schema: &SchemaRef, options: &TableOptions) -> Result<Uuid> {
        if let Some(places) = self.rest_places() {
            return self.stage_beside(&places, name, schema, options);
        }
        let (catalog, staged) = self.folder_catalogs(name)?;
        self.discard_staged(name, None)?;
        let location = generations::new_location(&catalog.location_of(name));
        let staged = TableCatalog::Sqlite(staged.clone());
        let mut options = options.clone();
        if let Some(current) = self.find(name, false)? {
            options.properties.push((TAKES_PLACE_OF.to_owned(), current.metadata().uuid().to_string()));
        }
        self.create_in(&staged, name, Some(location), schema, &options)?.ok_or_else(|| made_twice(name))
    }

    /// The same in a REST catalog.
    fn stage_beside(
        &self,
        places: &Places<'_>,
        name: &TableName,
        schema: &SchemaRef,
        options: &TableOptions,
    ) -> Result<Uuid> {
        let can_rename = self.0.runtime.block_on(places.catalog.can_rename());
        if !can_rename.map_err(|error| failure::iceberg(format!("table \"{name}\" cannot be replaced"), error))? {
            return Err(Error::invalid(format!(
                "table \"{name}\" has rows or other columns, and {} gives no table another name, so that no new one can \
                 take its place: drop the table in the catalog, or write another one",
                self.place()
            )));
        }
        let current = self.load(name)?;
        self.discard_staged(name, None)?;
        let location = generations::location_beside(current.metadata().location());
        let mut options = options.clone();
        options.properties.push((TAKES_PLACE_OF.to_owned(), current.metadata().uuid().to_string()));
        if let Some(uuid) = self.create_in(&self.0.staged, name, Some(location.clone()), schema, &options)? {
            return Ok(uuid);
        }
        // It is this one whose answer was lost, if it lies where no other does.
        let made = self.find(name, true)?.filter(|made| made.metadata().location() == location);
        made.map(|made| made.metadata().uuid()).ok_or_else(|| made_twice(name))
    }

    /// Gives up the staged table of this name with its files, if there is one, or if it is the one with this uuid.
    pub(crate) fn discard_staged(&self, name: &TableName, only: Option<Uuid>) -> Result<()> {
        if let Some(places) = self.rest_places() {
            return self.0.runtime.block_on(places.discard(name, only));
        }
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

    /// Whether new tables take the places of old ones one after another, and not all in one step.
    pub(crate) fn replaces_one_by_one(&self) -> bool {
        matches!(self.0.catalog, TableCatalog::Rest(_))
    }

    /// Lets the staged table of a REST catalog take the place of the one of its name. The fence is that of the table which
    /// is there, if there is one: somebody may have dropped it. `now` is by the clock of the disk that locks lie on.
    pub(crate) fn replace_table(
        &self,
        name: &TableName,
        old: Option<&Fence>,
        new: Uuid,
        now: SystemTime,
    ) -> Result<()> {
        let Some(places) = self.rest_places() else {
            return Err(Error::internal("tables in a folder are replaced together"));
        };
        let check_old = &|metadata: &TableMetadata| match old {
            Some(old) => old.check(name, metadata),
            None => Err(made_again(name)),
        };
        let new = NewTable { uuid: new, now_ms: ms_of(now), check_old };
        self.0.runtime.block_on(places.replace(name, &new))
    }

    /// Puts a new table in place that a run was killed over. In a folder there is nothing between before and after.
    pub(crate) fn finish_replacing(&self, name: &TableName) -> Result<()> {
        self.rest_places().map_or(Ok(()), |places| self.0.runtime.block_on(places.finish(name)))
    }

    /// Lets staged tables take the places of those of their names in a folder, all at once. The fences are those of the
    /// tables that are there, where somebody has not dropped them: where one has changed hands, none is replaced.
    pub(crate) fn replace_tables(&self, fences: &[(TableName, Option<Fence>)]) -> Result<()> {
        for _ in 0..REPLACE_ATTEMPTS {
            let (mut replacements, mut store) = (Vec::new(), None);
            for (table, fence) in fences {
                let (catalog, staged) = self.folder_catalogs(table)?;
                store = Some(catalog.store());
                let from = match (self.find(table, false)?, fence) {
                    (Some(current), Some(fence)) => {
                        fence.check(table, current.metadata())?;
                        let from = current.metadata_location_result().map(str::to_owned);
                        let from =
                            from.map_err(|error| failure::iceberg(format!("table \"{table}\" has no place"), error))?;
                        generations::retire(&self.folder_of(table), &from, keeps_all(current.metadata()))?;
                        Some(from)
                    }
                    (Some(_), None) => return Err(made_again(table)),
                    (None, _) => None,
                };
                let to = staged.store().location(table)?.ok_or_else(|| {
                    Error::invalid(format!("table \"{table}\": the new one is gone, since another run has begun one"))
                })?;
                replacements.push(Replacement { table: table.clone(), from, to });
            }
            // Before they are in place, so that no moment is left in which people see them and a kill leaves them unmarked.
            for Replacement { table, to, .. } in &replacements {
                generations::place(&self.folder_of(table), to)?;
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
        if let Some(places) = self.rest_places() {
            // What stays costs space and nothing else, and the next claim comes by it again.
            let _ = self.0.runtime.block_on(places.collect(name, ms_of(now)));
            return Ok(());
        }
        let (catalog, staged) = self.folder_catalogs(name)?;
        let stores = [catalog.store(), staged.store()];
        let tables = stores.map(Store::tables).into_iter().collect::<Result<Vec<_>>>()?;
        let named: Vec<PathBuf> = tables.iter().flatten().map(|(_, location)| path_of(location)).collect();
        let own = self.folder_of(name);
        if let Some(location) = catalog.store().location(name)? {
            generations::stands(&own, &location)?;
        }
        generations::collect(&own, &named, now);
        Ok(())
    }

    /// The folder of a table and of those that had its name before.
    fn folder_of(&self, name: &TableName) -> PathBuf {
        self.location_of(name).map(|location| path_of(&location)).unwrap_or_default()
    }

    /// The catalog of a folder, and the one of the tables that are to take the places of others.
    fn folder_catalogs(&self, name: &TableName) -> Result<(&SqliteCatalog, &SqliteCatalog)> {
        match (&self.0.catalog, &self.0.staged) {
            (TableCatalog::Sqlite(catalog), TableCatalog::Sqlite(staged)) => Ok((catalog, staged)),
            _ => Err(Error::internal(format!("table \"{name}\" lies in no folder of ours"))),
        }
    }

    fn rest_places(&self) -> Option<Places<'_>> {
        match (&self.0.catalog, &self.0.staged) {
            (TableCatalog::Rest(catalog), TableCatalog::Rest(staged)) => Some(Places { catalog, staged }),
            _ => None,
        }
    }
}

fn made_twice(name: &TableName) -> Error {
    Error::unavailable(format!("table \"{name}\": another process makes a new one at the same time; stop it"))
}

fn ms_of(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
