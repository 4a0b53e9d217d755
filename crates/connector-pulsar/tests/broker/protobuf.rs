//! Messages of Protobuf, as the Java client writes and registers them.

use crate::place::{admin, broker, java, settings};
use connector_pulsar::{Namespace, Topics};
use dataflow::{Topic, read_what_is_there};
use serde_json::{Value, json};

#[test]
fn messages_of_protobuf_are_read_as_json_or_refused_by_name() {
    let broker = broker();
    let names = ["protobuf-native", "protobuf-listed", "protobuf-nested"];
    for name in names {
        admin(&broker, "PUT", &format!("persistent/public/default/{name}"), "");
    }
    let full = names.map(|name| format!("persistent://public/default/{name}"));
    java("JavaProtobuf.java", &[&broker.service_url(), &full[0], &full[1], &full[2]]);
    let topics = Topics::new(settings(&broker), Namespace::default());
    let topic = |name: &str| topics.topic(name).expect("the broker answers").expect("the topic is there");
    let read = |name: &str| -> Vec<Value> {
        let topic = topic(name);
        topics.check_schema(&topic).expect("its kind is read");
        let messages = read_what_is_there(topic.open(0, None).expect("it opens").as_mut(), 1000, 1 << 20);
        let messages = messages.expect("it is read");
        messages.iter().map(|message| serde_json::from_slice(&message.payload).expect("it is JSON")).collect()
    };
    let native = read(names[0]);
    assert_eq!(native.len(), 6);
    for (number, message) in native[..5].iter().enumerate() {
        assert_eq!((&message["name"], &message["oneofs"]), (&json!(format!("name {number}")), &json!(["a", "b"])));
        let field = &message["fields"][0];
        assert_eq!((&field["number"], &field["packed"]), (&json!(-(number as i64)), &json!(true)));
        assert_eq!((&field["kind"], &field["cardinality"]), (&json!("TYPE_SINT64"), &json!("77")));
        assert_eq!(field["options"][0]["value"], json!({ "type_url": "any", "value": "x" }));
    }
    let empty = &native[5];
    assert_eq!((&empty["name"], &empty["fields"], &empty["syntax"]), (&json!(""), &json!([]), &json!("SYNTAX_PROTO2")));
    assert_eq!(empty["source_context"], Value::Null);
    assert_eq!(read(names[1]), [json!({ "seconds": i64::MIN, "nanos": 0 })]);
    let error = topics.check_schema(&topic(names[2])).expect_err("its fields have no numbers").chain();
    assert!(error.contains(names[2]) && error.contains("field \"options\" is a message"), "{error}");
}
