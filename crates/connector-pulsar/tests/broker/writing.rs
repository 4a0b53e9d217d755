//! Writing what others read, and each message once.

use crate::place::{
    admin, broker, expected, namespace, outgoing, path_of, producer_options, python, reader, run, settings, take,
    texts, topic, topic_in,
};
use connector_pulsar::wire::protocol::CompressionType;
use connector_pulsar::{ErrorKind, Guarantee, Key, PartitionProducer, Payload, Start};

#[test]
fn the_python_client_reads_what_is_written() {
    let broker = broker();
    let topic = topic(&broker, "written");
    let kinds = [
        CompressionType::None,
        CompressionType::Lz4,
        CompressionType::Zlib,
        CompressionType::Zstd,
        CompressionType::Snappy,
    ];
    run(async {
        for (at, compression) in kinds.into_iter().enumerate() {
            let mut options = producer_options(&topic, &format!("writer {at}"), Guarantee::AtLeastOnce);
            options.compression = compression;
            let mut producer = PartitionProducer::new(settings(&broker), options);
            let first = 200 * at as u64;
            for sequence in first..first + 200 {
                producer.push(outgoing(sequence)).await.expect("the producer takes messages");
            }
            producer.flush().await.expect("the messages are stored");
            assert_eq!(producer.stored(), Some(first + 199));
        }
    });
    let printed = python(&["read", &broker.service_url(), topic.as_str(), "1000"]);
    let found: Vec<serde_json::Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(found.len(), 1000);
    for (at, found) in found.iter().enumerate() {
        let expected = serde_json::json!({
            "payload": format!("message {at}"),
            "key": format!("key {}", at % 7),
            "properties": {"number": at.to_string()},
            "event_time": 1_700_000_000_000_u64 + at as u64,
            "publish_time": 1_700_000_000_000_u64,
            "producer": format!("writer {}", at / 200),
        });
        assert_eq!(*found, expected);
    }
}

#[test]
fn messages_without_a_value_and_keys_of_bytes_come_back() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "null");
        let options = producer_options(&topic, "writer", Guarantee::AtLeastOnce);
        let mut producer = PartitionProducer::new(settings(&broker), options);
        for sequence in 0..3 {
            let key = Some(Key::Bytes(vec![0xff, sequence]));
            let message = connector_pulsar::OutgoingMessage { payload: None, key, ..outgoing(u64::from(sequence)) };
            producer.push(message).await.expect("the producer takes messages");
        }
        producer.flush().await.expect("the messages are stored");
        let messages = take(&mut reader(&broker, &topic, Start::Beginning), 3).await;
        for (at, message) in messages.iter().enumerate() {
            assert_eq!((&message.payload, &message.key), (&Payload::Null, &Some(Key::Bytes(vec![0xff, at as u8]))));
        }
    });
}

#[test]
fn what_is_sent_again_under_a_name_is_there_once() {
    let broker = broker();
    let namespace = namespace(&broker, "once");
    admin(&broker, "POST", &format!("namespaces/{namespace}/deduplication"), "true");
    run(async {
        let topic = topic_in(&broker, &namespace, "once");
        for (from, to, batch) in [(0, 100, 7), (50, 150, 100), (0, 150, 13), (0, 200, 1)] {
            let mut options = producer_options(&topic, "the name", Guarantee::EffectivelyOnce);
            options.batch_messages_max = batch;
            let mut producer = PartitionProducer::new(settings(&broker), options);
            for sequence in from..to {
                producer.push(outgoing(sequence)).await.expect("the producer takes messages");
            }
            producer.flush().await.expect("the messages are stored");
            assert_eq!(producer.stored(), Some(to - 1));
        }
        let mut reader = reader(&broker, &topic, Start::Beginning);
        assert_eq!(texts(&take(&mut reader, 200).await), expected(0..200));
        let end = reader.end().await.expect("the topic has an end").last.expect("it has messages");
        assert_eq!(end.entry, take_last(&broker, &topic).await, "nothing follows");
    });
}

async fn take_last(
    broker: &connector_pulsar::standalone::Standalone,
    topic: &connector_pulsar::TopicName,
) -> connector_pulsar::EntryId {
    take(&mut reader(broker, topic, Start::Beginning), 200).await[199].id.entry
}

#[test]
fn a_broker_without_deduplication_is_noticed() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "twice");
        let options = producer_options(&topic, "strict", Guarantee::EffectivelyOnce);
        let mut producer = PartitionProducer::new(settings(&broker), options);
        producer.push(outgoing(0)).await.expect("the producer takes a message");
        let error = producer.flush().await.expect_err("the broker removes no duplicates");
        assert_eq!(error.kind(), ErrorKind::Lost);
        assert!(error.to_string().contains("its deduplication is off, or has forgotten"), "{error}");

        let options = producer_options(&topic, "lenient", Guarantee::AtLeastOnce);
        let mut producer = PartitionProducer::new(settings(&broker), options);
        producer.push(outgoing(1)).await.expect("the producer takes a message");
        producer.flush().await.expect("the message is stored");
        admin(&broker, "PUT", &format!("{}/unload", path_of(&topic)), "");
        producer.push(outgoing(2)).await.expect("the producer takes a message");
        producer.flush().await.expect("the message is stored");
        assert_eq!(producer.is_deduplicated(), Some(false));
    });
}

#[test]
fn a_message_that_is_too_large_is_refused_alone() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "large");
        let options = producer_options(&topic, "writer", Guarantee::AtLeastOnce);
        let mut producer = PartitionProducer::new(settings(&broker), options);
        let large = connector_pulsar::OutgoingMessage { payload: Some(vec![0; 65 << 20].into()), ..outgoing(0) };
        let error = producer.push(large).await.expect_err("readers take at most 64 MiB");
        assert_eq!(error.kind(), ErrorKind::Unfit);
        assert!(error.to_string().contains("message 0 has 68157440 bytes, expected at most 67108864"), "{error}");
        producer.push(outgoing(1)).await.expect("the producer takes a message");
        producer.flush().await.expect("the message is stored");
        assert_eq!(texts(&take(&mut reader(&broker, &topic, Start::Beginning), 1).await), expected(1..2));
    });
}

#[test]
fn a_message_that_is_too_large_for_its_topic_is_named() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "small");
        admin(&broker, "POST", &format!("{}/maxMessageSize", path_of(&topic)), "1000");
        let refused = async {
            loop {
                let name = format!("writer {}", connector_pulsar::chance());
                let options = producer_options(&topic, &name, Guarantee::AtLeastOnce);
                let mut producer = PartitionProducer::new(settings(&broker), options);
                let large = connector_pulsar::OutgoingMessage { payload: Some(vec![0; 2000].into()), ..outgoing(7) };
                producer.push(large).await.expect("the producer takes the message");
                // A policy takes a moment until it is in force.
                if let Err(error) = producer.flush().await {
                    return error;
                }
            }
        };
        let error = refused.await;
        assert_eq!(error.kind(), ErrorKind::Unfit, "{error}");
        assert!(error.to_string().contains("message 7 has 2000 bytes and is too large for the topic"), "{error}");
    });
}
