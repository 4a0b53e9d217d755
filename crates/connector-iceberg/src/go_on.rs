//! A run that goes on from a checkpoint with the table that an earlier one has written.
//!
//! ```text
//! claim -> the table of the checkpoint, by its uuid: there, or still to take its place?
//!       -> its columns fit, its last commit is one that the checkpoint knows of or has pending
//!       -> pending files are whole -> the committer commits them -> what nobody will commit is collected
//! ```

use crate::claim::{ClaimState, TableClaim, absent};
use crate::commit::Fence;
use crate::commit_record::CommitRecord;
use crate::data_name::DataPrefix;
use crate::failure;
use crate::generations::TAKES_PLACE_OF;
use crate::name::TableName;
use crate::object_files::is_local;
use crate::output_fit::{FRESH, Present, check_columns};
use crate::prepared_files::{PreparedFiles, check_whole, made_again};
use crate::storage::{create_folder, path_of, sync_folder};
use crate::table::{arrow_schema, plain_schema};
use crate::warehouse::Warehouse;
use crate::writer_position::WriterPosition;
use arrow::datatypes::SchemaRef;
use dataflow::{Committable, Error, OutputState, Result};
use iceberg::table::Table;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use uuid::Uuid;

impl TableClaim {
    /// Goes on with the table that a checkpoint names, which must be where the checkpoint left it, or further by
    /// nothing but what the checkpoint has pending. That is left to the committer, as it is at any other time.
    ///
    /// `known` of the state is the number that [`dataflow::Sink::prepare`] got for the newest of what was committed;
    /// after a commit [`TableClaim::checkpoint`] gives it. Rows that other tools added and files that they rewrote do
    /// not matter. A new table that has not taken its place yet goes on waiting for that. Gives what is pending, without what
    /// was committed before the last commit.
    pub fn go_on(&self, schema: &SchemaRef, state: &OutputState) -> Result<Vec<Committable>> {
        let name = &self.shared.table;
        let (table, pending) = self.fit(schema, state)?;
        for prepared in pending.iter().filter(|(_, is_there)| !is_there).map(|(prepared, _)| prepared) {
            for file in prepared.data_files(name, table.metadata())? {
                match is_local(file.file_path()) {
                    true => check_whole(name, &path_of(file.file_path()), file.file_size_in_bytes())?,
                    false => self.shared.warehouse.check_stored(name, &table, &file)?,
                }
            }
        }
        pending.iter().map(|(prepared, _)| prepared.to_committable()).collect()
    }

    /// Goes on with the table as [`TableClaim::go_on`] does, from a savepoint, which has copies of the files that were
    /// pending: those that are not in the table are copied to names of this claim. Gives what is pending then.
    pub fn go_on_from_copies(
        &self,
        schema: &SchemaRef,
        state: &OutputState,
        copy_of: &dyn Fn(&Path) -> PathBuf,
    ) -> Result<Vec<Committable>> {
        let name = &self.shared.table;
        let (table, pending) = self.fit(schema, state)?;
        let fences = self.shared.fences();
        let (fence, _) = fences.written().ok_or_else(|| absent(name))?;
        let (names, mut count) = (DataPrefix::new(&fence.sink, fence.epoch, 0), 0);
        let mut adopted = Vec::with_capacity(pending.len());
        for (prepared, is_there) in pending {
            if is_there {
                adopted.push(prepared.to_committable()?);
                continue;
            }
            for file in prepared.data_files(name, table.metadata())? {
                match is_local(file.file_path()) {
                    true => {
                        check_whole(name, &copy_of(&path_of(file.file_path())), file.file_size_in_bytes())?;
                    }
                    false => self.shared.warehouse.check_stored(name, &table, &file)?,
                }
            }
            let copied = prepared.at(name, &mut |location| {
                // Nobody deletes what waits in a store, so that a savepoint needs no copy of it.
                if !is_local(location) {
                    return Ok(location.to_owned());
                }
                let folder = location.rsplit_once('/').map_or("", |(folder, _)| folder);
                let copy = format!("{folder}/{}", names.file(count));
                count += 1;
                copy_durably(&copy_of(&path_of(location)), &path_of(&copy))?;
                Ok(copy)
            })?;
            adopted.push(copied.to_committable()?);
        }
        Ok(adopted)
    }

    /// The data files of what is pending.
    pub fn pending_files(table: &str, pending: &[Committable]) -> Result<Vec<PathBuf>> {
        let (name, mut files) = (TableName::parse(table)?, Vec::new());
        for committable in pending {
            files.extend(PreparedFiles::from_committable(&name, committable)?.paths(&name)?);
        }
        Ok(files)
    }

    /// Where the data files of what is pending lie, on a disk or in a store.
    pub fn pending_locations(table: &str, pending: &[Committable]) -> Result<Vec<String>> {
        let (name, mut locations) = (TableName::parse(table)?, Vec::new());
        for committable in pending {
            locations.extend(PreparedFiles::from_committable(&name, committable)?.locations(&name)?);
        }
        Ok(locations)
    }

    /// The table of a checkpoint, which must be where that left it, and what the checkpoint has pending, each with whether
    /// the table has it already.
    fn fit(&self, schema: &SchemaRef, state: &OutputState) -> Result<(Table, Vec<(PreparedFiles, bool)>)> {
        let name = &self.shared.table;
        let (uuid, prepared) = held_of(name, state)?;
        let table = self.find(uuid)?;
        check_columns(name, table.metadata(), (schema, Present::All), FRESH)?;
        let record = CommitRecord::of(name, table.metadata(), &self.shared.sink)?;
        record.check_line(name, table.metadata())?;
        let tokens: Vec<&str> = prepared.iter().map(PreparedFiles::token).collect();
        record.check_fits(name, &tokens, state.known)?;
        let prepared = record.without_earlier(prepared);
        let tokens: Vec<String> = prepared.iter().map(|prepared| prepared.token().to_owned()).collect();
        let there = record.tokens_in(table.metadata(), &tokens);
        let is_there = |prepared: &PreparedFiles| there.iter().any(|token| token == prepared.token());
        let pending = prepared.into_iter().map(|prepared| {
            let is_there = is_there(&prepared);
            (prepared, is_there)
        });
        Ok((table, pending.collect()))
    }

    /// The number of the last checkpoint of which the sink has committed rows; 0 while there is none.
    pub fn checkpoint(&self) -> Result<u64> {
        let ClaimState { warehouse, table, sink, .. } = &*self.shared;
        let is_staged = self.is_replacing();
        let Some(found) = warehouse.find(table, is_staged)? else { return Ok(0) };
        Ok(CommitRecord::of(table, found.metadata(), sink)?.checkpoint.unwrap_or(0))
    }

    /// Deletes data files that earlier runs of the sink have written and nobody will commit: those that no snapshot of
    /// the table names, and that are not pending in any checkpoint that is kept. Gives their number. Files of others are
    /// never touched.
    pub fn collect_orphans(&self, pending: &[Committable]) -> Result<usize> {
        let ClaimState { warehouse, table, .. } = &*self.shared;
        let fences = self.shared.fences();
        let Some((fence, is_staged)) = fences.written() else { return Ok(0) };
        let Some(found) = warehouse.find(table, is_staged)? else { return Ok(0) };
        let mut files: HashSet<PathBuf> = HashSet::new();
        for prepared in self.prepared(pending)? {
            let of_prepared = prepared.data_files(table, found.metadata())?;
            files.extend(of_prepared.iter().map(|file| path_of(file.file_path())));
        }
        warehouse.collect_orphans((table, is_staged), fence, &files)
    }

    /// The table with a uuid: that of the name, or the one that is to take its place, on which the epoch is taken then.
    /// A checkpoint without any writer names none, and means that of the name.
    fn find(&self, uuid: Option<Uuid>) -> Result<Table> {
        let ClaimState { warehouse, table: name, sink, .. } = &*self.shared;
        let is_it = |table: &Table| uuid.is_none_or(|uuid| table.metadata().uuid() == uuid);
        let current = warehouse.find(name, false)?;
        if let Some(table) = current.as_ref().filter(|table| is_it(table)) {
            self.check_held(table)?;
            return Ok(table.clone());
        }
        if let Some(table) = warehouse.find(name, true)?.filter(is_it) {
            if current.as_ref().is_some_and(|current| !takes_place_of(&table, current)) {
                return Err(replaced(name));
            }
            let fence = warehouse.take_epoch((name, true), sink)?;
            let mut fences = self.shared.fences();
            (fences.staged, fences.keeps_staged) = (Some(fence), true);
            return Ok(table);
        }
        Err(if current.is_some() { replaced(name) } else { dropped(name) })
    }

    /// Refuses a table that is another one than that on which the claim has taken its epoch.
    fn check_held(&self, table: &Table) -> Result<()> {
        let (name, fences) = (&self.shared.table, self.shared.fences());
        let held: &Fence = fences.table.as_ref().ok_or_else(|| absent(name))?;
        if held.table_uuid == table.metadata().uuid() { Ok(()) } else { Err(made_again(name)) }
    }
}

impl Warehouse {
    /// Those of some sinks whose checkpoints go with a table as it is, each given with what a checkpoint holds of it: others
    /// are of a job that has gone on elsewhere, or over a table that is gone.
    pub fn sinks_in_step(&self, table: &str, states: &[(String, OutputState)]) -> Result<Vec<String>> {
        let name = TableName::parse(table)?;
        let Some(found) = self.find(&name, false)? else { return Ok(Vec::new()) };
        let mut in_step = Vec::new();
        for (sink, state) in states {
            let (uuid, prepared) = held_of(&name, state)?;
            let tokens: Vec<&str> = prepared.iter().map(PreparedFiles::token).collect();
            let record = CommitRecord::of(&name, found.metadata(), sink)?;
            let is_it = uuid.is_none_or(|uuid| uuid == found.metadata().uuid());
            if is_it && record.check_fits(&name, &tokens, state.known).is_ok() && !in_step.contains(sink) {
                in_step.push(sink.clone());
            }
        }
        Ok(in_step)
    }

    /// The columns of the table to which something is still to be committed of what a checkpoint holds of a sink: that of
    /// the name, or the new one that is to take its place. `None` where neither is the one for which it was prepared, and
    /// where that has all of it. Nobody is kept from writing for this, and nothing is changed.
    pub fn awaits_commit(&self, table: &str, sink: &str, state: &OutputState) -> Result<Option<SchemaRef>> {
        let name = TableName::parse(table)?;
        let (Some(uuid), prepared) = held_of(&name, state)? else { return Ok(None) };
        let columns = |found: &Table| {
            let schema = arrow_schema(&name, found.metadata().current_schema())?;
            Ok(Some(plain_schema(&*schema)))
        };
        let current = self.find(&name, false)?;
        if let Some(found) = current.as_ref().filter(|current| current.metadata().uuid() == uuid) {
            let record = CommitRecord::of(&name, found.metadata(), sink)?;
            let prepared = record.without_earlier(prepared);
            let tokens: Vec<String> = prepared.iter().map(|prepared| prepared.token().to_owned()).collect();
            let is_all = record.tokens_in(found.metadata(), &tokens).len() == tokens.len();
            return if is_all { Ok(None) } else { columns(found) };
        }
        // One that has all of it is still to take its place.
        let is_it = |staged: &Table| {
            staged.metadata().uuid() == uuid && current.as_ref().is_none_or(|current| takes_place_of(staged, current))
        };
        self.find(&name, true)?.filter(is_it).map_or(Ok(None), |staged| columns(&staged))
    }
}

/// What a checkpoint holds of a sink: the uuid of the table, where there was a writer or something is pending, and what is
/// pending.
fn held_of(table: &TableName, state: &OutputState) -> Result<(Option<Uuid>, Vec<PreparedFiles>)> {
    let prepared = state.pending.iter().map(|one| PreparedFiles::from_committable(table, one));
    let prepared = prepared.collect::<Result<Vec<_>>>()?;
    let position = state.position.as_deref().map(WriterPosition::parse).transpose()?;
    let uuid = position.map(|position| position.table_uuid).or(prepared.first().map(PreparedFiles::table_uuid));
    Ok((uuid, prepared))
}

/// Whether a new table is to take the place of the one that is there: somebody may have dropped the table whose place that
/// was, and made another one, which is theirs.
fn takes_place_of(staged: &Table, current: &Table) -> bool {
    let of = staged.metadata().properties().get(TAKES_PLACE_OF);
    of.is_none_or(|of| *of == current.metadata().uuid().to_string())
}

fn replaced(table: &TableName) -> Error {
    Error::invalid(format!(
        "table \"{table}\" is another one than that which the checkpoint goes on with: somebody has dropped that and made \
         one of its name; start over with --fresh, which replaces it"
    ))
}

fn dropped(table: &TableName) -> Error {
    Error::invalid(format!(
        "there is no table \"{table}\" any more, and the checkpoint goes on with it: somebody has dropped it; start over \
         with --fresh"
    ))
}

/// Copies a data file of a savepoint to where a commit will name it.
fn copy_durably(from: &Path, to: &Path) -> Result<()> {
    let failed = |error| failure::file(format!("data file \"{}\" cannot be copied", from.display()), error);
    let folder = to.parent().unwrap_or(Path::new("/"));
    create_folder(folder).map_err(failed)?;
    std::fs::copy(from, to).map_err(failed)?;
    std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(failed)?;
    sync_folder(folder).map_err(failed)
}
