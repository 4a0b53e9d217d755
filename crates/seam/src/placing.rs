//! Turns rows as they were stored or sent into a batch with times and orders, and counts those that fall out.

use crate::clock::Placed;
use crate::frontier::message_id;
use crate::{StreamSpec, StreamStats};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBufferBuilder, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::compute::{CastOptions, cast_with_options, take_record_batch};
use arrow::datatypes::{DataType, Schema, TimeUnit, TimestampMicrosecondType};
use dataflow::{
    BadRowPolicy, Batch, DeadLetter, Error, EventTime, Fate, Fates, Late, Port, Position, ProcessingTime, Result,
    RowOrder, Span, dead_letters, key_hashes, late_schema,
};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// So many letters of what is told of a bad row.
const TOLD_MAX: usize = 300;

/// The hidden columns of an archive, in their order after the declared ones.
pub(crate) const PARTITION: &str = "_partition";
pub(crate) const MESSAGE_ID: &str = "_message_id";
pub(crate) const ARRIVAL: &str = "_arrival";
pub(crate) const CLOCK: &str = "_clock";

/// Why a row without an event time is bad.
pub(crate) const NO_EVENT_TIME: &str = "it has no event time";

/// What is told of a row without an event time: its time, and the first value that it has.
fn without_time(spec: &StreamSpec, columns: &RecordBatch, row: usize) -> String {
    let text = |column: usize| {
        let value = values::texts(&columns.column(column).slice(row, 1)).ok()?;
        let text = value.as_string_opt::<i32>()?;
        text.is_valid(0).then(|| values::shown(text.value(0)))
    };
    let name = |column: usize| spec.schema.field(column).name();
    let time = match text(spec.time_column) {
        Some(end) => format!("{end}, which no watermark could pass"),
        None => "NULL".to_owned(),
    };
    let mut others = (0..spec.schema.fields().len()).filter(|column| *column != spec.time_column);
    let first = others.find_map(|column| Some(format!("; its {} is {}", name(column), text(column)?)));
    let first = first.unwrap_or_else(|| "; it has no other value".to_owned());
    format!("{NO_EVENT_TIME}: {} is {time}{first}", name(spec.time_column))
}

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

pub(crate) fn cast_to(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if column.data_type() == to {
        return Ok(column.clone());
    }
    cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() }).map_err(|error| {
        Error::invalid(format!("{} cannot become {}", values::name(column.data_type()), values::name(to)))
            .with_source(error)
    })
}

/// Where a message lies, and what gives its row its time.
#[derive(Clone, Copy)]
pub(crate) struct Coordinate {
    pub partition: u32,
    pub position: Position,
    pub arrival: ProcessingTime,
    /// The clock of the partition at the arrival, before the row itself.
    pub clock: Option<EventTime>,
}

/// A row and its place: a coordinate, or a file and a row.
pub(crate) struct RowPlace<'a> {
    pub row: u32,
    pub coordinate: Option<Coordinate>,
    pub arrival: Option<ProcessingTime>,
    pub at: &'a dyn Fn() -> String,
}

/// Rows that leave at other ports than the main one.
pub(crate) type Aside = Vec<(Port, Batch)>;

/// Rows that do not go on.
#[derive(Default)]
pub(crate) struct Removed {
    /// Those that leave at other ports.
    pub ports: Aside,
    /// How many there are, for what reason.
    pub fates: Fates,
}

impl Removed {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fates == Fates::default()
    }
}

/// Late rows that the stream removes.
#[derive(Default)]
struct LateRows {
    rows: Vec<u32>,
    times: Vec<i64>,
    orders: Vec<RowOrder>,
    arrivals: Vec<Option<i64>>,
}

/// Gathers the fate of the rows of one record batch, then makes a batch of those that stay.
pub(crate) struct Rows<'a> {
    spec: &'a StreamSpec,
    stats: &'a StreamStats,
    // What became of the rows that go no further.
    removed_as: Fates,
    kept: Vec<u32>,
    times: Vec<i64>,
    orders: Vec<RowOrder>,
    late: BooleanBufferBuilder,
    any_late: bool,
    removed: LateRows,
    letters: Vec<DeadLetter>,
    // The letters that show their row: which letter, and which row.
    shown: Vec<(usize, u32)>,
    // Rows before this one leave at no other port, and are not counted as removed: that was done before a restart.
    aside_from: usize,
}

impl<'a> Rows<'a> {
    pub fn new(spec: &'a StreamSpec, stats: &'a StreamStats, rows: usize) -> Self {
        Rows {
            spec,
            stats,
            removed_as: Fates::default(),
            kept: Vec::with_capacity(rows),
            times: Vec::with_capacity(rows),
            orders: Vec::with_capacity(rows),
            late: BooleanBufferBuilder::new(rows),
            any_late: false,
            removed: LateRows::default(),
            letters: Vec::new(),
            shown: Vec::new(),
            aside_from: 0,
        }
    }

    /// The same, where rows before one leave at no other port and are not counted as removed.
    pub fn aside_from(self, row: usize) -> Self {
        Rows { aside_from: row, ..self }
    }

    /// Takes a row as its clock placed it.
    pub fn put(&mut self, placed: Placed, place: &RowPlace) -> Result<()> {
        let (time, late) = match placed {
            Placed::OnTime(time) => (time, false),
            Placed::Late(time) if self.spec.late == Late::Move => {
                self.stats.late_moved.fetch_add(1, Relaxed);
                (time, true)
            }
            Placed::Joined { late: false, time } => {
                self.stats.joined.fetch_add(1, Relaxed);
                (time, true)
            }
            Placed::Joined { time, .. } if self.spec.late == Late::Move => {
                self.stats.joined.fetch_add(1, Relaxed);
                (time, true)
            }
            Placed::Late(time) | Placed::Joined { time, .. } => {
                if self.is_again(place) {
                    return Ok(());
                }
                self.removed_as.add(Fate::LateDropped, 1);
                return if self.spec.late == Late::Aside { self.put_aside(time, place) } else { Ok(()) };
            }
            Placed::Quarantined => {
                let why = "its event time lies more than a day ahead of its arrival";
                return self.refuse((why, None), None, place, Fate::Quarantined);
            }
        };
        self.kept.push(place.row);
        self.times.push(time.0);
        if let Some(order) = place.order()? {
            self.orders.push(order);
        }
        self.late.append(late);
        self.any_late |= late;
        Ok(())
    }

    /// Whether what becomes of a removed row was seen to before a restart.
    fn is_again(&self, place: &RowPlace) -> bool {
        (place.row as usize) < self.aside_from
    }

    fn put_aside(&mut self, time: EventTime, place: &RowPlace) -> Result<()> {
        self.removed.rows.push(place.row);
        self.removed.times.push(time.0);
        self.removed.orders.extend(place.order()?);
        self.removed.arrivals.push(place.arrival.map(|arrival| arrival.0));
        Ok(())
    }

    /// Follows the policy for a row that is bad; `raw` are its bytes where they could not be decoded.
    pub fn bad(&mut self, why: &str, raw: Option<&[u8]>, place: &RowPlace) -> Result<()> {
        self.refuse((why, None), raw, place, Fate::Bad)
    }

    /// Follows the policy for a row without an event time. People are told what else the row has, so that they find it;
    /// a dead letter holds the row itself.
    pub fn bad_without_time(&mut self, columns: &RecordBatch, place: &RowPlace) -> Result<()> {
        let is_told = self.spec.bad_rows == BadRowPolicy::Fail || self.stats.first_bad.get().is_none();
        let told = is_told.then(|| without_time(self.spec, columns, place.row as usize));
        self.refuse((NO_EVENT_TIME, told.as_deref()), None, place, Fate::Bad)
    }

    fn refuse(
        &mut self,
        (why, told): (&str, Option<&str>),
        raw: Option<&[u8]>,
        place: &RowPlace,
        fate: Fate,
    ) -> Result<()> {
        match self.spec.bad_rows {
            BadRowPolicy::Skip | BadRowPolicy::DeadLetter if self.is_again(place) => {}
            BadRowPolicy::Skip => {
                self.tell(told.unwrap_or(why), place);
                self.removed_as.add(fate, 1);
            }
            BadRowPolicy::DeadLetter => {
                self.tell(told.unwrap_or(why), place);
                self.removed_as.add(Fate::DeadLettered, 1);
                if raw.is_none() {
                    self.shown.push((self.letters.len(), place.row));
                }
                self.letters.push(place.letter(why, raw, self.spec.delay)?);
            }
            BadRowPolicy::Fail => {
                return Err(Error::data(format!(
                    "stream \"{}\": {}: {}; ON BAD ROW SKIP would count it and go on",
                    self.spec.name,
                    (place.at)(),
                    told.unwrap_or(why)
                )));
            }
        }
        Ok(())
    }

    fn tell(&self, why: &str, place: &RowPlace) {
        let text = || {
            let text = format!("{}: {why}", (place.at)());
            match text.char_indices().nth(TOLD_MAX) {
                Some((end, _)) => format!("{}..", &text[..end]),
                None => text,
            }
        };
        self.stats.first_bad.get_or_init(text);
    }

    /// The rows that stay, with orders from coordinates, or from the rows themselves where there are none; and those
    /// that do not go on.
    pub fn finish(mut self, columns: &RecordBatch) -> Result<(Batch, Removed)> {
        let mut aside = Vec::new();
        if !self.removed.rows.is_empty() {
            aside.push((Port::LATE, self.late_rows(columns)?));
        }
        if !self.letters.is_empty() {
            self.show(columns)?;
            aside.push((Port::DEAD_LETTER, dead_letters(&self.spec.name, &self.spec.name, &self.letters)?));
        }
        let declared = self.declared(columns, &self.kept)?;
        let orders = match self.orders.len() == self.kept.len() {
            true => self.orders,
            false => content_orders(declared.columns(), declared.num_rows(), &self.spec.dedup_key)?,
        };
        let batch = Batch::new(declared, self.times, orders)?;
        let removed = Removed { ports: aside, fates: self.removed_as };
        Ok((if self.any_late { batch.with_late(self.late.finish())? } else { batch }, removed))
    }

    fn late_rows(&self, columns: &RecordBatch) -> Result<Batch> {
        let LateRows { rows, times, orders, arrivals } = &self.removed;
        let mut columns = self.declared(columns, rows)?.columns().to_vec();
        let orders = match orders.len() == rows.len() {
            true => orders.clone(),
            false => content_orders(&columns, rows.len(), &self.spec.dedup_key)?,
        };
        columns.push(Arc::new(TimestampMicrosecondArray::from(times.clone())));
        columns.push(Arc::new(TimestampMicrosecondArray::from(arrivals.clone())));
        let columns = RecordBatch::try_new(late_schema(&self.spec.schema), columns)?;
        Batch::new(columns, times.clone(), orders)
    }

    /// Gives dead letters whose bytes could be decoded the text of their row.
    fn show(&mut self, columns: &RecordBatch) -> Result<()> {
        if self.shown.is_empty() {
            return Ok(());
        }
        let rows: Vec<u32> = self.shown.iter().map(|(_, row)| *row).collect();
        let schema: Vec<_> = self.spec.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let (schema, columns) = (Arc::new(Schema::new(schema)), self.cast(columns, &rows)?);
        let texts = (self.spec.row_text)(schema.clone())?.encode(&RecordBatch::try_new(schema, columns)?)?;
        for ((letter, _), text) in self.shown.iter().zip(texts) {
            self.letters[*letter].row = Some(String::from_utf8_lossy(&text).into_owned());
        }
        Ok(())
    }

    /// Some rows as the declared columns.
    fn declared(&self, columns: &RecordBatch, rows: &[u32]) -> Result<RecordBatch> {
        let schema = &self.spec.schema;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(schema.clone(), self.cast(columns, rows)?, &options).map_err(|error| {
            Error::invalid(format!("stream \"{}\": its rows are not as declared", self.spec.name)).with_source(error)
        })
    }

    /// Some rows in the declared types.
    fn cast(&self, columns: &RecordBatch, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        let schema = &self.spec.schema;
        let columns = columns.project(&(0..schema.fields().len()).collect::<Vec<_>>())?;
        let columns = if rows.len() == columns.num_rows() {
            columns
        } else {
            take_record_batch(&columns, &UInt32Array::from(rows.to_vec()))?
        };
        let cast = schema.fields().iter().zip(columns.columns()).map(|(field, column)| {
            cast_to(column, field.data_type())
                .map_err(|error| error.context(format!("stream \"{}\": column \"{}\"", self.spec.name, field.name())))
        });
        cast.collect()
    }
}

impl RowPlace<'_> {
    fn order(&self) -> Result<Option<RowOrder>> {
        self.coordinate.map(|at| RowOrder::of_position(at.partition, at.position)).transpose()
    }

    /// A row that cannot be used leaves at the earliest moment still open: its own time may be nonsense.
    fn letter(&self, why: &str, raw: Option<&[u8]>, delay: Span) -> Result<DeadLetter> {
        // A partition that has shown no time yet holds nobody back, and its rows lie where they arrived.
        let open = |at: Coordinate| at.clock.map_or(EventTime(at.arrival.0), |clock| clock.minus(delay));
        let position = |at: Coordinate| format!("partition {}, message {}", at.partition, message_id(at.position));
        Ok(DeadLetter {
            time: self.coordinate.map_or(EventTime::MAX.before(), open),
            order: self.order()?.unwrap_or_default(),
            has_time: self.coordinate.is_some(),
            position: self.coordinate.map_or_else(|| (self.at)(), position),
            reason: why.to_owned(),
            raw: raw.map(<[u8]>::to_vec),
            row: None,
        })
    }
}

/// The orders of rows that have no coordinates: by their DEDUP key, then by all of their declared columns.
pub(crate) fn content_orders(columns: &[ArrayRef], rows: usize, dedup_key: &[usize]) -> Result<Vec<RowOrder>> {
    let whole = key_hashes(columns, rows)?;
    if dedup_key.is_empty() {
        let none = key_hashes(&[], 1)?[0];
        return Ok(whole.into_iter().map(|row| RowOrder::of_hashes(none, row)).collect());
    }
    let key: Vec<ArrayRef> = dedup_key.iter().map(|&column| columns[column].clone()).collect();
    let key = key_hashes(&key, rows)?;
    Ok(key.into_iter().zip(whole).map(|(key, row)| RowOrder::of_hashes(key, row)).collect())
}
