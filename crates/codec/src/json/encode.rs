//! Rows to JSON payloads.

use super::paths::{self, Field};
use super::physical::{PhysicalColumn, put_text};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use dataflow::{Encode, Error, Result};

/// Turns each row into a JSON object, from which [`super::JsonDecode`] reads the same row.
///
/// NULL is `null`. Timestamps are `2013-01-01T05:15:00.000000Z`, dates `2013-01-01`; a year before 1 is followed by
/// `(BC)`. Integers are exact, floats the shortest text that reads back as the same number; NaN and infinities are the
/// texts `"NaN"`, `"Infinity"` and `"-Infinity"`. Decimals are text, bytes too: those that are no UTF-8 are `\xff`.
pub struct JsonEncode {
    // Which columns are cells of CSV, that do not tell types.
    cells: Vec<bool>,
    template: Vec<ObjectPart>,
}

/// A piece of an object.
enum ObjectPart {
    Literal(Vec<u8>),
    Value(usize),
}

impl JsonEncode {
    /// One field per column, named as the column is.
    pub fn new(schema: SchemaRef) -> Result<JsonEncode> {
        let paths = schema.fields().iter().map(|field| vec![field.name().clone()]).collect();
        JsonEncode::nested(schema, paths)
    }

    /// Puts each column at its path: what [`super::JsonDecode`] reads with the same paths.
    pub fn nested(schema: SchemaRef, paths: Vec<Vec<String>>) -> Result<JsonEncode> {
        let cells = vec![false; paths.len()];
        JsonEncode::with_cells(schema, paths, cells)
    }

    /// The same, where some columns are texts whose type is not known: what is a number or a boolean of JSON is written
    /// as it stands.
    pub fn with_cells(schema: SchemaRef, paths: Vec<Vec<String>>, cells: Vec<bool>) -> Result<JsonEncode> {
        if paths.len() != schema.fields().len() {
            return Err(Error::internal(format!("{} JSON paths for {} columns", paths.len(), schema.fields().len())));
        }
        let mut template = Vec::new();
        put_object(&mut template, &paths::fields(&paths)?)?;
        Ok(JsonEncode { cells, template })
    }
}

/// A payload that holds another one as text: no decoder takes it, since it is no object.
pub fn text_payload(payload: &[u8]) -> Result<Vec<u8>> {
    let mut text = Vec::with_capacity(payload.len() + 16);
    put_text(&mut text, &String::from_utf8_lossy(payload))?;
    Ok(text)
}

/// The same object with more fields, of text or NULL, after its own: of two with one name the last one counts.
pub fn with_fields(object: &[u8], fields: &[(String, Option<String>)]) -> Result<Vec<u8>> {
    let own = object.trim_ascii();
    let Some(own) = own.strip_suffix(b"}").map(<[u8]>::trim_ascii_end) else {
        return Err(Error::internal("fields are to be added to what is no object"));
    };
    let mut all = own.to_vec();
    for (name, value) in fields {
        if all.last() != Some(&b'{') {
            all.push(b',');
        }
        put_text(&mut all, name)?;
        all.push(b':');
        match value {
            Some(text) => put_text(&mut all, text)?,
            None => all.extend_from_slice(b"null"),
        }
    }
    all.push(b'}');
    Ok(all)
}

fn put_object(template: &mut Vec<ObjectPart>, fields: &[Field]) -> Result<()> {
    for (at, field) in fields.iter().enumerate() {
        let mut literal = vec![if at == 0 { b'{' } else { b',' }];
        put_text(&mut literal, &field.name)?;
        literal.push(b':');
        template.push(ObjectPart::Literal(literal));
        match (field.columns.as_slice(), field.below.as_slice()) {
            ([column, ..], []) => template.push(ObjectPart::Value(*column)),
            ([], below) => put_object(template, below)?,
            _ => {
                return Err(Error::invalid(format!(
                    "field \"{}\" would be both a value and an object in one JSON message",
                    field.name
                )));
            }
        }
    }
    template.push(ObjectPart::Literal(if fields.is_empty() { b"{}".to_vec() } else { b"}".to_vec() }));
    Ok(())
}

impl Encode for JsonEncode {
    fn encode(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>> {
        if rows.num_columns() != self.cells.len() {
            return Err(Error::internal(format!(
                "{} columns to encode, expected {}",
                rows.num_columns(),
                self.cells.len()
            )));
        }
        let columns = rows.columns().iter().zip(&self.cells);
        let columns =
            columns.map(|(column, is_cell)| PhysicalColumn::new(column, *is_cell)).collect::<Result<Vec<_>>>()?;
        let mut size = 64;
        (0..rows.num_rows())
            .map(|row| {
                let mut out = Vec::with_capacity(size);
                for part in &self.template {
                    match part {
                        ObjectPart::Literal(text) => out.extend_from_slice(text),
                        ObjectPart::Value(column) => columns[*column].put(row, &mut out)?,
                    }
                }
                size = out.len() + 16;
                Ok(out)
            })
            .collect()
    }
}
