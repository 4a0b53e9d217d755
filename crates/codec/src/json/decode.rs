//! JSON payloads to rows.

use super::column::{Column, type_name};
use super::paths::{self, Field};
use super::scan::{Kind, Slot, scan};
use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use dataflow::{Decode, Decoded, Error, Result};
use std::sync::Arc;

/// Turns JSON objects into rows, one per payload.
///
/// A column is the field at its path. A missing field and `null` are NULL, fields without a column are ignored, and
/// the last of several fields with one name counts. Types are strict: a number is no text, `1.0` is no integer, and
/// an integer must fit its column. A timestamp is ISO 8601 text (without an offset it is UTC) or an integer of
/// microseconds since 1970; a date is `2013-01-01`.
///
/// A payload that is wrong is listed with an error such as `topic "plays": field "at" is text, expected timestamp`,
/// and the others become rows. Payloads beyond 64 MiB, or nested more than 128 deep, are wrong.
pub struct JsonDecode {
    topic: String,
    schema: SchemaRef,
    paths: Vec<Vec<String>>,
    fields: Vec<Field>,
}

impl JsonDecode {
    /// Decodes the messages of a topic, with a path in the object for each column of the schema.
    pub fn new(topic: &str, schema: SchemaRef, paths: Vec<Vec<String>>) -> Result<JsonDecode> {
        if paths.len() != schema.fields().len() {
            return Err(Error::internal(format!("{} JSON paths for {} columns", paths.len(), schema.fields().len())));
        }
        for field in schema.fields() {
            if Column::new(field.data_type(), 0).is_none() {
                return Err(Error::invalid(format!(
                    "topic \"{topic}\": column \"{}\" has type {}, which JSON messages cannot carry",
                    field.name(),
                    field.data_type()
                )));
            }
        }
        let fields = paths::fields(&paths)?;
        Ok(JsonDecode { topic: topic.to_owned(), schema, paths, fields })
    }

    /// Decodes messages whose fields are named as the columns are.
    pub fn flat(topic: &str, schema: SchemaRef) -> Result<JsonDecode> {
        let paths = schema.fields().iter().map(|field| vec![field.name().clone()]).collect();
        JsonDecode::new(topic, schema, paths)
    }

    /// Appends a row. On an error every column has got one value all the same.
    fn append(&self, slots: &[Slot<'_>], columns: &mut [Column]) -> Result<()> {
        let mut wrong = None;
        for (at, column) in columns.iter_mut().enumerate() {
            let field = self.schema.field(at);
            let appended = match slots[at] {
                _ if wrong.is_some() => Ok(false),
                Slot::Absent | Slot::Value(Kind::Null, _) => Ok(false),
                Slot::Value(kind, written) => column.append(kind, written).map(|()| true),
                Slot::NotObject(steps, kind) => Err(format!(
                    "field \"{}\" is {}, expected an object",
                    self.paths[at][..steps].join("."),
                    kind.name()
                )),
            };
            match appended {
                Ok(true) => {}
                Ok(false) => {
                    column.append_null();
                    if !field.is_nullable() && wrong.is_none() {
                        let expected = type_name(field.data_type());
                        wrong = Some(format!("field \"{}\" is missing, expected {expected}", self.paths[at].join(".")));
                    }
                }
                Err(why) => {
                    column.append_null();
                    wrong = Some(match slots[at] {
                        Slot::NotObject(..) => why,
                        _ => format!("field \"{}\" {why}", self.paths[at].join(".")),
                    });
                }
            }
        }
        wrong.map_or(Ok(()), |why| Err(self.bad(&why)))
    }

    fn bad(&self, why: &str) -> Error {
        Error::data(format!("topic \"{}\": {why}", self.topic))
    }
}

impl Decode for JsonDecode {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn decode(&self, payloads: &[&[u8]]) -> Result<Decoded> {
        let columns = self.schema.fields().iter().map(|field| Column::new(field.data_type(), payloads.len()));
        let mut columns: Vec<Column> = columns
            .collect::<Option<_>>()
            .ok_or_else(|| Error::internal("a column's type was accepted and cannot be decoded"))?;
        let mut slots = vec![Slot::Absent; columns.len()];
        let (mut good, mut bad) = (Vec::with_capacity(payloads.len()), Vec::new());
        for (at, payload) in payloads.iter().enumerate() {
            let scanned = scan(payload, &self.fields, &mut slots).map_err(|why| self.bad(&why));
            if scanned.is_err() {
                slots.fill(Slot::Absent);
            }
            let appended = self.append(&slots, &mut columns);
            let row = scanned.and(appended);
            good.push(row.is_ok());
            if let Err(error) = row {
                bad.push((at, error));
            }
        }
        let arrays = columns.into_iter().map(Column::finish).collect::<Vec<_>>();
        let options = RecordBatchOptions::new().with_row_count(Some(payloads.len()));
        if bad.is_empty() {
            return Ok(Decoded {
                rows: RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?,
                bad,
            });
        }
        // A wrong row may be NULL where the schema forbids it, until it is taken out.
        let fields = self.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let loose = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let rows = RecordBatch::try_new_with_options(loose, arrays, &options)?;
        let rows = filter_record_batch(&rows, &BooleanArray::from(good))?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), rows.columns().to_vec(), &options)?;
        Ok(Decoded { rows, bad })
    }
}
