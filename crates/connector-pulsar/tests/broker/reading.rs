//! Reading what others wrote, from any place.

use crate::place::{broker, expected, next, publish, python, reader, run, take, texts, topic};
use connector_pulsar::{Drained, Key, Message, Payload, Position, Start};

/// The bytes that the Python client wrote for a number.
fn pattern(number: u64, size: usize) -> Vec<u8> {
    (0..size).map(|at| ((number + at as u64 % 251) % 251) as u8).collect()
}

#[test]
fn what_the_python_client_writes_is_read_from_any_place() {
    let broker = broker();
    let topic = topic(&broker, "kinds");
    let printed = python(&["publish-kinds", &broker.service_url(), topic.as_str()]);
    let written: Vec<serde_json::Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert!(written.len() > 70, "{printed}");
    run(async {
        let mut whole = reader(&broker, &topic, Start::Beginning);
        let messages = take(&mut whole, written.len()).await;
        for (at, (message, written)) in messages.iter().zip(&written).enumerate() {
            let number = written["number"].as_u64().expect("a number");
            let size = written["size"].as_u64().expect("a size") as usize;
            // The payload itself would be too long to show.
            assert!(message.payload.bytes() == pattern(number, size), "message {number} of {size} bytes");
            assert!(matches!(message.payload, Payload::Bytes(_)), "message {number}");
            assert_eq!(message.key, Some(Key::Text(format!("key {}", number % 5))));
            assert_eq!(message.properties, [("number".to_owned(), number.to_string())]);
            assert_eq!(message.event_time_ms, Some(1_700_000_000_000 + number));
            assert!(message.entry.broker_time_ms.is_some());
            assert!(message.given_up.is_empty());
            // Each chunk of a message takes a number, and the third is the last of three.
            let is_plain = number < 70;
            assert!(!is_plain || message.index == Some(at as u64), "{:?} of message {number}", message.index);
        }
        let chunked = messages.iter().filter(|message| message.payload.bytes().len() == 12_000_000).count();
        assert_eq!(chunked, 2);
        goes_on_after_each(&broker, &topic, &messages).await;
    });
}

async fn goes_on_after_each(
    broker: &connector_pulsar::standalone::Standalone,
    topic: &connector_pulsar::TopicName,
    messages: &[Message],
) {
    for pair in messages.windows(2) {
        let stored = pair[0].position.to_bytes();
        let position = Position::from_bytes(&stored).expect("a position that was stored is read");
        let mut reader = reader(broker, topic, Start::After(position));
        let found = next(&mut reader).await;
        assert_eq!((found.id, found.position, found.index), (pair[1].id, pair[1].position, pair[1].index));
        assert!(found.payload == pair[1].payload, "after {}", pair[0].id);
    }
}

#[test]
fn a_reader_begins_at_the_end_that_there_was() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "end");
        let mut at_none = reader(&broker, &topic, Start::End);
        assert_eq!(at_none.end().await.expect("an empty topic has no end").last, None);
        publish(&broker, &topic, 0..10).await;
        assert_eq!(texts(&take(&mut at_none, 10).await), expected(0..10));
        let mut at_ten = reader(&broker, &topic, Start::End);
        let end = at_ten.end().await.expect("the topic has an end").last.expect("it has messages");
        publish(&broker, &topic, 10..20).await;
        let messages = take(&mut at_ten, 10).await;
        assert_eq!(texts(&messages), expected(10..20));
        assert!(messages[0].id > end);
        let end = at_ten.end().await.expect("the topic has an end");
        assert_eq!(messages[9].id, end.last.expect("it has messages"));
        // An entry is received after it was stamped, and the question came after that.
        let Some(Drained::BrokerTime(broker_time)) = end.drained else { panic!("entries came with stamps: {end:?}") };
        assert!(Some(broker_time) >= messages[9].entry.broker_time_ms);
    });
}

#[test]
fn memory_for_messages_is_bounded_while_nobody_takes_them() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "bounded");
        publish(&broker, &topic, 0..5000).await;
        let mut options = crate::place::reader_options(&topic, Start::Beginning);
        options.budget_bytes = 20_000;
        let mut reader = connector_pulsar::PartitionReader::new(crate::place::settings(&broker), options);
        // Messages of about 300 bytes in batches of up to 100: they come as they are taken.
        assert_eq!(texts(&take(&mut reader, 5000).await), expected(0..5000));
    });
}
