//! A stream's declared columns over what messages and files really hold: renamed, cast and computed.

use arrow::array::{Array, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::SchemaRef;
use dataflow::{Batch, Decode, Decoded, Error, RecordBatches, Result, RowOrder, TimedFile, TimedFiles};
use sql::{ColumnSource, Stream};
use std::sync::Arc;

/// Evaluates the computed columns of a stream over its decoded ones.
#[derive(Clone, Debug)]
struct Columns {
    stream: Stream,
}

impl Columns {
    /// Declared columns from decoded ones, and the rows on which an expression fails.
    fn declared(&self, raw: RecordBatch) -> Result<Decoded> {
        let rows = raw.num_rows();
        let raw = Batch::new(raw, vec![0; rows], vec![RowOrder::default(); rows])?;
        let (mut columns, mut bad, mut next) = (Vec::new(), Vec::new(), 0);
        for source in &self.stream.sources {
            match source {
                ColumnSource::Path(_) => {
                    columns.push(raw.column(next).clone());
                    next += 1;
                }
                ColumnSource::Computed(scalar) => {
                    let evaluated = scalar.evaluate(&raw)?;
                    columns.push(evaluated.values);
                    bad.extend(evaluated.failed);
                }
            }
        }
        bad.sort_by_key(|(row, _)| *row);
        bad.dedup_by_key(|(row, _)| *row);
        let all = RecordBatch::try_new(self.stream.schema.clone(), columns)?;
        let kept: arrow::array::BooleanArray =
            (0..rows).map(|row| Some(bad.binary_search_by_key(&row, |(row, _)| *row).is_err())).collect();
        let good = if bad.is_empty() { all } else { arrow::compute::filter_record_batch(&all, &kept)? };
        Ok(Decoded { rows: good, bad })
    }
}

/// The names that a stream's decoded columns have in files (paths are joined by dots), and their declared types.
pub fn file_types(stream: &Stream) -> Vec<(String, arrow::datatypes::DataType)> {
    let of = |(index, source): (usize, &ColumnSource)| match source {
        ColumnSource::Path(path) => Some((path.join("."), stream.schema.field(index).data_type().clone())),
        ColumnSource::Computed(_) => None,
    };
    stream.sources.iter().enumerate().filter_map(of).collect()
}

/// The declared columns of rows that hold the decoded ones.
pub fn declared_rows(stream: &Stream, raw: RecordBatch) -> Result<Decoded> {
    Columns { stream: stream.clone() }.declared(raw)
}

/// Decodes the columns of a payload, then computes the others.
pub struct Computed {
    inner: Box<dyn Decode>,
    columns: Columns,
}

impl Computed {
    /// Takes a decoder of the stream's raw columns.
    pub fn new(inner: Box<dyn Decode>, stream: &Stream) -> Computed {
        Computed { inner, columns: Columns { stream: stream.clone() } }
    }
}

impl Decode for Computed {
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

/// Files that others wrote, read as a stream declares its columns.
pub struct DeclaredFiles {
    inner: Arc<dyn TimedFiles>,
    columns: Columns,
    // The file column of each raw column.
    names: Vec<String>,
    // The time column's own name in the files, whose bounds hold for it; `None` when it is computed.
    time: Option<String>,
    files: Vec<TimedFile>,
}

impl DeclaredFiles {
    /// Checks that every column that is not computed is there with a type that can be cast to the declared one.
    pub fn new(inner: Arc<dyn TimedFiles>, stream: &Stream) -> Result<DeclaredFiles> {
        let schema = inner.schema();
        let (mut names, mut time) = (Vec::new(), None);
        for (index, source) in stream.sources.iter().enumerate() {
            let ColumnSource::Path(path) = source else { continue };
            let declared = stream.schema.field(index);
            let name = path.join(".");
            let found =
                schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(&name)).ok_or_else(|| {
                    let there: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                    Error::invalid(format!(
                        "stream \"{}\": column \"{name}\" is not in {}; its columns are: {}",
                        stream.name,
                        inner.name(),
                        there.join(", ")
                    ))
                })?;
            if !arrow::compute::can_cast_types(found.data_type(), declared.data_type()) {
                return Err(Error::invalid(format!(
                    "stream \"{}\": column \"{name}\" is {} in {}, declared as {}",
                    stream.name,
                    found.data_type(),
                    inner.name(),
                    declared.data_type()
                )));
            }
            if index == stream.time_column {
                time = Some(found.name().clone());
            }
            names.push(found.name().clone());
        }
        let time_name = stream.schema.field(stream.time_column).name();
        let files = inner.files().iter().map(|file| with_bounds_of(file, time.as_deref(), time_name)).collect();
        Ok(DeclaredFiles { inner, columns: Columns { stream: stream.clone() }, names, time, files })
    }
}

/// A file whose bounds are those of the time column alone, under its declared name.
fn with_bounds_of(file: &TimedFile, from: Option<&str>, to: &str) -> TimedFile {
    let bounds = file.bounds.iter().filter(|(name, _)| Some(name.as_str()) == from);
    TimedFile { bounds: bounds.map(|(_, bounds)| (to.to_owned(), *bounds)).collect(), ..file.clone() }
}

impl TimedFiles for DeclaredFiles {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn schema(&self) -> SchemaRef {
        self.columns.stream.schema.clone()
    }

    fn files(&self) -> &[TimedFile] {
        &self.files
    }

    fn property(&self, key: &str) -> Option<String> {
        self.inner.property(key)
    }

    fn open(&self, file: usize, columns: &[String], batch_rows: usize) -> Result<RecordBatches> {
        let stream = &self.columns.stream;
        let time_name = stream.schema.field(stream.time_column).name();
        // A pass over the time alone reads one column of the file.
        if let ([only], Some(time)) = (columns, &self.time)
            && only == time_name
        {
            let rows = self.inner.open(file, std::slice::from_ref(time), batch_rows)?;
            let schema = Arc::new(stream.schema.project(&[stream.time_column])?);
            let at = format!("stream \"{}\", {}", stream.name, self.files[file].path);
            return Ok(Box::new(rows.map(move |rows| cast_to(&rows?, &schema, &at))));
        }
        let rows = self.inner.open(file, &self.names, batch_rows)?;
        let wanted = columns.iter().map(|name| Ok(stream.schema.index_of(name)?)).collect::<Result<Vec<_>>>()?;
        let of_stream = self.columns.clone();
        let at = format!("stream \"{}\", {}", stream.name, self.files[file].path);
        Ok(Box::new(rows.map(move |rows| {
            let raw = cast_to(&rows?, &of_stream.stream.raw, &at)?;
            let declared = of_stream.declared(raw)?;
            if let Some((row, error)) = declared.bad.into_iter().next() {
                return Err(error.context(format!("{at}: row {row} of a batch cannot be computed")));
            }
            Ok(declared.rows.project(&wanted)?)
        })))
    }
}

fn cast_to(rows: &RecordBatch, schema: &SchemaRef, at: &str) -> Result<RecordBatch> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let cast = |(column, field): (&Arc<dyn Array>, &Arc<arrow::datatypes::Field>)| {
        cast_with_options(column, field.data_type(), &options).map_err(|error| {
            Error::data(format!("{at}: column \"{}\" does not fit {}", field.name(), field.data_type()))
                .with_source(error)
        })
    };
    let columns = rows.columns().iter().zip(schema.fields()).map(cast).collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
