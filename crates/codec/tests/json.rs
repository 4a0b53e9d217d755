//! JSON payloads: what becomes a row, what is refused and why, and that rows come back as they went.
// Helpers outside the tests unwrap as the tests do.
#![allow(clippy::unwrap_used)]

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use codec::{JsonDecode, JsonEncode};
use dataflow::{Decode, Decoded, Encode, Message, Position, ProcessingTime, decode_messages};
use proptest::prelude::*;
use std::sync::Arc;

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, ty)| Field::new(*name, ty.clone(), true)).collect::<Vec<_>>()))
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn plays() -> SchemaRef {
    schema(&[
        ("at", timestamp()),
        ("n", DataType::Int64),
        ("small", DataType::Int32),
        ("x", DataType::Float64),
        ("ok", DataType::Boolean),
        ("name", DataType::Utf8),
    ])
}

fn decode(schema: SchemaRef, payloads: &[&str]) -> Decoded {
    let payloads: Vec<&[u8]> = payloads.iter().map(|payload| payload.as_bytes()).collect();
    JsonDecode::flat("plays", schema).unwrap().decode(&payloads).unwrap()
}

/// What is wrong with one payload.
fn reason(payload: &str) -> String {
    let decoded = decode(plays(), &["{}", payload, "{}"]);
    assert_eq!(decoded.rows.num_rows(), 2, "the other rows go on");
    assert_eq!(decoded.bad.len(), 1, "{payload}");
    assert_eq!(decoded.bad[0].0, 1);
    decoded.bad[0].1.to_string()
}

#[test]
fn values_of_every_type() {
    let decoded = decode(
        plays(),
        &[
            r#" {"at":"2013-01-01T05:15:00Z","n":9223372036854775807,"small":-5,"x":1.5e3,"ok":true,"name":"a\"\u00e9"} "#,
            r#"{"name":"last","unknown":[{"n":7},"}"],"x":2,"at":"2013-01-01 05:15","n":null}"#,
            r#"{"n":1,"n":2}"#,
        ],
    );
    assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
    let at = 1_357_017_300_000_000;
    let expected: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![Some(at), Some(at), None])),
        Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(2)])),
        Arc::new(Int32Array::from(vec![Some(-5), None, None])),
        Arc::new(Float64Array::from(vec![Some(1500.0), Some(2.0), None])),
        Arc::new(BooleanArray::from(vec![Some(true), None, None])),
        Arc::new(StringArray::from(vec![Some("a\"é"), Some("last"), None])),
    ];
    assert_eq!(decoded.rows, RecordBatch::try_new(plays(), expected).unwrap());
}

#[test]
fn wrong_payloads_say_what_is_wrong() {
    for (payload, expected) in [
        (r#"{"at":true}"#, r#"topic "plays": field "at" is true, expected TIMESTAMP"#),
        (r#"{"n":"many"}"#, r#"topic "plays": field "n" is "many", expected BIGINT"#),
        (r#"{"n":9223372036854775808}"#, r#"topic "plays": field "n" is 9223372036854775808, expected BIGINT"#),
        (r#"{"small":2147483648}"#, r#"topic "plays": field "small" is 2147483648, expected INTEGER"#),
        (r#"{"x":1e999}"#, r#"topic "plays": field "x" is 1e999, expected DOUBLE"#),
        (r#"{"ok":"maybe"}"#, r#"topic "plays": field "ok" is "maybe", expected BOOLEAN"#),
        (r#"{"n":{"a":1}}"#, r#"topic "plays": field "n" is {"a":1}, expected BIGINT"#),
        (
            r#"{"Name":"a","NAME":"b","Name":"c"}"#,
            r#"topic "plays": fields "Name" and "NAME" are both column "name", expected one of them"#,
        ),
        (
            r#"{"Name":"a","NAME":"b"}"#,
            r#"topic "plays": fields "Name" and "NAME" are both column "name", expected one of them"#,
        ),
        ("[1]", r#"topic "plays": the payload is an array, expected an object"#),
    ] {
        assert_eq!(reason(payload), expected);
    }
    let text = reason(r#"{"at":"yesterday"}"#);
    assert_eq!(text, r#"topic "plays": field "at" is "yesterday", expected TIMESTAMP"#);
    let text = reason(r#"{"at":1357017300000}"#);
    assert!(text.contains("it looks like milliseconds since 1970") && text.contains("epoch_ms(x)"), "{text}");
    for payload in ["", "{", r#"{"n":1} 2"#, r#"{"n":01}"#, r#"{"n":NaN}"#, r#"{'n':1}"#, r#"{"n":1,}"#] {
        assert!(reason(payload).contains("the payload is not JSON"), "{payload}");
    }
    assert!(reason(r#"{"name":"\ud800"}"#).contains("half a surrogate pair"));
    assert!(reason(&format!(r#"{{"skipped":{}{}}}"#, "[".repeat(500), "]".repeat(500))).contains("nested more than"));
    let not_text = JsonDecode::flat("plays", plays()).unwrap().decode(&[b"{\"name\":\"\xff\"}"]).unwrap();
    assert!(not_text.bad[0].1.to_string().contains("not UTF-8"));
}

#[test]
fn columns_at_nested_paths() {
    let columns = schema(&[("id", DataType::Int64), ("score", DataType::Int64), ("top", DataType::Int64)]);
    let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
    let paths = vec![path("payload.user.id"), path("payload.score"), path("top")];
    let decode = JsonDecode::new("plays", columns.clone(), paths.clone()).unwrap();
    let payloads: [&[u8]; 6] = [
        br#"{"payload":{"user":{"id":1,"x":{"id":9}},"score":2},"top":3}"#,
        br#"{"payload":{"user":null},"id":7}"#,
        br#"{"payload":{"user":{"id":1}},"payload":{"score":5}}"#,
        br#"{"payload":{"user":5}}"#,
        br#"{"payload":5}"#,
        br#"{"payload":5,"p\u0061yload":{"score":6}}"#,
    ];
    let decoded = decode.decode(&payloads).unwrap();
    let column = |at: usize| decoded.rows.column(at).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
    assert_eq!(column(0), [Some(1), None, None, None]);
    assert_eq!(column(1), [Some(2), None, Some(5), Some(6)]);
    assert_eq!(column(2), [Some(3), None, None, None]);
    let reasons: Vec<_> = decoded.bad.iter().map(|(at, error)| (*at, error.to_string())).collect();
    assert_eq!(reasons[0], (3, r#"topic "plays": field "payload.user" is a number, expected an object"#.to_owned()));
    assert_eq!(reasons[1], (4, r#"topic "plays": field "payload" is a number, expected an object"#.to_owned()));
    let encoded = JsonEncode::nested(columns, paths).unwrap().encode(&decoded.rows.slice(0, 1)).unwrap();
    assert_eq!(encoded[0], br#"{"payload":{"user":{"id":1},"score":2},"top":3}"#);
}

#[test]
fn names_match_exactly_or_without_case() {
    let columns = schema(&[("amount", DataType::Float64), ("id", DataType::Int64)]);
    let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
    let decode = JsonDecode::new("plays", columns, vec![path("amount"), path("payload.id")]).unwrap();
    let payloads: [&[u8]; 5] = [
        br#"{"Amount":5.5,"PAYLOAD":{"Id":1}}"#,
        br#"{"AMOUNT":1,"amount":2,"Amount":3}"#,
        br#"{"Amount":1,"Amount":2}"#,
        br#"{"Amount":1,"AMOUNT":2,"amount":null,"payload":{"ID":1},"Payload":{"id":2}}"#,
        br#"{"payload":{"ID":1},"payload":{"Id":2}}"#,
    ];
    let decoded = decode.decode(&payloads).unwrap();
    assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
    let amounts = decoded.rows.column(0).as_primitive::<arrow::datatypes::Float64Type>();
    assert_eq!(amounts.iter().collect::<Vec<_>>(), [Some(5.5), Some(2.0), Some(2.0), None, None]);
    let ids = decoded.rows.column(1).as_primitive::<Int64Type>();
    assert_eq!(ids.iter().collect::<Vec<_>>(), [Some(1), None, None, Some(1), Some(2)]);
}

#[test]
fn a_column_that_may_not_be_null() {
    let strict = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let decoded = decode(strict, &[r#"{"n":1}"#, "{}", r#"{"n":null}"#]);
    assert_eq!(decoded.rows.num_rows(), 1);
    assert_eq!(decoded.bad[0].1.to_string(), r#"topic "plays": field "n" is missing, expected BIGINT"#);
    assert_eq!(decoded.bad[1].0, 2);
}

#[test]
fn a_stream_without_columns_still_counts_its_rows() {
    assert_eq!(decode(schema(&[]), &["{}", "nonsense", r#"{"a":1}"#]).rows.num_rows(), 2);
}

#[test]
fn rows_as_they_are_written() {
    let columns = schema(&[("at", timestamp()), ("x", DataType::Float64), ("a\"b", DataType::UInt64)]);
    let rows = RecordBatch::try_new(
        columns.clone(),
        vec![
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(1_357_017_300_000_000),
                None,
                Some(253_402_300_800_000_000),
            ])),
            Arc::new(Float64Array::from(vec![0.1, f64::NAN, f64::INFINITY])),
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)])),
        ],
    )
    .unwrap();
    let texts: Vec<String> = JsonEncode::new(columns)
        .unwrap()
        .encode(&rows)
        .unwrap()
        .into_iter()
        .map(|payload| String::from_utf8(payload).unwrap())
        .collect();
    assert_eq!(
        texts,
        [
            r#"{"at":"2013-01-01T05:15:00.000000Z","x":0.1,"a\"b":18446744073709551615}"#,
            r#"{"at":null,"x":"NaN","a\"b":null}"#,
            r#"{"at":"10000-01-01 00:00:00","x":"Infinity","a\"b":0}"#,
        ]
    );
}

type Row = (Option<i64>, Option<i64>, Option<i32>, Option<f64>, Option<bool>, Option<String>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let finite = any::<f64>().prop_filter("finite", |x| x.is_finite());
    // Days before the first whole one that 64 bits of microseconds hold have no text.
    let row = (
        proptest::option::of(-9_223_372_022_400_000_000i64..i64::MAX),
        any::<Option<i64>>(),
        any::<Option<i32>>(),
        proptest::option::of(finite),
        any::<Option<bool>>(),
        proptest::option::of(any::<String>()),
    );
    proptest::collection::vec(row, 0..20)
}

proptest! {
    #[test]
    fn rows_come_back_as_they_went(rows in rows()) {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| row.0).collect::<TimestampMicrosecondArray>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|row| row.3).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| row.4).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|row| row.5.as_deref()).collect::<StringArray>()),
        ];
        let batch = RecordBatch::try_new(plays(), columns).unwrap();
        let payloads = JsonEncode::new(plays()).unwrap().encode(&batch).unwrap();
        let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let decoded = JsonDecode::flat("plays", plays()).unwrap().decode(&payloads).unwrap();
        prop_assert!(decoded.bad.is_empty());
        prop_assert_eq!(decoded.rows, batch);
    }

    #[test]
    fn any_bytes_are_a_row_or_are_listed(payloads in proptest::collection::vec("[\\[\\]{}\":,a-n0-9.e\\\\ ut-]{0,40}", 0..8)) {
        let decoded = decode(plays(), &payloads.iter().map(String::as_str).collect::<Vec<_>>());
        let objects = payloads
            .iter()
            .filter(|payload| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(payload).is_ok())
            .count();
        prop_assert_eq!(decoded.rows.num_rows() + decoded.bad.len(), payloads.len());
        prop_assert!(decoded.rows.num_rows() <= objects);
    }

    #[test]
    fn text_with_one_character_changed_is_a_row_or_is_listed(
        value in tree(),
        at in any::<prop::sample::Index>(),
        to in "[{}\\[\\]\":,\\\\ntf0-9 ]",
    ) {
        let mut text: Vec<char> = value.to_string().chars().collect();
        let at = at.index(text.len());
        text.splice(at..=at, to.chars());
        let text: String = text.into_iter().collect();
        let decoded = decode(schema(&[("a", DataType::Int64), ("b", DataType::Utf8)]), &[&text]);
        prop_assert_eq!(decoded.rows.num_rows() + decoded.bad.len(), 1);
        if serde_json::from_str::<serde_json::Value>(&text).is_err() {
            prop_assert_eq!(decoded.bad.len(), 1, "{}", text);
        }
    }

    #[test]
    fn fields_are_found_as_a_parser_of_trees_finds_them(value in tree()) {
        let text = serde_json::to_string(&value).unwrap();
        let decoded = decode(schema(&[("a", DataType::Int64), ("b", DataType::Utf8)]), &[&text]);
        // Any value has a text; what is no number and reads as none is no BIGINT.
        let a = value.get("a").filter(|a| !a.is_null());
        let integer = |a: &serde_json::Value| match a {
            serde_json::Value::Bool(a) => Some(i64::from(*a)),
            a => a.as_i64(),
        };
        let good = a.is_none_or(|a| integer(a).is_some());
        prop_assert_eq!(decoded.bad.is_empty(), good, "{}", text);
        if good {
            let b = value.get("b").filter(|b| !b.is_null());
            let expected = b.map(|b| b.as_str().map_or_else(|| b.to_string(), str::to_owned));
            let found = decoded.rows.column(1).as_string::<i32>().iter().next().unwrap();
            prop_assert_eq!(decoded.rows.column(0).as_primitive::<Int64Type>().iter().next().unwrap(), a.and_then(integer));
            prop_assert_eq!(found, expected.as_deref());
        }
    }
}

/// An object with fields named `a` and `b` at all depths, and text that looks like structure.
fn tree() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Map, Value};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a\"\\\\{}\\[\\]:, é\n]{0,8}".prop_map(Value::from),
    ];
    let object = |value: BoxedStrategy<Value>| {
        proptest::collection::vec(("[abc]", value), 0..4)
            .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<String, Value>>()))
    };
    let nested = leaf.clone().prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from), object(inner.boxed()),]
    });
    proptest::collection::vec(("[abc]", prop_oneof![leaf, nested]), 0..4)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

#[test]
fn messages_that_are_known_to_be_unreadable_are_bad_for_that_reason() {
    let message = |payload: &str, unreadable: Option<&str>| Message {
        position: Position { ledger: 0, entry: 0, batch_index: 0 },
        arrival: ProcessingTime(0),
        key: None,
        payload: payload.as_bytes().to_vec(),
        unreadable: unreadable.map(str::to_owned),
    };
    let (good, wrong) = (r#"{"n":1}"#, r#"{"n":"x"}"#);
    let messages = [
        message(wrong, None),
        message(good, Some("cut off")),
        message(good, None),
        message(wrong, None),
        message("", Some("no")),
    ];
    let decoded = decode_messages(&JsonDecode::flat("plays", plays()).unwrap(), &messages).unwrap();
    assert_eq!(decoded.rows.num_rows(), 1);
    let bad: Vec<(usize, String)> = decoded.bad.iter().map(|(at, error)| (*at, error.to_string())).collect();
    assert_eq!(bad.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 1, 3, 4]);
    assert!(bad[0].1.contains("\"n\"") && bad[2].1.contains("\"n\""), "{bad:?}");
    assert_eq!((bad[1].1.as_str(), bad[3].1.as_str()), ("cut off", "no"));
}
