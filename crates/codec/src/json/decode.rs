//! JSON payloads to rows.

use super::paths::{self, Field};
use super::scan::{Kind, PayloadFields, Slot, scan, unquote};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use dataflow::{Decode, Decoded, Error, Result};
use std::sync::Arc;
use values::{Column, Value, expected, shown};

/// Turns JSON objects into rows, one per payload.
///
/// A column is the field at its path: of the exact name, or of one that differs in the case of letters alone where
/// there is just one such. A missing field and `null` are NULL, fields without a column are ignored, and the last of
/// several fields with one name counts. Values are read as CAST reads them, text as text and numbers as they are
/// written ([`Column::append`]); objects and lists are text. No number is a timestamp.
///
/// A payload that is wrong is listed with an error such as `topic "plays": field "at" is 5, expected TIMESTAMP`,
/// and the others become rows. Payloads beyond 64 MiB, or nested more than 128 deep, are wrong.
pub struct JsonDecode {
    place: String,
    schema: SchemaRef,
    paths: Vec<Vec<String>>,
    fields: Vec<Field>,
}

/// Rows of payloads, those that are wrong among them: NULL stands where a value is wrong.
pub struct JsonRows {
    /// The columns of the schema.
    pub columns: Vec<ArrayRef>,
    /// The rows that are wrong, ascending, and the first reason of each.
    pub wrong: Vec<(usize, String)>,
}

impl JsonDecode {
    /// Decodes the messages of a topic, with a path in the object for each column of the schema.
    pub fn new(topic: &str, schema: SchemaRef, paths: Vec<Vec<String>>) -> Result<JsonDecode> {
        JsonDecode::at(format!("topic \"{topic}\""), schema, paths)
    }

    /// Decodes the lines of files.
    pub fn of_lines(files: &str, schema: SchemaRef, paths: Vec<Vec<String>>) -> Result<JsonDecode> {
        JsonDecode::at(format!("files \"{files}\""), schema, paths)
    }

    fn at(place: String, schema: SchemaRef, paths: Vec<Vec<String>>) -> Result<JsonDecode> {
        if paths.len() != schema.fields().len() {
            return Err(Error::internal(format!("{} JSON paths for {} columns", paths.len(), schema.fields().len())));
        }
        if let Some(field) = schema.fields().iter().find(|field| Column::new(field.data_type(), 0).is_none()) {
            return Err(Error::invalid(format!(
                "{place}: column \"{}\" has type {}, which JSON messages cannot carry",
                field.name(),
                values::name(field.data_type())
            )));
        }
        let fields = paths::fields(&paths)?;
        Ok(JsonDecode { place, schema, paths, fields })
    }

    /// Decodes messages whose fields are named as the columns are.
    pub fn flat(topic: &str, schema: SchemaRef) -> Result<JsonDecode> {
        let paths = schema.fields().iter().map(|field| vec![field.name().clone()]).collect();
        JsonDecode::new(topic, schema, paths)
    }

    /// All payloads as rows, and which of them are wrong.
    pub fn rows(&self, payloads: &[&[u8]]) -> Result<JsonRows> {
        let columns = self.schema.fields().iter().map(|field| Column::new(field.data_type(), payloads.len()));
        let mut columns: Vec<Column> = columns
            .collect::<Option<_>>()
            .ok_or_else(|| Error::internal("a column's type was accepted and cannot be decoded"))?;
        let (mut found, mut wrong) = (PayloadFields::new(columns.len(), &self.fields), Vec::new());
        for (at, payload) in payloads.iter().enumerate() {
            let scanned = scan(payload, &self.fields, &mut found);
            if scanned.is_err() {
                found.slots.fill(Slot::Absent);
            }
            let appended = self.append(&found.slots, &mut columns);
            if let Err(why) = scanned.and(appended) {
                wrong.push((at, why));
            }
        }
        Ok(JsonRows { columns: columns.iter_mut().map(Column::finish).collect(), wrong })
    }

    /// Appends a row. Every column gets one value; the first that is wrong is the reason.
    fn append(&self, slots: &[Slot<'_>], columns: &mut [Column]) -> std::result::Result<(), String> {
        let mut wrong = None;
        for (at, column) in columns.iter_mut().enumerate() {
            let field = self.schema.field(at);
            match put(slots[at], column) {
                Put::Value => continue,
                Put::Null if field.is_nullable() => {}
                Put::Null => {
                    wrong.get_or_insert_with(|| {
                        let expected = values::name(field.data_type());
                        format!("field \"{}\" is missing, expected {expected}", self.paths[at].join("."))
                    });
                }
                Put::Wrong => {
                    wrong.get_or_insert_with(|| self.reason(at, slots[at], field.data_type()));
                }
            }
            column.append_null();
        }
        wrong.map_or(Ok(()), Err)
    }

    /// What is wrong with a column.
    fn reason(&self, column: usize, slot: Slot<'_>, to: &DataType) -> String {
        let name = || self.paths[column].join(".");
        match slot {
            Slot::NotObject(steps, kind) => {
                let outer = self.paths[column][..steps].join(".");
                format!("field \"{outer}\" is {}, expected an object", kind.name())
            }
            Slot::Ambiguous(one, other) => {
                format!("fields {one} and {other} are both column \"{}\", expected one of them", name())
            }
            Slot::Value(Kind::Text, written) if unquote(written).is_none() => {
                let shown = shown(written);
                format!("field \"{}\" is {shown} with half a surrogate pair, expected {}", name(), values::name(to))
            }
            Slot::Value(_, written) => {
                format!("field \"{}\" is {}, {}", name(), shown(written), expected(written, to))
            }
            Slot::Absent => format!("field \"{}\" is missing", name()),
        }
    }

    fn bad(&self, why: &str) -> Error {
        Error::data(format!("{}: {why}", self.place))
    }
}

/// What became of what a payload says about a column.
enum Put {
    Value,
    Null,
    Wrong,
}

fn put(slot: Slot<'_>, column: &mut Column) -> Put {
    let appended = match slot {
        Slot::Absent | Slot::Value(Kind::Null, _) => return Put::Null,
        Slot::NotObject(..) | Slot::Ambiguous(..) => false,
        Slot::Value(Kind::Text, written) => unquote(written).is_some_and(|text| column.append(Value::Text(&text))),
        Slot::Value(Kind::Number, written) => column.append(Value::Number(written)),
        Slot::Value(Kind::Boolean, written) => column.append(Value::Boolean(written == "true")),
        Slot::Value(Kind::Object | Kind::Array, written) => column.append(Value::Nested(written)),
    };
    if appended { Put::Value } else { Put::Wrong }
}

impl Decode for JsonDecode {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn decode(&self, payloads: &[&[u8]]) -> Result<Decoded> {
        let JsonRows { columns, wrong } = self.rows(payloads)?;
        let options = RecordBatchOptions::new().with_row_count(Some(payloads.len()));
        if wrong.is_empty() {
            let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
            return Ok(Decoded { rows, bad: Vec::new() });
        }
        let mut good = vec![true; payloads.len()];
        wrong.iter().for_each(|(row, _)| good[*row] = false);
        // A wrong row may be NULL where the schema forbids it, until it is taken out.
        let fields = self.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let loose = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let rows = RecordBatch::try_new_with_options(loose, columns, &options)?;
        let rows = filter_record_batch(&rows, &BooleanArray::from(good))?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), rows.columns().to_vec(), &options)?;
        let bad = wrong.into_iter().map(|(row, why)| (row, self.bad(&why)));
        Ok(Decoded { rows, bad: bad.collect() })
    }
}
