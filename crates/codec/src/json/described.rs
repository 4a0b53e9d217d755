//! What messages of JSON look like, told in the form that registries of schemas keep.

use arrow::datatypes::{DataType, Field, Fields, Schema};
use serde_json::{Value, json};
use values::plain_type;

/// What [`super::JsonEncode`] writes of rows with these columns, as a record of Avro: a field per column, of which each may
/// be NULL and is NULL where it is left out, so that columns may come and go.
///
/// Items of lists are told without NULL, as the clients in Java and Python register them: brokers compare both, and no reader
/// of JSON minds one that is there. Instants, dates, times, decimals and bytes are text in the messages, and so they are
/// `string` here; the integers beyond 64 bits with a sign are `double`. A column whose name Avro cannot have (`[A-Za-z_][A-Za-z0-9_]*`) is left out, since
/// readers of such a schema cannot ask for it; it is in the messages all the same. Any `name` is made one that Avro can have.
pub fn avro_form(name: &str, schema: &Schema) -> String {
    record(&avro_name(name), None, schema.fields()).to_string()
}

/// A record, whose name is unlike all others together with the place that it lies in.
fn record(name: &str, place: Option<&str>, fields: &Fields) -> Value {
    let described = fields.iter().filter(|field| is_avro_name(field.name()));
    let field = |field: &std::sync::Arc<Field>| {
        let below = place.map_or_else(|| name.to_owned(), |place| format!("{place}.{name}"));
        let described = described_type(field.data_type(), (field.name(), &below));
        json!({ "name": field.name(), "type": ["null", described], "default": null })
    };
    let mut record = json!({ "type": "record", "name": name, "fields": described.map(field).collect::<Vec<_>>() });
    if let Some(place) = place {
        record["namespace"] = json!(place);
    }
    record
}

/// The type of a value that is there; records in it are named after their place.
fn described_type(of: &DataType, (name, place): (&str, &str)) -> Value {
    match plain_type(of) {
        DataType::Boolean => json!("boolean"),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => json!("int"),
        DataType::Int64 | DataType::UInt32 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 | DataType::UInt64 => json!("double"),
        DataType::List(of) | DataType::LargeList(of) => {
            json!({ "type": "array", "items": described_type(of.data_type(), (name, place)) })
        }
        DataType::Struct(fields) => record(name, Some(place), &fields),
        _ => json!("string"),
    }
}

fn is_avro_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn avro_name(name: &str) -> String {
    let plain: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    if is_avro_name(&plain) { plain } else { format!("_{plain}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::TimeUnit;
    use std::sync::Arc;

    #[test]
    fn columns_are_fields_that_may_be_left_out_and_names_that_avro_cannot_have_are_not_told() {
        let inner = Fields::from(vec![Field::new("x", DataType::Float32, true), Field::new("1", DataType::Utf8, true)]);
        let items = Arc::new(Field::new("item", DataType::Struct(inner), true));
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("_time", DataType::Timestamp(TimeUnit::Microsecond, None), false),
            Field::new("flight no", DataType::Utf8, true),
            Field::new("small", DataType::UInt16, true),
            Field::new("places", DataType::List(items), true),
        ]);
        let described: Value = serde_json::from_str(&avro_form("1.of-it", &schema)).unwrap();
        let field = |name: &str, of: Value| json!({ "name": name, "type": ["null", of], "default": null });
        let place = json!({ "type": "record", "name": "places", "namespace": "_1_of_it", "fields": [field("x", json!("float"))] });
        let expected = json!({ "type": "record", "name": "_1_of_it", "fields": [
            field("id", json!("long")),
            field("_time", json!("string")),
            field("small", json!("int")),
            field("places", json!({ "type": "array", "items": place })),
        ] });
        assert_eq!(described, expected);
    }
}
