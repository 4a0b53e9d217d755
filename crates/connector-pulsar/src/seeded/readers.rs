//! A reader gives out every message once and in order, whatever happens to its connections and to its run.

use super::broker::{ScriptedBroker, Troubles};
use super::harness::{Chance, Harness, settings};
use crate::message::Payload;
use crate::position::Position;
use crate::reader::{ProducerClocks, ReaderMachine, ReaderOptions, Start};
use crate::topic::TopicName;
use crate::wire::frame::encode_entry;
use crate::wire::protocol::{CompressionType, MessageMetadata, SingleMessageMetadata};
use crate::wire::{batch, compression};
use bytes::BytesMut;

/// What stays open of a message in chunks, for one of several producers.
struct OpenChunks {
    producer: String,
    text: String,
    uuid: String,
    next: usize,
}

const CHUNKS: usize = 3;

/// A log of single messages, batches of every compression, and interleaved messages in chunks; and its texts in order.
fn fill(broker: &mut ScriptedBroker, entries: usize, chance: &mut Chance) -> Vec<String> {
    let mut texts = Vec::new();
    let mut open: Vec<OpenChunks> = Vec::new();
    for number in 0..entries {
        let producer = format!("producer {}", chance.below(3));
        match chance.below(4) {
            0 => texts.extend(batch_of(broker, &producer, number, chance)),
            1 | 2 => {
                let at = open.iter().position(|one| one.producer == producer);
                let at = at.unwrap_or_else(|| {
                    let (text, uuid) = (format!("a message in {CHUNKS} chunks {number}"), format!("uuid {number}"));
                    open.push(OpenChunks { producer, text, uuid, next: 0 });
                    open.len() - 1
                });
                if chunk_of(broker, &mut open[at]) {
                    texts.push(open.remove(at).text);
                }
            }
            _ => {
                let text = format!("single {number}");
                let metadata = MessageMetadata { producer_name: producer, ..Default::default() };
                broker.store(&encode_entry(&metadata, text.as_bytes()), 1);
                texts.push(text);
            }
        }
    }
    texts
}

pub fn batch_of(broker: &mut ScriptedBroker, producer: &str, number: usize, chance: &mut Chance) -> Vec<String> {
    let texts: Vec<String> = (0..=chance.below(5)).map(|at| format!("{at} of batch {number}")).collect();
    let mut payload = BytesMut::new();
    for text in &texts {
        let payload_size = i32::try_from(text.len()).unwrap();
        let single = SingleMessageMetadata { payload_size, ..Default::default() };
        batch::append(&single, text.as_bytes(), &mut payload);
    }
    let kind = CompressionType::try_from(chance.below(5) as i32).unwrap();
    let metadata = MessageMetadata {
        producer_name: producer.to_owned(),
        compression: Some(kind as i32),
        uncompressed_size: u32::try_from(payload.len()).ok(),
        num_messages_in_batch: i32::try_from(texts.len()).ok(),
        ..Default::default()
    };
    let payload = compression::compress(kind, &payload).unwrap();
    broker.store(&encode_entry(&metadata, &payload), texts.len() as u64);
    texts
}

/// Stores the next chunk; true if it is the last.
fn chunk_of(broker: &mut ScriptedBroker, open: &mut OpenChunks) -> bool {
    let size = open.text.len().div_ceil(CHUNKS);
    let part = open.text.as_bytes().chunks(size).nth(open.next).unwrap();
    let metadata = MessageMetadata {
        producer_name: open.producer.clone(),
        uuid: Some(open.uuid.clone()),
        chunk_id: i32::try_from(open.next).ok(),
        num_chunks_from_msg: i32::try_from(CHUNKS).ok(),
        total_chunk_msg_size: i32::try_from(open.text.len()).ok(),
        ..Default::default()
    };
    broker.store(&encode_entry(&metadata, part), 1);
    open.next += 1;
    open.next == CHUNKS
}

fn machine(start: Start) -> ReaderMachine {
    let options = ReaderOptions {
        topic: TopicName::parse("topic").unwrap(),
        start,
        anchor: None,
        name: "reader".into(),
        budget_bytes: 3000,
        allows_gaps: false,
        producer_clocks: ProducerClocks::default(),
    };
    ReaderMachine::new(settings(), options, 1)
}

/// Reads a log to its end; what is taken up again after the end of a run is its stored position.
fn read(seed: u64, troubles: Troubles, losses: u64) -> (Vec<String>, Vec<String>, u64) {
    let mut chance = Chance(seed);
    let mut broker = ScriptedBroker::new(1 + chance.below(20), false);
    let expected = fill(&mut broker, 60 + chance.below(60) as usize, &mut chance);
    broker.troubles = troubles;
    let mut harness = Harness::new(losses);
    let mut reader = machine(Start::Beginning);
    let mut found: Vec<String> = Vec::new();
    for step in 0..200_000 {
        if found.len() >= expected.len() {
            break;
        }
        harness.step(&mut reader, &mut broker, &mut chance).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let Some(message) = (if step % 3 == 1 { None } else { reader.take() }) else { continue };
        let Payload::Bytes(bytes) = &message.payload else { panic!("seed {seed}: {message:?}") };
        assert!(message.given_up.is_empty(), "seed {seed}: {message:?}");
        found.push(String::from_utf8(bytes.to_vec()).unwrap());
        if chance.happens(30) {
            // The run ends here, and another takes it up; what waited in memory is gone.
            let position = Position::from_bytes(&message.position.to_bytes()).unwrap();
            reader = machine(Start::After(position));
            harness.hang_up();
        }
    }
    (found, expected, harness.lost)
}

#[test]
fn every_message_comes_once_and_in_order() {
    let mut lost = 0;
    for seed in 0..150 {
        let (found, expected, losses) = read(seed, Troubles::NONE, seed % 30);
        assert_eq!(found, expected, "seed {seed}");
        lost += losses;
    }
    assert!(lost > 300, "only {lost} connections were lost");
}

#[test]
fn frames_that_come_twice_go_back_or_are_damaged_change_nothing() {
    // What is skipped or damaged twice at the same place ends a reader, so these are rare.
    let troubles = Troubles { repeat: 100, go_back: 50, skip: 3, damage: 3, close: 20, ..Troubles::NONE };
    for seed in 0..150 {
        let (found, expected, _) = read(seed, troubles, 3);
        assert_eq!(found, expected, "seed {seed}");
    }
}

#[test]
fn an_entry_that_stays_away_ends_the_reader() {
    for seed in 0..50 {
        let mut chance = Chance(seed);
        let mut broker = ScriptedBroker::new(1 + chance.below(20), false);
        let expected = fill(&mut broker, 60, &mut chance);
        let missing = 1 + chance.below(40) as usize;
        let gone = broker.log.remove(missing).id;
        let mut harness = Harness::default();
        let mut reader = machine(Start::Beginning);
        let mut found = Vec::new();
        let error = loop {
            let result = harness.step(&mut reader, &mut broker, &mut chance);
            while let Some(message) = reader.take() {
                assert!(message.id.entry < gone, "seed {seed}: {} came after the gap", message.id);
                found.push(String::from_utf8(message.payload.bytes().to_vec()).unwrap());
            }
            if let Err(error) = result {
                break error.to_string();
            }
        };
        assert!(error.contains("are missing"), "seed {seed}: {error}");
        assert_eq!(found[..], expected[..found.len()], "seed {seed}");
    }
}
