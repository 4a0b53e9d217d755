//! A producer stores every message once and in order, whatever happens to its connections and at the broker.

use super::broker::{ScriptedBroker, Troubles};
use super::harness::{Chance, Harness, settings};
use crate::error::ErrorKind;
use crate::machine::Machine;
use crate::producer::{EarlierMessages, Guarantee, OutgoingMessage, ProducerMachine, ProducerOptions};
use crate::topic::TopicName;
use crate::wire::batch;
use crate::wire::frame::decode_entry;
use crate::wire::protocol::CompressionType;

const MESSAGES: u64 = 300;

fn machine(guarantee: Guarantee, stored: Option<u64>, batch: usize) -> ProducerMachine {
    let options = ProducerOptions {
        topic: TopicName::parse("topic").unwrap(),
        name: "sink".into(),
        guarantee,
        earlier: EarlierMessages { stored, ..EarlierMessages::default() },
        schema: None,
        compression: CompressionType::None,
        batch_messages_max: batch,
        batch_bytes_max: 1000,
        budget_bytes: 3000,
    };
    ProducerMachine::new(settings(), options, 1)
}

fn outgoing(sequence: u64) -> OutgoingMessage {
    OutgoingMessage {
        sequence,
        payload: Some(sequence.to_string().into()),
        key: None,
        properties: Vec::new(),
        event_time_ms: None,
        publish_time_ms: 1,
    }
}

/// The sequences that the broker has stored, in its order.
fn stored(broker: &ScriptedBroker) -> Vec<u64> {
    let mut sequences = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().parse::<u64>().unwrap();
    for entry in &broker.log {
        let entry = decode_entry(entry.rest.clone()).unwrap();
        match entry.metadata.num_messages_in_batch {
            Some(count) => {
                let messages = batch::split(entry.payload, usize::try_from(count).unwrap()).unwrap();
                sequences.extend(messages.iter().map(|(_, payload)| text(payload)));
            }
            None => sequences.push(text(&entry.payload)),
        }
    }
    sequences
}

/// Writes all messages; a run that ends is taken up again from what it knew to be stored.
fn write(seed: u64, guarantee: Guarantee, deduplicates: bool) -> Vec<u64> {
    let mut chance = Chance(seed);
    let mut broker = ScriptedBroker::new(10, deduplicates);
    broker.troubles = Troubles { failed_add: if deduplicates { 20 } else { 0 }, swallow: 5, ..Troubles::NONE };
    let mut harness = Harness::new(seed % 20);
    let batch = 1 + chance.below(20) as usize;
    let mut producer = machine(guarantee, None, batch);
    // A job opens its producers before it has rows, and then has many at once.
    let (mut next, mut waits) = (0, chance.happens(500));
    for _ in 0..200_000 {
        if next == MESSAGES && producer.is_flushed() {
            break;
        }
        waits &= !producer.is_open();
        let at_once = if chance.happens(500) { 1000 } else { 700 };
        while !waits && next < MESSAGES && producer.has_room() && chance.happens(at_once) {
            producer.push(outgoing(next)).unwrap();
            next += 1;
        }
        harness.step(&mut producer, &mut broker, &mut chance).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        if chance.happens(100) && broker.notice_failures() {
            // The broker sends clients away when it has noticed.
            harness.hang_up();
            producer.link().renew(harness.now());
        }
        if chance.happens(2) {
            let known = producer.stored();
            producer = machine(guarantee, known, 1 + chance.below(20) as usize);
            next = known.map_or(0, |known| known + 1);
            waits = chance.happens(500);
            harness.hang_up();
        }
    }
    assert!(next == MESSAGES && producer.is_flushed(), "seed {seed}: the producer came to {:?}", producer.stored());
    stored(&broker)
}

#[test]
fn every_message_is_stored_once_and_in_order() {
    for seed in 0..150 {
        assert_eq!(write(seed, Guarantee::EffectivelyOnce, true), (0..MESSAGES).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn without_deduplication_every_message_is_stored_at_least_once() {
    let mut doubled = 0;
    for seed in 0..150 {
        let mut found = write(seed, Guarantee::AtLeastOnce, false);
        doubled += found.len() as u64 - MESSAGES;
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, (0..MESSAGES).collect::<Vec<_>>(), "seed {seed}");
    }
    assert!(doubled > 100, "only {doubled} messages were there twice, so little was tried");
}

#[test]
fn a_broker_that_forgets_ends_a_producer_that_may_not_double() {
    let mut chance = Chance(1);
    let mut broker = ScriptedBroker::new(10, false);
    let mut harness = Harness::default();
    let mut producer = machine(Guarantee::EffectivelyOnce, None, 10);
    producer.push(outgoing(0)).unwrap();
    let error = loop {
        if let Err(error) = harness.step(&mut producer, &mut broker, &mut chance) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert_eq!(stored(&broker), [0], "nothing was doubled to find out");
}
