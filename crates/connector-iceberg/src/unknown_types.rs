//! Types of columns that the iceberg library does not know, such as `variant`: tables that have some are read without them.
//!
//! The library refuses a schema with such a type whole. So the type is `binary` in what it is given, and which columns
//! those are stands in a property that is in memory alone. Nothing is written to a table that has it.

use crate::avro::{AvroHeader, header_with};
use crate::failure;
use crate::name::TableName;
use crate::partition_names::{PARTITION_NAMES, made_known_in_manifest, make_names_known};
use crate::plain_location::plain;
use dataflow::Error;
use iceberg::spec::{NestedField, TableMetadata, Type};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The property that has what describes a table somewhere else.
const METADATA_PATH: &str = "write.metadata.path";

/// The property with the types of columns, by their ids.
pub const UNKNOWN_TYPES: &str = "riverrun.unknown-types";
/// The types that the library knows, beside decimals and bytes of a fixed length.
const KNOWN: [&str; 14] = [
    "boolean",
    "int",
    "long",
    "float",
    "double",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "timestamp_ns",
    "timestamptz_ns",
    "string",
    "uuid",
    "binary",
];
/// Gives the columns of a table's metadata types, and the fields of its partitions names, that the library knows; false if
/// they have such already.
pub fn make_known(metadata: &mut Value) -> bool {
    let has_names = make_names_known(metadata);
    make_types_known(metadata) || has_names
}

/// Whether a table, and so its manifests, has something that the library does not know.
pub fn is_made_known(metadata: &TableMetadata) -> bool {
    [UNKNOWN_TYPES, PARTITION_NAMES].iter().any(|key| metadata.properties().contains_key(*key))
}

fn make_types_known(metadata: &mut Value) -> bool {
    let mut unknown = Map::new();
    if let Some(schemas) = metadata.get_mut("schemas").and_then(Value::as_array_mut) {
        schemas.iter_mut().for_each(|schema| make_known_in(schema, &mut unknown));
    }
    if let Some(schema) = metadata.get_mut("schema") {
        make_known_in(schema, &mut unknown);
    }
    let is_changed = !unknown.is_empty();
    if is_changed {
        let told = Value::Object(unknown).to_string();
        match metadata.get_mut("properties").and_then(Value::as_object_mut) {
            Some(properties) => drop(properties.insert(UNKNOWN_TYPES.to_owned(), told.into())),
            None => metadata["properties"] = Map::from_iter([(UNKNOWN_TYPES.to_owned(), told.into())]).into(),
        }
    }
    is_changed
}

/// Makes the types of a struct, a list or a map known; notes those that were not, by the ids of their fields.
fn make_known_in(of: &mut Value, unknown: &mut Map<String, Value>) {
    if let Some(fields) = of.get_mut("fields").and_then(Value::as_array_mut) {
        for field in fields {
            if make_known_at(field, ("id", "type"), unknown) {
                let field = field.as_object_mut();
                field.into_iter().for_each(|field| {
                    ["initial-default", "write-default"].iter().for_each(|key| drop(field.remove(*key)))
                });
            }
        }
    }
    for keys in [("element-id", "element"), ("key-id", "key"), ("value-id", "value")] {
        make_known_at(of, keys, unknown);
    }
}

fn make_known_at(of: &mut Value, (id, at): (&str, &str), unknown: &mut Map<String, Value>) -> bool {
    let id = of.get(id).and_then(Value::as_i64);
    let (Some(id), Some(own)) = (id, of.get_mut(at)) else { return false };
    let Some(name) = own.as_str() else {
        make_known_in(own, unknown);
        return false;
    };
    if KNOWN.contains(&name) || name.starts_with("decimal(") || name.starts_with("fixed[") {
        return false;
    }
    unknown.insert(id.to_string(), name.into());
    *own = "binary".into();
    true
}

/// The types that are not known of a table's columns, by the ids of their fields.
pub fn unknown_types(metadata: &TableMetadata) -> BTreeMap<i32, String> {
    let told = metadata.properties().get(UNKNOWN_TYPES);
    let types: Option<BTreeMap<String, String>> = told.and_then(|told| serde_json::from_str(told).ok());
    types.into_iter().flatten().filter_map(|(id, name)| Some((id.parse().ok()?, name))).collect()
}

/// The type that is not known of a column, or of what is in it.
pub fn unknown_type_in<'t>(column: &NestedField, unknown: &'t BTreeMap<i32, String>) -> Option<&'t str> {
    let within = |field: &NestedField| unknown_type_in(field, unknown);
    unknown.get(&column.id).map(String::as_str).or_else(|| match &*column.field_type {
        Type::Primitive(_) => None,
        Type::Struct(of) => of.fields().iter().find_map(|field| within(field)),
        Type::List(of) => within(&of.element_field),
        Type::Map(of) => within(&of.key_field).or_else(|| within(&of.value_field)),
    })
}

/// Refuses to change a table that was not read as it is stored.
pub fn check_changeable(name: &TableName, metadata: &TableMetadata) -> iceberg::Result<()> {
    let own = format!("{}/metadata", metadata.location());
    if let Some(elsewhere) = metadata.properties().get(METADATA_PATH).filter(|path| plain(path) != plain(&own)) {
        return Err(failure::for_iceberg(Error::invalid(format!(
            "table \"{name}\" has {METADATA_PATH} = {elsewhere}, and what describes a table is written below its location \
             here; change it with the engine that wrote it"
        ))));
    }
    let Some((id, unknown)) = unknown_types(metadata).into_iter().next() else { return Ok(()) };
    let column = metadata.schemas_iter().find_map(|schema| schema.name_by_field_id(id)).unwrap_or_default();
    Err(failure::for_iceberg(Error::invalid(format!(
        "table \"{name}\": column \"{column}\" has type {unknown}, and nothing is changed in a table that has columns of \
         types which are not known here"
    ))))
}

/// The bytes of a manifest with types and names that are known; `None` if they are so already, or it is no Avro file.
pub fn manifest_made_known(manifest: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = AvroHeader::read(manifest)?;
    let (mut schema, mut unknown): (Value, _) = (serde_json::from_slice(header.value(b"schema")?).ok()?, Map::new());
    make_known_in(&mut schema, &mut unknown);
    let mut changed = made_known_in_manifest(&header).unwrap_or_default();
    changed.extend((!unknown.is_empty()).then(|| (&b"schema"[..], schema.to_string())));
    if changed.is_empty() {
        return None;
    }
    let mut entries = header.entries;
    for (key, value) in &mut entries {
        if let Some((_, new)) = changed.iter().find(|(of, _)| of == key) {
            *value = new.as_bytes();
        }
    }
    let mut made = header_with(&entries);
    made.extend_from_slice(rest);
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    #[test]
    fn types_that_are_not_known_are_noted_by_their_ids() {
        let mut metadata = json!({ "schemas": [{ "type": "struct", "fields": [
            { "id": 1, "name": "id", "required": true, "type": "long" },
            { "id": 2, "name": "any", "required": false, "type": "variant", "initial-default": null },
            { "id": 3, "name": "of", "required": false, "type": { "type": "struct", "fields": [
                { "id": 4, "name": "price", "required": false, "type": "decimal(9, 2)" },
                { "id": 5, "name": "places", "required": false, "type": {
                    "type": "list", "element-id": 6, "element-required": false, "element": "geometry(OGC:CRS84)" } },
            ] } },
            { "id": 7, "name": "by", "required": false, "type": { "type": "map", "key-id": 8, "key": "fixed[16]",
                "value-id": 9, "value-required": false, "value": "unknown" } },
        ] }] });
        assert!(make_known(&mut metadata));
        let told = metadata["properties"][UNKNOWN_TYPES].as_str().unwrap();
        assert_eq!(told, r#"{"2":"variant","6":"geometry(OGC:CRS84)","9":"unknown"}"#);
        let fields = &metadata["schemas"][0]["fields"];
        assert_eq!(fields[1], json!({ "id": 2, "name": "any", "required": false, "type": "binary" }));
        assert_eq!(fields[2]["type"]["fields"][1]["type"]["element"], "binary");
        assert!(!make_known(&mut metadata), "they are known now");
    }

    #[test]
    fn a_manifest_keeps_everything_but_its_schema() {
        let manifest = |kind: &str| {
            let schema =
                json!({ "type": "struct", "fields": [{ "id": 1, "name": "v", "required": false, "type": kind }] });
            let schema = schema.to_string();
            let made = header_with(&[(b"schema", schema.as_bytes()), (b"avro.codec", b"deflate")]);
            [&made[..], &[7; 20]].concat()
        };
        assert_eq!(manifest_made_known(&manifest("variant")), Some(manifest("binary")));
        assert_eq!(manifest_made_known(&manifest("long")), None);
        assert_eq!(manifest_made_known(&manifest("variant")[..30]), None);
        assert_eq!(manifest_made_known(b"no Avro"), None);
    }
}
