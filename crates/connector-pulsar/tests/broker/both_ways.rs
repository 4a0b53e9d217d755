//! Topics with partitions that we and other clients write and read, each what the other has written, and Python's schemas.

use crate::place::{admin, broker, fresh_partitioned, java, producer_options, python, reader, run, settings, take};
use connector_pulsar::standalone::Standalone;
use connector_pulsar::wire::protocol::CompressionType;
use connector_pulsar::{
    Guarantee, Hashing, Key, Namespace, OutgoingMessage, PartitionProducer, ProducerOptions, Start, TopicName, Topics,
};
use dataflow::{Topic, read_what_is_there};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PARTITIONS: u32 = 3;

const COMPRESSIONS: [CompressionType; 5] = [
    CompressionType::None,
    CompressionType::Lz4,
    CompressionType::Zlib,
    CompressionType::Zstd,
    CompressionType::Snappy,
];

/// A message as tests compare it: number, key, size and checksum.
type Seen = (u64, String, usize, u32);

fn seen(number: u64, key: &str, bytes: &[u8]) -> Seen {
    let mut checksum = flate2::Crc::new();
    checksum.update(bytes);
    (number, key.to_owned(), bytes.len(), checksum.sum())
}

/// The lines `sum PARTITION NUMBER key KEY SIZE CHECKSUM`, by partition.
fn parsed(printed: &str) -> BTreeMap<i32, Vec<Seen>> {
    let mut all = BTreeMap::<i32, Vec<Seen>>::new();
    for line in printed.lines().filter_map(|line| line.strip_prefix("sum ")) {
        let parts: Vec<&str> = line.split(' ').collect();
        let [partition, number, "key", key, size, sum] = parts[..] else { panic!("{line}") };
        let of = |text: &str| text.parse::<u64>().expect("a number");
        let message = (of(number), format!("key {key}"), of(size) as usize, of(sum) as u32);
        all.entry(partition.parse().expect("a number")).or_default().push(message);
    }
    all
}

/// What we read of a partition.
async fn read(broker: &Standalone, topic: &TopicName, partition: u32, count: usize) -> Vec<Seen> {
    let messages = take(&mut reader(broker, &topic.partition(partition), Start::Beginning), count).await;
    let message = |message: &connector_pulsar::Message| {
        let number = message.properties[0].1.parse().expect("a number");
        let key = String::from_utf8_lossy(message.key.as_ref().expect("a key").bytes()).into_owned();
        seen(number, &key, message.payload.bytes())
    };
    messages.iter().map(message).collect()
}

/// The partition that a key belongs to.
fn partition_of(key: &str) -> u32 {
    Key::Text(key.to_owned()).partition(Hashing::JavaString, PARTITIONS)
}

/// The messages by the partitions that their keys belong to, each in the order of its numbers.
fn by_partition(messages: impl IntoIterator<Item = Seen>) -> Vec<Vec<Seen>> {
    let mut all = vec![Vec::new(); PARTITIONS as usize];
    for message in messages {
        all[partition_of(&message.1) as usize].push(message);
    }
    all
}

#[test]
fn what_java_and_python_write_to_partitions_is_read_where_its_keys_belong() {
    let broker = broker();
    for client in ["java", "python"] {
        let topic = fresh_partitioned(&broker, &format!("from-{client}"), PARTITIONS);
        let url = broker.service_url();
        let printed = match client {
            "java" => java("JavaBoth.java", &[&url, topic.as_str()]),
            _ => python(&["publish-keys", &url, topic.as_str()]),
        };
        let mut printed = parsed(&printed);
        let all: Vec<Seen> = printed.values().flatten().cloned().collect();
        assert_eq!(all.len(), 120, "{client}");
        assert!(all.iter().any(|(_, _, size, _)| *size == 12_000_000), "{client} writes chunks");
        // Python's client has another hash, and says where it has put a message.
        let expected = match client {
            "java" => by_partition(all),
            _ => (0..PARTITIONS as i32).map(|partition| printed.remove(&partition).unwrap_or_default()).collect(),
        };
        run(async {
            for (partition, expected) in (0..).zip(&expected) {
                let mut found = read(&broker, &topic, partition, expected.len()).await;
                // A key's messages keep their order over all of a client's producers, since each was flushed.
                assert!(found.is_sorted_by_key(|(number, ..)| *number), "{client}, partition {partition}");
                found.sort();
                assert_eq!(&found, expected, "{client}, partition {partition}");
            }
        });
    }
}

#[test]
fn java_and_python_read_of_each_partition_what_is_written() {
    let broker = broker();
    let topic = fresh_partitioned(&broker, "to-others", PARTITIONS);
    let large: Vec<u8> =
        (0..3_000_000u32).flat_map(|at| at.wrapping_mul(0x9e37_79b9).rotate_left(9).to_le_bytes()).collect();
    assert_eq!(large.len(), 12_000_000);
    let mut written = Vec::new();
    run(async {
        for (at, (compression, batch)) in COMPRESSIONS.iter().flat_map(|kind| [(kind, 1), (kind, 100)]).enumerate() {
            let open = |partition| {
                let options = ProducerOptions {
                    compression: *compression,
                    batch_messages_max: batch,
                    ..producer_options(
                        &topic.partition(partition),
                        &format!("ours {at} {partition}"),
                        Guarantee::AtLeastOnce,
                    )
                };
                PartitionProducer::new(settings(&broker), options)
            };
            let mut producers: Vec<PartitionProducer> = (0..PARTITIONS).map(open).collect();
            for step in 0..12 {
                let (number, is_large) = (12 * at as u64 + step, step == 6 && at % 4 == 0);
                let key = format!("key {}", number % 9);
                // Python's client does not read an empty message that says it is compressed.
                let payload = if is_large {
                    large.clone()
                } else {
                    format!("message {number}").repeat(9 * step as usize + 9).into()
                };
                written.push(seen(number, &key, &payload));
                let message = OutgoingMessage {
                    sequence: number,
                    payload: Some(payload.into()),
                    key: Some(Key::Text(key.clone())),
                    properties: vec![("number".to_owned(), number.to_string())],
                    event_time_ms: None,
                    publish_time_ms: 1_700_000_000_000,
                };
                producers[partition_of(&key) as usize].push(message).await.expect("the producer takes messages");
            }
            for producer in &mut producers {
                producer.flush().await.expect("the messages are stored");
            }
        }
    });
    let expected = by_partition(written);
    let counts: Vec<String> = expected.iter().map(|all| all.len().to_string()).collect();
    let url = broker.service_url();
    let arguments = [url.as_str(), topic.as_str(), &counts[0], &counts[1], &counts[2]];
    for (client, printed) in [
        ("java", java("JavaBoth.java", &arguments)),
        ("python", python(&[&["read-keys"][..], &arguments[..]].concat())),
    ] {
        let found: Vec<Vec<Seen>> = parsed(&printed).into_values().collect();
        assert!(found == expected, "{client}: {printed}");
    }
}

/// Python's records have a schema of Avro each, and those of JSON are text.
#[test]
fn records_of_python_in_json_and_avro_are_read_as_their_fields() {
    let broker = broker();
    let names = ["typed-json", "typed-avro"];
    let topics = names.map(|name| {
        admin(&broker, "PUT", &format!("persistent/public/default/{name}"), "");
        format!("persistent://public/default/{name}")
    });
    python(&["publish-records", &broker.service_url(), &topics[0], &topics[1]]);
    let there = Topics::new(settings(&broker), Namespace::default());
    for name in names {
        let topic = there.topic(name).expect("the broker answers").expect("the topic is there");
        there.check_schema(&topic).expect("its kind is read");
        let mut log = topic.open(0, None).expect("it opens");
        // A schema is looked up while those before it are given out.
        let mut found = Vec::<Value>::new();
        while found.len() < 20 {
            let messages = read_what_is_there(log.as_mut(), 1000, 1 << 20).expect("it is read");
            assert!(!messages.is_empty(), "{name}: {} messages", found.len());
            found.extend(messages.iter().map(|one| serde_json::from_slice::<Value>(&one.payload).expect("it is JSON")));
        }
        let record = |id: i64| {
            json!({
                "id": id, "text": if id % 2 == 0 { json!(format!("grüß {id}")) } else { Value::Null }, "score": 0.25 * id as f64,
                "tags": ["a", format!("b{id}")], "counts": { "k": id }, "place": { "latitude": 1.5 }, "good": id == 3,
            })
        };
        assert_eq!(found, (0..20).map(record).collect::<Vec<_>>(), "{name}");
    }
}
