//! Data files that a run left and nobody will commit.

use super::Warehouse;
use crate::commit::Fence;
use crate::data_name::epoch_of;
use crate::failure;
use crate::manifest_file::read_manifest;
use crate::name::TableName;
use crate::object_files::is_local;
use crate::storage::path_of;
use crate::table_catalog::TableCatalog;
use crate::upkeep::keeps_all;
use dataflow::Result;
use iceberg::table::Table;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

impl Warehouse {
    /// Deletes data files that the sink of a fence has written under an older epoch, and that neither a snapshot of the
    /// table names nor `pending` does. Gives their number.
    ///
    /// Commits let go of no snapshot that somebody may be reading. What cannot be read leads to an error, and nothing is deleted. Who has an older epoch commits no more, so that no
    /// snapshot comes to name such a file afterwards.
    pub(crate) fn collect_orphans(
        &self,
        (name, is_staged): (&TableName, bool),
        fence: &Fence,
        pending: &HashSet<PathBuf>,
    ) -> Result<usize> {
        let Some(table) = self.find(name, is_staged)? else { return Ok(0) };
        fence.check(name, table.metadata())?;
        if keeps_all(table.metadata()) {
            return Ok(0);
        }
        // What lies in a store stays: nobody lists a store at every start.
        if !is_local(table.metadata().location()) {
            return Ok(0);
        }
        let folder = path_of(table.metadata().location());
        if self.has_other_table(name, is_staged, &folder)? {
            return Ok(0);
        }
        let is_older = |file: &str| epoch_of(file, &fence.sink).is_some_and(|epoch| epoch < fence.epoch);
        let found = files_below(&folder.join("data"), &is_older);
        let mut found = found.map_err(|error| {
            failure::file(format!("table \"{name}\": cannot look through \"{}\"", folder.display()), error)
        })?;
        found.retain(|file| !pending.contains(file));
        if found.is_empty() {
            return Ok(0);
        }
        let named = self.0.runtime.block_on(named_files(name, &table))?;
        let orphans = found.iter().filter(|file| !named.contains(*file));
        // A file that stays costs space and nothing else, and the next start comes by it again.
        Ok(orphans.filter(|file| std::fs::remove_file(file).is_ok()).count())
    }

    /// The locations of all tables but one, those included that are to take the places of others, each with what to call it.
    pub(crate) fn other_locations(&self, name: &TableName) -> Result<Vec<(String, String)>> {
        let mut locations = Vec::new();
        for is_staged in [false, true] {
            let catalog = self.catalog(is_staged);
            let names = match catalog {
                TableCatalog::Sqlite(catalog) => catalog.store().tables()?.into_iter().map(|(name, _)| name).collect(),
                TableCatalog::Rest(catalog) => {
                    let listed = self.0.runtime.block_on(catalog.tables());
                    listed.map_err(|error| failure::iceberg("the tables cannot be listed", error))?
                }
            };
            for other in names.into_iter().filter(|other| is_staged || other != name) {
                let folder = self.0.runtime.block_on(catalog.folder(&other));
                let folder = folder.map_err(|error| {
                    failure::iceberg(format!("it cannot be told where table \"{other}\" lies"), error)
                })?;
                let called =
                    if is_staged { format!("the new table \"{other}\"") } else { format!("table \"{other}\"") };
                let Some(folder) = folder else { continue };
                locations.extend(folder.data.map(|data| (format!("what {called} has of data"), data)));
                locations.push((called, folder.location));
            }
        }
        Ok(locations)
    }

    /// Whether a table of another name, or the one that is to take its place, has its metadata in a folder.
    fn has_other_table(&self, name: &TableName, is_staged: bool, folder: &Path) -> Result<bool> {
        for is_of_staged in [false, true] {
            // The tables of a REST catalog have folders that it gives to no other.
            let TableCatalog::Sqlite(catalog) = self.catalog(is_of_staged) else { continue };
            let others = catalog.store().tables()?;
            let is_other = |(other, _): &&(TableName, String)| other != name || is_of_staged != is_staged;
            let metadata = folder.join("metadata");
            if others.iter().filter(is_other).any(|(_, location)| path_of(location).starts_with(&metadata)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The data files that any snapshot of a table names.
async fn named_files(name: &TableName, table: &Table) -> Result<HashSet<PathBuf>> {
    let wrong = |what: &str, error| failure::iceberg(format!("table \"{name}\": {what} cannot be read"), error);
    let (mut read, mut named) = (HashSet::new(), HashSet::new());
    for snapshot in table.metadata().snapshots() {
        let list = table.manifest_list_reader(snapshot).load().await;
        let list = list.map_err(|error| wrong(&format!("manifest list \"{}\"", snapshot.manifest_list()), error))?;
        for entry in list.entries() {
            if !read.insert(entry.manifest_path.clone()) {
                continue;
            }
            let manifest = read_manifest(table, entry).await;
            let manifest = manifest.map_err(|error| wrong(&format!("manifest \"{}\"", entry.manifest_path), error))?;
            named.extend(manifest.entries().iter().map(|entry| path_of(entry.file_path())));
        }
    }
    Ok(named)
}

/// The files of a folder, and of those in it, whose names are wanted. Nothing behind a link.
fn files_below(folder: &Path, is_wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        // Nobody has written yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        if kind.is_dir() {
            found.append(&mut files_below(&entry.path(), is_wanted)?);
        } else if kind.is_file() && name.to_str().is_some_and(is_wanted) {
            found.push(entry.path());
        }
    }
    Ok(found)
}
