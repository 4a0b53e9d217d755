//! Messages that are larger than the broker's entries: they are written in chunks, and whole for everybody who reads.

use crate::faults::{beside, check, proxied, proxy_listener, through_proxy, turn};
use crate::place::{
    admin, broker, java, namespace, next, outgoing, path_of, producer_options, publish_singly, python, reader,
    reader_options, run, settings, take, topic, topic_in,
};
use crate::proxy::{Moment, serve_stopping};
use connector_pulsar::standalone::Standalone;
use connector_pulsar::wire::protocol::CompressionType;
use connector_pulsar::{
    EarlierMessages, EntryId, Guarantee, Message, OutgoingMessage, PartitionProducer, PartitionReader, Position,
    ProducerOptions, Settings, Start, TopicName,
};
use std::collections::BTreeSet;

pub const LARGE: usize = 12_000_000;

/// Bytes that compress to two thirds, and are others for each sequence.
fn bytes_of(sequence: u64, size: usize) -> Vec<u8> {
    let mut state = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 12);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
        bytes.extend_from_slice(b"same");
    }
    bytes.truncate(size);
    bytes
}

/// Every third is large.
fn size_of(sequence: u64, large: usize) -> usize {
    if sequence % 3 == 1 { large + sequence as usize } else { 10 + sequence as usize }
}

pub fn message(sequence: u64, large: usize) -> OutgoingMessage {
    OutgoingMessage { payload: Some(bytes_of(sequence, size_of(sequence, large)).into()), ..outgoing(sequence) }
}

/// The messages are those of the first sequences, each once and in order.
pub fn check_all(messages: &[Message], large: usize) {
    for (at, message) in (0..).zip(messages) {
        assert_eq!(message.sequence, at);
        assert!(message.payload.bytes() == bytes_of(at, size_of(at, large)), "message {at}");
        assert_eq!(message.key.as_ref().map(|key| key.bytes().to_vec()), Some(format!("key {}", at % 7).into_bytes()));
    }
}

async fn write(producer: &mut PartitionProducer, sequences: std::ops::Range<u64>, large: usize) {
    for sequence in sequences {
        producer.push(message(sequence, large)).await.expect("the producer takes messages");
    }
    producer.flush().await.expect("the messages are stored");
}

/// What readers that print checksums print.
pub fn sums(broker: &Standalone, topic: &TopicName, count: usize) -> [Vec<String>; 2] {
    let (url, count) = (broker.service_url(), count.to_string());
    let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let python = lines(python(&["read-sums", &url, topic.as_str(), &count]));
    let java = lines(java("JavaSums.java", &[&url, topic.as_str(), &count]));
    let java = java.iter().filter_map(|line| line.strip_prefix("sum ")).map(str::to_owned).collect();
    [python, java]
}

#[test]
fn what_is_larger_than_an_entry_is_whole_for_every_client() {
    let broker = broker();
    let topic = topic(&broker, "chunks");
    run(async {
        let kinds = [CompressionType::None, CompressionType::Lz4, CompressionType::Zstd];
        for (first, compression) in (0..).step_by(6).zip(kinds) {
            let name = format!("writer {first}");
            let options = ProducerOptions { compression, ..producer_options(&topic, &name, Guarantee::AtLeastOnce) };
            let mut producer = PartitionProducer::new(settings(&broker), options);
            write(&mut producer, first..first + 6, LARGE).await;
            assert_eq!(producer.stored(), Some(first + 5));
        }
        let messages = take(&mut reader(&broker, &topic, Start::Beginning), 18).await;
        check_all(&messages, LARGE);
        for pair in messages.windows(2) {
            let found = next(&mut reader(&broker, &topic, Start::AfterMessage(pair[0].id))).await;
            assert_eq!(found.id, pair[1].id);
        }
    });
    let [python, java] = sums(&broker, &topic, 18);
    assert_eq!(python.len(), 18);
    for (at, line) in python.iter().enumerate() {
        let size = size_of(at as u64, LARGE);
        assert!(line.starts_with(&format!("{at} key {} {size} ", at % 7)), "{line}");
    }
    assert_eq!(java, python);
}

#[test]
fn connections_that_break_among_chunks_lose_and_double_nothing() {
    const MESSAGES: u64 = 36;
    const SIZE: usize = 6_000_000;
    const EACH: u32 = 2;
    let _turn = turn();
    let broker = broker();
    let namespace = namespace(&broker, "chunks");
    admin(&broker, "POST", &format!("namespaces/{namespace}/deduplication"), "true");
    let topic = topic_in(&broker, &namespace, "chunks");
    run(async {
        let options =
            ProducerOptions { budget_bytes: 8 << 20, ..producer_options(&topic, "faulty", Guarantee::EffectivelyOnce) };
        let mut producer = PartitionProducer::new(proxied(&broker), options);
        let counts = through_proxy(&broker, 17, 16_000_000, async {
            write(&mut producer, 0..MESSAGES, SIZE).await;
        })
        .await;
        check(&counts, 17, EACH, &[Moment::Opening, Moment::Chunk]);
        let mut reader = PartitionReader::new(proxied(&broker), reader_options(&topic, Start::Beginning));
        let mut messages = Vec::new();
        let counts = through_proxy(&broker, 19, 16_000_000, async {
            messages = take(&mut reader, MESSAGES as usize).await;
        })
        .await;
        check(&counts, 19, EACH, &[Moment::Opening, Moment::Chunk]);
        drop(reader);
        check_all(&messages, SIZE);
        let mut reader = self::reader(&broker, &topic, Start::Beginning);
        assert_eq!(take(&mut reader, MESSAGES as usize).await.len(), messages.len());
        let parts: usize = messages.iter().map(|message| message.given_up.len()).sum();
        assert_eq!(parts, 0, "what was sent again is whole");
        let end = reader.end().await.expect("the topic has an end").last.expect("it has messages");
        assert_eq!(end.entry, messages[MESSAGES as usize - 1].id.entry, "nothing follows");
    });
    let [python, java] = sums(&broker, &topic, MESSAGES as usize);
    assert_eq!(java, python);
}

#[test]
fn without_deduplication_a_message_that_breaks_off_is_there_at_least_once() {
    let _turn = turn();
    let broker = broker();
    let topic = topic(&broker, "chunks");
    run(async {
        let options = producer_options(&topic, "breaks off", Guarantee::AtLeastOnce);
        let mut producer = PartitionProducer::new(proxied(&broker), options);
        let stops = [(6_000_000, true), (11_000_000, true)];
        let mut stopped = 0;
        let serving = serve_stopping(proxy_listener(), broker.service_url(), &stops, async |_| stopped += 1);
        beside(serving, write(&mut producer, 0..6, LARGE)).await;
        assert_eq!(stopped, stops.len());
        let mut reader = reader(&broker, &topic, Start::Beginning);
        let mut found = take(&mut reader, 6).await;
        while found.iter().all(|message| message.sequence != 5) {
            found.push(next(&mut reader).await);
        }
        let mut seen = BTreeSet::new();
        found.retain(|message| seen.insert(message.sequence));
        assert_eq!(found.len(), 6);
        check_all(&found, LARGE);
    });
}

/// What a broker knows of a producer when it loads a topic is what it finds in the last entry, whole message or not.
#[test]
fn a_topic_that_is_loaded_anew_among_chunks_has_the_message_once() {
    let _turn = turn();
    let broker = broker();
    let namespace = namespace(&broker, "loaded");
    admin(&broker, "POST", &format!("namespaces/{namespace}/deduplication"), "true");
    for first in [0u64, 1] {
        let topic = topic_in(&broker, &namespace, "loaded");
        run(async {
            let options = producer_options(&topic, "loaded", Guarantee::EffectivelyOnce);
            let large =
                |sequence| OutgoingMessage { payload: Some(bytes_of(sequence, LARGE).into()), ..outgoing(sequence) };
            if first > 0 {
                let mut before = PartitionProducer::new(settings(&broker), options.clone());
                before.push(large(0)).await.expect("the producer takes a message");
                before.flush().await.expect("the message is stored");
            }
            // After the first chunk, and within the third.
            let stops = [(7_000_000, true), (11_500_000, true)];
            let unload = async |_| {
                admin(&broker, "PUT", &format!("{}/unload", path_of(&topic)), "");
            };
            let serving = serve_stopping(proxy_listener(), broker.service_url(), &stops, unload);
            let earlier = EarlierMessages { stored: first.checked_sub(1), ..EarlierMessages::default() };
            let options = ProducerOptions { earlier, ..options };
            let mut producer = PartitionProducer::new(proxied(&broker), options);
            beside(serving, async {
                for sequence in first..first + 3 {
                    producer.push(large(sequence)).await.expect("the producer takes messages");
                }
                producer.flush().await.expect("the messages are stored");
            })
            .await;
            assert_eq!(producer.stored(), Some(first + 2));
            let messages = take(&mut reader(&broker, &topic, Start::Beginning), first as usize + 3).await;
            for (at, message) in (0..).zip(&messages) {
                assert!(message.sequence == at && message.payload.bytes() == bytes_of(at, LARGE), "message {at}");
                assert!(message.given_up.is_empty(), "{:?}", message.given_up);
            }
            // Its parts are there more than once, so that something was tried.
            let entries = messages.last().map_or(0, |message| message.index.unwrap_or(0) + 1);
            assert!(entries > 3 * messages.len() as u64, "{entries} entries");
        });
        let [python, java] = sums(&broker, &topic, first as usize + 3);
        assert_eq!(java, python);
    }
}

#[test]
fn messages_among_chunks_of_another_producer_are_places_to_go_on_from() {
    let _turn = turn();
    let broker = broker();
    let topic = topic(&broker, "among");
    run(async {
        let options = producer_options(&topic, "large", Guarantee::AtLeastOnce);
        let patient = Settings { keep_alive: std::time::Duration::from_secs(60), ..proxied(&broker) };
        let mut producer = PartitionProducer::new(patient, options);
        // The connection pauses within the second chunk, until others have written.
        let among = async |_| {
            let path = format!("{}/internalStats", path_of(&topic));
            while !has_entries(&admin(&broker, "GET", &path, "")) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            publish_singly(&broker, &topic, 100..120).await;
        };
        let stops = [(7_000_000, false)];
        let serving = serve_stopping(proxy_listener(), broker.service_url(), &stops, among);
        beside(serving, write(&mut producer, 1..3, LARGE)).await;
        let messages = take(&mut reader(&broker, &topic, Start::Beginning), 22).await;
        assert!(messages[0].position.oldest_chunk.is_some(), "they do not lie among chunks");
        assert!(messages[20].payload.bytes() == bytes_of(1, size_of(1, LARGE)));
        for (at, pair) in messages.windows(2).enumerate().skip(15) {
            let found = next(&mut reader(&broker, &topic, Start::AfterMessage(pair[0].id))).await;
            assert_eq!((found.id, found.payload.bytes().len()), (pair[1].id, pair[1].payload.bytes().len()), "{at}");
        }
    });
}

fn has_entries(stats: &str) -> bool {
    let stats: serde_json::Value = serde_json::from_str(stats).expect("statistics are JSON");
    stats["entriesAddedCounter"].as_u64().expect("a number") > 0
}

/// Where a reader looks for chunks before its place it begins in ledgers that need not be there.
#[test]
fn a_place_in_a_ledger_that_is_not_there_is_the_next_one() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "ledgers");
        publish_singly(&broker, &topic, 0..2).await;
        admin(&broker, "PUT", &format!("{}/unload", path_of(&topic)), "");
        // Somebody else takes the ledger's number after this one.
        publish_singly(&broker, &crate::place::topic(&broker, "other"), 0..1).await;
        admin(&broker, "PUT", &format!("{}/unload", path_of(&topic)), "");
        publish_singly(&broker, &topic, 2..4).await;
        let messages = take(&mut reader(&broker, &topic, Start::Beginning), 4).await;
        let [first, last] = [&messages[0], &messages[3]].map(|message| message.id);
        assert!(last.entry.ledger > first.entry.ledger + 1, "{first} {last}");
        let between = EntryId { ledger: last.entry.ledger - 1, entry: 0 };
        let position = Position { last, oldest_chunk: Some(between) };
        let impatient = Settings { backoff_max: std::time::Duration::from_millis(100), ..settings(&broker) };
        let options = reader_options(&topic, Start::After(position));
        let mut reader = PartitionReader::new(impatient, options);
        let error = reader.next().await.expect_err("the place is not there").to_string();
        let came = EntryId { entry: 0, ..last.entry };
        assert!(error.contains(&format!("the oldest entry is {came}, expected {between}")), "{error}");
    });
}
