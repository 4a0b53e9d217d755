//! Dead letters as people and programs read them: the text of a row, and messages on a topic.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use codec::JsonEncode;
use dataflow::{Encode, Error, Result, dead_letter_schema};
use std::sync::Arc;

/// The text of rows: JSON.
pub fn row_text(schema: SchemaRef) -> Result<Arc<dyn Encode>> {
    Ok(Arc::new(JsonEncode::new(schema)?))
}

/// The messages of a topic: JSON, in which the bytes of dead letters are text.
pub fn encoder(schema: &SchemaRef) -> Result<Arc<dyn Encode>> {
    if *schema == dead_letter_schema() { Ok(Arc::new(DeadLetterEncode::new()?)) } else { row_text(schema.clone()) }
}

/// The columns that the messages of a topic have, as [`encoder`] writes them.
pub fn message_columns(schema: &SchemaRef) -> Result<SchemaRef> {
    if *schema == dead_letter_schema() { letter_columns().map(|(columns, _)| columns) } else { Ok(schema.clone()) }
}

/// The columns of dead letters in messages, and which of them has the bytes where they are text.
fn letter_columns() -> Result<(SchemaRef, usize)> {
    let letters = dead_letter_schema();
    let raw = letters.index_of("raw")?;
    let text = |field: &Arc<Field>| Field::new(field.name(), DataType::Utf8, true);
    let mut fields: Vec<Field> = letters.fields().iter().map(|field| field.as_ref().clone()).collect();
    fields[raw] = text(&letters.fields()[raw]);
    fields.push(Field::new("raw_hex", DataType::Utf8, true));
    Ok((Arc::new(Schema::new(fields)), raw))
}

/// Dead letters as JSON: `raw` is the bytes as text where they are UTF-8, else `raw_hex` tells them.
struct DeadLetterEncode {
    schema: SchemaRef,
    raw: usize,
    json: JsonEncode,
}

impl DeadLetterEncode {
    fn new() -> Result<DeadLetterEncode> {
        let (schema, raw) = letter_columns()?;
        Ok(DeadLetterEncode { json: JsonEncode::new(schema.clone())?, schema, raw })
    }
}

impl Encode for DeadLetterEncode {
    fn encode(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>> {
        let raw = rows.column(self.raw).as_binary_opt::<i32>();
        let raw = raw.ok_or_else(|| Error::internal("the bytes of dead letters are no bytes"))?;
        let bytes = || raw.iter();
        let text = |bytes: Option<&[u8]>| bytes.and_then(|bytes| std::str::from_utf8(bytes).ok().map(str::to_owned));
        let hex = |bytes: Option<&[u8]>| {
            let bytes = bytes.filter(|bytes| std::str::from_utf8(bytes).is_err())?;
            Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        };
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        columns[self.raw] = Arc::new(bytes().map(text).collect::<StringArray>());
        columns.push(Arc::new(bytes().map(hex).collect::<StringArray>()));
        debug_assert_eq!(raw.len(), rows.num_rows());
        self.json.encode(&RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::{DeadLetter, EventTime, RowOrder, dead_letters};

    fn message(raw: &[u8]) -> String {
        let letter = DeadLetter {
            time: EventTime(0),
            order: RowOrder::default(),
            has_time: true,
            position: "partition 0, message 0:1:0".to_owned(),
            reason: "it is no JSON".to_owned(),
            raw: Some(raw.to_vec()),
            row: None,
        };
        let letters = dead_letters("plays", "plays", &[letter]).unwrap();
        let mut messages = encoder(&letters.schema()).unwrap().encode(letters.columns()).unwrap();
        String::from_utf8(messages.remove(0)).unwrap()
    }

    #[test]
    fn bytes_are_text_where_they_can_be() {
        let start = "{\"_time\":\"1970-01-01T00:00:00.000000Z\",\"stream\":\"plays\",\"step\":\"plays\",\
                     \"position\":\"partition 0, message 0:1:0\",\"reason\":\"it is no JSON\",";
        assert_eq!(message(b"{\"n"), format!("{start}\"raw\":\"{{\\\"n\",\"row\":null,\"raw_hex\":null}}"));
        assert_eq!(message(&[0xff, 0x00]), format!("{start}\"raw\":null,\"row\":null,\"raw_hex\":\"ff00\"}}"));
    }
}
