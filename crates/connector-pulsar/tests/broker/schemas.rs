//! Messages with schemas, as the Java client writes them.

use crate::place::{admin, broker, java, settings};
use connector_pulsar::{Namespace, Topics};
use dataflow::{Topic, read_what_is_there};
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
