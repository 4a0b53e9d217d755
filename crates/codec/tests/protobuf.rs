//! Messages that another encoder of Protobuf wrote, and bytes that none wrote.

// Helpers outside the tests unwrap as the tests do.
#![allow(clippy::unwrap_used)]

use codec::ProtobufSchema;
use proptest::prelude::*;
use prost_reflect::prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, MessageOptions, OneofDescriptorProto,
};
use prost_reflect::{DescriptorPool, DynamicMessage, MapKey, ReflectMessage, Value};
use serde_json::{Value as Json, json};
use std::collections::HashMap;

fn field(name: &str, number: i32, of: Type, type_name: &str) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional as i32),
        r#type: Some(of as i32),
        type_name: (!type_name.is_empty()).then(|| type_name.to_owned()),
        ..Default::default()
    }
}

fn repeated(field: FieldDescriptorProto) -> FieldDescriptorProto {
    FieldDescriptorProto { label: Some(Label::Repeated as i32), ..field }
}

fn message(name: &str, fields: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto { name: Some(name.to_owned()), field: fields, ..Default::default() }
}

/// A file with a message `t.All` of every type.
fn file(syntax: &str) -> FileDescriptorProto {
    let scalars = [
        Type::Double,
        Type::Float,
        Type::Int64,
        Type::Uint64,
        Type::Int32,
        Type::Fixed64,
        Type::Fixed32,
        Type::Bool,
        Type::String,
        Type::Bytes,
        Type::Uint32,
        Type::Sfixed32,
        Type::Sfixed64,
        Type::Sint32,
        Type::Sint64,
    ];
    let mut fields: Vec<FieldDescriptorProto> =
        scalars.iter().zip(1..).map(|(of, number)| field(&format!("f{number}"), number, *of, "")).collect();
    fields.push(field("color", 20, Type::Enum, ".t.Color"));
    fields.push(repeated(field("numbers", 21, Type::Sint64, "")));
    fields.push(repeated(field("all", 22, Type::Message, ".t.All")));
    fields.push(field("inner", 23, Type::Message, ".t.All"));
    fields.push(repeated(field("counts", 24, Type::Message, ".t.All.CountsEntry")));
    let of_choice = |field: FieldDescriptorProto| FieldDescriptorProto { oneof_index: Some(0), ..field };
    fields.push(of_choice(field("one", 25, Type::Int32, "")));
    fields.push(of_choice(field("other", 26, Type::String, "")));
    let entry_fields = vec![field("key", 1, Type::Int32, ""), field("value", 2, Type::String, "")];
    let options = Some(MessageOptions { map_entry: Some(true), ..Default::default() });
    let entry = DescriptorProto { options, ..message("CountsEntry", entry_fields) };
    let mut oneofs = vec![OneofDescriptorProto { name: Some("choice".to_owned()), ..Default::default() }];
    if syntax == "proto3" {
        let present = field("present", 27, Type::Int64, "");
        fields.push(FieldDescriptorProto { oneof_index: Some(1), proto3_optional: Some(true), ..present });
        oneofs.push(OneofDescriptorProto { name: Some("_present".to_owned()), ..Default::default() });
    } else {
        let of_default = field("present", 27, Type::Int64, "");
        fields.push(FieldDescriptorProto { default_value: Some("-7".to_owned()), ..of_default });
    }
    let value = |(name, number): (&str, i32)| EnumValueDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        ..Default::default()
    };
    let color = EnumDescriptorProto {
        name: Some("Color".to_owned()),
        value: [("NONE", 0), ("RED", 5), ("BELOW", -1)].map(value).to_vec(),
        ..Default::default()
    };
    let all = DescriptorProto { nested_type: vec![entry], oneof_decl: oneofs, ..message("All", fields) };
    FileDescriptorProto {
        name: Some("t.proto".to_owned()),
        package: Some("t".to_owned()),
        message_type: vec![all],
        enum_type: vec![color],
        syntax: Some(syntax.to_owned()),
        ..Default::default()
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let part = |part: &[u8]| {
        let bits = part.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        let letter = |at: usize| char::from(LETTERS[(bits >> (18 - 6 * at) & 63) as usize]);
        (0..4).map(|at| if at <= part.len() { letter(at) } else { '=' }).collect::<String>()
    };
    bytes.chunks(3).map(part).collect()
}

/// The schema as clients register it, and the message as another library has it.
fn schema(file: FileDescriptorProto) -> (ProtobufSchema, DynamicMessage) {
    let set = FileDescriptorSet { file: vec![file] };
    let registered = json!({
        "fileDescriptorSet": base64(&set.encode_to_vec()), "rootMessageTypeName": "t.All",
        "rootFileDescriptorName": "t.proto",
    });
    let pool = DescriptorPool::from_file_descriptor_set(set).unwrap();
    let all = DynamicMessage::new(pool.get_message_by_name("t.All").unwrap());
    (ProtobufSchema::parse_native(registered.to_string().as_bytes()).unwrap(), all)
}

fn read(schema: &ProtobufSchema, payload: &[u8]) -> Json {
    serde_json::from_slice(&schema.to_json(payload).unwrap()).unwrap()
}

#[test]
fn values_of_every_type_are_those_that_were_written() {
    let (schema, mut all) = schema(file("proto3"));
    let values = [
        (Value::F64(f64::NEG_INFINITY), json!("-Infinity")),
        (Value::F32(0.1), json!(0.1)),
        (Value::I64(i64::MIN), json!(i64::MIN)),
        (Value::U64(u64::MAX), json!(u64::MAX)),
        (Value::I32(-1), json!(-1)),
        (Value::U64(1 << 63), json!(1u64 << 63)),
        (Value::U32(u32::MAX), json!(u32::MAX)),
        (Value::Bool(true), json!(true)),
        (Value::String("grüß \"dich\"".to_owned()), json!("grüß \"dich\"")),
        (Value::Bytes(vec![b'a', 0xff].into()), json!("a\\xff")),
        (Value::U32(7), json!(7)),
        (Value::I32(i32::MIN), json!(i32::MIN)),
        (Value::I64(-2), json!(-2)),
        (Value::I32(i32::MIN), json!(i32::MIN)),
        (Value::I64(i64::MIN), json!(i64::MIN)),
    ];
    for ((value, _), number) in values.iter().zip(1..) {
        all.set_field_by_number(number, value.clone());
    }
    all.set_field_by_name("color", Value::EnumNumber(-1));
    all.set_field_by_name("numbers", Value::List(vec![Value::I64(-3), Value::I64(4)]));
    let mut inner = DynamicMessage::new(all.descriptor());
    inner.set_field_by_name("color", Value::EnumNumber(9));
    inner.set_field_by_name("present", Value::I64(0));
    all.set_field_by_name("all", Value::List(vec![Value::Message(inner.clone())]));
    all.set_field_by_name("inner", Value::Message(inner));
    let counts = [(MapKey::I32(-4), Value::String("x".to_owned()))];
    all.set_field_by_name("counts", Value::Map(HashMap::from(counts)));
    all.set_field_by_name("other", Value::String(String::new()));
    let found = read(&schema, &all.encode_to_vec());
    for ((_, expected), number) in values.iter().zip(1..) {
        assert_eq!(&found[format!("f{number}")], expected, "f{number}");
    }
    assert_eq!((&found["color"], &found["numbers"]), (&json!("BELOW"), &json!([-3, 4])));
    assert_eq!((&found["all"][0]["color"], &found["inner"]["present"]), (&json!("9"), &json!(0)));
    assert_eq!((&found["counts"], &found["one"], &found["other"]), (&json!({ "-4": "x" }), &Json::Null, &json!("")));
}

#[test]
fn what_is_absent_is_null_where_that_can_be_told_and_else_its_default() {
    let (schema, _) = schema(file("proto3"));
    let found = read(&schema, &[]);
    let absent = ["f1", "f4", "f8", "f9", "f10", "color", "numbers", "inner", "counts", "one", "present"];
    let expected = json!([0.0, 0, false, "", "", "NONE", [], null, {}, null, null]);
    assert_eq!(Json::Array(absent.map(|name| found[name].clone()).to_vec()), expected);
    let (schema, _) = self::schema(file("proto2"));
    let found = read(&schema, &[]);
    assert_eq!((&found["f4"], &found["color"], &found["present"]), (&Json::Null, &Json::Null, &json!(-7)));
    let mut required = file("proto2");
    required.message_type[0].field[0].label = Some(Label::Required as i32);
    let (schema, _) = self::schema(required);
    let error = schema.to_json(&[]).unwrap_err().to_string();
    assert!(error.ends_with("field \"f1\" is required and is not there"), "{error}");
}

#[test]
fn fields_that_are_not_known_are_passed_over_and_of_those_that_are_there_twice_the_last_counts() {
    let (schema, _) = schema(file("proto3"));
    // Field 99 of each type of bytes, also a group with another in it.
    let unknown = [
        &[0x98, 6, 1][..],
        &[0x99, 6, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x9a, 6, 1, 0xff],
        &[0x9d, 6, 1, 2, 3, 4],
        &[0x9b, 6, 0x0b, 0x08, 1, 0x0c, 0x9c, 6],
    ]
    .concat();
    // Field 5 twice, and field 4 with bytes that are not of its type; 25 and 26 are of one choice.
    let known = [0x28, 1, 0x28, 2, 0x22, 1, b'x', 0xc8, 1, 3, 0xd2, 1, 1, b'o', 0xc8, 1, 3];
    let found = read(&schema, &[unknown.as_slice(), &known].concat());
    assert_eq!((&found["f5"], &found["f4"]), (&json!(2), &json!(0)));
    assert_eq!((&found["one"], &found["other"]), (&json!(3), &Json::Null));
    // Two parts of a message are one; of a list, one that lies in one piece and one that does not.
    let found = read(&schema, &[0xba, 1, 2, 0x28, 7, 0xba, 1, 2, 0x18, 8, 0xa8, 1, 2, 0xaa, 1, 2, 4, 6]);
    assert_eq!((&found["inner"]["f5"], &found["inner"]["f3"]), (&json!(7), &json!(8)));
    assert_eq!(found["numbers"], json!([1, 2, 3]));
}

#[test]
fn bytes_that_are_no_message_and_schemas_that_are_none_are_named() {
    let (schema, _) = schema(file("proto3"));
    let deep = (0..20_000).fold(Vec::new(), |inner: Vec<u8>, _| {
        if inner.len() > 120 { inner } else { [&[0xba, 1, inner.len() as u8][..], &inner].concat() }
    });
    let groups = [0x9b, 6].repeat(200);
    for (payload, expected) in [
        (&[0x28][..], "it is cut off"),
        (&[0x4a, 5, b'x'], "it is cut off"),
        (&[0x4a, 1, 0xff], "a text is no UTF-8"),
        (&[0x00, 1], "0 is no number of a field"),
        (&[0x2e, 1], "6 is no type of the bytes of a field"),
        (&[0x0c], "group 1 ends and has not begun"),
        (&[0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], "a number is too long"),
        (&groups, "it is nested more than 100 deep"),
    ] {
        let error = schema.to_json(payload).unwrap_err().to_string();
        assert_eq!(error, format!("the message is not of its schema of Protobuf: {expected}"));
    }
    assert!(schema.to_json(&deep).is_ok());
    // Many messages of no bytes, each with all names.
    let many = schema.to_json(&[0xb2, 1, 0].repeat(600_000));
    let error = many.map(|json| json.len()).unwrap_err().to_string();
    assert!(error.contains("bytes of text"), "{error}");
    for (text, expected) in [
        ("[", "it is no JSON"),
        ("{}", "it has no fileDescriptorSet"),
        (r#"{"fileDescriptorSet":"*","rootMessageTypeName":"a"}"#, "its descriptors are no base64"),
        (r#"{"fileDescriptorSet":"/w==","rootMessageTypeName":"a"}"#, "its descriptors are not what Protobuf has"),
        (r#"{"fileDescriptorSet":"","rootMessageTypeName":"a"}"#, "it has no message \"a\""),
    ] {
        let error = ProtobufSchema::parse_native(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, format!("the schema of Protobuf cannot be read: {expected}"));
    }
}

#[test]
fn listed_fields_have_the_defaults_of_their_record() {
    let listed = |kind: &str| {
        let field = |number: u32, name: &str, kind: &str, label: &str| json!({ "number": number, "name": name, "type": kind, "label": format!("LABEL_{label}"), "definition": null });
        let fields = [
            field(1, "id", "INT64", "OPTIONAL"),
            field(2, "tags", "STRING", "REPEATED"),
            field(3, "x", kind, "OPTIONAL"),
        ];
        Json::Array(fields.to_vec()).to_string()
    };
    let record = br#"{"type":"record","name":"R","fields":[{"name":"id","type":"long","default":0}]}"#;
    let schema = ProtobufSchema::parse_listed(record, &listed("ENUM")).unwrap();
    assert_eq!(read(&schema, &[]), json!({ "id": 0, "tags": [], "x": null }));
    assert_eq!(read(&schema, &[8, 5, 18, 1, b'a', 24, 2]), json!({ "id": 5, "tags": ["a"], "x": 2 }));
    let error = ProtobufSchema::parse_listed(record, &listed("MESSAGE")).unwrap_err().to_string();
    assert!(error.contains("field \"x\" is a message") && error.contains("publish with PROTOBUF_NATIVE"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_named(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let (schema, _) = schema(file("proto3"));
        if let Ok(json) = schema.to_json(&payload) {
            prop_assert!(serde_json::from_slice::<Json>(&json).is_ok());
        }
    }
}
