//! Schemas that list their fields: `[{"number":1,"name":"id","type":"INT64","label":"LABEL_OPTIONAL","definition":null}]`.

use super::schema::{FieldType, MessageType, ProtobufSchema, Shape, ValueType, wrong};
use dataflow::Result;
use serde_json::Value;

/// Reads such a schema. What stands for a field that is absent is the default in the record of Avro; enums have no names,
/// so that of one nothing is known to stand for it.
pub fn parse(record: &[u8], parsing_info: &str) -> Result<ProtobufSchema> {
    let no_json = |error| wrong("it is no JSON").with_source(error);
    let record: Value = serde_json::from_slice(record).map_err(no_json)?;
    let listed: Value = serde_json::from_str(parsing_info).map_err(no_json)?;
    let listed = listed.as_array().ok_or_else(|| wrong("its fields are no list"))?;
    let fields = listed.iter().map(|field| field_of(field, &record)).collect::<Result<Vec<_>>>()?;
    Ok(ProtobufSchema { messages: vec![MessageType::new(fields, Shape::Object)], enums: Vec::new(), root: 0 })
}

fn field_of(field: &Value, record: &Value) -> Result<FieldType> {
    let text = |name: &str| field[name].as_str().ok_or_else(|| wrong(&format!("a field has no {name}")));
    let (name, kind) = (text("name")?, text("type")?);
    let value = match kind {
        "DOUBLE" => ValueType::Double,
        "FLOAT" => ValueType::Float,
        "INT32" => ValueType::Int32,
        "INT64" => ValueType::Int64,
        "UINT32" => ValueType::Uint32,
        "UINT64" => ValueType::Uint64,
        "SINT32" => ValueType::Sint32,
        "SINT64" => ValueType::Sint64,
        "FIXED32" => ValueType::Fixed32,
        "FIXED64" => ValueType::Fixed64,
        "SFIXED32" => ValueType::Sfixed32,
        "SFIXED64" => ValueType::Sfixed64,
        "BOOL" => ValueType::Boolean,
        "STRING" => ValueType::Text,
        "BYTES" => ValueType::Bytes,
        "ENUM" => ValueType::Enum(None),
        "MESSAGE" | "GROUP" => {
            return Err(wrong(&format!(
                "field \"{name}\" is a message, and schemas of the kind PROTOBUF do not tell the numbers of its fields: \
                 publish with PROTOBUF_NATIVE"
            )));
        }
        other => return Err(wrong(&format!("field \"{name}\" has the unknown type {other}"))),
    };
    let is_repeated = field["label"] == "LABEL_REPEATED";
    let declared = record["fields"].as_array().into_iter().flatten().find(|declared| declared["name"] == name);
    let default = declared.map_or(&Value::Null, |declared| &declared["default"]);
    let absent = match value {
        _ if is_repeated => "[]".to_owned(),
        ValueType::Enum(_) => "null".to_owned(),
        _ => default.to_string(),
    };
    let number = field["number"].as_u64().and_then(|number| u32::try_from(number).ok());
    Ok(FieldType {
        name: name.to_owned(),
        number: number.ok_or_else(|| wrong(&format!("field \"{name}\" has no number")))?,
        value,
        is_repeated,
        is_required: field["label"] == "LABEL_REQUIRED",
        oneof: None,
        absent: absent.into_bytes(),
    })
}
