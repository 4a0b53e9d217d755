//! Names of partition fields that manifests cannot have as they are: there they are Avro's, which have fewer letters.
//!
//! Other engines write such a name in a way of their own, and find the field by its number. In memory, and in what is
//! written to manifests here, the field has a name that Avro takes. The table's own names stand in a property that is in
//! memory alone, and are put back when what describes the table is written.

use crate::avro::AvroHeader;
use iceberg::MetadataLocation;
use iceberg::io::FileIO;
use iceberg::spec::TableMetadata;
use iceberg::{Error, ErrorKind, Result};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::io::Write;

/// The property with the names of the fields of partition specs, by the numbers of the specs.
pub const PARTITION_NAMES: &str = "riverrun.partition-names";
/// The header's entries of a manifest with its partition spec, and with the types of what is in it.
const SPEC: &[u8] = b"partition-spec";
const AVRO_SCHEMA: &[u8] = b"avro.schema";

/// Whether Avro takes a name.
fn is_avro_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    name.starts_with(is_letter) && name.chars().all(|letter| is_letter(letter) || letter.is_ascii_digit())
}

/// A name of a column as one that manifests can have.
pub fn avro_name(column: &str) -> String {
    let letter = |letter: char| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => letter.to_string(),
        _ => format!("_x{:X}", u32::from(letter)),
    };
    let name: String = column.chars().map(letter).collect();
    if is_avro_name(&name) { name } else { format!("_{name}") }
}

/// Whether a field of a partition spec has a name that Avro does not take.
pub fn has_other_names(metadata: &TableMetadata) -> bool {
    metadata.partition_specs_iter().flat_map(|spec| spec.fields()).any(|field| !is_avro_name(&field.name))
}

/// Gives the fields of a table's partition specs names that Avro takes; false if they have such already.
pub fn make_names_known(metadata: &mut Value) -> bool {
    let mut told = Map::new();
    each_spec(metadata, &mut |spec, fields| {
        let own = fields.iter().map(|field| field["name"].clone()).collect();
        if rename(fields) {
            told.insert(spec.to_string(), Value::Array(own));
        }
    });
    if told.is_empty() {
        return false;
    }
    let told = Value::Object(told).to_string();
    match metadata.get_mut("properties").and_then(Value::as_object_mut) {
        Some(properties) => drop(properties.insert(PARTITION_NAMES.to_owned(), told.into())),
        None => metadata["properties"] = Map::from_iter([(PARTITION_NAMES.to_owned(), told.into())]).into(),
    }
    true
}

/// Calls with the number and the fields of each partition spec.
fn each_spec(metadata: &mut Value, call: &mut dyn FnMut(i64, &mut [Value])) {
    let default = metadata["default-spec-id"].as_i64().unwrap_or_default();
    // Version 1 has the fields of its spec beside the others.
    if let Some(fields) = metadata.get_mut("partition-spec").and_then(Value::as_array_mut) {
        call(default, fields);
    }
    for spec in metadata.get_mut("partition-specs").and_then(Value::as_array_mut).into_iter().flatten() {
        let id = spec["spec-id"].as_i64().unwrap_or_default();
        if let Some(fields) = spec.get_mut("fields").and_then(Value::as_array_mut) {
            call(id, fields);
        }
    }
}

/// Gives fields names that Avro takes, each another one; false if they have such already.
fn rename(fields: &mut [Value]) -> bool {
    let names = fields.iter().filter_map(|field| field["name"].as_str());
    let mut taken: HashSet<String> = names.filter(|name| is_avro_name(name)).map(str::to_owned).collect();
    let mut is_changed = false;
    for field in fields {
        let Some(name) = field["name"].as_str().filter(|name| !is_avro_name(name)) else { continue };
        let mut own = avro_name(name);
        while !taken.insert(own.clone()) {
            own.push('_');
        }
        field["name"] = own.into();
        is_changed = true;
    }
    is_changed
}

/// Gives the fields of partition specs the names that the table has for them.
fn put_back(metadata: &mut Value) {
    let told = metadata["properties"].as_object_mut().and_then(|properties| properties.remove(PARTITION_NAMES));
    let told: Option<HashMap<i64, Vec<String>>> = told.and_then(|told| serde_json::from_str(told.as_str()?).ok());
    let Some(told) = told else { return };
    each_spec(metadata, &mut |spec, fields| {
        let names = told.get(&spec).into_iter().flatten();
        fields.iter_mut().zip(names).for_each(|(field, name)| field["name"] = name.clone().into());
    });
}

/// Writes what describes a table, with the names that the table has.
pub async fn write_metadata(metadata: &TableMetadata, file_io: &FileIO, to: &MetadataLocation) -> Result<()> {
    if !metadata.properties().contains_key(PARTITION_NAMES) {
        return metadata.write_to(file_io, to).await;
    }
    let failed = |error: String| {
        Error::new(ErrorKind::Unexpected, "what describes a table is not written")
            .with_source(std::io::Error::other(error))
    };
    let mut written = serde_json::to_value(metadata).map_err(|error| failed(error.to_string()))?;
    put_back(&mut written);
    let (to, mut bytes) = (to.to_string(), written.to_string().into_bytes());
    if to.ends_with(".gz.metadata.json") {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let finished = packed.write_all(&bytes).and_then(|()| packed.finish());
        bytes = finished.map_err(|error| failed(error.to_string()))?;
    }
    file_io.new_output(&to)?.write(bytes.into()).await
}

/// The entries of a manifest's header in which its partition's fields have names that Avro takes, found by their numbers, or
/// by their names where it has no numbers. None if they have such already; `None` where the header has no spec.
pub fn made_known_in_manifest<'b>(header: &AvroHeader<'b>) -> Option<Vec<(&'b [u8], String)>> {
    let mut spec: Value = serde_json::from_slice(header.value(SPEC)?).ok()?;
    let fields = spec.as_array_mut()?;
    let own: Vec<Value> = fields.iter().map(|field| field["name"].clone()).collect();
    if !rename(fields) {
        return Some(Vec::new());
    }
    let named = |field: &Value| {
        let id = field.get("field-id").and_then(Value::as_i64);
        let of_id = fields.iter().position(|known| id.is_some() && known["field-id"].as_i64() == id);
        of_id.or_else(|| own.iter().position(|name| *name == field["name"])).map(|at| fields[at]["name"].clone())
    };
    let mut schema: Value = serde_json::from_slice(header.value(AVRO_SCHEMA)?).ok()?;
    for file in fields_named(&mut schema, "data_file") {
        for partition in fields_named(&mut file["type"], "partition") {
            for field in partition["type"]["fields"].as_array_mut().into_iter().flatten() {
                let name = named(field);
                name.into_iter().for_each(|name| field["name"] = name);
            }
        }
    }
    let made = [(SPEC, spec.to_string()), (AVRO_SCHEMA, schema.to_string())];
    Some(made.into_iter().map(|(key, value)| Some((header.key(key)?, value))).collect::<Option<_>>()?)
}

/// The fields of a record that have a name.
fn fields_named<'v>(record: &'v mut Value, name: &'v str) -> impl Iterator<Item = &'v mut Value> {
    let fields = record.get_mut("fields").and_then(Value::as_array_mut);
    fields.into_iter().flatten().filter(move |field| field["name"] == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::header_with;
    use serde_json::json;

    #[test]
    fn names_of_partitions_are_avros() {
        assert_eq!(
            ["at", "a_1", "my col", "1st", "a.b", "ü"].map(avro_name),
            ["at", "a_1", "my_x20col", "_1st", "a_x2Eb", "_xFC"]
        );
        assert!(["my col", "1st", "a.b", "ü", ""].iter().all(|name| !is_avro_name(name)));
        assert!(["at", "_1st", "a_x2Eb"].iter().all(|name| is_avro_name(name)));
    }

    #[test]
    fn a_table_gets_its_own_names_back() {
        let field = |id: i64, name: &str| json!({ "source-id": 1, "field-id": id, "name": name, "transform": "void" });
        let own = json!({
            "default-spec-id": 1,
            "partition-specs": [
                { "spec-id": 0, "fields": [field(1000, "at")] },
                { "spec-id": 1, "fields": [field(1001, "a b"), field(1002, "a_x20b"), field(1003, "ü")] },
            ],
            "properties": { "a": "b" },
        });
        let mut known = own.clone();
        assert!(make_names_known(&mut known));
        let names = |at: usize| {
            let fields = known["partition-specs"][at]["fields"].as_array().unwrap().clone();
            fields.into_iter().map(|field| field["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            (names(0), names(1)),
            (vec!["at".to_owned()], ["a_x20b_", "a_x20b", "_xFC"].map(str::to_owned).to_vec())
        );
        assert!(!make_names_known(&mut known.clone()), "they are known now");
        put_back(&mut known);
        assert_eq!(known, own);
    }

    #[test]
    fn fields_of_a_manifest_are_found_by_their_numbers() {
        let manifest = |spec: Value, partition: Value| {
            let of =
                |name: &str, fields: Value| json!({ "name": name, "type": { "type": "record", "fields": fields } });
            let schema = json!({ "type": "record", "fields": [of("data_file", json!([of("partition", partition)]))] });
            header_with(&[
                (b"partition-spec", spec.to_string().as_bytes()),
                (b"avro.schema", schema.to_string().as_bytes()),
            ])
        };
        let spec = json!([{ "field-id": 1000, "name": "a b" }, { "field-id": 1001, "name": "ü" }]);
        // As Java writes the first, and PyIceberg the second.
        let partition = json!([{ "field-id": 1000, "name": "a_x20b_" }, { "field-id": 1001, "name": "ü" }]);
        let bytes = [manifest(spec, partition), vec![0; 16]].concat();
        let header = AvroHeader::read(&bytes).unwrap().0;
        let made = made_known_in_manifest(&header).unwrap();
        let spec: Value = serde_json::from_str(&made[0].1).unwrap();
        let schema: Value = serde_json::from_str(&made[1].1).unwrap();
        let partition = &schema["fields"][0]["type"]["fields"][0]["type"]["fields"];
        for fields in [&spec, partition] {
            assert_eq!((fields[0]["name"].as_str(), fields[1]["name"].as_str()), (Some("a_x20b"), Some("_xFC")));
        }
    }
}
