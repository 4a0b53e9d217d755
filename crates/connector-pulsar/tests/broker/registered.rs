//! What outputs register of their messages: typed readers of other clients find them by it, and a schema that a broker does
//! not take is one clear error.

use crate::place::{admin, broker, java, namespace, python, settings, topic_in};
use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::Int32Type;
use connector_pulsar::standalone::Standalone;
use connector_pulsar::{Guarantee, Namespace, OutgoingMessage, PulsarTopic, TopicName, TopicWriter, Topics};
use dataflow::Encode;
use serde_json::{Value, json};
use std::sync::Arc;

/// Rows as outputs have them.
fn rows() -> RecordBatch {
    let tags = [Some(vec![Some(1), Some(2)]), None, Some(vec![])];
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(2), None]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(0), None, Some(1)]))),
        ("score", Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN), None]))),
        ("tags", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(tags))),
    ];
    RecordBatch::try_from_iter(columns.map(|(name, column)| (name, column))).expect("the columns are as long")
}

fn opened(broker: &Standalone, name: &TopicName) -> (Topics, Arc<PulsarTopic>) {
    let path: Vec<&str> = name.as_str().split('/').collect();
    let [.., tenant, space, name] = path[..] else { panic!("{path:?}") };
    let namespace = Namespace::parse(&format!("{tenant}/{space}")).expect("a good name");
    let topics = Topics::new(settings(broker), namespace);
    let topic = topics.topic(name).expect("the broker answers").expect("the topic is there");
    (topics, topic)
}

/// Writes the rows as an output does.
fn write(broker: &Standalone, name: &TopicName) -> dataflow::Result<()> {
    let (topics, topic) = opened(broker, name);
    let rows = rows();
    let schema = topics.output_schema(&topic, &rows.schema())?;
    let writer = TopicWriter::open(&topic, "output", Guarantee::AtLeastOnce, &[], Some(&schema))?;
    let payloads = codec::JsonEncode::new(rows.schema())?.encode(&rows)?;
    let message = |(sequence, payload): (usize, Vec<u8>)| OutgoingMessage {
        sequence: sequence as u64,
        payload: Some(payload.into()),
        key: None,
        properties: Vec::new(),
        event_time_ms: None,
        publish_time_ms: 1_700_000_000_000,
    };
    writer.push(0, payloads.into_iter().enumerate().map(message).collect())?;
    writer.flush()
}

/// What the registry has of a topic.
fn registered(broker: &Standalone, topic: &TopicName) -> Value {
    let path = topic.as_str().replace("persistent://", "schemas/");
    serde_json::from_str(&admin(broker, "GET", &format!("{path}/schema"), "")).expect("it is JSON")
}

fn register(broker: &Standalone, topic: &TopicName, kind: &str, schema: &str) {
    let path = topic.as_str().replace("persistent://", "schemas/");
    let body = json!({ "type": kind, "schema": schema, "properties": {} }).to_string();
    admin(broker, "POST", &format!("{path}/schema"), &body);
}

#[test]
fn typed_readers_of_other_clients_read_what_an_output_writes() {
    let broker = broker();
    // The most that a broker asks for: nothing without a schema, and versions that both sides read.
    let namespace = namespace(&broker, "registered");
    admin(&broker, "POST", &format!("namespaces/{namespace}/schemaValidationEnforced"), "true");
    admin(&broker, "PUT", &format!("namespaces/{namespace}/schemaCompatibilityStrategy"), "\"FULL\"");
    let topic = topic_in(&broker, &namespace, "typed");
    write(&broker, &topic).expect("it is written");
    let found = registered(&broker, &topic);
    assert_eq!((&found["type"], &found["version"]), (&json!("JSON"), &json!(0)), "{found}");
    // Another run of the output changes nothing.
    write(&broker, &topic).expect("it is written again");
    assert_eq!(registered(&broker, &topic)["version"], 0);

    let printed = python(&["read-typed", &broker.service_url(), topic.as_str(), "3"]);
    let rows: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    let expected = [
        json!({ "id": i64::MAX, "at": "1970-01-01T00:00:00.000000Z", "score": 0.1, "tags": [1, 2] }),
        json!({ "id": 2, "at": null, "score": "NaN", "tags": null }),
        json!({ "id": null, "at": "1970-01-01T00:00:00.000001Z", "score": null, "tags": [] }),
    ];
    assert_eq!(rows, expected);
    let printed = java("JavaReads.java", &[&broker.service_url(), topic.as_str()]);
    let expected = [
        "typed 9223372036854775807 1970-01-01T00:00:00.000000Z 0.1 [1, 2]",
        "typed 2 null NaN null",
        "typed null 1970-01-01T00:00:00.000001Z null []",
        "generic 9223372036854775807 1970-01-01T00:00:00.000000Z 0.1",
        "generic 2 null NaN",
        "generic null 1970-01-01T00:00:00.000001Z null",
    ];
    let lines: Vec<&str> = printed.lines().filter(|line| line.contains("ric ") || line.contains("typed ")).collect();
    assert_eq!(lines, expected);

    // A topic of text stays one.
    let text = topic_in(&broker, &namespace, "text");
    register(&broker, &text, "STRING", "");
    write(&broker, &text).expect("JSON is text");
    assert_eq!(registered(&broker, &text)["type"], "STRING");
}

#[test]
fn a_schema_that_a_broker_does_not_take_is_one_clear_error() {
    let broker = broker();
    let namespace = namespace(&broker, "refused");
    let other = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"string"}]}"#;
    let topic = topic_in(&broker, &namespace, "other");
    register(&broker, &topic, "JSON", other);
    let error = write(&broker, &topic).expect_err("a number is no text").chain();
    for part in [topic.as_str(), "the schema of what is written is refused", "IncompatibleSchema", "; the schema is {"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    let avro = topic_in(&broker, &namespace, "avro");
    register(&broker, &avro, "AVRO", other);
    let error = write(&broker, &avro).expect_err("JSON is no Avro").chain();
    let expected = "its messages are Avro, as its schema says, and an output writes JSON: write to another topic";
    assert!(error.contains(expected), "{error}");

    // Nobody but an administrator may register schemas.
    admin(&broker, "POST", &format!("namespaces/{namespace}/isAllowAutoUpdateSchema"), "false");
    let closed = topic_in(&broker, &namespace, "closed");
    let error = write(&broker, &closed).expect_err("schemas are not made by clients").chain();
    assert!(error.contains("the schema of what is written is refused"), "{error}");
    assert!(error.contains("let an administrator upload the schema"), "{error}");
    let at = error.find("the schema is ").expect("it says which") + "the schema is ".len();
    register(&broker, &closed, "JSON", &error[at..]);
    write(&broker, &closed).expect("the schema that was uploaded is the one of the output");

    // Whoever has no schema is told so.
    admin(&broker, "POST", &format!("namespaces/{namespace}/schemaValidationEnforced"), "true");
    let (_, there) = opened(&broker, &closed);
    let error = TopicWriter::open(&there, "plain", Guarantee::AtLeastOnce, &[], None).err().expect("it needs a schema");
    assert!(error.chain().contains("the topic takes only messages with a schema"), "{}", error.chain());
}
