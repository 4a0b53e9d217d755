//! CSV files and files of JSON lines: which columns they have, and their rows.

use super::format::Format;
use super::path_values::path_values;
use super::rows::{TextColumn, TextFile};
use super::{FileColumn, JsonLines, file_bytes};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflow::{ERROR_COLUMN, Error, RAW_COLUMN, RecordBatches, Result, RowGroup, TimedFile, bad_row_fields};
use std::sync::Arc;

/// Text files, each with its columns.
pub(super) struct TextFiles(Vec<(TextFile, Vec<TextColumn>)>);

impl TextFiles {
    /// Finds the columns, and reads each file once for the bounds of its timestamps.
    pub fn open(files: Vec<TextFile>, declared: &[FileColumn]) -> Result<(TextFiles, SchemaRef, Vec<TimedFile>)> {
        let columns = columns(&files, declared)?;
        let fields = columns.iter().map(|(path, data_type)| Field::new(path.join("."), data_type.clone(), true));
        let schema = Arc::new(Schema::new(fields.chain(bad_row_fields()).collect::<Vec<_>>()));
        let (mut with_columns, mut timed) = (Vec::new(), Vec::new());
        for file in files {
            let of_path = path_values(&file.path);
            let column = |(path, data_type): &FileColumn| {
                let name = path.join(".");
                let constant = of_path.iter().find(|(own, _)| own.eq_ignore_ascii_case(&name));
                let constant = constant.map(|(_, value)| value.clone());
                TextColumn { name, path: path.clone(), data_type: data_type.clone(), constant }
            };
            let columns: Vec<TextColumn> = columns.iter().map(column).collect();
            let (rows, bounds) = file.summary(&columns)?;
            let groups = vec![RowGroup { rows: Some(rows), bounds: Vec::new() }];
            let path = file.path.display().to_string();
            timed.push(TimedFile { path, rows, bytes: file_bytes(&file.path)?, bounds, groups });
            with_columns.push((file, columns));
        }
        Ok((TextFiles(with_columns), schema, timed))
    }

    /// The columns of a file by name, in batches; why a row cannot be used and its text are the last two.
    pub fn read(&self, file: usize, names: &[String], batch_rows: usize) -> Result<RecordBatches> {
        let (file, columns) = self.file(file)?;
        let is_asked = |column: &&TextColumn| names.contains(&column.name);
        let columns: Vec<TextColumn> = columns.iter().filter(is_asked).cloned().collect();
        file.read(&columns, batch_rows)
    }

    pub fn json_lines(&self, file: usize) -> Result<Option<JsonLines>> {
        let (file, _) = self.file(file)?;
        match file.format {
            Format::JsonLines => Ok(Some(JsonLines { lines: file.json_lines()? })),
            _ => Ok(None),
        }
    }

    fn file(&self, file: usize) -> Result<&(TextFile, Vec<TextColumn>)> {
        self.0.get(file).ok_or_else(|| Error::internal(format!("there is no file {file}")))
    }
}

/// The declared columns that any of the files has, then the others that headers and paths name, as text. An object of
/// JSON may lack any field, and a file without a header lacks nothing.
fn columns(files: &[TextFile], declared: &[FileColumn]) -> Result<Vec<FileColumn>> {
    let mut names: Vec<String> = Vec::new();
    let mut is_any = true;
    for file in files {
        let mut add = |name: &str| {
            if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                names.push(name.to_owned());
            }
        };
        path_values(&file.path).iter().for_each(|(name, _)| add(name));
        if file.format == Format::Csv {
            let records = file.records()?;
            is_any &= records.header().is_empty();
            records.header().iter().for_each(|name| add(name));
        }
    }
    let is_named = |name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let mut columns: Vec<FileColumn> =
        declared.iter().filter(|(path, _)| is_any || is_named(&path.join("."))).cloned().collect();
    let is_declared = |name: &str| {
        let hidden = [ERROR_COLUMN, RAW_COLUMN].contains(&name);
        hidden || columns.iter().any(|(path, _)| path.join(".").eq_ignore_ascii_case(name))
    };
    let others: Vec<FileColumn> =
        names.iter().filter(|name| !is_declared(name)).map(|name| (vec![name.clone()], DataType::Utf8)).collect();
    columns.extend(others);
    Ok(columns)
}
