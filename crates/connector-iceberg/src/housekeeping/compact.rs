//! Small files of a table become large ones, and rows that are deleted are left out of them.

use super::content::{Content, KnownManifests};
use super::plan::{Group, applied, delete_index, groups, target_bytes};
use super::replace::{Replacer, Rewritten};
use super::rewrite::{Rewriter, Scratch};
use crate::files::TableFiles;
use crate::name::TableName;
use crate::object_files::is_local;
use crate::parquet_file::Upload;
use crate::unknown_types::check_changeable;
use crate::warehouse::Warehouse;
use crate::{failure, live_files::LiveFile};
use dataflow::{Clock, Error, Result, RowFilter};
use iceberg::spec::{DataFile, FormatVersion, TableMetadata};
use iceberg::table::Table;
use std::cell::Cell;

/// What was written anew is put in place when so many bytes of it were read, so that little is lost with a kill.
const SWAP_BYTES: u64 = 1 << 30;
/// How often a plan is made anew for files that others have changed meanwhile.
const ROUNDS_MAX: usize = 5;

/// What is worth being written anew.
#[derive(Clone, Copy, Debug)]
pub struct CompactOptions {
    /// How many small files of a partition have to come together, if none of them has deleted rows.
    pub files_min: usize,
}

impl Default for CompactOptions {
    fn default() -> CompactOptions {
        CompactOptions { files_min: 2 }
    }
}

/// What a compaction would do to a table as it is now.
#[derive(Clone, Debug, Default)]
pub struct CompactPlan {
    /// How large files should be.
    pub target_bytes: u64,
    /// The data files of the table.
    pub files_total: usize,
    /// The delete files of the table.
    pub deletes_total: usize,
    /// How many data files are written anew, their bytes, and their rows with those that are deleted.
    pub files: usize,
    /// Their bytes. What is written takes about as many more until the old files expire.
    pub bytes: u64,
    /// Their rows, those among them that are deleted.
    pub rows: u64,
    /// How many of these files have deleted rows.
    pub files_with_deletes: usize,
    /// About how many files they become.
    pub files_after: usize,
    /// In how many groups, each of one partition.
    pub groups: usize,
}

/// How far a compaction is.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompactProgress {
    /// Rows that were read.
    pub rows: u64,
    /// Rows that are to be read.
    pub rows_total: u64,
}

/// What a compaction has done.
#[derive(Clone, Debug, Default)]
pub struct CompactSummary {
    /// Data files that are no longer of the table, and their bytes and rows.
    pub files_before: usize,
    pub bytes_before: u64,
    pub rows_before: u64,
    /// The files in their place.
    pub files_after: usize,
    pub bytes_after: u64,
    pub rows_after: u64,
    /// Delete files that apply to nothing any more, and are no longer of the table.
    pub deletes: usize,
    /// How many snapshots were made.
    pub snapshots: usize,
    /// Groups whose files others have changed again and again while they were written.
    pub given_up: usize,
    /// Whether it was stopped before its end.
    pub is_stopped: bool,
}

/// A table as it was read.
struct Compaction<'a> {
    warehouse: &'a Warehouse,
    name: TableName,
    table: Table,
    content: Content,
    groups: Vec<Group>,
    target: u64,
    known: KnownManifests,
}

impl Warehouse {
    /// What a compaction of a table would do now.
    pub fn plan_compaction(&self, table: &str, options: CompactOptions) -> Result<CompactPlan> {
        let planned = Compaction::load(self, TableName::parse(table)?, options, KnownManifests::default())?;
        let mut plan = CompactPlan {
            target_bytes: planned.target,
            files_total: planned.content.data.len(),
            deletes_total: planned.content.deletes.len(),
            groups: planned.groups.len(),
            ..CompactPlan::default()
        };
        let index = delete_index(&planned.name, planned.table.metadata(), planned.content.deletes.clone())?;
        for group in &planned.groups {
            plan.files += group.files.len();
            plan.bytes += group.bytes;
            plan.rows += group.rows;
            plan.files_after += usize::try_from(group.bytes.div_ceil(planned.target / 4 * 5)).unwrap_or(1);
            for &at in &group.files {
                plan.files_with_deletes += usize::from(!index.of(&planned.content.data[at])?.is_empty());
            }
        }
        Ok(plan)
    }

    /// Writes files anew that are worth it, and puts them in place. Rows stay as they are; other writers and readers of the
    /// table go on. `progress` is told how far it is, and stops it by saying false; what was put in place stays.
    pub fn compact(
        &self,
        table: &str,
        options: CompactOptions,
        clock: &dyn Clock,
        progress: &mut dyn FnMut(CompactProgress) -> bool,
    ) -> Result<CompactSummary> {
        let name = TableName::parse(table)?;
        let (mut summary, mut known) = (CompactSummary::default(), KnownManifests::default());
        for round in 0..ROUNDS_MAX {
            let mut compaction = Compaction::load(self, name.clone(), options, known)?;
            let left = compaction.run(clock, progress, &mut summary)?;
            known = compaction.known;
            if left == 0 || summary.is_stopped {
                return Ok(summary);
            }
            if round + 1 == ROUNDS_MAX {
                summary.given_up = left;
            }
        }
        Ok(summary)
    }
}

impl<'a> Compaction<'a> {
    fn load(
        warehouse: &'a Warehouse,
        name: TableName,
        options: CompactOptions,
        mut known: KnownManifests,
    ) -> Result<Compaction<'a>> {
        let table = warehouse.load(&name)?;
        let metadata = table.metadata();
        check_compactable(&name, metadata)?;
        let load = Content::load(&name, &table, metadata.current_snapshot(), &mut known);
        let content = warehouse.runtime().block_on(load)?;
        let target = target_bytes(metadata);
        let index = delete_index(&name, metadata, content.deletes.clone())?;
        let groups = groups(&content, &index, target, options.files_min)?;
        Ok(Compaction { warehouse, name, table, content, groups, target, known })
    }

    /// Writes all groups anew; gives how many of them others have changed meanwhile.
    fn run(
        &mut self,
        clock: &dyn Clock,
        progress: &mut dyn FnMut(CompactProgress) -> bool,
        summary: &mut CompactSummary,
    ) -> Result<usize> {
        if self.groups.is_empty() {
            return Ok(0);
        }
        let rewriter = self.rewriter()?;
        let sequence = self.table.metadata().current_snapshot().map_or(0, |snapshot| snapshot.sequence_number());
        let index = delete_index(&self.name, self.table.metadata(), self.content.deletes.clone())?;
        let mut told = CompactProgress { rows: 0, rows_total: self.groups.iter().map(|group| group.rows).sum() };
        let (mut waiting, mut bytes, mut left, mut since_ms) = (Vec::new(), 0, 0, 0);
        for group in std::mem::take(&mut self.groups) {
            if waiting.is_empty() {
                since_ms = clock.now().0 / 1000;
            }
            let mut read = |rows| {
                told.rows += rows;
                progress(told)
            };
            let written = match rewriter.rewrite(&self.content, &group, &mut read) {
                Ok(Some(written)) => written,
                // What is whole is put in place.
                Ok(None) => {
                    summary.is_stopped = true;
                    break;
                }
                Err(error) => {
                    waiting.iter().for_each(|one: &Rewritten| rewriter.discard(&one.outputs));
                    return Err(error);
                }
            };
            waiting.push(self.rewritten(&group, written, &index, sequence)?);
            bytes += group.bytes;
            if bytes >= SWAP_BYTES {
                bytes = 0;
                let written = (std::mem::take(&mut waiting), since_ms);
                left += self.put_in_place(written, &rewriter, (sequence, clock), summary)?;
            }
        }
        Ok(left + self.put_in_place((waiting, since_ms), &rewriter, (sequence, clock), summary)?)
    }

    fn rewriter(&self) -> Result<Rewriter> {
        let metadata = self.table.metadata();
        self.warehouse.check_data_path(&self.name, metadata.location(), metadata.properties())?;
        let load = TableFiles::load(&self.name, &self.table, metadata.current_snapshot(), &|_| RowFilter::everything());
        let files = self.warehouse.runtime().block_on(load)?;
        let upload = (!is_local(metadata.location())).then(|| Upload {
            file_io: self.table.file_io().clone(),
            runtime: self.warehouse.runtime().handle().clone(),
        });
        let (uploads, runs) = self.warehouse.scratch_folders();
        let scratch = Scratch { upload, uploads, runs };
        Rewriter::new(&self.name, self.table.metadata_ref(), files, self.target, scratch)
    }

    fn rewritten(
        &self,
        group: &Group,
        outputs: Vec<DataFile>,
        index: &crate::delete_index::DeleteIndex,
        sequence: i64,
    ) -> Result<Rewritten> {
        let inputs: Vec<LiveFile> = group.files.iter().map(|&at| self.content.data[at].clone()).collect();
        let applied = inputs.iter().map(|input| applied(index, input, sequence)).collect::<Result<_>>()?;
        Ok(Rewritten { inputs, applied, outputs })
    }

    /// Puts what was written in place; gives how much of it was given up since others have changed what it was made of.
    fn put_in_place(
        &mut self,
        (written, written_since_ms): (Vec<Rewritten>, i64),
        rewriter: &Rewriter,
        (sequence, clock): (i64, &dyn Clock),
        summary: &mut CompactSummary,
    ) -> Result<usize> {
        if written.is_empty() {
            return Ok(0);
        }
        let uuid = self.table.metadata().uuid();
        let (catalog, has_sent) = (self.warehouse.tables_catalog(), Cell::new(false));
        let (table, has_sent_to) = (&self.name, &has_sent);
        let replacer = Replacer { catalog, table, uuid, sequence, clock, written_since_ms, has_sent: has_sent_to };
        let replaced = self.warehouse.runtime().block_on(replacer.replace(&written, &mut self.known));
        let replaced = replaced.inspect_err(|_| {
            // Once a swap was sent nobody knows what is named by now, so that all files stay.
            if !has_sent.get() {
                written.iter().for_each(|one| rewriter.discard(&one.outputs));
            }
        })?;
        summary.snapshots += usize::from(replaced.done.contains(&true));
        summary.deletes += replaced.deletes;
        for (one, is_done) in written.iter().zip(&replaced.done) {
            match is_done {
                true => summary.add(one),
                false if !replaced.is_unknown => rewriter.discard(&one.outputs),
                false => {}
            }
        }
        Ok(replaced.done.iter().filter(|is_done| !**is_done).count())
    }
}

/// Refuses a table of which nothing is compacted.
pub fn check_compactable(name: &TableName, metadata: &TableMetadata) -> Result<()> {
    check_changeable(name, metadata).map_err(|error| failure::iceberg("nothing is compacted", error))?;
    if metadata.format_version() == FormatVersion::V1 {
        return Err(Error::invalid(format!(
            "table \"{name}\" has version 1 of the table format, in which nothing is compacted here; upgrade it to version 2 \
             with the engine that wrote it"
        )));
    }
    Ok(())
}

impl CompactSummary {
    fn add(&mut self, one: &Rewritten) {
        let inputs = one.inputs.iter().map(|input| &input.file);
        self.files_before += one.inputs.len();
        self.files_after += one.outputs.len();
        self.bytes_before += inputs.clone().map(DataFile::file_size_in_bytes).sum::<u64>();
        self.rows_before += inputs.map(DataFile::record_count).sum::<u64>();
        self.bytes_after += one.outputs.iter().map(DataFile::file_size_in_bytes).sum::<u64>();
        self.rows_after += one.outputs.iter().map(DataFile::record_count).sum::<u64>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::TableOptions;
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use dataflow::ProcessingTime;
    use std::sync::Arc;

    /// A clock that stands: a snapshot is never older than the state of the table that it is made of.
    struct Stands;

    impl Clock for Stands {
        fn now(&self) -> ProcessingTime {
            ProcessingTime(0)
        }
    }

    fn append(warehouse: &Warehouse, numbers: std::ops::Range<i64>) {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
        let rows = RecordBatch::try_from_iter_with_nullable([("n", column, true)]).unwrap();
        let claim = warehouse.claim("lake.t", "test").unwrap();
        claim.create(&rows.schema(), &TableOptions::default()).unwrap();
        let mut writer = claim.writer(0).unwrap();
        writer.write_rows(&rows).unwrap();
        claim.committer().commit(writer.finish(Some(1)).unwrap().into_iter().collect()).unwrap();
    }

    fn data_files(folder: &std::path::Path) -> usize {
        std::fs::read_dir(folder.join("lake/t/data")).unwrap().count()
    }

    #[test]
    fn what_others_have_changed_meanwhile_is_thrown_away_and_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = Warehouse::open(folder.path()).unwrap();
        (0..4).for_each(|part| append(&warehouse, part * 10..part * 10 + 10));
        let load = || {
            let (name, options) = (TableName::parse("lake.t").unwrap(), CompactOptions::default());
            Compaction::load(&warehouse, name, options, KnownManifests::default()).unwrap()
        };
        let (mut first, mut second) = (load(), load());
        // One that comes meanwhile is in nobody's way.
        append(&warehouse, 40..50);
        let mut summary = CompactSummary::default();
        assert_eq!(first.run(&Stands, &mut |_| true, &mut summary).unwrap(), 0);
        assert_eq!((summary.files_before, summary.files_after, summary.snapshots), (4, 1, 1));
        let before = data_files(folder.path());
        let mut lost = CompactSummary::default();
        assert_eq!(second.run(&Stands, &mut |_| true, &mut lost).unwrap(), 1, "its files are gone");
        assert_eq!(
            (lost.files_before, lost.snapshots, data_files(folder.path())),
            (0, 0, before),
            "nothing is left of it"
        );
        assert_eq!((warehouse.rows("lake.t").unwrap(), warehouse.read("lake.t").unwrap().files().len()), (50, 2));
    }

    /// A clock that has stood still for a day when it is asked again.
    struct Slept(std::sync::atomic::AtomicBool);

    impl Clock for Slept {
        fn now(&self) -> ProcessingTime {
            let is_later = self.0.swap(true, std::sync::atomic::Ordering::SeqCst);
            ProcessingTime(if is_later { 86_400_000_000 } else { 0 })
        }
    }

    #[test]
    fn what_was_written_a_day_ago_is_not_put_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = Warehouse::open(folder.path()).unwrap();
        (0..3).for_each(|part| append(&warehouse, part * 10..part * 10 + 10));
        let before = data_files(folder.path());
        let (name, options) = (TableName::parse("lake.t").unwrap(), CompactOptions::default());
        let mut slept = Compaction::load(&warehouse, name, options, KnownManifests::default()).unwrap();
        let (clock, mut summary) = (Slept(false.into()), CompactSummary::default());
        assert_eq!(slept.run(&clock, &mut |_| true, &mut summary).unwrap(), 1, "it is to be made anew");
        assert_eq!((summary.snapshots, data_files(folder.path())), (0, before));
        let done = warehouse.compact("lake.t", CompactOptions::default(), &clock, &mut |_| true).unwrap();
        assert_eq!((done.files_after, warehouse.rows("lake.t").unwrap()), (1, 30));
    }

    #[test]
    fn one_that_is_stopped_leaves_what_is_not_whole() {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = Warehouse::open(folder.path()).unwrap();
        (0..3).for_each(|part| append(&warehouse, part * 10..part * 10 + 10));
        let before = data_files(folder.path());
        let stopped = warehouse.compact("lake.t", CompactOptions::default(), &Stands, &mut |at| at.rows < 20).unwrap();
        assert!(stopped.is_stopped && stopped.files_before == 0);
        assert_eq!((data_files(folder.path()), warehouse.rows("lake.t").unwrap()), (before, 30));
    }
}
