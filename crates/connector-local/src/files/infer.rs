//! The columns of text files that nothing declares.

use super::cell::Cell;
use super::format::Format;
use super::lines::Lines;
use super::object::{Dots, put_object};
use super::path_values::path_type;
use super::rows::TextFile;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// More columns than anybody names: fields whose names are values, such as ids, each of which would be a column.
const COLUMNS_MAX: usize = 5_000;

/// What the values of a column have all been so far.
#[derive(Clone, Debug)]
struct InferredColumn {
    name: String,
    // The header or the object that has named it last.
    seen_in: u64,
    values: u64,
    objects: u64,
    // What the dots of its name were in objects.
    dots: Vec<Dots>,
    boolean: bool,
    integer: bool,
    double: bool,
    timestamp: bool,
}

impl InferredColumn {
    fn new(name: &str) -> InferredColumn {
        let name = name.to_owned();
        InferredColumn {
            name,
            seen_in: 0,
            values: 0,
            objects: 0,
            dots: Vec::new(),
            boolean: true,
            integer: true,
            double: true,
            timestamp: true,
        }
    }

    fn see(&mut self, cell: &Cell<'_>) {
        if *cell == Cell::Null {
            return;
        }
        if *cell == Cell::Object {
            self.objects += 1;
            return;
        }
        self.values += 1;
        self.boolean &= cell.boolean().is_some();
        self.integer &= self.integer && cell.integer().is_some();
        // In a column without a declared type `nan` and `inf` are words, and a DOUBLE has no more than 17 digits.
        self.double &= self.double && !cell.is_large_integer() && cell.double().is_some_and(f64::is_finite);
        self.timestamp &= self.timestamp && cell.is_timestamp();
    }

    fn data_type(&self) -> DataType {
        match self {
            InferredColumn { values: 0, .. } | InferredColumn { objects: 1.., .. } => DataType::Utf8,
            InferredColumn { boolean: true, .. } => DataType::Boolean,
            InferredColumn { integer: true, .. } => DataType::Int64,
            InferredColumn { double: true, .. } => DataType::Float64,
            InferredColumn { timestamp: true, .. } => DataType::Timestamp(TimeUnit::Microsecond, None),
            _ => DataType::Utf8,
        }
    }
}

/// The columns of text files: BOOLEAN, BIGINT, DOUBLE, TIMESTAMP where every value is one, else TEXT. Reads every
/// file once; rows that cannot be read say nothing. Folders of paths have the types of [`path_type`].
pub(super) fn schema(files: &[TextFile]) -> Result<SchemaRef> {
    let (mut all, mut seen) = (Vec::<InferredColumn>::new(), 0);
    for file in files {
        match file.format {
            Format::Csv => see_csv(file, &mut all, &mut seen)?,
            _ => see_lines(file, &mut all, &mut seen)?,
        }
    }
    let mut of_path: Vec<(&String, Vec<&Option<String>>)> = Vec::new();
    for (name, value) in files.iter().flat_map(|file| &file.of_path) {
        // What the rows of some file have as well is what the values of both are.
        if let Some(own) = all.iter_mut().find(|own| own.name == *name) {
            own.see(&value.as_deref().map_or(Cell::Null, Cell::Bare));
        } else if let Some((_, values)) = of_path.iter_mut().find(|(known, _)| *known == name) {
            values.push(value);
        } else {
            of_path.push((name, vec![value]));
        }
    }
    // A field is the object that it is in some rows, or text where it is a value in others.
    let below = |column: &InferredColumn, outer: &InferredColumn| {
        column.name.strip_prefix(outer.name.as_str()).is_some_and(|rest| rest.starts_with('.'))
    };
    let outer: Vec<&InferredColumn> = all.iter().filter(|column| column.objects > 0).collect();
    let is_column = |column: &&InferredColumn| match column {
        InferredColumn { values: 0, objects: 1.., .. } => !all.iter().any(|other| below(other, column)),
        _ => !outer.iter().any(|outer| outer.values > 0 && below(column, outer)),
    };
    let columns = all.iter().filter(is_column);
    let fields = columns.map(field).collect::<Result<Vec<_>>>()?.into_iter();
    let of_path = of_path.into_iter().map(|(name, values)| Field::new(name, path_type(values.into_iter()), true));
    Ok(Arc::new(Schema::new(fields.chain(of_path).collect::<Vec<_>>())))
}

/// A column, which says of itself where the dots of its name are letters.
fn field(column: &InferredColumn) -> Result<Field> {
    let (name, field) = (&column.name, Field::new(&column.name, column.data_type(), true));
    match column.dots.as_slice() {
        _ if !name.contains('.') => Ok(field),
        [] | [Dots::Path] => Ok(field),
        [Dots::Letters] => Ok(field.with_metadata(HashMap::from([(values::WHOLE_NAME.to_owned(), String::new())]))),
        _ => Err(Error::invalid(format!(
            "\"{name}\" is the name of a field in some objects and the way to a field within an object in others, \
             which are two columns: declare those that are needed, as in `x TEXT FROM \"{name}\", y TEXT FROM {name}`"
        ))),
    }
}

fn see_csv(file: &TextFile, all: &mut Vec<InferredColumn>, seen: &mut u64) -> Result<()> {
    let mut records = file.records()?;
    *seen += 1;
    // Exact names first: each of the others is a column of another case, unless the header has that one as well.
    for column in all.iter_mut().filter(|column| records.header().contains(&column.name)) {
        column.seen_in = *seen;
    }
    let mut places = Vec::new();
    for (at, name) in records.header().iter().enumerate() {
        places.push(find(all, name, at, *seen));
        refuse_many(file, all)?;
    }
    while let Some(record) = records.next()? {
        if record.is_ok() {
            for (text, &at) in records.values().zip(&places) {
                all[at].see(&if text.is_empty() { Cell::Null } else { Cell::Bare(text) });
            }
        }
    }
    Ok(())
}

fn refuse_many(file: &TextFile, all: &[InferredColumn]) -> Result<()> {
    let Some(last) = all.get(COLUMNS_MAX) else { return Ok(()) };
    Err(Error::invalid(format!(
        "\"{}\" has a field \"{}\", and with it more than {COLUMNS_MAX} fields, each of which would be a column: declare \
         the columns of the stream; an object whose fields are many comes as text, as in `counts TEXT`",
        file.path.display(),
        last.name
    )))
}

fn see_lines(file: &TextFile, all: &mut Vec<InferredColumn>, seen: &mut u64) -> Result<()> {
    let lines: &mut Lines = &mut file.json_lines()?;
    let (mut memory, mut likely) = (Vec::new(), 0);
    while let Some(line) = lines.next(memory)? {
        *seen += 1;
        if let (false, Ok(text)) = (line.is_too_long || line.is_blank(), std::str::from_utf8(&line.bytes)) {
            // The reason for which a row is bad is told when it is read.
            let _ = put_object(text, &mut |name, dots, cell| {
                likely = find(all, name, likely, *seen);
                all[likely].see(&cell);
                if !all[likely].dots.contains(&dots) {
                    all[likely].dots.push(dots);
                }
                likely += 1;
            });
            refuse_many(file, all)?;
        }
        memory = line.bytes;
    }
    Ok(())
}

/// The place of a column, which is made when it is not there: of the exact name, or of one that differs in the case of
/// letters alone and that this header or object has not named. Fields tend to come in one order, so the likely one is
/// tried first.
fn find(all: &mut Vec<InferredColumn>, name: &str, likely: usize, seen: u64) -> usize {
    let exact = match all.get(likely).is_some_and(|column| column.name == name) {
        true => Some(likely),
        false => all.iter().position(|column| column.name == name),
    };
    let is_like = |column: &InferredColumn| column.seen_in != seen && column.name.eq_ignore_ascii_case(name);
    let at = exact.or_else(|| all.iter().position(is_like)).unwrap_or_else(|| {
        all.push(InferredColumn::new(name));
        all.len() - 1
    });
    all[at].seen_in = seen;
    at
}
