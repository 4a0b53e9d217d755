//! The rows of text files as columns of declared types, those that cannot be read among them.

use super::csv::CsvRecords;
use super::format::{Format, Packing};
use super::lines::{Line, Lines, too_long};
use super::path_values::{PathValues, contradictions};
use super::text_input::{self, NOT_UTF8};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use codec::{JsonDecode, JsonRows, free_paths, with_fields};
use dataflow::{Bounds, ERROR_COLUMN, Error, RAW_COLUMN, RecordBatches, Result, bad_row_fields};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use values::{Column, Encoding, Value, expected, shown};

/// About how many bytes of lines one batch takes.
const BATCH_BYTES: usize = 8 << 20;

/// A column to be read from a text file.
#[derive(Clone, Debug)]
pub(super) struct TextColumn {
    pub name: String,
    /// Where it is in an object of JSON; CSV has it under its name.
    pub path: Vec<String>,
    pub data_type: DataType,
    /// The value of all rows, where it stands in the path of the file: a text, or NULL.
    pub constant: Option<Option<String>>,
    /// Whether somebody has declared it: such a column has what others may mean by the same name.
    pub is_declared: bool,
}

/// A text file.
#[derive(Clone, Debug)]
pub(super) struct TextFile {
    pub path: PathBuf,
    pub of_path: PathValues,
    pub format: Format,
    pub packing: Packing,
    pub encoding: Encoding,
}

impl TextFile {
    fn lines(&self) -> Result<Lines> {
        Ok(Lines::new(&self.path, text_input::open(&self.path, self.packing, self.encoding)?))
    }

    /// The lines as JSON has them.
    pub fn json_lines(&self) -> Result<Lines> {
        self.lines()
    }

    /// The records of CSV.
    pub fn records(&self) -> Result<CsvRecords> {
        CsvRecords::open(self.lines()?).map_err(|error| error.context(format!("\"{}\"", self.path.display())))
    }

    /// The columns, then why a row cannot be used and its text, in batches.
    pub fn read(&self, columns: &[TextColumn], batch_rows: usize) -> Result<RecordBatches> {
        let source = match self.format {
            Format::JsonLines => TextSource::Lines(self.json_lines()?),
            _ => TextSource::Records(self.records()?),
        };
        let mut reading = BatchReader::new(source, columns, &self.path, batch_rows)?;
        Ok(Box::new(std::iter::from_fn(move || reading.batch().transpose()).scan(false, |failed, batch| {
            // After an error it is not known where the next row begins.
            let stop = std::mem::replace(failed, batch.is_err());
            (!stop).then_some(batch)
        })))
    }

    /// How many rows there are, and the bounds of timestamp columns. Reads the whole file.
    pub fn summary(&self, columns: &[TextColumn]) -> Result<(u64, Vec<(String, Bounds)>)> {
        let is_time = |column: &&TextColumn| matches!(column.data_type, DataType::Timestamp(..));
        let times: Vec<TextColumn> = columns.iter().filter(is_time).cloned().collect();
        let (mut rows, mut bounds) = (0, vec![None::<Bounds>; times.len()]);
        let mut nulls = vec![0; times.len()];
        for batch in self.read(&times, 8192)? {
            let batch = batch?;
            rows += batch.num_rows() as u64;
            for (at, own) in bounds.iter_mut().enumerate() {
                let values = batch.column(at).as_primitive::<TimestampMicrosecondType>();
                nulls[at] += values.null_count() as u64;
                let (Some(least), Some(greatest)) = (min(values), max(values)) else { continue };
                let known = own.unwrap_or(Bounds { min: least, max: greatest, nulls: 0 });
                *own = Some(Bounds { min: known.min.min(least), max: known.max.max(greatest), nulls: 0 });
            }
        }
        let named = times.iter().zip(bounds).zip(nulls);
        let told = named.filter_map(|((column, own), nulls)| Some((column.name.clone(), Bounds { nulls, ..own? })));
        Ok((rows, told.collect()))
    }
}

fn decoder(path: &Path, columns: &[TextColumn]) -> Result<JsonDecode> {
    let fields = columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true));
    let paths = columns.iter().map(|column| column.path.clone()).collect();
    JsonDecode::of_lines(&path.display().to_string(), Arc::new(Schema::new(fields.collect::<Vec<_>>())), paths)
}

/// Where a header has a column.
pub(super) fn header_place(header: &[String], name: &str, path: &Path) -> Result<Option<usize>> {
    values::find_name(header.iter().map(String::as_str), name).map_err(|[one, other]| {
        Error::invalid(format!(
            "\"{}\": columns \"{one}\" and \"{other}\" are both column \"{name}\", expected one of them",
            path.display()
        ))
    })
}

/// A column whose value stands in the path of the file.
struct PathColumn {
    // Its place among the columns.
    at: usize,
    name: String,
    // Of one row.
    value: ArrayRef,
    // Why the value is none of its type.
    wrong: Option<String>,
}

impl PathColumn {
    fn of(at: usize, column: &TextColumn) -> Result<PathColumn> {
        let mut values = new_column(column)?;
        let wrong = match column.constant.iter().flatten().next() {
            Some(text) if values.append(Value::Text(text)) => None,
            Some(text) => {
                values.append_null();
                let expected = expected(text, &column.data_type);
                Some(format!("the folder \"{}={text}\" names its column, {expected}", column.name))
            }
            None => {
                values.append_null();
                None
            }
        };
        Ok(PathColumn { at, name: column.name.clone(), value: values.finish(), wrong })
    }
}

fn new_column(column: &TextColumn) -> Result<Column> {
    Column::new(&column.data_type, 0).ok_or_else(|| {
        Error::invalid(format!(
            "column \"{}\" has type {}, which text files cannot carry",
            column.name,
            values::name(&column.data_type)
        ))
    })
}

/// A text, opened.
pub(super) enum TextSource {
    Lines(Lines),
    Records(CsvRecords),
}

enum Source {
    Json {
        lines: Lines,
        // Whether a row was read.
        is_begun: bool,
        decode: JsonDecode,
    },
    Csv {
        records: CsvRecords,
        columns: Vec<(String, DataType, Column)>,
        places: Places,
        // What comes after the rows that were given out.
        failed: Option<Error>,
    },
}

/// Rows that were read: the stored columns, and which rows cannot be used: why, and their text.
pub(super) struct Rows {
    columns: Vec<ArrayRef>,
    wrong: Vec<WrongRow>,
    /// The line on which each row begins.
    pub lines: Vec<u64>,
    /// The rows as lines of JSON, where they are such lines.
    pub payloads: Option<Vec<Vec<u8>>>,
    /// Those that cannot be used as messages, by row.
    pub messages: Vec<(usize, Vec<u8>)>,
}

/// Where the values of a record go.
struct Places {
    // The column of each, if it is asked for.
    columns: Vec<Option<usize>>,
    // Where each is in an object of JSON.
    paths: Vec<Vec<String>>,
}

impl Places {
    /// A record as an object of texts.
    fn object<'a>(&self, values: impl Iterator<Item = &'a str>) -> Vec<u8> {
        let mut object = serde_json::Map::new();
        for (path, text) in self.paths.iter().zip(values).filter(|(_, text)| !text.is_empty()) {
            put(&mut object, path, text);
        }
        serde_json::Value::Object(object).to_string().into_bytes()
    }
}

/// Puts a text at a path of an object. A path through what is no object is left out.
fn put(object: &mut serde_json::Map<String, serde_json::Value>, path: &[String], text: &str) {
    match path {
        [] => {}
        [name] => drop(object.insert(name.clone(), text.into())),
        [name, below @ ..] => {
            let inner = object.entry(name).or_insert_with(|| serde_json::Map::new().into());
            inner.as_object_mut().into_iter().for_each(|inner| put(inner, below, text));
        }
    }
}

/// A row that cannot be used.
struct WrongRow {
    row: usize,
    why: String,
    text: Vec<u8>,
    // As a message, where that is not its text.
    message: Option<Vec<u8>>,
}

impl Source {
    fn csv(records: CsvRecords, stored: &[TextColumn], path: &Path) -> Result<Source> {
        let header = records.header();
        let mut columns_at: Vec<Option<usize>> = vec![None; header.len()];
        let mut paths: Vec<Option<&Vec<String>>> = vec![None; header.len()];
        let mut columns = Vec::new();
        for column in stored {
            columns.push((column.name.clone(), column.data_type.clone(), new_column(column)?));
        }
        for (column, to) in stored.iter().zip(0..).filter(|(column, _)| column.is_declared) {
            if let Some(at) = header_place(header, &column.name, path)? {
                (columns_at[at], paths[at]) = (Some(to), Some(&column.path));
            }
        }
        for (column, to) in stored.iter().zip(0..).filter(|(column, _)| !column.is_declared) {
            // A folder names its column whatever the case of its letters.
            let is_meant = |name: &String| {
                *name == column.name || column.constant.is_some() && name.eq_ignore_ascii_case(&column.name)
            };
            let at = header.iter().position(is_meant);
            // What a declared column means is that one alone.
            if let Some(at) = at.filter(|at| columns_at[*at].is_none()) {
                columns_at[at] = Some(to);
            }
        }
        let known: Vec<Vec<String>> = paths.iter().flatten().map(|path| (*path).clone()).collect();
        let free = header.iter().zip(&paths).filter(|(_, path)| path.is_none()).map(|(name, _)| name.clone());
        let mut free = free_paths(&known, &free.collect::<Vec<_>>()).into_iter();
        let of = |path: Option<&Vec<String>>| path.cloned().or_else(|| free.next()).unwrap_or_default();
        let paths = paths.into_iter().map(of).collect();
        let places = Places { columns: columns_at, paths };
        Ok(Source::Csv { records, columns, places, failed: None })
    }

    fn rows(&mut self, rows_max: usize) -> Result<Rows> {
        match self {
            Source::Json { lines, is_begun, decode } => json_rows(lines, is_begun, decode, rows_max),
            Source::Csv { records, columns, places, failed } => match failed.take() {
                Some(error) => Err(error),
                None => csv_rows(records, columns, places, (rows_max, failed)),
            },
        }
    }
}

/// Whether a line begins an array that ends on another one. Its last element may be a line that reads as a row.
pub(super) fn opens_array(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.starts_with(b"[")
        && serde_json::from_slice::<serde::de::IgnoredAny>(line)
            .is_err_and(|error| error.is_eof() || line.ends_with(b","))
}

fn json_rows(lines: &mut Lines, is_begun: &mut bool, decode: &JsonDecode, rows_max: usize) -> Result<Rows> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    // Rows that are there do not wait for those that are not.
    while taken.len() < rows_max && bytes < BATCH_BYTES && (taken.is_empty() || lines.is_ready()) {
        let Some(line) = lines.next(Vec::new())? else { break };
        if !line.is_blank() {
            if !std::mem::replace(is_begun, true) && opens_array(line.content()) {
                return Err(Error::invalid(format!(
                    "line {}: an array of JSON begins, expected an object a line, as `jq -c '.[]'` writes them",
                    line.number
                )));
            }
            bytes += line.bytes.len();
            taken.push(line);
        }
    }
    let payloads: Vec<&[u8]> = taken.iter().map(|line| line.content().trim_ascii_end()).collect();
    let JsonRows { columns, wrong } = decode.rows(&payloads)?;
    // The beginning of a row that is too long may be a whole object.
    let too_long = taken.iter().enumerate().filter(|(_, line)| line.is_too_long).map(|(row, _)| (row, too_long()));
    let wrong = wrong.into_iter().filter(|(row, _)| !taken[*row].is_too_long).chain(too_long);
    let told = |(row, why): (usize, String)| {
        let why = if std::str::from_utf8(payloads[row]).is_err() { format!("it {NOT_UTF8}") } else { why };
        WrongRow { row, why, text: payloads[row].to_vec(), message: None }
    };
    let wrong = wrong.map(told).collect();
    let lines = taken.iter().map(|line| line.number).collect();
    let trimmed = |line: Line| match line.content().trim_ascii() {
        text if text.len() == line.bytes.len() => line.bytes,
        text => text.to_vec(),
    };
    let payloads = Some(taken.into_iter().map(trimmed).collect());
    Ok(Rows { columns, wrong, lines, payloads, messages: Vec::new() })
}

fn csv_rows(
    records: &mut CsvRecords,
    columns: &mut [(String, DataType, Column)],
    places: &Places,
    (rows_max, failed): (usize, &mut Option<Error>),
) -> Result<Rows> {
    let (mut lines, mut wrong) = (Vec::new(), Vec::new());
    let (mut is_filled, mut bytes) = (vec![false; columns.len()], 0);
    while lines.len() < rows_max && bytes < BATCH_BYTES && (lines.is_empty() || records.is_ready()) {
        let record = match records.next() {
            Ok(Some(record)) => record,
            Ok(None) => break,
            Err(error) if lines.is_empty() => return Err(error),
            Err(error) => {
                *failed = Some(error);
                break;
            }
        };
        is_filled.fill(false);
        let mut why = record.err();
        let is_split = why.is_none();
        if is_split {
            for (text, place) in records.values().zip(&places.columns) {
                let Some(place) = *place else { continue };
                let (name, data_type, column) = &mut columns[place];
                if text.is_empty() {
                    continue;
                }
                is_filled[place] = column.append(Value::Text(text));
                if !is_filled[place] {
                    let (shown, expected) = (shown(text), expected(text, data_type));
                    why.get_or_insert_with(|| format!("column \"{name}\" is \"{shown}\", {expected}"));
                }
            }
        }
        let absent = columns.iter_mut().zip(&is_filled).filter(|(_, is_filled)| !**is_filled);
        absent.for_each(|((_, _, column), _)| column.append_null());
        if let Some(why) = why {
            let message = is_split.then(|| places.object(records.values()));
            wrong.push(WrongRow { row: lines.len(), why, text: records.raw().to_vec(), message });
        }
        bytes += records.raw().len();
        lines.push(records.line());
    }
    let columns = columns.iter_mut().map(|(_, _, column)| column.finish()).collect();
    Ok(Rows { columns, wrong, lines, payloads: None, messages: Vec::new() })
}

/// Reads a text in batches.
pub(super) struct BatchReader {
    source: Source,
    schema: SchemaRef,
    of_path: Vec<PathColumn>,
    // The same as fields of an object, which lines of JSON do not have.
    path_fields: Vec<(String, Option<String>)>,
    batch_rows: usize,
}

impl BatchReader {
    pub fn new(source: TextSource, columns: &[TextColumn], path: &Path, batch_rows: usize) -> Result<BatchReader> {
        let fields = columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true));
        let schema: SchemaRef = Arc::new(Schema::new(fields.chain(bad_row_fields()).collect::<Vec<_>>()));
        let source = match source {
            TextSource::Lines(lines) => Source::Json { lines, is_begun: false, decode: decoder(path, columns)? },
            TextSource::Records(records) => Source::csv(records, columns, path)?,
        };
        let of_path = columns.iter().enumerate().filter(|(_, column)| column.constant.is_some());
        let of_path = of_path.map(|(at, column)| PathColumn::of(at, column)).collect::<Result<Vec<_>>>()?;
        let field = |column: &TextColumn| match column.path.as_slice() {
            [name] => Some((name.clone(), column.constant.clone()?)),
            _ => None,
        };
        let path_fields = columns.iter().filter_map(field).collect();
        Ok(BatchReader { source, schema, of_path, path_fields, batch_rows: batch_rows.max(1) })
    }

    /// The next rows; why one cannot be used begins with its line.
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut rows = self.source.rows(self.batch_rows)?;
        rows.wrong.iter_mut().for_each(|wrong| wrong.why = format!("line {}: {}", rows.lines[wrong.row], wrong.why));
        self.arranged(&mut rows)
    }

    /// The next rows, and what else is known of them.
    pub fn batch_with_lines(&mut self) -> Result<Option<(RecordBatch, Rows)>> {
        let mut rows = self.source.rows(self.batch_rows)?;
        Ok(self.arranged(&mut rows)?.map(|batch| (batch, rows)))
    }

    fn arranged(&self, rows: &mut Rows) -> Result<Option<RecordBatch>> {
        let (count, mut columns) = (rows.lines.len(), std::mem::take(&mut rows.columns));
        if count == 0 {
            return Ok(None);
        }
        let of_all = self.of_path.iter().find_map(|column| column.wrong.clone());
        let (mut reasons, mut raw) = (vec![of_all; count], vec![None; count]);
        for WrongRow { row, why, text, message } in std::mem::take(&mut rows.wrong) {
            reasons[row].get_or_insert(why);
            rows.messages.push((row, message.unwrap_or_else(|| text.clone())));
            raw[row] = Some(text);
        }
        if !self.path_fields.is_empty() {
            let good = rows.payloads.iter_mut().flatten().zip(&reasons).filter(|(_, reason)| reason.is_none());
            for (payload, _) in good {
                *payload = with_fields(payload, &self.path_fields)?;
            }
        }
        let repeated = arrow::array::UInt32Array::from(vec![0; count]);
        for PathColumn { at, name, value, .. } in &self.of_path {
            for (row, why) in contradictions(name, value, &columns[*at])? {
                reasons[row].get_or_insert(why);
            }
            columns[*at] = arrow::compute::take(value, &repeated, None)?;
        }
        columns.push(Arc::new(StringArray::from(reasons)));
        columns.push(Arc::new(raw.iter().map(|text| text.as_deref()).collect::<BinaryArray>()));
        debug_assert!(self.schema.index_of(ERROR_COLUMN).is_ok() && self.schema.index_of(RAW_COLUMN).is_ok());
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(Some(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?))
    }
}
