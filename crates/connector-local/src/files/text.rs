//! CSV files and files of JSON lines: which columns they have, and their rows.

use super::format::{FileColumn, Format};
use super::path_values::PathValues;
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
        let (files, schema) = TextFiles::with_columns(files, declared)?;
        let mut timed = Vec::new();
        for (file, columns) in &files.0 {
            let (rows, bounds) = file.summary(columns)?;
            let groups = vec![RowGroup { rows: Some(rows), bounds: Vec::new() }];
            let path = file.path.display().to_string();
            timed.push(TimedFile { path, rows, bytes: file_bytes(&file.path)?, bounds, groups, deletes: None });
        }
        Ok((files, schema, timed))
    }

    /// Finds the columns, which stand in the headers and in the paths.
    pub fn with_columns(files: Vec<TextFile>, declared: &[FileColumn]) -> Result<(TextFiles, SchemaRef)> {
        let mut headers = Vec::new();
        for file in &files {
            headers.push(if file.format == Format::Csv { file.records()?.header().to_vec() } else { Vec::new() });
        }
        let columns = columns(files.iter().zip(headers.iter().map(Vec::as_slice)), declared)?;
        let fields = columns.iter().map(|((path, data_type), _)| Field::new(path.join("."), data_type.clone(), true));
        let schema = Arc::new(Schema::new(fields.chain(bad_row_fields()).collect::<Vec<_>>()));
        let own = |file: TextFile| {
            let columns = text_columns(&columns, &file.of_path);
            (file, columns)
        };
        Ok((TextFiles(files.into_iter().map(own).collect()), schema))
    }

    /// How many files there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The columns of a file by name, in batches; why a row cannot be used and its text are the last two.
    pub fn read(&self, file: usize, names: &[String], batch_rows: usize) -> Result<RecordBatches> {
        let (file, columns) = self.file(file)?;
        let is_asked = |column: &&TextColumn| names.contains(&column.name);
        let columns: Vec<TextColumn> = columns.iter().filter(is_asked).cloned().collect();
        file.read(&columns, batch_rows)
    }

    /// A file and its columns.
    pub fn file(&self, file: usize) -> Result<&(TextFile, Vec<TextColumn>)> {
        self.0.get(file).ok_or_else(|| Error::internal(format!("there is no file {file}")))
    }
}

/// A column, and whether it is declared.
pub(super) type KnownColumn = (FileColumn, bool);

/// The columns of a text, those that stand in its path with their value.
pub(super) fn text_columns(columns: &[KnownColumn], of_path: &PathValues) -> Vec<TextColumn> {
    let column = |((path, data_type), is_declared): &KnownColumn| {
        let name = path.join(".");
        let constant = of_path.iter().find(|(own, _)| own.eq_ignore_ascii_case(&name));
        let constant = constant.map(|(_, value)| value.clone());
        TextColumn { name, path: path.clone(), data_type: data_type.clone(), constant, is_declared: *is_declared }
    };
    columns.iter().map(column).collect()
}

/// The columns that headers and paths name, as they are declared, or else as text; where a file is of JSON, whose
/// objects may lack any field, and where no file has a header, all that are declared too.
pub(super) fn columns<'a>(
    files: impl Iterator<Item = (&'a TextFile, &'a [String])>,
    declared: &[FileColumn],
) -> Result<Vec<KnownColumn>> {
    let mut columns: Vec<KnownColumn> = Vec::new();
    let mut are_all = true;
    for (file, header) in files {
        are_all &= header.is_empty();
        // A name of a folder is that of a column whatever the case of its letters.
        for (name, _) in file.of_path.iter().filter(|(name, _)| !is_bad_row_column(name)) {
            let is_named = |path: &[String]| path.join(".").eq_ignore_ascii_case(name);
            let own: Vec<&FileColumn> = declared.iter().filter(|(path, _)| is_named(path)).collect();
            own.iter().for_each(|column| add(&mut columns, column, true));
            if own.is_empty() && !columns.iter().any(|((path, _), _)| is_named(path)) {
                add(&mut columns, &(vec![name.clone()], DataType::Utf8), false);
            }
        }
        let mut meant = vec![None; header.len()];
        for column in declared {
            if let Some(at) = header_place(header, &column.0.join("."), &file.path)? {
                meant[at] = Some(column);
            }
        }
        for (name, meant) in header.iter().zip(meant).filter(|(name, _)| !is_bad_row_column(name)) {
            let is_of_path = file.of_path.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
            match meant {
                Some(column) => add(&mut columns, column, true),
                None if is_of_path => {}
                None => add(&mut columns, &(vec![name.clone()], DataType::Utf8), false),
            }
        }
    }
    let others = declared.iter().filter(|(path, _)| are_all && !is_bad_row_column(&path.join(".")));
    others.for_each(|column| add(&mut columns, column, true));
    Ok(columns)
}

/// Adds a column, unless it is known.
fn add(columns: &mut Vec<KnownColumn>, column: &FileColumn, is_declared: bool) {
    if !columns.iter().any(|((path, _), known)| *path == column.0 && *known == is_declared) {
        columns.push((column.clone(), is_declared));
    }
}
