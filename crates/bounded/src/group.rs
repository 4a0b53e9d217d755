//! GROUP BY and DISTINCT: groups in memory for as long as there is room, and rows of others put aside until those are
//! out.

use crate::cut::Parts;
use crate::keys::{KeyTable, RowKeys};
use crate::plan::Aggregation;
use crate::spill::{Run, Spill, bytes_of};
use crate::stop::BATCH_ROWS;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use dataflow::{Error, RecordBatches, Result};
use operators::{Aggregate, GroupAggregate};
use std::collections::VecDeque;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// A row for each group.
pub(crate) struct Group {
    pub spec: Spec,
    /// What is still to be grouped, the next one last, and how often it was cut.
    pub waiting: Vec<(Source, u32)>,
    pub ready: VecDeque<RecordBatch>,
}

/// What is grouped how.
#[derive(Clone)]
pub(crate) struct Spec {
    pub input: SchemaRef,
    pub output: SchemaRef,
    pub keys: Vec<usize>,
    pub aggregates: Vec<Aggregation>,
    pub memory: usize,
    pub spill: Spill,
}

/// Rows that are to be grouped.
pub(crate) enum Source {
    Input(RecordBatches),
    Run(Run),
}

impl Iterator for Group {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(rows) = self.ready.pop_front() {
                return Some(self.spec.spill.stop.look().map(|()| rows));
            }
            let (source, depth) = self.waiting.pop()?;
            if let Err(error) = self.group(source, depth) {
                self.waiting.clear();
                return Some(Err(error));
            }
        }
    }
}

impl Group {
    fn group(&mut self, source: Source, depth: u32) -> Result<()> {
        let (rows, _file) = match source {
            Source::Input(rows) => (rows, None),
            Source::Run(run) => (run.read()?, Some(run)),
        };
        let mut groups = Groups::new(&self.spec, depth)?;
        for batch in rows {
            groups.take(&batch?)?;
        }
        let (out, aside) = groups.finish()?;
        for from in (0..out.num_rows()).step_by(BATCH_ROWS) {
            self.ready.push_back(out.slice(from, BATCH_ROWS.min(out.num_rows() - from)));
        }
        self.waiting.extend(aside.into_iter().rev().map(|run| (Source::Run(run), depth + 1)));
        Ok(())
    }
}

/// The groups that are in memory.
struct Groups<'s> {
    spec: &'s Spec,
    depth: u32,
    table: KeyTable,
    /// The keys of groups, from their first rows.
    firsts: Vec<RecordBatch>,
    firsts_bytes: usize,
    aggregates: Vec<GroupAggregate>,
    /// The values of each aggregate with DISTINCT.
    distinct: Vec<Option<DistinctValues>>,
    /// No group is added any more.
    full: bool,
    aside: Option<Parts>,
}

impl<'s> Groups<'s> {
    fn new(spec: &'s Spec, depth: u32) -> Result<Groups<'s>> {
        let mut aggregates = Vec::with_capacity(spec.aggregates.len());
        let mut distinct = Vec::with_capacity(spec.aggregates.len());
        for aggregation in &spec.aggregates {
            let data_type = aggregation.argument.map(|column| spec.input.field(column).data_type());
            // Values of a group are told apart here, so that only new ones are given to the aggregate.
            aggregates.push(GroupAggregate::new(aggregation.aggregate, data_type.filter(|_| !counts(aggregation)))?);
            distinct.push(data_type.filter(|_| aggregation.distinct).map(DistinctValues::new));
        }
        let mut groups = Groups {
            spec,
            depth,
            table: KeyTable::default(),
            firsts: Vec::new(),
            firsts_bytes: 0,
            aggregates,
            distinct,
            full: false,
            aside: None,
        };
        if spec.keys.is_empty() {
            groups.table.number(xxh3_64(&[]), &[]);
            groups.grow();
        }
        Ok(groups)
    }

    fn grow(&mut self) {
        let groups = self.table.len();
        self.aggregates.iter_mut().for_each(|aggregate| aggregate.grow(groups));
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let keys = RowKeys::of(batch, &self.spec.keys)?;
        let (mut numbers, mut firsts, mut aside) = (Vec::with_capacity(batch.num_rows()), Vec::new(), Vec::new());
        for row in 0..batch.num_rows() {
            let (hash, key) = (keys.hashes[row], keys.bytes(row));
            let number = if self.full { self.table.find(hash, key) } else { None };
            match (self.full, number) {
                (true, Some(number)) => numbers.push(number),
                (true, None) => aside.push(row as u32),
                (false, _) => {
                    let (number, is_new) = self.table.number(hash, key);
                    numbers.push(number);
                    if is_new {
                        firsts.push(row as u32);
                    }
                }
            }
        }
        if !firsts.is_empty() {
            let first = take_record_batch(&batch.project(&self.spec.keys)?, &UInt32Array::from(firsts))?;
            self.firsts_bytes += bytes_of(&first);
            self.firsts.push(first);
            self.grow();
        }
        if aside.is_empty() {
            self.add(batch, &numbers)?;
        } else {
            self.put_aside(batch, &aside, &keys.hashes)?;
            let taken: BooleanArray =
                (0..batch.num_rows() as u32).map(|row| Some(aside.binary_search(&row).is_err())).collect();
            self.add(&filter_record_batch(batch, &taken)?, &numbers)?;
        }
        self.full |= self.size() > self.spec.memory;
        Ok(())
    }

    fn put_aside(&mut self, batch: &RecordBatch, rows: &[u32], hashes: &[u64]) -> Result<()> {
        let Spec { input, spill, .. } = self.spec;
        let parts = self.aside.get_or_insert_with(|| Parts::new(input.clone(), spill.clone(), self.depth));
        parts.write(batch, rows, hashes)
    }

    /// Adds rows to their groups.
    fn add(&mut self, batch: &RecordBatch, numbers: &[u32]) -> Result<()> {
        let functions = self.spec.aggregates.iter().zip(&mut self.aggregates).zip(&mut self.distinct);
        for ((aggregation, aggregate), distinct) in functions {
            let argument = aggregation.argument.map(|column| batch.column(column));
            let filter = aggregation.filter.map(|column| batch.column(column).as_boolean());
            match (distinct, argument) {
                (Some(distinct), Some(values)) => {
                    let new = distinct.new_values(numbers, values, filter, self.full, &self.spec.spill)?;
                    aggregate.add(numbers, argument.filter(|_| !counts(aggregation)), Some(&new))?;
                }
                (_, argument) => aggregate.add(numbers, argument, filter)?,
            }
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let aggregates: usize = self.aggregates.iter().map(GroupAggregate::size).sum();
        let distinct: usize = self.distinct.iter().flatten().map(|distinct| distinct.table.size()).sum();
        self.table.size() + self.firsts_bytes + aggregates + distinct
    }

    /// The rows of the groups, and what was put aside.
    fn finish(mut self) -> Result<(RecordBatch, Vec<Run>)> {
        let groups = self.table.len();
        self.table = KeyTable::default();
        let functions = self.spec.aggregates.iter().zip(&mut self.aggregates).zip(&mut self.distinct);
        for ((aggregation, aggregate), distinct) in functions {
            if let Some(distinct) = distinct.take() {
                distinct.add_the_rest(aggregate, counts(aggregation), self.spec)?;
            }
        }
        let mut columns: Vec<ArrayRef> = match self.firsts.first() {
            Some(first) => concat_batches(&first.schema(), &self.firsts)?.columns().to_vec(),
            None => self.spec.keys.iter().map(|&key| empty(self.spec.input.field(key))).collect(),
        };
        for (Aggregation { name, .. }, aggregate) in self.spec.aggregates.iter().zip(&mut self.aggregates) {
            let (values, bad) = aggregate.finish()?;
            if !bad.is_empty() {
                return Err(Error::data(format!(
                    "the sum \"{name}\" does not fit a BIGINT in {} groups: write sum(CAST(x AS DOUBLE))",
                    bad.len()
                )));
            }
            columns.push(values);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(groups));
        let out = RecordBatch::try_new_with_options(self.spec.output.clone(), columns, &options)?;
        Ok((out, self.aside.map_or(Ok(Vec::new()), Parts::finish)?))
    }
}

/// Whether the different values are counted: which they are is then of no interest to the aggregate.
fn counts(aggregation: &Aggregation) -> bool {
    aggregation.aggregate == Aggregate::CountDistinct
}

fn empty(field: &Field) -> ArrayRef {
    arrow::array::new_empty_array(field.data_type())
}

/// The different values of each group.
struct DistinctValues {
    /// Groups with their values.
    table: KeyTable,
    schema: SchemaRef,
    aside: Option<Parts>,
}

/// The schema of groups and their values.
fn pairs(data_type: &DataType) -> SchemaRef {
    let fields = [Field::new("group", DataType::UInt32, false), Field::new("value", data_type.clone(), true)];
    Arc::new(Schema::new(fields.to_vec()))
}

impl DistinctValues {
    fn new(data_type: &DataType) -> DistinctValues {
        DistinctValues { table: KeyTable::default(), schema: pairs(data_type), aside: None }
    }

    /// Which rows have a value that their group has not had. Where there is no room for more they are put aside.
    fn new_values(
        &mut self,
        groups: &[u32],
        values: &ArrayRef,
        filter: Option<&BooleanArray>,
        full: bool,
        spill: &Spill,
    ) -> Result<BooleanArray> {
        let groups: ArrayRef = Arc::new(UInt32Array::from(groups.to_vec()));
        let pairs = RecordBatch::try_new(self.schema.clone(), vec![groups, values.clone()])?;
        let keys = RowKeys::of(&pairs, &[0, 1])?;
        let mut aside = Vec::new();
        let mut is_new = |row: usize| {
            let counts = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if !counts || values.is_null(row) {
                return false;
            }
            let (hash, key) = (keys.hashes[row], keys.bytes(row));
            if !full {
                return self.table.number(hash, key).1;
            }
            if self.table.find(hash, key).is_none() {
                aside.push(row as u32);
            }
            false
        };
        let new = (0..values.len()).map(|row| Some(is_new(row))).collect();
        if !aside.is_empty() {
            let parts = self.aside.get_or_insert_with(|| Parts::new(self.schema.clone(), spill.clone(), 0));
            parts.write(&pairs, &aside, &keys.hashes)?;
        }
        Ok(new)
    }

    /// Adds the values that were put aside, each once, or counts them.
    fn add_the_rest(self, aggregate: &mut GroupAggregate, counts: bool, spec: &Spec) -> Result<()> {
        let DistinctValues { table, schema, aside } = self;
        drop(table);
        let runs = aside.map_or(Ok(Vec::new()), Parts::finish)?;
        let mut waiting: Vec<(Run, u32)> = runs.into_iter().map(|run| (run, 1)).collect();
        while let Some((run, depth)) = waiting.pop() {
            let mut seen = KeyTable::default();
            let mut parts: Option<Parts> = None;
            for rows in run.read()? {
                let rows = rows?;
                let keys = RowKeys::of(&rows, &[0, 1])?;
                let full = seen.size() > spec.memory;
                let (mut new, mut aside) = (Vec::new(), Vec::new());
                for row in 0..rows.num_rows() {
                    let (hash, key) = (keys.hashes[row], keys.bytes(row));
                    let is_known = full && seen.find(hash, key).is_some();
                    new.push(!full && seen.number(hash, key).1);
                    if full && !is_known {
                        aside.push(row as u32);
                    }
                }
                let groups = rows.column(0).as_primitive::<UInt32Type>().values();
                aggregate.add(groups, (!counts).then(|| rows.column(1)), Some(&new.into()))?;
                if !aside.is_empty() {
                    let parts = parts.get_or_insert_with(|| Parts::new(schema.clone(), spec.spill.clone(), depth));
                    parts.write(&rows, &aside, &keys.hashes)?;
                }
            }
            let more = parts.map_or(Ok(Vec::new()), Parts::finish)?;
            waiting.extend(more.into_iter().map(|run| (run, depth + 1)));
        }
        Ok(())
    }
}
