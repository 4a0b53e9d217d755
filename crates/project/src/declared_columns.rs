//! A stream's declared columns over what messages and files really hold: renamed, cast and computed.

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray, UInt32Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use connector_local::FileColumn;
use dataflow::{
    Batch, Bounds, Decode, Decoded, ERROR_COLUMN, Error, RAW_COLUMN, RecordBatches, Result, RowGroup, RowOrder,
    TimedFile, TimedFiles, bad_row_fields, is_bad_row_column,
};
use seam::CLOCK_PROPERTY;
use sql::{ColumnSource, Stream, did_you_mean, some_of};
use std::ops::Range;
use std::sync::Arc;
use values::{find_name, is_read, plain_type, read_with_reasons};

/// Columns of all rows, and the rows on which one could not be computed, each with the reason.
type ColumnsAndFailures<Reason> = (Vec<ArrayRef>, Vec<(usize, Reason)>);

/// Evaluates the computed columns of a stream over its decoded ones.
#[derive(Clone, Debug)]
struct DeclaredColumns {
    stream: Stream,
}

impl DeclaredColumns {
    /// Declared columns from decoded ones, and the rows on which an expression fails.
    fn declared(&self, raw: RecordBatch) -> Result<Decoded> {
        let rows = raw.num_rows();
        let (columns, bad) = self.columns(raw)?;
        let is_good = |row: &usize| bad.binary_search_by_key(row, |(row, _)| *row).is_err();
        let good: UInt32Array = (0..rows).filter(is_good).map(|row| row as u32).collect::<Vec<_>>().into();
        let columns = match bad.is_empty() {
            true => columns,
            false => columns.iter().map(|column| Ok(take(column, &good, None)?)).collect::<Result<Vec<_>>>()?,
        };
        Ok(Decoded { rows: RecordBatch::try_new(self.stream.schema.clone(), columns)?, bad })
    }

    /// Declared columns of all rows, and the rows on which an expression fails: its column is NULL there.
    fn columns(&self, raw: RecordBatch) -> Result<ColumnsAndFailures<Error>> {
        let rows = raw.num_rows();
        let raw = Batch::new(raw, vec![0; rows], vec![RowOrder::default(); rows])?;
        let (mut columns, mut bad, mut next) = (Vec::new(), Vec::new(), 0);
        for (source, field) in self.stream.sources.iter().zip(self.stream.schema.fields()) {
            match source {
                ColumnSource::Path(_) => {
                    columns.push(raw.column(next).clone());
                    next += 1;
                }
                ColumnSource::Computed(scalar) => {
                    let evaluated = scalar.evaluate(&raw)?;
                    columns.push(evaluated.values);
                    let named = |error: Error| error.context(format!("column \"{}\"", field.name()));
                    bad.extend(evaluated.failed.into_iter().map(|(row, error)| (row, named(error))));
                }
            }
        }
        bad.sort_by_key(|(row, _)| *row);
        bad.dedup_by_key(|(row, _)| *row);
        Ok((columns, bad))
    }
}

/// The paths of a stream's decoded columns, and their declared types.
pub fn file_columns(stream: &Stream) -> Vec<FileColumn> {
    let of = |(index, source): (usize, &ColumnSource)| match source {
        ColumnSource::Path(path) => Some((path.clone(), stream.schema.field(index).data_type().clone())),
        ColumnSource::Computed(_) => None,
    };
    stream.sources.iter().enumerate().filter_map(of).collect()
}

/// The declared columns of rows that hold the decoded ones, then why each cannot be used, and its text.
pub fn declared_rows(stream: &Stream, raw: &RecordBatch) -> Result<RecordBatch> {
    DeclaredColumns { stream: stream.clone() }.rows_with_errors(raw, false)
}

/// Decodes the columns of a payload, then computes the others.
pub struct ComputedDecode {
    inner: Box<dyn Decode>,
    columns: DeclaredColumns,
}

impl ComputedDecode {
    /// Takes a decoder of the stream's raw columns.
    pub fn new(inner: Box<dyn Decode>, stream: &Stream) -> ComputedDecode {
        ComputedDecode { inner, columns: DeclaredColumns { stream: stream.clone() } }
    }
}

impl Decode for ComputedDecode {
    fn schema(&self) -> SchemaRef {
        self.columns.stream.schema.clone()
    }

    fn decode(&self, payloads: &[&[u8]]) -> Result<Decoded> {
        let decoded = self.inner.decode(payloads)?;
        let computed = self.columns.declared(decoded.rows)?;
        if computed.bad.is_empty() {
            return Ok(Decoded { rows: computed.rows, bad: decoded.bad });
        }
        // Rows of the second list count only what the first one let through.
        let through: Vec<usize> = (0..payloads.len())
            .filter(|payload| decoded.bad.binary_search_by_key(payload, |(payload, _)| *payload).is_err())
            .collect();
        let mut bad = decoded.bad;
        bad.extend(computed.bad.into_iter().map(|(row, error)| (through[row], error)));
        bad.sort_by_key(|(payload, _)| *payload);
        Ok(Decoded { rows: computed.rows, bad })
    }
}

/// The columns that a stream declares, found in rows of files.
pub struct DeclaredRows {
    columns: DeclaredColumns,
    // The file column of each raw column.
    names: Vec<String>,
    // Whether the files tell which of their rows are bad, and why, in columns of their own.
    tells_bad_rows: bool,
    // The time column's own name in the files, whose bounds hold for it; `None` when it is computed.
    time: Option<String>,
    // The columns whose bounds are of use: the names of the files' own, and the declared ones.
    bounded: Vec<(String, String)>,
}

impl DeclaredRows {
    /// Checks that every column that is not computed is there with a type that can be cast to the declared one. `files`
    /// is where the rows come from, for messages; their reader tells which of them are bad.
    pub fn new(files: &str, schema: &SchemaRef, stream: &Stream) -> Result<DeclaredRows> {
        DeclaredRows::checked(files, schema, stream, true)
    }

    fn checked(files: &str, schema: &SchemaRef, stream: &Stream, tells_bad_rows: bool) -> Result<DeclaredRows> {
        let own = schema.fields().iter().filter(|field| !tells_bad_rows || !is_bad_row_column(field.name()));
        let own: Vec<&FieldRef> = own.collect();
        let (mut names, mut time, mut bounded) = (Vec::new(), None, Vec::new());
        for (index, source) in stream.sources.iter().enumerate() {
            let ColumnSource::Path(path) = source else { continue };
            let declared = stream.schema.field(index);
            let name = path.join(".");
            refuse_two_paths(files, stream, index, path)?;
            let found = found(files, &own, stream, &name)?;
            check_cast(files, stream, found, declared.data_type())?;
            if index == stream.time_column {
                time = Some(found.name().clone());
            }
            if index == stream.time_column || Some(index) == stream.arrival {
                bounded.push((found.name().clone(), declared.name().clone()));
            }
            names.push(found.name().clone());
        }
        Ok(DeclaredRows { columns: DeclaredColumns { stream: stream.clone() }, names, tells_bad_rows, time, bounded })
    }

    /// The declared columns of rows, then why each cannot be used, and its text.
    pub fn of(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let hidden = [ERROR_COLUMN, RAW_COLUMN].into_iter().filter(|_| self.tells_bad_rows);
        let names = self.names.iter().map(String::as_str).chain(hidden);
        let places: Vec<usize> = names.filter_map(|name| rows.schema_ref().index_of(name).ok()).collect();
        self.columns.rows_with_errors(&rows.project(&places)?, self.tells_bad_rows)
    }
}

/// Files that others wrote, read as a stream declares its columns.
pub struct DeclaredFiles {
    inner: Arc<dyn TimedFiles>,
    rows: Arc<DeclaredRows>,
    files: Vec<TimedFile>,
}

impl DeclaredFiles {
    /// Files of a table. Only an archive tells of bad rows: the columns that another table has under those names are
    /// columns like any other.
    pub fn of_table(inner: Arc<dyn TimedFiles>, stream: &Stream) -> Result<DeclaredFiles> {
        let tells_bad_rows = inner.property(CLOCK_PROPERTY).is_some();
        DeclaredFiles::checked(inner, stream, tells_bad_rows)
    }

    /// Files whose reader tells of bad rows.
    pub fn new(inner: Arc<dyn TimedFiles>, stream: &Stream) -> Result<DeclaredFiles> {
        DeclaredFiles::checked(inner, stream, true)
    }

    fn checked(inner: Arc<dyn TimedFiles>, stream: &Stream, tells_bad_rows: bool) -> Result<DeclaredFiles> {
        let rows = DeclaredRows::checked(inner.name(), &inner.schema(), stream, tells_bad_rows)?;
        let files = inner.files().iter().map(|file| with_bounds_of(file, &rows.bounded)).collect();
        Ok(DeclaredFiles { inner, rows: Arc::new(rows), files })
    }
}

/// Refuses two columns whose paths are one name in files: a field with a dot in its name, and a field of an object.
fn refuse_two_paths(files: &str, stream: &Stream, index: usize, path: &[String]) -> Result<()> {
    let is_other = |source: &ColumnSource| match source {
        ColumnSource::Path(other) => other.as_slice() != path && other.join(".") == path.join("."),
        ColumnSource::Computed(_) => false,
    };
    let Some(other) = stream.sources[..index].iter().position(is_other) else { return Ok(()) };
    let name = |at: usize| stream.schema.field(at).name();
    Err(Error::invalid(format!(
        "stream \"{}\": columns \"{}\" and \"{}\" are both \"{}\" in {files}, where a field of that name and a field \
         within an object cannot be told apart: declare one of them",
        stream.name,
        name(other),
        name(index),
        path.join(".")
    )))
}

/// The column of files that a name means.
fn found<'a>(files: &str, own: &[&'a FieldRef], stream: &Stream, name: &str) -> Result<&'a FieldRef> {
    let names = || own.iter().map(|field| field.name().as_str());
    let at = find_name(names(), name).map_err(|[one, other]| {
        Error::invalid(format!(
            "stream \"{}\": columns \"{one}\" and \"{other}\" of {files} are both column \"{name}\", expected one of them",
            stream.name
        ))
    })?;
    at.map(|at| own[at]).ok_or_else(|| {
        let there = match names().collect::<Vec<_>>().as_slice() {
            _ if is_bad_row_column(name) => {
                "a column of files that has this name is not read: it would say which rows are bad; give it another name"
                    .to_owned()
            }
            [] => "it holds no row, so that no column of it is known".to_owned(),
            there => {
                let near = did_you_mean(name, there.iter().copied()).map_or(String::new(), |near| format!("{near} "));
                format!("{near}its columns are: {}", some_of(there.iter().copied()))
            }
        };
        Error::invalid(format!("stream \"{}\": column \"{name}\" is not in {files}; {there}", stream.name))
    })
}

/// Refuses a column that CAST does not take to the declared type.
fn check_cast(files: &str, stream: &Stream, found: &FieldRef, to: &DataType) -> Result<()> {
    if is_read(found.data_type(), to) {
        return Ok(());
    }
    let from = plain_type(found.data_type());
    let hint = values::hint(&from, to).map_or(String::new(), |hint| format!("; {hint}"));
    Err(Error::invalid(format!(
        "stream \"{}\": column \"{}\" is {} in {files}, which cannot become the declared {}{hint}",
        stream.name,
        found.name(),
        values::name(&from),
        values::name(to)
    )))
}

/// A file whose bounds are those of some of its columns, under their declared names.
fn with_bounds_of(file: &TimedFile, columns: &[(String, String)]) -> TimedFile {
    let renamed = |bounds: &[(String, Bounds)]| {
        let of = |name: &String| bounds.iter().find(|(own, _)| own == name).map(|(_, bounds)| *bounds);
        columns.iter().filter_map(|(own, declared)| Some((declared.clone(), of(own)?))).collect()
    };
    let groups = file.groups.iter().map(|group| RowGroup { bounds: renamed(&group.bounds), rows: group.rows });
    let (groups, bounds) = (groups.collect(), renamed(&file.bounds));
    TimedFile { path: file.path.clone(), rows: file.rows, bytes: file.bytes, bounds, groups, deletes: file.deletes }
}

impl TimedFiles for DeclaredFiles {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn schema(&self) -> SchemaRef {
        self.rows.columns.schema_with_errors()
    }

    fn files(&self) -> &[TimedFile] {
        &self.files
    }

    fn property(&self, key: &str) -> Option<String> {
        self.inner.property(key)
    }

    fn open(&self, file: usize, groups: Range<usize>, columns: &[String], batch_rows: usize) -> Result<RecordBatches> {
        let stream = &self.rows.columns.stream;
        let time_name = stream.schema.field(stream.time_column).name();
        // A pass over the time alone reads one column of the file.
        if let ([only], Some(time)) = (columns, &self.rows.time)
            && only == time_name
        {
            let rows = self.inner.open(file, groups, std::slice::from_ref(time), batch_rows)?;
            let schema = Arc::new(stream.schema.project(&[stream.time_column])?);
            return Ok(Box::new(rows.map(move |rows| {
                let (columns, _) = cast_to(&rows?, &schema)?;
                // A value that is no time is one that is not there: the pass over all columns says so.
                let schema = schema.field(0).clone().with_nullable(true);
                Ok(RecordBatch::try_new(Arc::new(Schema::new(vec![schema])), columns)?)
            })));
        }
        let mut names = self.rows.names.clone();
        let hidden = [ERROR_COLUMN, RAW_COLUMN].map(str::to_owned);
        let is_told = |name: &String| self.rows.tells_bad_rows && self.inner.schema().index_of(name).is_ok();
        names.extend(hidden.into_iter().filter(is_told));
        let rows = self.inner.open(file, groups, &names, batch_rows)?;
        let (declared, wanted) = (self.rows.clone(), columns.to_vec());
        Ok(Box::new(rows.map(move |rows| {
            let all = declared.of(&rows?)?;
            let schema = all.schema();
            let wanted = wanted.iter().map(|name| Ok(schema.index_of(name)?)).collect::<Result<Vec<_>>>()?;
            Ok(all.project(&wanted)?)
        })))
    }
}

impl DeclaredColumns {
    /// The declared columns, then those that say why a row cannot be used.
    fn schema_with_errors(&self) -> SchemaRef {
        let declared = self.stream.schema.fields().iter().cloned();
        Arc::new(Schema::new(declared.chain(bad_row_fields().map(Arc::new)).collect::<Vec<_>>()))
    }

    /// Rows with those columns; all may be NULL, since a row that cannot be used is among them.
    fn rows_with_errors(&self, rows: &RecordBatch, tells_bad_rows: bool) -> Result<RecordBatch> {
        let all = self.with_errors(rows, tells_bad_rows)?;
        let schema = self.schema_with_errors();
        let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        Ok(RecordBatch::try_new(Arc::new(Schema::new(nullable.collect::<Vec<_>>())), all)?)
    }

    /// The declared columns of rows of a file, then the reason why each cannot be used, and its text.
    fn with_errors(&self, rows: &RecordBatch, tells_bad_rows: bool) -> Result<Vec<ArrayRef>> {
        let count = rows.num_rows();
        let (raw, lost) = cast_to(rows, &self.stream.raw)?;
        let nullable: Vec<_> =
            self.stream.raw.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let raw = RecordBatch::try_new_with_options(Arc::new(Schema::new(nullable)), raw, &options)?;
        let (mut columns, failed) = self.columns(raw)?;
        let told_in = |name: &str| rows.column_by_name(name).filter(|_| tells_bad_rows);
        let told = told_in(ERROR_COLUMN);
        let failed = failed.into_iter().map(|(row, error)| (row, error.chain()));
        columns.push(errors_of(count, told, lost.into_iter().chain(failed).collect()));
        columns.push(match told_in(RAW_COLUMN) {
            Some(raw) => raw.clone(),
            None => new_null_array(&DataType::Binary, count),
        });
        Ok(columns)
    }
}

/// The reason for which each row cannot be used: the one that its file tells, or else the first one found.
fn errors_of(rows: usize, told: Option<&ArrayRef>, found: Vec<(usize, String)>) -> ArrayRef {
    let told = told.and_then(|column| column.as_string_opt::<i32>());
    if found.is_empty() && told.is_none_or(|told| told.null_count() == rows) {
        return new_null_array(&DataType::Utf8, rows);
    }
    let mut errors: Vec<Option<String>> = match told {
        Some(told) => told.iter().map(|error| error.map(str::to_owned)).collect(),
        None => vec![None; rows],
    };
    for (row, why) in found {
        errors[row].get_or_insert(why);
    }
    Arc::new(StringArray::from(errors))
}

/// The first columns of rows in the types of a schema, with NULL for values that do not fit; their rows and why.
fn cast_to(rows: &RecordBatch, schema: &SchemaRef) -> Result<ColumnsAndFailures<String>> {
    let (mut columns, mut lost) = (Vec::new(), Vec::new());
    for (column, field) in rows.columns().iter().zip(schema.fields()) {
        let (values, wrong) = read_with_reasons(column, field.data_type())?;
        lost.extend(wrong.into_iter().map(|(row, why)| (row, format!("column \"{}\" {why}", field.name()))));
        columns.push(values);
    }
    Ok((columns, lost))
}
