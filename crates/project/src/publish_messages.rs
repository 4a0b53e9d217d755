//! Rows as messages: objects of JSON, and of rows that cannot be used what nobody takes for a good one.

use crate::declared_columns::DeclaredRows;
use crate::stream_input::decoder;
use arrow::array::{Array, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Schema, SchemaRef, TimestampMicrosecondType};
use codec::{JsonEncode, free_paths, text_payload};
use connector_local::{FileColumn, MESSAGE_BYTES_MAX, TextRows};
use dataflow::{Decode, Decoded, ERROR_COLUMN, Encode, Error, EventTime, RAW_COLUMN, Result};
use sql::Stream;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many bytes are kept of a row that is greater than a message.
const BEGINNING: usize = 1 << 10;

/// A row.
pub struct InputRow {
    /// The message that it is.
    pub payload: Vec<u8>,
    /// Its event time, or why it is bad: its place and the reason.
    pub time: Found,
}

/// The event time of a row, or why it is bad.
pub type Found = std::result::Result<EventTime, String>;

/// What a stream finds in rows of its declared columns.
pub fn found(rows: &RecordBatch, stream: &Stream) -> Result<Vec<Found>> {
    let times = rows.column(stream.time_column).as_primitive_opt::<TimestampMicrosecondType>();
    let errors = rows.column_by_name(ERROR_COLUMN).and_then(|errors| errors.as_string_opt::<i32>());
    let (Some(times), Some(errors)) = (times, errors) else {
        return Err(Error::internal("rows to publish come without their time or without their errors"));
    };
    Ok((0..rows.num_rows()).map(|row| found_in(times, errors, row, stream)).collect())
}

fn found_in(times: &TimestampMicrosecondArray, errors: &StringArray, row: usize, stream: &Stream) -> Found {
    if errors.is_valid(row) {
        return Err(errors.value(row).to_owned());
    }
    if times.is_valid(row) {
        return Ok(EventTime(times.value(row)));
    }
    let name = stream.schema.field(stream.time_column).name();
    Err(format!("column \"{name}\" has no value, and it is the event time of stream \"{}\"", stream.name))
}

/// The rows of a text as messages.
pub struct TextMessages {
    name: String,
    checked: DeclaredRows,
    stream: Stream,
    payloads: Payloads,
    bad: BadMessages,
}

impl TextMessages {
    pub fn new(name: &str, schema: &SchemaRef, stream: &Stream, declared: &[FileColumn]) -> Result<TextMessages> {
        Ok(TextMessages {
            name: name.to_owned(),
            checked: DeclaredRows::new(name.trim_matches('"'), schema, stream)?,
            stream: stream.clone(),
            payloads: Payloads::new(schema, declared, true)?,
            bad: BadMessages::new(stream)?,
        })
    }

    pub fn of(&self, text: TextRows) -> Result<Vec<InputRow>> {
        let found = found(&self.checked.of(&text.rows)?, &self.stream)?;
        let payloads = match text.payloads {
            Some(payloads) => payloads,
            None => self.payloads.encode(&text.rows)?,
        };
        let mut wrong: BTreeMap<usize, Vec<u8>> = text.wrong.into_iter().collect();
        let place = |at: usize| format!("{} line {}", self.name, text.lines[at]);
        let row = |(at, (payload, found)): (usize, (Vec<u8>, Found))| InputRow {
            payload: wrong.remove(&at).unwrap_or(payload),
            time: found.map_err(|why| format!("{}: {why}", place(at))),
        };
        let mut rows: Vec<_> = payloads.into_iter().zip(found).enumerate().map(row).collect();
        self.bad.put_in(&mut rows, &place)?;
        Ok(rows)
    }
}

/// Makes messages of rows that cannot be used, so that whoever reads the topic finds them bad too.
pub struct BadMessages {
    decode: Arc<dyn Decode>,
    time_column: usize,
}

impl BadMessages {
    pub fn new(stream: &Stream) -> Result<BadMessages> {
        let topic = stream.live.as_deref().unwrap_or_default();
        Ok(BadMessages { decode: decoder(stream, topic)?, time_column: stream.time_column })
    }

    /// Makes bad rows of those that are greater than a message, and a text, which is no row, of each bad one that would
    /// be read as a good one: what is wrong with it may lie in its file, its folder or its format alone.
    pub fn put_in(&self, rows: &mut [InputRow], place: &dyn Fn(usize) -> String) -> Result<()> {
        for (at, row) in rows.iter_mut().enumerate().filter(|(_, row)| row.payload.len() > MESSAGE_BYTES_MAX) {
            let size = row.payload.len();
            row.payload = beginning(&row.payload)?;
            if row.time.is_ok() {
                let place = place(at);
                let why = format!("{place}: as a message it has {size} bytes, expected at most {MESSAGE_BYTES_MAX}");
                row.time = Err(why);
            }
        }
        let bad: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].time.is_err()).collect();
        if bad.is_empty() {
            return Ok(());
        }
        let payloads: Vec<&[u8]> = bad.iter().map(|&at| rows[at].payload.as_slice()).collect();
        let Decoded { rows: read, bad: refused } = self.decode.decode(&payloads)?;
        let is_refused = |at: &usize| refused.binary_search_by_key(at, |(at, _)| *at).is_ok();
        let read_at = (0..bad.len()).filter(|at| !is_refused(at)).map(|at| bad[at]);
        let times = read.column(self.time_column);
        for (_, at) in read_at.enumerate().filter(|(read, _)| times.is_valid(*read)) {
            let payload = &rows[at].payload;
            let text = text_payload(payload)?;
            rows[at].payload = if text.len() > MESSAGE_BYTES_MAX { beginning(payload)? } else { text };
        }
        Ok(())
    }
}

/// The beginning of a row that is greater than a message, as text.
fn beginning(payload: &[u8]) -> Result<Vec<u8>> {
    text_payload(&payload[..payload.len().min(BEGINNING)])
}

/// Rows as JSON.
pub struct Payloads {
    names: Vec<String>,
    encode: JsonEncode,
}

impl Payloads {
    /// Objects of all columns that there are, declared or not; those of a text that are not declared tell no type.
    pub fn new(schema: &SchemaRef, declared: &[FileColumn], are_texts: bool) -> Result<Payloads> {
        let shown = schema.fields().iter().filter(|field| ![ERROR_COLUMN, RAW_COLUMN].contains(&field.name().as_str()));
        let schema: SchemaRef = Arc::new(Schema::new(shown.cloned().collect::<Vec<_>>()));
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let of_name = |name: &String| declared.iter().find(|(path, _)| path.join(".") == *name);
        let known: Vec<Vec<String>> = names.iter().filter_map(|name| Some(of_name(name)?.0.clone())).collect();
        let free: Vec<String> = names.iter().filter(|name| of_name(name).is_none()).cloned().collect();
        let mut free_paths = free_paths(&known, &free).into_iter();
        let path = |name: &String| match of_name(name) {
            Some((path, _)) => path.clone(),
            None => free_paths.next().unwrap_or_else(|| vec![name.clone()]),
        };
        let is_cell = |name: &String| are_texts && of_name(name).is_none();
        let paths = names.iter().map(path).collect();
        let cells = names.iter().map(is_cell).collect();
        Ok(Payloads { encode: JsonEncode::with_cells(schema, paths, cells)?, names })
    }

    pub fn encode(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>> {
        let places = self.names.iter().map(|name| Ok(rows.schema_ref().index_of(name)?)).collect::<Result<Vec<_>>>()?;
        self.encode.encode(&rows.project(&places)?)
    }
}
