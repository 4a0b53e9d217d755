//! Dead letters: rows that could not be used, with the place that they came from and the reason.

use crate::{Batch, Encode, EventTime, Result, RowOrder};
use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// Makes what turns rows of some columns into text, so that a dead letter shows the row that a step failed on.
pub type RowText = fn(SchemaRef) -> Result<Arc<dyn Encode>>;

/// The hidden column beside declared ones that says why a row cannot be used; NULL where it can.
pub const ERROR_COLUMN: &str = "_error";

/// The hidden column beside [`ERROR_COLUMN`] with the bytes of a row that cannot be used, as they were sent or stored.
pub const RAW_COLUMN: &str = "_raw";

/// The fields of [`ERROR_COLUMN`] and [`RAW_COLUMN`], after the declared columns of files that list their bad rows.
///
/// ```
/// assert_eq!(dataflow::bad_row_fields()[0].name(), dataflow::ERROR_COLUMN);
/// ```
pub fn bad_row_fields() -> [Field; 2] {
    [Field::new(ERROR_COLUMN, DataType::Utf8, true), Field::new(RAW_COLUMN, DataType::Binary, true)]
}

/// Whether a column of files that others wrote has the name of one of [`bad_row_fields`]: it is not read, since its
/// values would be taken for reasons.
///
/// ```
/// assert!(dataflow::is_bad_row_column("_error") && !dataflow::is_bad_row_column("error"));
/// ```
pub fn is_bad_row_column(name: &str) -> bool {
    [ERROR_COLUMN, RAW_COLUMN].contains(&name)
}

/// A row that was removed because it could not be used, as people are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// The stream whose row it is.
    pub stream: String,
    /// Where it lies, and why it could not be used.
    pub text: String,
}

/// A row that could not be used.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// When it leaves: above the watermark.
    pub time: EventTime,
    /// Its order among rows of equal time.
    pub order: RowOrder,
    /// Whether its time means something: a row of a file that others wrote has none when its event time cannot be read.
    pub has_time: bool,
    /// Where it lies: `partition 0, message 0:7:0`, or a file and a row.
    pub position: String,
    /// Why it could not be used.
    pub reason: String,
    /// The bytes that could not be decoded.
    pub raw: Option<Vec<u8>>,
    /// The row as text, where there is one.
    pub row: Option<String>,
}

/// The columns of dead letters: `_time`, stream, step, position, reason, raw and row.
///
/// ```
/// assert_eq!(dataflow::dead_letter_schema().field(4).name(), "reason");
/// ```
pub fn dead_letter_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        Field::new("_time", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        text("stream", false),
        text("step", false),
        text("position", false),
        text("reason", false),
        Field::new("raw", DataType::Binary, true),
        text("row", true),
    ]))
}

/// The columns of a stream's late rows: the declared ones, then the moment that was still open, and the arrival.
///
/// ```
/// let none = std::sync::Arc::new(arrow::datatypes::Schema::empty());
/// assert_eq!(dataflow::late_schema(&none).field(1).name(), "_arrival");
/// ```
pub fn late_schema(declared: &SchemaRef) -> SchemaRef {
    let instant = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, None), true);
    let columns = declared.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(columns.chain(["_time", "_arrival"].map(instant)).collect::<Vec<_>>()))
}

/// Dead letters of one step as rows.
pub fn dead_letters(stream: &str, step: &str, letters: &[DeadLetter]) -> Result<Batch> {
    let times = || letters.iter().map(|letter| letter.has_time.then_some(letter.time.0));
    let texts = |of: fn(&DeadLetter) -> &str| Arc::new(StringArray::from_iter_values(letters.iter().map(of)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times().collect::<TimestampMicrosecondArray>()),
        Arc::new(StringArray::from_iter_values(letters.iter().map(|_| stream))),
        Arc::new(StringArray::from_iter_values(letters.iter().map(|_| step))),
        texts(|letter| &letter.position),
        texts(|letter| &letter.reason),
        Arc::new(letters.iter().map(|letter| letter.raw.as_deref()).collect::<BinaryArray>()),
        Arc::new(letters.iter().map(|letter| letter.row.as_deref()).collect::<StringArray>()),
    ];
    let columns = RecordBatch::try_new(dead_letter_schema(), columns)?;
    let (times, orders) = letters.iter().map(|letter| (letter.time.0, letter.order)).unzip();
    Batch::new(columns, times, orders)
}
