//! The archive: every message of a topic once, by coordinate, with what gives it its time.

use crate::clock::PartitionClock;
use crate::frontier::message_id;
use crate::placing::{ARRIVAL, CLOCK, MESSAGE_ID, PARTITION, event_time, instants};
use crate::{Frontier, PartitionFrontier, StreamSpec};
use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::{
    Decode, ERROR_COLUMN, Error, Message, PartitionLog, Position, Quiet, RAW_COLUMN, Result, Topic, decode_messages,
    read_what_is_there,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::task::Waker;

/// The property of a table that says which clock its rows carry.
pub const CLOCK_PROPERTY: &str = "riverrun.clock";
const CLOCK_VERSION: u64 = 1;
/// How many messages are read of one partition before another may lag further.
const TURN_MESSAGES: usize = 4_096;
/// About how many bytes of messages one read takes.
const READ_BYTES: usize = 4 << 20;
/// How many bytes of messages are enough for a batch of rows: reads end there, however few rows they gave.
const BATCH_BYTES: usize = 8 << 20;

/// The value of [`CLOCK_PROPERTY`] for a stream: its time column and its quiet rule.
pub fn clock_property(spec: &StreamSpec) -> String {
    let quiet = match spec.quiet {
        Quiet::After(span) => json!(span.0),
        Quiet::Never => Value::Null,
    };
    json!({ "version": CLOCK_VERSION, "time_column": spec.time_name(), "quiet_us": quiet }).to_string()
}

/// Refuses a stream whose clock is not the one that the table's rows carry.
pub fn check_clock_property(spec: &StreamSpec, table: &str, property: &str) -> Result<()> {
    let value: Value = serde_json::from_str(property).map_err(|error| {
        Error::corrupt(format!("table \"{table}\": its property {CLOCK_PROPERTY} cannot be read")).with_source(error)
    })?;
    let expected: Value =
        serde_json::from_str(&clock_property(spec)).map_err(|_| Error::internal("a clock has no text"))?;
    for key in ["version", "time_column", "quiet_us"] {
        if value[key] != expected[key] {
            return Err(Error::invalid(format!(
                "stream \"{}\": table \"{table}\" was archived with {}, but the stream declares {}; \
                 declare the same, or archive into a new table",
                spec.name,
                clock_part(key, &value[key]),
                clock_part(key, &expected[key])
            )));
        }
    }
    Ok(())
}

/// A part of a clock as the stream's text has it.
fn clock_part(key: &str, value: &Value) -> String {
    match (key, value) {
        ("time_column", column) => format!("the watermark for {column}"),
        ("quiet_us", Value::Null) => "QUIET NEVER".to_owned(),
        ("quiet_us", micros) => match micros.as_i64() {
            Some(micros) if micros % 1_000_000 == 0 => format!("QUIET AFTER INTERVAL '{}' SECOND", micros / 1_000_000),
            _ => format!("QUIET AFTER {micros} microseconds"),
        },
        _ => format!("{key} {value}"),
    }
}

/// The columns of an archive: the declared ones, all of which may be NULL, then the hidden ones.
pub fn archive_schema(declared: &SchemaRef) -> SchemaRef {
    let instant = || DataType::Timestamp(TimeUnit::Microsecond, None);
    let mut fields: Vec<Field> =
        declared.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    fields.extend([
        Field::new(PARTITION, DataType::Int32, false),
        Field::new(MESSAGE_ID, DataType::Utf8, false),
        Field::new(ARRIVAL, instant(), false),
        Field::new(CLOCK, instant(), true),
        Field::new(RAW_COLUMN, DataType::Binary, true),
        Field::new(ERROR_COLUMN, DataType::Utf8, true),
    ]);
    Arc::new(Schema::new(fields))
}

/// Reads a topic into rows of its archive: every message once, in the sequence of each partition, the partitions
/// about in step.
///
/// Late rows, duplicates and quarantined rows are among them; a message that cannot be decoded comes as its bytes
/// and the reason. What it gave out and the frontier that it gave with it are to be committed together; an archiver
/// that starts at that frontier goes on exactly after it.
pub struct Archiver {
    spec: StreamSpec,
    decode: Arc<dyn Decode>,
    schema: SchemaRef,
    frontier: Frontier,
    partitions: Vec<Partition>,
}

struct Partition {
    log: Box<dyn PartitionLog>,
    clock: PartitionClock,
    stop: Stop,
}

/// Where the reading of a partition ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Nowhere,
    At(Option<Position>),
    Reached,
}

impl Archiver {
    /// An archiver that starts after a frontier, or at the beginning, and stops at the positions `to`, inclusive,
    /// one per partition, where they are given.
    pub fn new(
        spec: StreamSpec,
        topic: &dyn Topic,
        decode: Arc<dyn Decode>,
        frontier: Option<Frontier>,
        to: Option<Vec<Option<Position>>>,
    ) -> Result<Archiver> {
        spec.check()?;
        crate::source::check_decode(&spec, decode.as_ref())?;
        let frontier = match frontier {
            Some(frontier) => frontier.fitted(&spec.name, topic)?,
            None => Frontier::start_of(topic),
        };
        if let Some(to) = to.as_ref().filter(|to| to.len() != frontier.partitions.len()) {
            return Err(Error::invalid(format!(
                "topic \"{}\" has {} partitions, but {} end positions were given",
                topic.name(),
                frontier.partitions.len(),
                to.len()
            )));
        }
        let mut partitions = Vec::new();
        for (index, at) in frontier.partitions.iter().enumerate() {
            let clock = match at {
                Some(at) => PartitionClock::resume(&spec, at.clock, Some(at.arrival)),
                None => PartitionClock::new(&spec),
            };
            let stop = match to.as_ref().map(|to| to[index]) {
                None => Stop::Nowhere,
                Some(end) if end <= at.map(|at| at.position) => Stop::Reached,
                Some(end) => Stop::At(end),
            };
            let mut log = topic.hold(index as u32, at.map(|at| at.position))?;
            at.iter().for_each(|at| log.arrived_by(at.arrival));
            partitions.push(Partition { log, clock, stop });
        }
        Ok(Archiver { schema: archive_schema(&spec.schema), spec, decode, frontier, partitions })
    }

    /// The next rows, at most so many and no more reads once they hold 8 MiB, and the frontier after them. `None` when
    /// there is nothing more to read now; a later call may find more, unless the archiver has finished.
    pub fn next(&mut self, rows_max: usize) -> Result<Option<(RecordBatch, Frontier)>> {
        let (mut batches, mut room, mut bytes) = (Vec::new(), rows_max, 0);
        let mut left: Vec<usize> = (0..self.partitions.len()).collect();
        while room > 0 && bytes < BATCH_BYTES {
            // The partition that lags most comes first, so that the files of the archive lie in time order.
            let furthest = left.iter().copied().min_by_key(|&index| self.partitions[index].clock.clock());
            let Some(index) = furthest else { break };
            let messages = self.partitions[index].read(room.min(TURN_MESSAGES))?;
            if messages.is_empty() {
                left.retain(|&other| other != index);
                continue;
            }
            room -= messages.len();
            bytes += messages.iter().map(|message| message.payload.len()).sum::<usize>();
            batches.push(self.rows_of(index, &messages)?);
        }
        if batches.is_empty() {
            return Ok(None);
        }
        Ok(Some((concat_batches(&self.schema, &batches)?, self.frontier.clone())))
    }

    /// Remembers whom to wake when a partition may have new messages.
    pub fn wake(&mut self, waker: &Waker) -> Result<()> {
        self.partitions.iter_mut().try_for_each(|partition| partition.log.wake(waker))
    }

    /// Whether the end positions that were given are reached.
    pub fn finished(&self) -> bool {
        self.partitions.iter().all(|partition| partition.stop == Stop::Reached)
    }

    /// What was read up to a frontier is committed: topics need not keep it for the archive.
    pub fn durable(&mut self, frontier: &Frontier) {
        for (partition, at) in self.partitions.iter_mut().zip(&frontier.partitions) {
            at.iter().for_each(|at| partition.log.durable(at.position));
        }
    }

    /// How far the archiver has read.
    pub fn frontier(&self) -> Frontier {
        self.frontier.clone()
    }

    /// The rows of messages of one partition; moves its clock and the frontier on.
    fn rows_of(&mut self, index: usize, messages: &[Message]) -> Result<RecordBatch> {
        let decoded = decode_messages(self.decode.as_ref(), messages)?;
        let events = instants(decoded.rows.column(self.spec.time_column))?;
        let clock = &mut self.partitions[index].clock;
        let (mut rows, mut clocks, mut raw, mut errors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut bad, mut row) = (decoded.bad.iter().peekable(), 0);
        for (message_index, message) in messages.iter().enumerate() {
            clocks.push(clock.at(message.arrival).map(|clock| clock.0));
            if let Some((_, error)) = bad.next_if(|(bad, _)| *bad == message_index) {
                clock.arrive(message.arrival);
                rows.push(None);
                raw.push(Some(message.payload.as_slice()));
                errors.push(Some(error.chain()));
                continue;
            }
            match event_time(&events, row) {
                Some(event) => drop(clock.row(event, message.arrival)),
                None => drop(clock.arrive(message.arrival)),
            }
            rows.push(Some(row as u32));
            raw.push(None);
            errors.push(None);
            row += 1;
        }
        if let (Some(last), Some(arrival)) = (messages.last(), clock.arrival()) {
            let (position, clock) = (last.position, clock.clock());
            self.frontier.partitions[index] = Some(PartitionFrontier { position, clock, arrival });
        }
        let rows = UInt32Array::from(rows);
        let mut columns = decoded
            .rows
            .columns()
            .iter()
            .map(|column| take(column, &rows, None))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let hidden: [ArrayRef; 6] = [
            Arc::new(Int32Array::from(vec![index as i32; messages.len()])),
            Arc::new(StringArray::from_iter_values(messages.iter().map(|message| message_id(message.position)))),
            Arc::new(TimestampMicrosecondArray::from_iter_values(messages.iter().map(|message| message.arrival.0))),
            Arc::new(TimestampMicrosecondArray::from(clocks)),
            Arc::new(BinaryArray::from_opt_vec(raw)),
            Arc::new(StringArray::from(errors)),
        ];
        columns.extend(hidden);
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

impl Partition {
    /// The next messages up to where the reading stops.
    fn read(&mut self, messages_max: usize) -> Result<Vec<Message>> {
        let end = match self.stop {
            Stop::Reached => return Ok(Vec::new()),
            Stop::At(end) => end,
            Stop::Nowhere => return read_what_is_there(self.log.as_mut(), messages_max, READ_BYTES),
        };
        let mut messages = read_what_is_there(self.log.as_mut(), messages_max, READ_BYTES)?;
        let wanted = messages.partition_point(|message| Some(message.position) <= end);
        if wanted < messages.len() || messages.last().is_some_and(|last| Some(last.position) == end) {
            self.stop = Stop::Reached;
        }
        messages.truncate(wanted);
        Ok(messages)
    }
}
