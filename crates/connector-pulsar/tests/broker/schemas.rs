//! Messages with schemas, as the Java client writes them.

use crate::place::{admin, broker, java, run, settings};
use crate::raw::RawProducer;
use connector_pulsar::standalone::Standalone;
use connector_pulsar::{Namespace, TopicName, Topics};
use dataflow::{Message, Topic, read_what_is_there};
use serde_json::{Value, json};

#[test]
fn messages_with_schemas_are_read_as_json_or_refused_by_name() {
    let broker = broker();
    let names = ["schemas-avro", "schemas-json", "schemas-integers"];
    for name in names {
        admin(&broker, "PUT", &format!("persistent/public/default/{name}"), "");
    }
    // Versions that only add and take away fields that may be missing.
    let policy = "\"ALWAYS_COMPATIBLE\"";
    admin(&broker, "PUT", "namespaces/public/default/schemaCompatibilityStrategy", policy);
    let full = names.map(|name| format!("persistent://public/default/{name}"));
    java("JavaSchemas.java", &[&broker.service_url(), &full[0], &full[1], &full[2]]);
    let topics = Topics::new(settings(&broker), Namespace::default());
    let read = |name: &str| -> Vec<Value> {
        let topic = topics.topic(name).expect("the broker answers").expect("the topic is there");
        topics.check_schema(&topic).expect("its kind is read");
        let mut log = topic.open(0, None).expect("it opens");
        let mut found = Vec::new();
        loop {
            let messages = read_what_is_there(log.as_mut(), 1000, 1 << 20).expect("it is read");
            if messages.is_empty() {
                return found;
            }
            found.extend(messages.iter().map(|message| serde_json::from_slice(&message.payload).expect("it is JSON")));
        }
    };
    let avro = read(names[0]);
    assert_eq!(avro.len(), 22);
    for (number, message) in avro[..20].iter().enumerate() {
        let text = if number % 2 == 0 { json!(format!("grüß \"dich\" {number}")) } else { Value::Null };
        assert_eq!((&message["id"], &message["text"]), (&json!(number), &text));
        assert_eq!(message["place"]["latitude"], json!(number as f64 / 4.0));
        assert_eq!(message["place"]["names"], json!(["a", format!("b{number}")]));
        assert_eq!(message["counts"], json!({ "k": number }));
        assert_eq!(message["raw"], json!(format!("x{}", char::from(number as u8))));
    }
    // Each message is read by the version that it was written with, and one without by none.
    assert_eq!((&avro[20]["id"], &avro[20]["good"], avro[20].get("place")), (&json!(20), &json!(true), None));
    assert_eq!(avro[21], json!({ "id": 21 }));
    assert_eq!(read(names[1])[0]["text"], "json");

    let topic = topics.topic(names[2]).expect("the broker answers").expect("the topic is there");
    let error = topics.check_schema(&topic).expect_err("integers are no rows").chain();
    assert!(error.contains("its messages are integers of 32 bits, which are not read, expected JSON"), "{error}");
    let mut log = topic.open(0, None).expect("it opens");
    let error = read_what_is_there(log.as_mut(), 10, 1 << 20).expect_err("integers are no rows").chain();
    assert!(error.contains("integers of 32 bits"), "{error}");
}

/// All messages of a topic.
fn read(broker: &Standalone, topic: &TopicName) -> Vec<Message> {
    let topics = Topics::new(settings(broker), Namespace::default());
    let name = topic.as_str().rsplit('/').next().expect("a topic has a name");
    let topic = topics.topic(name).expect("the broker answers").expect("the topic is there");
    let (mut log, mut found) = (topic.open(0, None).expect("it opens"), Vec::new());
    loop {
        let messages = read_what_is_there(log.as_mut(), 1000, 1 << 20).expect("it is read");
        if messages.is_empty() {
            return found;
        }
        found.extend(messages);
    }
}

/// Registers a schema of Avro; gives its version as messages have it.
fn register(broker: &Standalone, topic: &TopicName, fields: &Value) -> [u8; 8] {
    let schema = json!({ "type": "record", "name": "R", "fields": fields }).to_string();
    let body = json!({ "type": "AVRO", "schema": schema, "properties": {} }).to_string();
    let path = topic.as_str().replace("persistent://", "schemas/");
    let answer: Value = serde_json::from_str(&admin(broker, "POST", &format!("{path}/schema"), &body)).expect("JSON");
    answer["version"]["version"].as_i64().expect("a version has a number").to_be_bytes()
}

/// A number as Avro has it.
fn long(value: i64) -> Vec<u8> {
    let (mut rest, mut bytes) = (((value << 1) ^ (value >> 63)).cast_unsigned(), Vec::new());
    while rest > 127 {
        bytes.push((rest & 127) as u8 | 128);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

#[test]
fn versions_of_schemas_that_are_none_leave_other_messages_alone() {
    let broker = broker();
    let (topic, mut producer) = run(RawProducer::on(&broker, "versions"));
    let version = register(&broker, &topic, &json!([{ "name": "id", "type": "long" }]));
    // As clients in Java up to 2.10.0 mark all messages without a schema.
    producer.publish(Some(b""), br#"{"id":0}"#);
    producer.publish(None, br#"{"id":1}"#);
    // The broker closes the connection of whoever asks for this one.
    producer.publish(Some(b"abc"), br#"{"id":2}"#);
    producer.publish(Some(b"abcdefgh"), br#"{"id":3}"#);
    producer.publish(Some(&(-1i64).to_be_bytes()), br#"{"id":4}"#);
    producer.publish(Some(&[&version[..], b"more"].concat()), &long(5));
    producer.publish(Some(&version), &long(6));
    producer.publish(Some(&version), &[]);
    let messages = read(&broker, &topic);
    let seen: Vec<(String, Option<&str>)> = messages
        .iter()
        .map(|message| (String::from_utf8_lossy(&message.payload).into_owned(), message.unreadable.as_deref()))
        .collect();
    let json = |id: u32| format!("{{\"id\":{id}}}");
    let expected = [
        (json(0), None),
        (json(1), None),
        (json(2), Some("the version of its schema has 3 bytes, expected 8: whoever published it wrote another")),
        (
            json(3),
            Some(
                "the version of its schema is 7017280452245743464, which no registry gives: whoever published it wrote \
                 another",
            ),
        ),
        (json(4), Some("the version of its schema is -1, which no registry gives: whoever published it wrote another")),
        (json(5), None),
        (json(6), None),
        (String::new(), Some("the message is not of its schema of Avro: it is cut off, at byte 0")),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_value_of_avro_that_has_no_text_leaves_the_other_fields_readable() {
    let broker = broker();
    let (topic, mut producer) = run(RawProducer::on(&broker, "never"));
    let instant = json!({ "type": "long", "logicalType": "timestamp-millis" });
    let fields = json!([{ "name": "id", "type": "long" }, { "name": "expires", "type": instant }]);
    let version = register(&broker, &topic, &fields);
    for (id, expires) in [(0, 0), (1, i64::MAX), (2, i64::MIN)] {
        producer.publish(Some(&version), &[long(id), long(expires)].concat());
    }
    let messages = read(&broker, &topic);
    let values = messages.iter().map(|message| serde_json::from_slice::<Value>(&message.payload).expect("it is JSON"));
    let expected =
        ["1970-01-01T00:00:00.000000Z", "9223372036854775807 is no instant", "-9223372036854775808 is no instant"];
    for ((id, value), expected) in values.enumerate().zip(expected) {
        assert_eq!(value, json!({ "id": id, "expires": expected }));
    }
    assert_eq!(messages.len(), 3);
}

/// What a registry has lost its messages have not: they shall not go as bad rows, and come once it is whole.
#[test]
fn schemas_that_were_deleted_end_a_reader_by_name_until_they_are_back() {
    let broker = broker();
    let (topic, mut producer) = run(RawProducer::on(&broker, "registry"));
    let registry = topic.as_str().replace("persistent://", "schemas/") + "/schema";
    let fields = |more: &str| json!([{ "name": "id", "type": "long" }, { "name": more, "type": "long", "default": 3 }]);
    let versions = ["a", "b"].map(|more| register(&broker, &topic, &fields(more)));
    producer.publish(None, br#"{"id":0}"#);
    producer.publish(Some(&versions[1]), &[long(1), long(2)].concat());
    let name = topic.as_str().rsplit('/').next().expect("a topic has a name");
    let mut impatient = settings(&broker);
    impatient.denied_for = std::time::Duration::from_secs(1);
    let topics = Topics::new(impatient, Namespace::default());
    let there = topics.topic(name).expect("the broker answers").expect("the topic is there");
    for path in [registry.clone(), format!("{registry}?force=true")] {
        admin(&broker, "DELETE", &path, "");
        let mut log = there.open(0, None).expect("it opens");
        let first = read_what_is_there(log.as_mut(), 1, 1 << 20).expect("those before it are read");
        assert_eq!((first.len(), &first[0].payload[..]), (1, &br#"{"id":0}"#[..]));
        let error = read_what_is_there(log.as_mut(), 1, 1 << 20).expect_err("the message is not lost").chain();
        assert!(error.contains("the topic has no version 1 of its schema any more") && error.contains(name), "{error}");
    }
    // The message waits, and one that another broker has just registered comes late.
    let again = std::thread::scope(|scope| {
        let reads = scope.spawn(|| read(&broker, &topic));
        let _ = ["a", "b"].map(|more| register(&broker, &topic, &fields(more)));
        reads.join().expect("it is read")
    });
    let rows: Vec<Value> = again.iter().map(|one| serde_json::from_slice(&one.payload).expect("it is JSON")).collect();
    assert_eq!(rows, [json!({ "id": 0 }), json!({ "id": 1, "b": 2 })]);
}
