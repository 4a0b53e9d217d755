//! CSV files and files of JSON lines: which columns they have, and their rows.

use super::format::{FileColumn, Format};
use super::lines::JsonLines;
use super::rows::{TextColumn, TextFile, header_place};
use crate::disk::file_bytes;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflow::{Error, RecordBatches, Result, RowGroup, TimedFile, bad_row_fields, is_bad_row_column};
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
            let header = if file.format == Format::Csv { file.records()?.header().to_vec() } else { Vec::new() };
            let column = |(path, data_type): &FileColumn| {
                let name = path.join(".");
                let is_stored = header.iter().any(|own| own.eq_ignore_ascii_case(&name));
                let constant = file.of_path.iter().find(|(own, _)| !is_stored && own.eq_ignore_ascii_case(&name));
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
            Format::JsonLines => Ok(Some(JsonLines(file.json_lines()?))),
            _ => Ok(None),
        }
    }

    fn file(&self, file: usize) -> Result<&(TextFile, Vec<TextColumn>)> {
        self.0.get(file).ok_or_else(|| Error::internal(format!("there is no file {file}")))
    }
}

/// The columns that headers and paths name, as they are declared, or else as text; where a file is of JSON, whose
/// objects may lack any field, and where no file has a header, all that are declared too.
fn columns(files: &[TextFile], declared: &[FileColumn]) -> Result<Vec<FileColumn>> {
    let mut columns: Vec<FileColumn> = Vec::new();
    let mut are_all = true;
    for file in files {
        let mut names: Vec<String> = file.of_path.iter().map(|(name, _)| name.clone()).collect();
        if file.format == Format::Csv {
            let records = file.records()?;
            for (path, _) in declared {
                header_place(records.header(), &path.join("."), &file.path)?;
            }
            are_all &= records.header().is_empty();
            names.extend(records.header().iter().cloned());
        }
        for name in names.iter().filter(|name| !is_bad_row_column(name)) {
            let is_named = |path: &[String]| path.join(".").eq_ignore_ascii_case(name);
            let is_known = columns.iter().any(|(path, _)| is_named(path));
            let own =
                declared.iter().filter(|(path, _)| is_named(path) && !columns.iter().any(|(known, _)| known == path));
            let own: Vec<FileColumn> = own.cloned().collect();
            match own.is_empty() && !is_known {
                true => columns.push((vec![name.clone()], DataType::Utf8)),
                false => columns.extend(own),
            }
        }
    }
    let others = declared.iter().filter(|(path, _)| are_all && !columns.iter().any(|(known, _)| known == path));
    let others: Vec<FileColumn> = others.filter(|(path, _)| !is_bad_row_column(&path.join("."))).cloned().collect();
    columns.extend(others);
    Ok(columns)
}
