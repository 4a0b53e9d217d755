//! Files whose rows have an arrival of their own: to each row the clock that it met.

use super::clock_pass::ClockPass;
use super::stored_clocks::{NO_CLOCK, StoredClocks};
use crate::StreamSpec;
use crate::placing::CLOCK;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::{Bounds, Error, Quiet, RecordBatches, Result, RowGroup, TimedFile, TimedFiles};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// How many bytes the pass over all rows may take before it spills.
const MEMORY_BYTES: usize = 128 << 20;

/// Of the rule by which rows have clocks: clocks that were kept under another one are not used.
const RULE_VERSION: u64 = 1;

/// A history without coordinates whose rows have an arrival of their own.
///
/// All its files are one partition in the order of (arrival, `_ord`). Its clock is run over them once, in a pass of
/// their own, and what each row met is kept in a file for the next run.
pub struct ArrivedFiles {
    inner: Arc<dyn TimedFiles>,
    schema: SchemaRef,
    files: Vec<TimedFile>,
    clocks: Arc<StoredClocks>,
    // Where the rows of a row group of a file lie among all.
    rows: Arc<BTreeMap<(usize, usize), Range<u64>>>,
}

impl ArrivedFiles {
    /// Takes the clocks that are kept at a path, or makes and keeps them there. `origin` tells these rows from others
    /// that files of the same names and sizes may hold; a pass over more rows than memory holds spills to a folder, and
    /// tells how many rows it has read.
    pub fn open(
        spec: &StreamSpec,
        inner: Arc<dyn TimedFiles>,
        origin: &str,
        kept_at: &Path,
        spill_dir: &Path,
        tell: &dyn Fn(u64),
    ) -> Result<ArrivedFiles> {
        ArrivedFiles::open_within(spec, inner, origin, kept_at, (spill_dir, MEMORY_BYTES, tell))
    }

    /// The same with so many bytes of memory.
    pub(crate) fn open_within(
        spec: &StreamSpec,
        inner: Arc<dyn TimedFiles>,
        origin: &str,
        kept_at: &Path,
        room: (&Path, usize, &dyn Fn(u64)),
    ) -> Result<ArrivedFiles> {
        spec.check()?;
        let key = key_of(spec, inner.as_ref(), origin);
        let fits = |clocks: &StoredClocks| {
            let expected = inner.files().iter().map(|file| file.groups.len()).sum::<usize>();
            let is_there = |file: usize, group: usize| inner.files().get(file).is_some_and(|f| group < f.groups.len());
            clocks.groups().len() == expected && clocks.groups().iter().all(|of| is_there(of.file, of.group))
        };
        let clocks = match StoredClocks::open(kept_at, &key).filter(fits) {
            Some(clocks) => clocks,
            None => ClockPass::new(spec, inner.as_ref(), kept_at, room)?.run(&key)?,
        };
        let groups = clocks.groups().iter();
        let rows = groups.map(|of| ((of.file, of.group), of.first..of.first + of.rows)).collect();
        let clock = Field::new(CLOCK, DataType::Timestamp(TimeUnit::Microsecond, None), true);
        let fields = inner.schema().fields().iter().cloned().chain([Arc::new(clock)]).collect::<Vec<_>>();
        let files = with_clocks(inner.files(), &clocks);
        Ok(ArrivedFiles {
            inner,
            schema: Arc::new(Schema::new(fields)),
            files,
            clocks: Arc::new(clocks),
            rows: Arc::new(rows),
        })
    }
}

/// What tells one set of clocks from another: of everything that says which rows there are, and in which order they
/// move the clock how far.
fn key_of(spec: &StreamSpec, files: &dyn TimedFiles, origin: &str) -> String {
    let mut hash = Xxh3::new();
    let mut text = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    text(env!("CARGO_PKG_VERSION"));
    text(origin);
    text(files.name());
    for field in spec.schema.fields() {
        text(field.name());
        text(&field.data_type().to_string());
    }
    files.files().iter().for_each(|file| text(&file.path));
    let mut number = |number: u64| hash.update(&number.to_le_bytes());
    number(RULE_VERSION);
    number(spec.time_column as u64);
    number(spec.arrival.map_or(u64::MAX, |arrival| arrival as u64));
    number(match spec.quiet {
        Quiet::After(quiet) => quiet.0 as u64,
        Quiet::Never => u64::MAX,
    });
    spec.dedup_key.iter().for_each(|&column| number(column as u64));
    for file in files.files() {
        [file.bytes, file.rows, file.groups.len() as u64].into_iter().for_each(&mut number);
        file.deletes.into_iter().for_each(&mut number);
    }
    format!("{:032x}", hash.digest128())
}

/// The files with what is known of their clocks, and of how many rows their row groups have.
fn with_clocks(files: &[TimedFile], clocks: &StoredClocks) -> Vec<TimedFile> {
    let mut all = files.to_vec();
    // Per file how many rows have no clock; those of row groups that have none at all are among them.
    let mut nulls = vec![0; all.len()];
    for of in clocks.groups() {
        let file = &mut all[of.file];
        nulls[of.file] += of.bounds.map_or(of.rows, |bounds| bounds.nulls);
        let group: &mut RowGroup = &mut file.groups[of.group];
        group.rows = Some(of.rows);
        let Some(own) = of.bounds else { continue };
        group.bounds.push((CLOCK.to_owned(), own));
        match file.bounds.iter_mut().find(|(name, _)| name == CLOCK) {
            None => file.bounds.push((CLOCK.to_owned(), own)),
            Some((_, known)) => *known = Bounds { min: known.min.min(own.min), max: known.max.max(own.max), nulls: 0 },
        }
    }
    for (file, nulls) in all.iter_mut().zip(nulls) {
        file.bounds.iter_mut().filter(|(name, _)| name == CLOCK).for_each(|(_, bounds)| bounds.nulls = nulls);
    }
    all
}

impl TimedFiles for ArrivedFiles {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn files(&self) -> &[TimedFile] {
        &self.files
    }

    fn property(&self, key: &str) -> Option<String> {
        self.inner.property(key)
    }

    fn open(&self, file: usize, groups: Range<usize>, columns: &[String], batch_rows: usize) -> Result<RecordBatches> {
        let Some(place) = columns.iter().position(|name| name == CLOCK) else {
            return self.inner.open(file, groups, columns, batch_rows);
        };
        let names: Vec<String> = columns.iter().filter(|name| *name != CLOCK).cloned().collect();
        let (inner, clocks, rows) = (self.inner.clone(), self.clocks.clone(), self.rows.clone());
        let path = self.files.get(file).map_or_else(String::new, |file| file.path.clone());
        let open = move |group: usize| -> Result<RecordBatches> {
            let rows = rows.get(&(file, group)).cloned().unwrap_or(0..0);
            let mut column = ClockColumn { clocks: clocks.clone(), rows, block: Vec::new(), path: path.clone() };
            let batches = inner.open(file, group..group + 1, &names, batch_rows)?;
            Ok(Box::new(batches.map(move |batch| column.put_into(&batch?, place))))
        };
        Ok(Box::new(groups.flat_map(move |group| match open(group) {
            Ok(batches) => batches,
            Err(error) => Box::new(std::iter::once(Err(error))),
        })))
    }
}

/// The clocks of the rows of a row group, in their sequence.
struct ClockColumn {
    clocks: Arc<StoredClocks>,
    // Those that are still to be given out.
    rows: Range<u64>,
    // The clocks from the next row on, backwards.
    block: Vec<i64>,
    path: String,
}

impl ClockColumn {
    /// The next rows with their clocks as one of the columns.
    fn put_into(&mut self, batch: &RecordBatch, place: usize) -> Result<RecordBatch> {
        let count = batch.num_rows();
        if self.rows.end.saturating_sub(self.rows.start) < count as u64 {
            return Err(Error::corrupt(format!(
                "file {} has more rows than when its clocks were made, so it was changed in the meantime",
                self.path
            )));
        }
        let mut clocks = Vec::with_capacity(count);
        while clocks.len() < count {
            if self.block.is_empty() {
                self.block = self.clocks.from_row(self.rows.start + clocks.len() as u64)?;
                self.block.reverse();
            }
            let Some(clock) = self.block.pop() else {
                return Err(Error::internal(format!("file {}: a row has no clock", self.path)));
            };
            clocks.push((clock != NO_CLOCK).then_some(clock));
        }
        self.rows.start += count as u64;
        let clock: ArrayRef = Arc::new(TimestampMicrosecondArray::from(clocks));
        let (mut fields, mut columns) = (batch.schema_ref().fields().to_vec(), batch.columns().to_vec());
        fields.insert(place, Arc::new(Field::new(CLOCK, clock.data_type().clone(), true)));
        columns.insert(place, clock);
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }
}
