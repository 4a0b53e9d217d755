//! Parquet files: their columns, their rows, and a file of rows.

use super::format::FileColumn;
use super::parquet_footer::{Damage, Footers, bounds, footer};
use super::parquet_group::GroupRows;
use super::path_values::{FoundFile, contradictions, path_type};
use crate::disk::{file_bytes, io_error, sync_folder};
use arrow::array::{
    Array, ArrayRef, BinaryArray, RecordBatch, RecordBatchOptions, StringArray, UInt32Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::{
    Bounds, ERROR_COLUMN, Error, RAW_COLUMN, RecordBatches, Result, RowGroup, TimedFile, bad_row_fields, guarded,
    is_bad_row_column,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use values::{find_name, is_read, plain_type};

/// The columns of all files, each of a type that holds the values of all.
pub(super) fn common_schema(files: &[FoundFile]) -> Result<SchemaRef> {
    let mut all: Vec<(&Path, Field)> = Vec::new();
    for FoundFile { path, of_path } in files {
        let (_, metadata) = footer(path)?;
        // The type is that of a column of the file, where it has one.
        let is_own = |name: &str| metadata.schema().field_with_name(name).is_ok();
        let of_path = of_path.iter().filter(|(name, _)| !is_own(name));
        let type_of = |name: &String| {
            path_type(files.iter().flat_map(|f| &f.of_path).filter(|(of, _)| of == name).map(|(_, v)| v))
        };
        let of_path = of_path.map(|(name, _)| Field::new(name, type_of(name), true));
        // Whether a file has NULLs says nothing about the next one.
        let own = metadata.schema().fields().iter();
        let own = own.map(|field| Field::new(field.name(), plain_type(field.data_type()), true));
        for field in own.chain(of_path) {
            let same = all.iter().position(|(_, known)| known.name() == field.name());
            let is_like =
                |(_, known): &(&Path, Field)| known.name().eq_ignore_ascii_case(field.name()) && !is_own(known.name());
            let same = same.or_else(|| all.iter().position(is_like));
            match same.map(|at| &mut all[at]) {
                None => all.push((path, field)),
                Some((first, known)) => {
                    let (one, other) = (known.data_type().clone(), field.data_type());
                    let common = wider(&one, other).ok_or_else(|| {
                        Error::invalid(format!(
                            "\"{}\" and \"{}\" differ: column \"{}\" is {} in the first, {} in the second; declare it",
                            first.display(),
                            path.display(),
                            field.name(),
                            values::name(&one),
                            values::name(other)
                        ))
                    })?;
                    *known = known.clone().with_data_type(common);
                }
            }
        }
    }
    // A column without a value is text, as one of a text file is.
    let typed = |field: Field| match field.data_type() {
        DataType::Null => field.with_data_type(DataType::Utf8),
        _ => field,
    };
    Ok(Arc::new(Schema::new(all.into_iter().map(|(_, field)| typed(field)).collect::<Vec<_>>())))
}

/// The type that holds the values of two.
fn wider(one: &DataType, other: &DataType) -> Option<DataType> {
    let rank = |data_type: &DataType| {
        let types = [
            DataType::Int8,
            DataType::UInt8,
            DataType::Int16,
            DataType::UInt16,
            DataType::Int32,
            DataType::UInt32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
        ];
        types.iter().position(|known| known == data_type)
    };
    match (one, other) {
        (one, other) if one == other => Some(one.clone()),
        (DataType::Null, known) | (known, DataType::Null) => Some(known.clone()),
        (DataType::Date32, DataType::Timestamp(..)) | (DataType::Timestamp(..), DataType::Date32) => {
            Some(DataType::Timestamp(TimeUnit::Microsecond, None))
        }
        (one, other) if rank(one).is_some() && rank(other).is_some() => {
            let greater = if rank(one) > rank(other) { one } else { other };
            // A FLOAT does not hold every integer.
            let is_mixed = one.is_integer() != other.is_integer();
            Some(if is_mixed { DataType::Float64 } else { signed(greater) })
        }
        _ => None,
    }
}

/// An unsigned integer's type as the next signed one, which holds its values and negative ones.
fn signed(data_type: &DataType) -> DataType {
    match data_type {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        other => other.clone(),
    }
}

/// Parquet files and the columns that are read from them.
pub(super) struct ParquetFiles {
    found: Vec<FoundFile>,
    columns: Vec<(String, Option<DataType>)>,
    footers: Footers,
}

impl ParquetFiles {
    /// Finds the columns in the footers: those that are declared, if any file has them, then the others.
    pub fn open(
        pattern: &str,
        found: Vec<FoundFile>,
        declared: &[FileColumn],
    ) -> Result<(ParquetFiles, SchemaRef, Vec<TimedFile>)> {
        let declared: Vec<(String, DataType)> =
            declared.iter().map(|(path, data_type)| (path.join("."), data_type.clone())).collect();
        let declared: Vec<_> = declared.into_iter().filter(|(name, _)| !is_bad_row_column(name)).collect();
        let (mut is_there, mut others, mut files) = (vec![false; declared.len()], Vec::<Field>::new(), Vec::new());
        for file in &found {
            let path = &file.path;
            let (_, metadata) = footer(path)?;
            let own = metadata.schema().fields();
            let mut claimed = vec![false; own.len()];
            for ((name, to), is_there) in declared.iter().zip(&mut is_there) {
                let place = place(pattern, &metadata, file, name)?;
                *is_there |= place.own.is_some() || place.of_path.is_some();
                let Some(at) = place.own else { continue };
                claimed[at] = true;
                check_cast(path, &own[at], to)?;
            }
            let is_known = |others: &[Field], name: &str| others.iter().any(|known| known.name() == name);
            for field in own.iter().zip(claimed).filter(|(_, claimed)| !claimed).map(|(field, _)| field) {
                let is_read = !is_bad_row_column(field.name());
                if is_read && !is_known(&others, field.name()) && !declared.iter().any(|(name, _)| name == field.name())
                {
                    others.push(Field::new(field.name(), plain_type(field.data_type()), true));
                }
            }
            files.push(timed_file(file, &metadata, &declared)?);
        }
        let there = declared.iter().zip(is_there).filter(|(_, is_there)| *is_there).map(|(column, _)| column);
        let columns: Vec<(String, Option<DataType>)> = there
            .map(|(name, data_type)| (name.clone(), Some(data_type.clone())))
            .chain(others.iter().map(|field| (field.name().clone(), None)))
            .collect();
        let typed = |(at, (name, to)): (usize, &(String, Option<DataType>))| {
            let own = || others[at + others.len() - columns.len()].data_type().clone();
            Field::new(name, to.clone().unwrap_or_else(own), true)
        };
        let fields = columns.iter().enumerate().map(typed).chain(bad_row_fields()).collect::<Vec<_>>();
        let schema = Arc::new(Schema::new(fields));
        Ok((ParquetFiles { found, columns, footers: Footers::default() }, schema, files))
    }

    /// Columns by name, one row group after the other, with why a row cannot be used; row groups that the file lacks
    /// have no rows.
    pub fn read(
        &self,
        file: usize,
        groups: Range<usize>,
        names: &[String],
        batch_rows: usize,
    ) -> Result<RecordBatches> {
        let file = self.found.get(file).ok_or_else(|| Error::internal(format!("there is no file {file}")))?;
        let metadata = self.footers.of(&file.path)?;
        let asked = self.columns.iter().filter(|(name, _)| names.contains(name));
        let columns = asked.map(|(name, to)| {
            Ok(ReadColumn { name: name.clone(), to: to.clone(), place: place("", &metadata, file, name)? })
        });
        let projection =
            Arc::new(Projection { columns: columns.collect::<Result<Vec<_>>>()?, path: file.path.clone() });
        let groups = groups.start..groups.end.min(metadata.metadata().num_row_groups());
        let batches = groups.flat_map(move |group| -> RecordBatches {
            match read_group(&projection, &metadata, group, batch_rows) {
                Ok(batches) => batches,
                Err(error) => Box::new(std::iter::once(Err(error))),
            }
        });
        Ok(Box::new(batches.scan(false, |failed, batch| {
            let stop = std::mem::replace(failed, batch.is_err());
            (!stop).then_some(batch)
        })))
    }
}

/// Where a file has a column, if it has it.
struct Place {
    /// Among its columns.
    own: Option<usize>,
    /// In its path, which says what the value is.
    of_path: Option<Option<String>>,
}

fn place(pattern: &str, metadata: &ArrowReaderMetadata, file: &FoundFile, name: &str) -> Result<Place> {
    let names = metadata.schema().fields().iter().map(|field| field.name().as_str());
    let own = find_name(names, name).map_err(|[one, other]| {
        Error::invalid(format!(
            "files \"{pattern}\": columns \"{one}\" and \"{other}\" of \"{}\" are both column \"{name}\", expected one \
             of them",
            file.path.display()
        ))
    })?;
    let of_path = file.of_path.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
    Ok(Place { own, of_path: of_path.map(|(_, value)| value.clone()) })
}

fn check_cast(path: &Path, found: &Field, to: &DataType) -> Result<()> {
    if is_read(found.data_type(), to) {
        return Ok(());
    }
    let from = plain_type(found.data_type());
    let hint = values::hint(&from, to).map_or(String::new(), |hint| format!("; {hint}"));
    Err(Error::invalid(format!(
        "\"{}\": column \"{}\" is {}, which cannot become the declared {}{hint}",
        path.display(),
        found.name(),
        values::name(&from),
        values::name(to)
    )))
}

fn timed_file(file: &FoundFile, metadata: &ArrowReaderMetadata, declared: &[(String, DataType)]) -> Result<TimedFile> {
    let rows = metadata.metadata().row_groups().iter().map(|group| group.num_rows() as u64).sum();
    // Bounds are told under the declared names, of columns that are declared as what they are.
    let mut names = Vec::new();
    for (name, to) in declared.iter().filter(|(_, to)| matches!(to, DataType::Timestamp(..))) {
        if let Place { own: Some(at), of_path: None } = place("", metadata, file, name)?
            && plain_type(metadata.schema().field(at).data_type()) == *to
        {
            names.push((metadata.schema().field(at).name().clone(), name.clone()));
        }
    }
    let renamed = |bounds: Vec<(String, Bounds)>| {
        let name = |(own, bounds): (String, Bounds)| {
            names.iter().find(|(known, _)| *known == own).map(|(_, name)| (name.clone(), bounds))
        };
        bounds.into_iter().filter_map(name).collect::<Vec<_>>()
    };
    let (bounds, groups) = bounds(metadata);
    let groups = groups.into_iter().map(|group| RowGroup { rows: group.rows, bounds: renamed(group.bounds) }).collect();
    let bytes = file_bytes(&file.path)?;
    Ok(TimedFile { path: file.path.display().to_string(), rows, bytes, bounds: renamed(bounds), groups, deletes: None })
}

/// A column that is read: its name, its declared type and where the file has it.
struct ReadColumn {
    name: String,
    to: Option<DataType>,
    place: Place,
}

/// The columns that are read from a file.
struct Projection {
    columns: Vec<ReadColumn>,
    path: PathBuf,
}

impl Projection {
    /// The columns that the file has, ascending: the sequence in which it gives them.
    fn roots(&self) -> Vec<usize> {
        let mut roots: Vec<usize> = self.columns.iter().filter_map(|column| column.place.own).collect();
        roots.sort_unstable();
        roots.dedup();
        roots
    }

    /// The columns as they are declared, then why a row cannot be used.
    fn apply(&self, batch: &RecordBatch, roots: &[usize]) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let mut reasons: Vec<Option<String>> = vec![None; rows];
        let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        for column in &self.columns {
            let at = column.place.own.and_then(|own| roots.binary_search(&own).ok());
            let stored = at.map(|at| batch.column(at).clone());
            let to = match (&column.to, &stored) {
                (Some(to), _) => to.clone(),
                (None, Some(stored)) => plain_type(stored.data_type()),
                (None, None) if column.place.of_path.is_some() => DataType::Utf8,
                (None, None) => DataType::Null,
            };
            let own = stored.map(|stored| read(&column.name, &stored, &to, &mut reasons)).transpose()?;
            let values = match (&column.place.of_path, own) {
                (Some(value), own) => of_path(&column.name, (value, &to), own, &mut reasons)?,
                (None, Some(own)) => own,
                (None, None) => new_null_array(&to, rows),
            };
            fields.push(Field::new(&column.name, to, true));
            columns.push(values);
        }
        fields.extend([ERROR_COLUMN, RAW_COLUMN].map(|name| {
            let data_type = if name == ERROR_COLUMN { DataType::Utf8 } else { DataType::Binary };
            Field::new(name, data_type, true)
        }));
        columns.push(Arc::new(StringArray::from(reasons)));
        columns.push(Arc::new(BinaryArray::new_null(rows)));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }
}

/// The value of a path in all rows, with a reason for each row that has another one of its own.
fn of_path(
    name: &str,
    (value, to): (&Option<String>, &DataType),
    own: Option<ArrayRef>,
    reasons: &mut [Option<String>],
) -> Result<ArrayRef> {
    let text: ArrayRef = Arc::new(StringArray::from(vec![value.clone()]));
    let all = UInt32Array::from(vec![0; reasons.len()]);
    let values = read(name, &take(&text, &all, None)?, to, reasons)?;
    if let Some(own) = own.filter(|own| !own.is_empty()) {
        for (row, why) in contradictions(name, &values, &own)? {
            reasons[row].get_or_insert(why);
        }
    }
    Ok(values)
}

/// Stored values in a declared type, with a reason for each that is none of it.
fn read(name: &str, stored: &ArrayRef, to: &DataType, reasons: &mut [Option<String>]) -> Result<ArrayRef> {
    let (values, wrong) = values::read_with_reasons(stored, to)?;
    for (row, why) in wrong {
        reasons[row].get_or_insert_with(|| format!("column \"{name}\" {why}"));
    }
    Ok(values)
}

fn read_group(
    projection: &Arc<Projection>,
    metadata: &ArrowReaderMetadata,
    group: usize,
    batch_rows: usize,
) -> Result<RecordBatches> {
    let projection = projection.clone();
    let damaged = move |path: &Path, why: Damage| {
        Error::corrupt(format!("\"{}\": row group {group} cannot be read", path.display())).with_source(why)
    };
    let path = projection.path.clone();
    let file = File::open(&path).map_err(|e| io_error("open", &path, e))?;
    let roots = projection.roots();
    let mut rows = GroupRows::new(file, metadata.clone(), &roots, group, batch_rows);
    // Whoever reads stops at the first error, so what has panicked is not asked again.
    let mut next = move || {
        let batch = guarded(|why| damaged(&path, why.into()), || rows.next().map_err(|why| damaged(&path, why)))?;
        batch.map(|batch| projection.apply(&batch, &roots)).transpose()
    };
    Ok(Box::new(std::iter::from_fn(move || next().transpose())))
}

/// Writes rows as a Parquet file, which is there as a whole or not at all, and returns how many rows it has. A file
/// that was there is replaced.
pub fn write_parquet(path: &Path, schema: SchemaRef, batches: RecordBatches) -> Result<u64> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}.unfinished", uuid::Uuid::new_v4().simple()));
    let unfinished = PathBuf::from(unfinished);
    let written = write(&unfinished, schema, batches).and_then(|rows| {
        std::fs::rename(&unfinished, path).map_err(|e| io_error("write", path, e))?;
        path.parent().map_or(Ok(()), |folder| {
            sync_folder(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        })?;
        Ok(rows)
    });
    if written.is_err() {
        // What is left of it would only take up space; the error that matters is the first one.
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}

fn write(path: &Path, schema: SchemaRef, batches: RecordBatches) -> Result<u64> {
    let failed = |e: ParquetError| {
        let other = |e: Box<dyn std::error::Error + Send + Sync>| {
            Error::unavailable(format!("cannot write \"{}\"", path.display())).with_source(e)
        };
        match e {
            ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
                Ok(error) => io_error("write", path, *error),
                Err(cause) => other(cause),
            },
            e => other(e.into()),
        }
    };
    let file = File::create(path).map_err(|e| io_error("make", path, e))?;
    let compression = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).map_err(failed)?;
    let mut rows = 0;
    for batch in batches {
        let batch: RecordBatch = batch?;
        rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(failed)?;
    }
    let file = writer.into_inner().map_err(failed)?;
    file.sync_all().map_err(|e| io_error("sync", path, e))?;
    Ok(rows)
}
