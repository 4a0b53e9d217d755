//! One pass over the rows of a history in the order of their arrivals, which gives each the clock that it met.

use super::sorter::Sorter;
use super::stored_clocks::{ClocksWriter, GroupClocks, NO_CLOCK, StoredClocks};
use crate::StreamSpec;
use crate::clock::PartitionClock;
use crate::layout::declared_names;
use crate::placing::{cast_to, content_orders, event_time, instants};
use arrow::array::{Array, RecordBatch};
use dataflow::{Bounds, ERROR_COLUMN, Error, EventTime, ProcessingTime, Result, RowOrder, TimedFiles};
use std::path::Path;

/// How many rows are read at once.
const BATCH_ROWS: usize = 8_192;

/// In the place of an event time: the row is bad, and moves the clock as an arrival alone.
const NO_EVENT: i64 = i64::MIN;

/// Gives every row of a history the clock at its arrival, and keeps the clocks in a file.
///
/// All files are one partition, whose rows arrived in the order of (arrival, `_ord`): however they are cut into files,
/// they have the same clocks. A row that is bad counts as an arrival; one without an arrival moves nothing and has no
/// clock. Memory is bounded; rows that wait for others beyond that are spilled.
pub(crate) struct ClockPass<'a> {
    spec: &'a StreamSpec,
    files: &'a dyn TimedFiles,
    // The declared columns, then why a row cannot be used.
    columns: Vec<String>,
    arrival: usize,
    clock: PartitionClock,
    // Arrival, the two halves of `_ord`, row number and event time.
    arrived: Sorter<5>,
    // Row number and clock.
    placed: Sorter<2>,
    writer: ClocksWriter,
    // Those that were read, and how many of them have all of their clocks written.
    groups: Vec<GroupClocks>,
    written: usize,
    rows: u64,
    // Every row that arrived before this has its clock.
    settled: i64,
    // Is told how many rows were read.
    tell: &'a dyn Fn(u64),
}

impl<'a> ClockPass<'a> {
    /// A pass with a file to write, a folder to spill to, so much memory, and whoever is told how far it is.
    pub fn new(
        spec: &'a StreamSpec,
        files: &'a dyn TimedFiles,
        path: &Path,
        (spill_dir, memory_bytes, tell): (&Path, usize, &'a dyn Fn(u64)),
    ) -> Result<ClockPass<'a>> {
        let Some(arrival) = spec.arrival else {
            return Err(Error::internal(format!("stream \"{}\" declares no arrival", spec.name)));
        };
        let schema = files.schema();
        let mut columns = declared_names(spec, files.name(), &schema)?;
        columns.extend(schema.field_with_name(ERROR_COLUMN).is_ok().then(|| ERROR_COLUMN.to_owned()));
        Ok(ClockPass {
            spec,
            files,
            columns,
            arrival,
            clock: PartitionClock::new(spec),
            arrived: Sorter::new(spill_dir, memory_bytes / 2),
            placed: Sorter::new(spill_dir, memory_bytes / 4),
            writer: ClocksWriter::create(path)?,
            groups: Vec::new(),
            written: 0,
            rows: 0,
            settled: i64::MIN,
            tell,
        })
    }

    /// Reads all rows, and gives their clocks, kept under a key.
    pub fn run(mut self, key: &str) -> Result<StoredClocks> {
        let mut groups: Vec<(i64, usize, usize)> = Vec::new();
        for (index, file) in self.files.files().iter().enumerate() {
            let name = &self.columns[self.arrival];
            let least = |all: &[(String, Bounds)]| all.iter().find(|(of, _)| of == name).map(|(_, bounds)| bounds.min);
            let of_group = |group: usize| least(&file.groups[group].bounds).or_else(|| least(&file.bounds));
            groups.extend(file.all_groups().map(|group| (of_group(group).unwrap_or(i64::MIN), index, group)));
        }
        groups.sort_unstable();
        // Where files follow each other in time, rows leave after each of them, and few wait.
        let bounds = groups.iter().skip(1).map(|&(least, ..)| least).chain([i64::MAX]).collect::<Vec<_>>();
        for ((_, file, group), next) in groups.into_iter().zip(bounds) {
            self.read(file, group)?;
            self.settle(next)?;
        }
        if self.writer.rows() != self.rows {
            let (name, written) = (self.files.name(), self.writer.rows());
            return Err(Error::internal(format!("history \"{name}\": {written} clocks for {} rows", self.rows)));
        }
        self.writer.finish(key, self.groups)
    }

    fn read(&mut self, file: usize, group: usize) -> Result<()> {
        let first = self.rows;
        for columns in self.files.open(file, group..group + 1, &self.columns, BATCH_ROWS)? {
            self.take(&columns?, file)?;
            (self.tell)(self.rows);
        }
        self.groups.push(GroupClocks { file, group, first, rows: self.rows - first, bounds: None });
        Ok(())
    }

    fn take(&mut self, columns: &RecordBatch, file: usize) -> Result<()> {
        let events = instants(columns.column(self.spec.time_column))?;
        let arrivals = instants(columns.column(self.arrival))?;
        let declared = self.spec.schema.fields().iter().zip(columns.columns());
        let declared =
            declared.map(|(field, column)| cast_to(column, field.data_type())).collect::<Result<Vec<_>>>()?;
        let orders = content_orders(&declared, columns.num_rows(), &self.spec.dedup_key)?;
        let errors = columns.column_by_name(ERROR_COLUMN);
        for (row, order) in orders.into_iter().enumerate() {
            let number = self.rows as i64;
            self.rows += 1;
            let Some(EventTime(arrival)) = event_time(&arrivals, row) else {
                self.placed.push([number, NO_CLOCK])?;
                continue;
            };
            if arrival < self.settled {
                return Err(Error::corrupt(format!(
                    "file {}: a row that arrived at {} lies before the bound that its table tells",
                    self.files.files()[file].path,
                    EventTime(arrival)
                )));
            }
            let is_bad = errors.is_some_and(|errors| errors.is_valid(row));
            let event = event_time(&events, row).filter(|_| !is_bad).map_or(NO_EVENT, |event| event.0);
            let [high, low] = halves(order);
            self.arrived.push([arrival, high, low, number, event])?;
        }
        Ok(())
    }

    /// Moves the clock over all rows that arrived before a time, and writes the clocks of rows whose turn it is.
    fn settle(&mut self, before: i64) -> Result<()> {
        self.settled = self.settled.max(before);
        while let Some([arrival, _, _, number, event]) = self.arrived.next_if(|entry| entry[0] < before)? {
            let arrival = ProcessingTime(arrival);
            let met = self.clock.at(arrival).map_or(NO_CLOCK, |clock| clock.0);
            if event == NO_EVENT {
                self.clock.arrive(arrival);
            } else {
                self.clock.row(EventTime(event), arrival);
            }
            self.placed.push([number, met])?;
        }
        loop {
            let turn = self.writer.rows();
            let Some([_, clock]) = self.placed.next_if(|entry| entry[0] as u64 == turn)? else { return Ok(()) };
            self.note(turn, clock);
            self.writer.push(clock)?;
        }
    }

    /// Widens the bounds of the row group of a row by its clock.
    fn note(&mut self, row: u64, clock: i64) {
        while self.groups.get(self.written).is_some_and(|group| row >= group.first + group.rows) {
            self.written += 1;
        }
        let Some(group) = self.groups.get_mut(self.written) else { return };
        // Rows come in sequence: those before this one had no clock, if there are no bounds yet.
        let known = group.bounds.map_or((row - group.first, None), |bounds| (bounds.nulls, Some(bounds)));
        group.bounds = match (clock, known) {
            (NO_CLOCK, (nulls, Some(bounds))) => Some(Bounds { nulls: nulls + 1, ..bounds }),
            (NO_CLOCK, (_, None)) => None,
            (clock, (nulls, bounds)) => {
                let (min, max) = bounds.map_or((clock, clock), |bounds| (bounds.min.min(clock), bounds.max.max(clock)));
                Some(Bounds { min, max, nulls })
            }
        };
    }
}

/// A place in the order of the rows as two numbers that compare as it does.
fn halves(order: RowOrder) -> [i64; 2] {
    [order.0 >> 64, order.0].map(|half| (half as u64 ^ (1 << 63)) as i64)
}
