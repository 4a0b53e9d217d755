//! The columns of a history that give its rows their time, and where they lie.

use crate::clock::{Placed, place};
use crate::frontier::parse_message_id;
use crate::placing::{
    ARRIVAL, CLOCK, Coordinate, MESSAGE_ID, PARTITION, Removed, RowPlace, Rows, cast_to, event_time, instants,
};
use crate::{StreamSpec, StreamStats};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Int32Type, SchemaRef};
use dataflow::{BadRowPolicy, Batch, ERROR_COLUMN, Error, EventTime, Position, ProcessingTime, RAW_COLUMN, Result};
use std::collections::BTreeMap;

/// How the rows of a history are read: which columns, and what their times and orders come from.
pub(crate) struct Layout {
    /// The names of the columns to read: the declared ones, then those that the time needs.
    pub columns: Vec<String>,
    /// The names of the columns from which a row's time can be told, event time first.
    pub time_columns: Vec<String>,
    /// What the rows have beside their event time.
    pub stamps: Stamps,
    /// Whether rows come with the reason why they cannot be used, and with their bytes.
    errors: bool,
    raw: bool,
    /// Where reading ends, if it ends before all rows: after these messages, with none of a partition that is not named.
    pub until: Option<Until>,
}

/// The last message that is read of each partition.
pub(crate) type Until = BTreeMap<u32, Position>;

/// What the rows of a history have beside their event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamps {
    /// Nothing: their time is their event time, and none is late.
    Nothing,
    /// An arrival of their own, and the clock that one pass over all files gave them.
    Arrivals,
    /// Coordinate, arrival and clock, as ARCHIVE recorded them.
    Coordinates,
}

impl Layout {
    /// Finds the declared and the hidden columns; an error names a declared one that is missing.
    pub fn of(spec: &StreamSpec, history: &str, schema: &SchemaRef) -> Result<Layout> {
        let mut columns = declared_names(spec, history, schema)?;
        let has = |name: &str| schema.field_with_name(name).is_ok();
        let hidden = [PARTITION, MESSAGE_ID, ARRIVAL, CLOCK, ERROR_COLUMN];
        let stamps = match spec.arrival {
            _ if hidden.iter().all(|name| has(name)) => Stamps::Coordinates,
            Some(_) if has(CLOCK) => Stamps::Arrivals,
            _ => Stamps::Nothing,
        };
        let mut time_columns = vec![columns[spec.time_column].clone()];
        let errors = has(ERROR_COLUMN);
        let raw = errors && has(RAW_COLUMN) && spec.bad_rows == BadRowPolicy::DeadLetter;
        if stamps != Stamps::Nothing {
            time_columns.push(CLOCK.to_owned());
        }
        match stamps {
            Stamps::Coordinates => {
                columns.extend(hidden.map(str::to_owned));
                if spec.bad_rows == BadRowPolicy::DeadLetter {
                    time_columns.push(ARRIVAL.to_owned());
                }
            }
            Stamps::Arrivals => columns.push(CLOCK.to_owned()),
            Stamps::Nothing => {}
        }
        if errors && stamps != Stamps::Coordinates {
            columns.push(ERROR_COLUMN.to_owned());
        }
        if raw {
            columns.push(RAW_COLUMN.to_owned());
        }
        Ok(Layout { columns, time_columns, stamps, errors, raw, until: None })
    }

    /// Places rows of a file, read by the columns of this layout. `at` names the row at an index. Rows before
    /// `aside_from` that are removed leave at no other port, and are not counted: that was done before a restart.
    pub fn place(
        &self,
        spec: &StreamSpec,
        stats: &StreamStats,
        columns: &RecordBatch,
        aside_from: usize,
        at: &dyn Fn(usize) -> String,
    ) -> Result<(Batch, Removed)> {
        let events = instants(columns.column(spec.time_column))?;
        let stamps = StampColumns::of(self.stamps, spec, columns)?;
        let by_name = |name: &str| columns.column_by_name(name).filter(|_| self.errors);
        let errors = by_name(ERROR_COLUMN).map(|column| cast_to(column, &DataType::Utf8)).transpose()?;
        let errors = errors.as_ref().map(|column| column.as_string::<i32>());
        let raw =
            by_name(RAW_COLUMN).filter(|_| self.raw).map(|column| cast_to(column, &DataType::Binary)).transpose()?;
        let raw = raw.as_ref().map(|column| column.as_binary::<i32>());
        let mut rows = Rows::new(spec, stats, columns.num_rows()).aside_from(aside_from);
        for row in 0..columns.num_rows() {
            let coordinate = stamps.coordinate(row, at)?;
            if let (Some(until), Some(Coordinate { partition, position, .. })) = (&self.until, &coordinate)
                && until.get(partition).is_none_or(|last| position > last)
            {
                continue;
            }
            let stamp = stamps.stamp(row);
            let arrival = stamp.map(|(arrival, _)| arrival);
            let row_place = RowPlace { row: row as u32, coordinate, arrival, at: &|| at(row) };
            if let Some(why) = errors.filter(|errors| errors.is_valid(row)).map(|errors| errors.value(row)) {
                let raw = raw.filter(|raw| raw.is_valid(row)).map(|raw| raw.value(row));
                rows.bad(why, raw, &row_place)?;
                continue;
            }
            let Some(event) = event_time(&events, row) else {
                rows.bad_without_time(columns, &row_place)?;
                continue;
            };
            let placed = match stamp {
                Some((arrival, clock)) => place(event, arrival, clock, spec.delay),
                None if self.stamps == Stamps::Nothing => Placed::OnTime(event),
                None => {
                    rows.bad("it has no arrival", None, &row_place)?;
                    continue;
                }
            };
            rows.put(placed, &row_place)?;
        }
        rows.finish(columns)
    }
}

/// The names that the declared columns have in a history.
pub(crate) fn declared_names(spec: &StreamSpec, history: &str, schema: &SchemaRef) -> Result<Vec<String>> {
    let name = |declared: &String| {
        find(schema, declared).ok_or_else(|| {
            let found: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::invalid(format!(
                "stream \"{}\": history \"{history}\" has no column \"{declared}\"; it has {}",
                spec.name,
                found.join(", ")
            ))
        })
    };
    spec.schema.fields().iter().map(|field| name(field.name())).collect()
}

/// The columns that give rows their time beside the event time.
enum StampColumns {
    Nothing,
    Arrivals { arrivals: TimestampMicrosecondArray, clocks: TimestampMicrosecondArray },
    Coordinates(Archived),
}

impl StampColumns {
    fn of(stamps: Stamps, spec: &StreamSpec, columns: &RecordBatch) -> Result<StampColumns> {
        Ok(match (stamps, spec.arrival) {
            (Stamps::Coordinates, _) => StampColumns::Coordinates(Archived::of(spec, columns)?),
            (Stamps::Arrivals, Some(arrival)) => StampColumns::Arrivals {
                arrivals: instants(columns.column(arrival))?,
                clocks: instants(columns.column(spec.schema.fields().len()))?,
            },
            _ => StampColumns::Nothing,
        })
    }

    fn coordinate(&self, row: usize, at: &dyn Fn(usize) -> String) -> Result<Option<Coordinate>> {
        match self {
            StampColumns::Coordinates(archived) => archived.coordinate(row, at).map(Some),
            _ => Ok(None),
        }
    }

    /// When a row arrived, and the clock as it was then.
    fn stamp(&self, row: usize) -> Option<(ProcessingTime, Option<EventTime>)> {
        let (arrival, clocks) = match self {
            StampColumns::Nothing => return None,
            StampColumns::Arrivals { arrivals, clocks } => (event_time(arrivals, row)?.0, clocks),
            StampColumns::Coordinates(Archived { arrivals, clocks, .. }) => (arrivals.value(row), clocks),
        };
        Some((ProcessingTime(arrival), clocks.is_valid(row).then(|| EventTime(clocks.value(row)))))
    }
}

/// The hidden columns that give the rows of an archive their time.
struct Archived {
    partitions: ArrayRef,
    message_ids: ArrayRef,
    arrivals: TimestampMicrosecondArray,
    clocks: TimestampMicrosecondArray,
}

impl Archived {
    fn of(spec: &StreamSpec, columns: &RecordBatch) -> Result<Archived> {
        let hidden = |index: usize| columns.column(spec.schema.fields().len() + index);
        Ok(Archived {
            partitions: cast_to(hidden(0), &DataType::Int32)?,
            message_ids: cast_to(hidden(1), &DataType::Utf8)?,
            arrivals: instants(hidden(2))?,
            clocks: instants(hidden(3))?,
        })
    }

    fn coordinate(&self, row: usize, at: &dyn Fn(usize) -> String) -> Result<Coordinate> {
        let message_id = self.message_ids.as_string::<i32>().value(row);
        let position = parse_message_id(message_id)
            .ok_or_else(|| Error::corrupt(format!("{}: {MESSAGE_ID} is \"{message_id}\"", at(row))))?;
        Ok(Coordinate {
            partition: self.partitions.as_primitive::<Int32Type>().value(row) as u32,
            position,
            arrival: ProcessingTime(self.arrivals.value(row)),
            clock: self.clocks.is_valid(row).then(|| EventTime(self.clocks.value(row))),
        })
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
