//! The columns and rows of CSV and JSON lines.

use super::cell::Cell;
use super::column_builder::ColumnBuilder;
use super::format::{FileSummary, Format};
use super::row_reader::RowReader;
use arrow::array::{ArrayRef, BinaryArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::{Bounds, ERROR_COLUMN, Error, ErrorKind, RAW_COLUMN, RecordBatches, Result, RowGroup};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the values of a column have all been so far.
#[derive(Clone, Debug)]
struct InferredColumn {
    name: String,
    values: u64,
    boolean: bool,
    integer: bool,
    double: bool,
    timestamp: bool,
    // The least and greatest timestamp; meant only while all values are timestamps.
    min: i64,
    max: i64,
}

impl InferredColumn {
    fn new(name: &str) -> InferredColumn {
        let (name, min, max) = (name.to_owned(), i64::MAX, i64::MIN);
        InferredColumn { name, values: 0, boolean: true, integer: true, double: true, timestamp: true, min, max }
    }

    fn see(&mut self, cell: &Cell<'_>) {
        if *cell == Cell::Null {
            return;
        }
        self.values += 1;
        self.boolean &= cell.boolean().is_some();
        self.integer &= self.integer && cell.integer().is_some();
        // In a column without a declared type `nan` and `inf` are words.
        self.double &= self.double && cell.double().is_some_and(f64::is_finite);
        match cell.timestamp() {
            Some(micros) if self.timestamp => (self.min, self.max) = (self.min.min(micros), self.max.max(micros)),
            _ => self.timestamp = false,
        }
    }

    fn merge(&mut self, other: &InferredColumn) {
        self.values += other.values;
        self.boolean &= other.boolean;
        self.integer &= other.integer;
        self.double &= other.double;
        self.timestamp &= other.timestamp;
    }

    fn data_type(&self) -> DataType {
        match self {
            InferredColumn { values: 0, .. } => DataType::Utf8,
            InferredColumn { boolean: true, .. } => DataType::Boolean,
            InferredColumn { integer: true, .. } => DataType::Int64,
            InferredColumn { double: true, .. } => DataType::Float64,
            InferredColumn { timestamp: true, .. } => DataType::Timestamp(TimeUnit::Microsecond, None),
            _ => DataType::Utf8,
        }
    }
}

/// The schema of all files, and the rows and bounds of each. Reads every file once.
/// With `with_errors` lines that cannot be read count as rows, and say nothing about types.
pub(super) fn summaries(paths: &[PathBuf], format: Format, with_errors: bool) -> Result<(SchemaRef, Vec<FileSummary>)> {
    let (mut all, mut summaries): (Vec<InferredColumn>, Vec<FileSummary>) = (Vec::new(), Vec::new());
    let mut first: Option<(&Path, Vec<String>)> = None;
    for path in paths {
        let mut rows = RowReader::open(path, format)?;
        if let Some(header) = rows.header() {
            match &first {
                None => first = Some((path, header.to_vec())),
                Some((_, expected)) if expected == header => {}
                Some((other, expected)) => return Err(headers_differ(other, expected, path, header)),
            }
        }
        let (guesses, count) = guess(&mut rows, with_errors)?;
        let timestamps = guesses.iter().filter(|guess| guess.timestamp && guess.values > 0);
        let bounds = timestamps
            .map(|guess| (guess.name.clone(), Bounds { min: guess.min, max: guess.max, nulls: count - guess.values }));
        let groups = vec![RowGroup { rows: Some(count), bounds: Vec::new() }];
        summaries.push(FileSummary { path: path.clone(), rows: count, bounds: bounds.collect(), groups });
        for guess in &guesses {
            match all.iter_mut().find(|known| known.name == guess.name) {
                Some(known) => known.merge(guess),
                None => all.push(guess.clone()),
            }
        }
    }
    let fields = all.iter().map(|guess| Field::new(&guess.name, guess.data_type(), true)).collect::<Vec<_>>();
    Ok((Arc::new(Schema::new(fields)), summaries))
}

fn headers_differ(first: &Path, expected: &[String], other: &Path, found: &[String]) -> Error {
    Error::invalid(format!(
        "\"{}\" has the header {}, expected {} as in \"{}\"",
        other.display(),
        found.join(","),
        expected.join(","),
        first.display()
    ))
}

fn guess(rows: &mut RowReader, with_errors: bool) -> Result<(Vec<InferredColumn>, u64)> {
    let mut guesses: Vec<InferredColumn> =
        rows.header().unwrap_or_default().iter().map(|name| InferredColumn::new(name)).collect();
    let (mut count, mut likely) = (0, 0);
    let mut see = |name: &str, cell: Cell<'_>| {
        let at = find(&guesses, |guess| guess.name == name, likely).unwrap_or_else(|| {
            guesses.push(InferredColumn::new(name));
            guesses.len() - 1
        });
        guesses[at].see(&cell);
        likely = at + 1;
    };
    loop {
        match rows.next(&mut see) {
            Ok(false) => return Ok((guesses, count)),
            Err(error) if !is_of_row(&error, with_errors) => return Err(error),
            Ok(true) | Err(_) => count += 1,
        }
    }
}

/// Whether reading can continue after an error: it concerns one row, whose end is known.
fn is_of_row(error: &Error, with_errors: bool) -> bool {
    with_errors && error.kind() == ErrorKind::Data
}

/// Fields tend to come in one order, so the likely one is tried first.
fn find<T>(all: &[T], is: impl Fn(&T) -> bool, likely: usize) -> Option<usize> {
    match all.get(likely) {
        Some(one) if is(one) => Some(likely),
        _ => all.iter().position(is),
    }
}

/// The columns of a schema, in batches.
pub(super) fn read(
    path: &Path,
    format: Format,
    schema: SchemaRef,
    batch_rows: usize,
    with_errors: bool,
) -> Result<RecordBatches> {
    let rows = RowReader::open(path, format)?;
    let columns = schema.fields().iter().map(|field| ColumnBuilder::new(field)).collect::<Result<Vec<_>>>()?;
    let mut reading = Reading { rows, schema, columns, batch_rows, errors: with_errors.then(Vec::new) };
    Ok(Box::new(std::iter::from_fn(move || reading.batch().transpose()).scan(false, |failed, batch| {
        // After an error it is not known where the next row begins.
        let stop = std::mem::replace(failed, batch.is_err());
        (!stop).then_some(batch)
    })))
}

struct Reading {
    rows: RowReader,
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    batch_rows: usize,
    // The rows of the batch that cannot be read, with the reason and what stands there, where they do not end it.
    errors: Option<Vec<(usize, String, Option<String>)>>,
}

impl Reading {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut count = 0;
        while count < self.batch_rows && self.row(count)? {
            count += 1;
        }
        if count == 0 {
            return Ok(None);
        }
        let place = self.rows.place();
        let columns = self.finish(count).map_err(|e| e.context(format!("among the rows up to {place}")))?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| Error::data(format!("among the rows up to {place}")).with_source(e))?;
        Ok(Some(batch))
    }

    /// The columns of a batch, those of its errors among them.
    fn finish(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        let Some(mut errors) = self.errors.as_mut().map(std::mem::take) else {
            return self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        };
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            let (values, lost) = column.finish_with_errors()?;
            let why = format!("a value of column \"{}\" is no {}", column.name(), column.data_type());
            errors.extend(lost.into_iter().map(|row| (row, why.clone(), None)));
            columns.push(values);
        }
        let (mut reasons, mut raw) = (vec![None; rows], vec![None; rows]);
        for (row, why, text) in errors {
            reasons[row].get_or_insert(why);
            raw[row] = raw[row].take().or(text);
        }
        for (field, column) in self.schema.fields().iter().zip(&mut columns) {
            match field.name().as_str() {
                ERROR_COLUMN => *column = Arc::new(StringArray::from(std::mem::take(&mut reasons))),
                RAW_COLUMN => {
                    let bytes = raw.iter().map(|text| text.as_ref().map(String::as_bytes));
                    *column = Arc::new(bytes.collect::<BinaryArray>());
                }
                _ => {}
            }
        }
        Ok(columns)
    }

    fn row(&mut self, row: usize) -> Result<bool> {
        let (mut likely, mut wrong, mut unreadable) = (0, None, None);
        let columns = &mut self.columns;
        let mut filled = vec![false; columns.len()];
        let mut put = |name: &str, cell: Cell<'_>| {
            let Some(at) = find(columns, |column| column.name() == name, likely) else { return };
            likely = at + 1;
            let appended = match std::mem::replace(&mut filled[at], true) {
                true => Err(format!("column \"{name}\" comes twice")),
                false => {
                    let appended = columns[at].append(&cell);
                    if appended.is_err() {
                        columns[at].append_null();
                    }
                    appended
                }
            };
            if let Err(why) = appended {
                wrong.get_or_insert(why);
            }
        };
        let more = match self.rows.next(&mut put) {
            Err(error) if is_of_row(&error, self.errors.is_some()) => {
                unreadable = Some(error.chain());
                true
            }
            read => read?,
        };
        // The error of a line names the line.
        let of_a_value = wrong.map(|why| format!("line {}: {why}", self.rows.line()));
        if let Some(why) = unreadable.or(of_a_value) {
            let Some(errors) = &mut self.errors else {
                return Err(Error::data(format!("\"{}\" {why}", self.rows.path().display())));
            };
            errors.push((row, why, self.rows.text()));
        }
        if more {
            let missing = self.columns.iter_mut().zip(&filled).filter(|(_, filled)| !**filled);
            missing.for_each(|(column, _)| column.append_null());
        }
        Ok(more)
    }
}
