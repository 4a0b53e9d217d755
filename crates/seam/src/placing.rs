//! Turns rows as they were stored or sent into a batch with times and orders, and counts those that fall out.

use crate::clock::{Placed, place};
use crate::frontier::parse_message_id;
use crate::{BadRows, Late, StreamSpec, StreamStats};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBufferBuilder, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::compute::{CastOptions, cast_with_options, take_record_batch};
use arrow::datatypes::{DataType, Int32Type, SchemaRef, TimeUnit, TimestampMicrosecondType};
use dataflow::{Batch, Error, EventTime, ProcessingTime, Result, RowOrder, key_hashes};
use std::sync::atomic::Ordering::Relaxed;

/// The hidden columns of an archive, in their order behind the declared ones.
pub(crate) const PARTITION: &str = "_partition";
pub(crate) const MESSAGE_ID: &str = "_message_id";
pub(crate) const ARRIVAL: &str = "_arrival";
pub(crate) const CLOCK: &str = "_clock";
pub(crate) const RAW: &str = "_raw";
pub(crate) const ERROR: &str = "_error";

/// A row's event time, unless it is none: NULL, or an end of the range, where no watermark could pass it.
pub(crate) fn event_time(column: &TimestampMicrosecondArray, row: usize) -> Option<EventTime> {
    let usable = |&time: &i64| time != i64::MIN && time != i64::MAX;
    column.is_valid(row).then(|| column.value(row)).filter(usable).map(EventTime)
}

/// A timestamp column in microseconds, whatever its unit and zone.
pub(crate) fn instants(column: &ArrayRef) -> Result<TimestampMicrosecondArray> {
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(column.as_primitive::<TimestampMicrosecondType>().clone()),
        _ => {
            let cast = cast_to(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            Ok(cast.as_primitive::<TimestampMicrosecondType>().clone())
        }
    }
}

fn cast_to(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if column.data_type() == to {
        return Ok(column.clone());
    }
    cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() })
        .map_err(|error| Error::invalid(format!("{} cannot become {to}", column.data_type())).with_source(error))
}

/// Gathers the fate of the rows of one record batch, then makes a batch of those that stay.
pub(crate) struct Rows<'a> {
    spec: &'a StreamSpec,
    stats: &'a StreamStats,
    kept: Vec<u32>,
    times: Vec<i64>,
    late: BooleanBufferBuilder,
    any_late: bool,
}

impl<'a> Rows<'a> {
    pub fn new(spec: &'a StreamSpec, stats: &'a StreamStats, rows: usize) -> Self {
        Rows {
            spec,
            stats,
            kept: Vec::with_capacity(rows),
            times: Vec::with_capacity(rows),
            late: BooleanBufferBuilder::new(rows),
            any_late: false,
        }
    }

    /// Takes a row as its clock placed it; `given` is a watermark that it may not lie behind.
    /// Whether it stays.
    pub fn put(&mut self, row: usize, placed: Placed, given: EventTime, at: &dyn Fn() -> String) -> Result<bool> {
        let (mut time, mut late) = match placed {
            Placed::OnTime(time) => (time, false),
            Placed::Late(_) if self.spec.late == Late::Drop => {
                self.stats.late_dropped.fetch_add(1, Relaxed);
                return Ok(false);
            }
            Placed::Late(time) => {
                self.stats.late_moved.fetch_add(1, Relaxed);
                (time, true)
            }
            Placed::Joined { late: true, .. } if self.spec.late == Late::Drop => {
                self.stats.late_dropped.fetch_add(1, Relaxed);
                return Ok(false);
            }
            Placed::Joined { time, .. } => {
                self.stats.joined.fetch_add(1, Relaxed);
                (time, true)
            }
            Placed::Quarantined => {
                self.stats.quarantined.fetch_add(1, Relaxed);
                self.refuse("its event time lies more than a day ahead of its arrival", at)?;
                return Ok(false);
            }
        };
        if time <= given {
            (time, late) = (EventTime(given.0.saturating_add(1)), true);
            self.stats.joined.fetch_add(1, Relaxed);
        }
        self.kept.push(row as u32);
        self.times.push(time.0);
        self.late.append(late);
        self.any_late |= late;
        Ok(true)
    }

    /// Counts a row that is bad, or fails the job, as the stream declares.
    pub fn bad(&mut self, why: &str, at: &dyn Fn() -> String) -> Result<()> {
        self.stats.bad.fetch_add(1, Relaxed);
        self.refuse(why, at)
    }

    fn refuse(&self, why: &str, at: &dyn Fn() -> String) -> Result<()> {
        match self.spec.bad_rows {
            BadRows::Skip => Ok(()),
            BadRows::Fail => Err(Error::data(format!(
                "stream \"{}\": {}: {why}; ON BAD ROW SKIP would count it and go on",
                self.spec.name,
                at()
            ))),
        }
    }

    /// The rows that stay, with orders from coordinates, or from the rows themselves where there are none.
    pub fn finish(mut self, columns: &RecordBatch, orders: Option<Vec<RowOrder>>) -> Result<Batch> {
        let declared = self.declared(columns)?;
        let orders = match orders {
            Some(orders) => orders,
            None => content_orders(&declared, &self.spec.dedup_key)?,
        };
        let batch = Batch::new(declared, self.times, orders)?;
        if self.any_late { batch.with_late(self.late.finish()) } else { Ok(batch) }
    }

    /// The rows that stay as the declared columns, in the declared types.
    fn declared(&self, columns: &RecordBatch) -> Result<RecordBatch> {
        let schema = &self.spec.schema;
        let columns = columns.project(&(0..schema.fields().len()).collect::<Vec<_>>())?;
        let columns = if self.kept.len() == columns.num_rows() {
            columns
        } else {
            take_record_batch(&columns, &UInt32Array::from(self.kept.clone()))?
        };
        let cast = schema.fields().iter().zip(columns.columns()).map(|(field, column)| {
            cast_to(column, field.data_type())
                .map_err(|error| error.context(format!("stream \"{}\": column \"{}\"", self.spec.name, field.name())))
        });
        let cast = cast.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(columns.num_rows()));
        RecordBatch::try_new_with_options(schema.clone(), cast, &options).map_err(|error| {
            Error::invalid(format!("stream \"{}\": its rows are not as declared", self.spec.name)).with_source(error)
        })
    }
}

fn content_orders(columns: &RecordBatch, dedup_key: &[usize]) -> Result<Vec<RowOrder>> {
    let rows = columns.num_rows();
    let whole = key_hashes(columns.columns(), rows)?;
    if dedup_key.is_empty() {
        let none = key_hashes(&[], 1)?[0];
        return Ok(whole.into_iter().map(|row| RowOrder::of_hashes(none, row)).collect());
    }
    let key = key_hashes(columns.project(dedup_key)?.columns(), rows)?;
    Ok(key.into_iter().zip(whole).map(|(key, row)| RowOrder::of_hashes(key, row)).collect())
}

/// How the rows of a history are read: which columns, and what their times and orders come from.
pub(crate) struct Layout {
    /// The names of the columns to read: the declared ones, then those that the time needs.
    pub columns: Vec<String>,
    /// The names of the columns from which a row's time can be told, event time first.
    pub time_columns: Vec<String>,
    /// Whether the rows have coordinates, arrivals and clocks.
    pub archive: bool,
}

impl Layout {
    /// Finds the declared and the hidden columns; an error names a declared one that is missing.
    pub fn of(spec: &StreamSpec, history: &str, schema: &SchemaRef) -> Result<Layout> {
        let mut columns = Vec::new();
        for field in spec.schema.fields() {
            let Some(name) = find(schema, field.name()) else {
                let found: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                return Err(Error::invalid(format!(
                    "stream \"{}\": history \"{history}\" has no column \"{}\"; it has {}",
                    spec.name,
                    field.name(),
                    found.join(", ")
                )));
            };
            columns.push(name);
        }
        let hidden = [PARTITION, MESSAGE_ID, ARRIVAL, CLOCK, ERROR];
        let archive = hidden.iter().all(|name| schema.field_with_name(name).is_ok());
        let mut time_columns = vec![columns[spec.time_column].clone()];
        if archive {
            columns.extend(hidden.map(str::to_owned));
            time_columns.push(CLOCK.to_owned());
        }
        Ok(Layout { columns, time_columns, archive })
    }

    /// Places the rows of a file, read by the columns of this layout. `at` names the row at an index.
    pub fn place(
        &self,
        spec: &StreamSpec,
        stats: &StreamStats,
        columns: &RecordBatch,
        at: &dyn Fn(usize) -> String,
    ) -> Result<Batch> {
        if self.archive { self.place_archived(spec, stats, columns, at) } else { place_plain(spec, stats, columns, at) }
    }

    fn place_archived(
        &self,
        spec: &StreamSpec,
        stats: &StreamStats,
        columns: &RecordBatch,
        at: &dyn Fn(usize) -> String,
    ) -> Result<Batch> {
        let hidden = |index: usize| columns.column(spec.schema.fields().len() + index);
        let events = instants(columns.column(spec.time_column))?;
        let partitions = cast_to(hidden(0), &DataType::Int32)?;
        let partitions = partitions.as_primitive::<Int32Type>();
        let message_ids = cast_to(hidden(1), &DataType::Utf8)?;
        let message_ids = message_ids.as_string::<i32>();
        let (arrivals, clocks, errors) = (instants(hidden(2))?, instants(hidden(3))?, hidden(4));
        let mut rows = Rows::new(spec, stats, columns.num_rows());
        let mut orders = Vec::with_capacity(columns.num_rows());
        for row in 0..columns.num_rows() {
            let place_of_row = || at(row);
            if errors.is_valid(row) {
                rows.bad("it could not be decoded when it was archived", &place_of_row)?;
                continue;
            }
            let Some(event) = event_time(&events, row) else {
                rows.bad("it has no event time", &place_of_row)?;
                continue;
            };
            let clock = clocks.is_valid(row).then(|| EventTime(clocks.value(row)));
            let placed = place(event, ProcessingTime(arrivals.value(row)), clock, spec.delay);
            if rows.put(row, placed, EventTime::MIN, &place_of_row)? {
                let position = parse_message_id(message_ids.value(row)).ok_or_else(|| {
                    Error::corrupt(format!("{}: {MESSAGE_ID} is \"{}\"", at(row), message_ids.value(row)))
                })?;
                orders.push(RowOrder::of_position(partitions.value(row) as u32, position)?);
            }
        }
        rows.finish(columns, Some(orders))
    }
}

/// The name that a column has in a schema: the same, or else the only one that differs in case alone.
fn find(schema: &SchemaRef, name: &str) -> Option<String> {
    if schema.field_with_name(name).is_ok() {
        return Some(name.to_owned());
    }
    let mut alike = schema.fields().iter().filter(|field| field.name().eq_ignore_ascii_case(name));
    let found = alike.next()?.name().clone();
    alike.next().is_none().then_some(found)
}

/// Rows that others wrote have no partition and no arrival: their time is their event time, and nothing is late.
fn place_plain(
    spec: &StreamSpec,
    stats: &StreamStats,
    columns: &RecordBatch,
    at: &dyn Fn(usize) -> String,
) -> Result<Batch> {
    let events = instants(columns.column(spec.time_column))?;
    let mut rows = Rows::new(spec, stats, columns.num_rows());
    for row in 0..columns.num_rows() {
        match event_time(&events, row) {
            Some(event) => {
                rows.put(row, Placed::OnTime(event), EventTime::MIN, &|| at(row))?;
            }
            None => rows.bad("it has no event time", &|| at(row))?,
        }
    }
    rows.finish(columns, None)
}
