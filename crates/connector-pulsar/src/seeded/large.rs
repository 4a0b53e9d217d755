//! Messages in chunks among others: whatever happens while they are written, each is there once and in order, and a reader
//! that knows no more than its last message goes on from any.

use super::broker::{ScriptedBroker, Troubles};
use super::harness::{Chance, Harness, settings};
use crate::error::ErrorKind;
use crate::machine::Machine;
use crate::message::Payload;
use crate::producer::{EarlierMessages, Guarantee, OutgoingMessage, ProducerMachine, ProducerOptions};
use crate::reader::{ProducerClocks, ReaderMachine, ReaderOptions, Start};
use crate::topic::TopicName;
use crate::wire::compression;
use crate::wire::frame::{decode_entry, encode_entry};
use crate::wire::protocol::{CompressionType, MessageMetadata};
use crate::wire::{batch, frame::METADATA_BYTES_MAX};
use bytes::Bytes;
use std::collections::BTreeMap;

const MESSAGES: u64 = 120;
/// The greatest entry: a small message takes 90 of it, and a large one as many as seven entries.
const ENTRY_BYTES: usize = 300;

fn producer(guarantee: Guarantee, stored: Option<u64>, seed: u64, compression: CompressionType) -> ProducerMachine {
    let options = ProducerOptions {
        topic: TopicName::parse("topic").unwrap(),
        name: "sink".into(),
        guarantee,
        earlier: EarlierMessages { stored, ..EarlierMessages::default() },
        schema: None,
        compression,
        batch_messages_max: 5,
        batch_bytes_max: 1000,
        budget_bytes: 3000,
    };
    ProducerMachine::new(settings(), options, seed)
}

/// Some are large, and some of these compress well.
fn text(sequence: u64) -> String {
    let mut chance = Chance(sequence);
    match sequence % 5 {
        1 => {
            format!("{sequence} {}", (0..chance.below(600)).map(|_| chance.below(100).to_string()).collect::<String>())
        }
        3 => format!("{sequence} {}", "x".repeat(chance.below(1200) as usize)),
        _ => sequence.to_string(),
    }
}

fn outgoing(sequence: u64) -> OutgoingMessage {
    OutgoingMessage {
        sequence,
        payload: Some(text(sequence).into()),
        key: None,
        properties: Vec::new(),
        event_time_ms: None,
        publish_time_ms: 1,
    }
}

fn number(payload: &[u8]) -> u64 {
    let found = String::from_utf8(payload.to_vec()).unwrap();
    let sequence = found.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(found, text(sequence));
    sequence
}

/// What others make of the log: chunks belong together by their id alone, and each in its turn.
fn read_by_others(broker: &ScriptedBroker) -> (Vec<u64>, usize) {
    let (mut found, mut chunked) = (Vec::new(), 0);
    let mut open: BTreeMap<String, (i32, Vec<u8>)> = BTreeMap::new();
    for entry in &broker.log {
        let entry = decode_entry(entry.rest.clone()).unwrap();
        let (metadata, mut payload) = (entry.metadata, entry.payload);
        if let Some(uuid) = metadata.uuid {
            let (next, bytes) = open.entry(uuid.clone()).or_default();
            assert_eq!(metadata.chunk_id, Some(*next), "a chunk of {uuid}");
            *next += 1;
            bytes.extend_from_slice(&payload);
            if metadata.num_chunks_from_msg != Some(*next) {
                continue;
            }
            assert_eq!(metadata.total_chunk_msg_size, i32::try_from(bytes.len()).ok());
            payload = open.remove(&uuid).unwrap().1.into();
            chunked += 1;
        }
        let kind = compression::by_number(metadata.compression).unwrap();
        let size = metadata.uncompressed_size.unwrap() as usize;
        let payload = compression::decompress(kind, payload, size, 1 << 20).unwrap();
        match metadata.num_messages_in_batch {
            Some(count) => {
                let messages = batch::split(payload, usize::try_from(count).unwrap()).unwrap();
                found.extend(messages.iter().map(|(_, payload)| number(payload)));
            }
            None => {
                let sequence = number(&payload);
                assert_eq!(metadata.sequence_id, sequence, "the last chunk has the sequence of its message");
                found.push(sequence);
            }
        }
    }
    (found, chunked)
}

/// Now and then somebody else writes, also while a message in chunks is not whole.
fn write_beside(broker: &mut ScriptedBroker, chance: &mut Chance) {
    if chance.happens(20) {
        let metadata = MessageMetadata { producer_name: "other".into(), ..Default::default() };
        broker.store(&encode_entry(&metadata, b"beside"), 1);
    }
}

/// Writes all messages; a run that ends is taken up again from what it knew to be stored.
fn write(seed: u64, guarantee: Guarantee, deduplicates: bool) -> ScriptedBroker {
    let mut chance = Chance(seed);
    let mut broker = ScriptedBroker::with_entries_of(ENTRY_BYTES, deduplicates);
    let failed_add = if deduplicates { 10 } else { 0 };
    let reload = if deduplicates { 400 } else { 0 };
    broker.troubles = Troubles { failed_add, swallow: 3, reload, ..Troubles::NONE };
    let mut harness = Harness::new(seed % 25);
    let compression = CompressionType::try_from(chance.below(5) as i32).unwrap();
    let (mut producer, mut next) = (producer_of(&mut chance, guarantee, None, compression), 0);
    for _ in 0..200_000 {
        if next == MESSAGES && producer.is_flushed() {
            break;
        }
        while next < MESSAGES && producer.has_room() && chance.happens(700) {
            producer.push(outgoing(next)).unwrap();
            next += 1;
        }
        harness.step(&mut producer, &mut broker, &mut chance).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        if chance.happens(100) && broker.notice_failures() {
            harness.hang_up();
            producer.link().renew(harness.now());
        }
        if chance.happens(3) {
            let known = producer.stored();
            producer = producer_of(&mut chance, guarantee, known, compression);
            next = known.map_or(0, |known| known + 1);
            harness.hang_up();
        }
    }
    assert!(next == MESSAGES && producer.is_flushed(), "seed {seed}: the producer came to {:?}", producer.stored());
    broker
}

fn producer_of(
    chance: &mut Chance,
    guarantee: Guarantee,
    stored: Option<u64>,
    compression: CompressionType,
) -> ProducerMachine {
    producer(guarantee, stored, chance.below(u64::MAX), compression)
}

/// What our own reader makes of the log, from run to run; each run knows the last message of the one before.
fn read(broker: &mut ScriptedBroker, seed: u64) -> Vec<Bytes> {
    let mut chance = Chance(seed);
    // A connection has to last until the reader has come to its place again.
    let mut harness = Harness::new(seed % 3);
    let reader = |start| {
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
    };
    let mut machine = reader(Start::Beginning);
    let (mut found, mut quiet) = (Vec::new(), 0);
    while quiet < 3000 {
        harness.step(&mut machine, broker, &mut chance).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let Some(message) = machine.take() else {
            quiet += 1;
            continue;
        };
        quiet = 0;
        let Payload::Bytes(bytes) = message.payload else { panic!("seed {seed}: {:?}", message.id) };
        found.push(bytes);
        if chance.happens(150) {
            machine = reader(Start::AfterMessage(message.id));
            harness.hang_up();
        }
    }
    found
}

fn numbers(found: &[Bytes]) -> Vec<u64> {
    found.iter().filter(|payload| payload[..] != b"beside"[..]).map(|payload| number(payload)).collect()
}

#[test]
fn every_message_is_written_once_and_in_order_and_so_it_is_read() {
    let (mut chunked, mut attempts) = (0, 0);
    for seed in 0..120 {
        let mut broker = write(seed, Guarantee::EffectivelyOnce, true);
        let (found, whole) = read_by_others(&broker);
        assert_eq!(found, (0..MESSAGES).collect::<Vec<_>>(), "seed {seed}");
        let begun =
            broker.log.iter().filter(|entry| decode_entry(entry.rest.clone()).unwrap().metadata.chunk_id == Some(0));
        chunked += whole;
        attempts += begun.count();
        assert_eq!(numbers(&read(&mut broker, seed)), found, "seed {seed}");
    }
    assert!(chunked > 1000 && attempts > chunked + 100, "{chunked} messages in chunks, and {attempts} attempts");
}

#[test]
fn without_deduplication_every_message_is_written_at_least_once() {
    for seed in 0..60 {
        let mut broker = write(seed, Guarantee::AtLeastOnce, false);
        let (mut found, _) = read_by_others(&broker);
        assert_eq!(numbers(&read(&mut broker, seed)), found, "seed {seed}");
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, (0..MESSAGES).collect::<Vec<_>>(), "seed {seed}");
    }
}

/// Messages of others lie among the chunks, and a reader is taken up again after any of them.
#[test]
fn a_reader_that_begins_among_chunks_finds_those_before_its_place() {
    for seed in 0..100 {
        let mut chance = Chance(seed);
        let mut broker = ScriptedBroker::with_entries_of(ENTRY_BYTES, false);
        let (mut harness, mut next) = (Harness::new(seed % 5), 0);
        let mut machine = producer_of(&mut chance, Guarantee::AtLeastOnce, None, CompressionType::None);
        while next < MESSAGES || !machine.is_flushed() {
            if next < MESSAGES && machine.has_room() {
                machine.push(outgoing(next)).unwrap();
                next += 1;
            }
            harness.step(&mut machine, &mut broker, &mut chance).unwrap();
            write_beside(&mut broker, &mut chance);
        }
        let beside = broker
            .log
            .iter()
            .filter(|entry| decode_entry(entry.rest.clone()).unwrap().metadata.producer_name == "other");
        let beside = beside.count();
        let found = read(&mut broker, seed);
        assert_eq!(found.len() - numbers(&found).len(), beside, "seed {seed}");
        let mut numbers = numbers(&found);
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn what_readers_would_not_take_is_refused_alone() {
    let mut machine = producer(Guarantee::AtLeastOnce, None, 1, CompressionType::None);
    let most = settings().message_bytes_max;
    let large = OutgoingMessage { payload: Some(vec![0; most + 1].into()), ..outgoing(0) };
    let error = machine.push(large).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unfit);
    assert!(
        error.to_string().contains(&format!("message 0 has {} bytes, expected at most {most}", most + 1)),
        "{error}"
    );
    let properties = vec![("name".to_owned(), "x".repeat(METADATA_BYTES_MAX))];
    let error = machine.push(OutgoingMessage { properties, ..outgoing(1) }).unwrap_err();
    assert!(error.to_string().contains("bytes of key and properties, expected at most 1048576"), "{error}");
    machine.push(outgoing(1)).unwrap();
}
