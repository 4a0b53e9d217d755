//! Numbers that producers and brokers make up: none of them sizes what is held, or ends what goes on.

use super::play;
use super::player::Played;
use super::samples::{Sample, batch_of, chunk, single};
use super::script::{Happening, Script, Step};
use crate::wire::frame::encode;
use crate::wire::protocol::{
    Command, CompressionType, ConsumerStatsResponse, MessageMetadata, PartitionedTopicMetadataResponse, Ping,
};
use bytes::BytesMut;

fn played(ending: &str, sample: &Sample) -> Played {
    play(ending, &sample.bytes()).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn texts(played: &Played) -> Vec<String> {
    played.payloads.iter().map(|payload| String::from_utf8_lossy(payload).into_owned()).collect()
}

/// An entry that says of itself that it is so many messages.
fn claiming(messages: i32) -> (MessageMetadata, Vec<u8>) {
    let (metadata, payload) = single("a");
    (MessageMetadata { num_messages_in_batch: Some(messages), ..metadata }, payload)
}

/// A consumer of each kind that has begun.
fn begun() -> [(&'static str, u64, Sample); 2] {
    let queue = Sample::of(0).greeted(5 << 20).success().stats(3);
    [("reader", 2, Sample::of(0).reading((10, 5))), ("queue", 1, queue)]
}

#[test]
fn an_entry_that_says_to_be_any_number_of_messages_is_one_bad_row() {
    for (ending, consumer, begun) in begun() {
        for messages in [2, 100_000, i32::MAX, -1, i32::MIN] {
            let sample = begun.clone().counted(consumer, (10, 0), claiming(messages), 1);
            let sample = sample.counted(consumer, (10, 1), single("b"), 1).step(Step::Take, 9).step(Step::Release, 0);
            let played = played(ending, &sample);
            assert_eq!(texts(&played), ["a", "b"], "{ending} {messages}: {:?}", played.said);
            assert!(played.said.iter().any(|said| said.contains("a batch of")), "{:?}", played.said);
        }
    }
}

#[test]
fn a_batch_that_the_broker_has_counted_as_another_number_of_messages_is_read() {
    let sample = Sample::of(0).reading((10, 5)).counted(2, (10, 0), single("a"), 1);
    let sample = sample.counted(2, (10, 1), batch_of(&["b", "c", "d"], CompressionType::Lz4), 1);
    let sample = sample.counted(2, (10, 2), single("e"), 7).counted(2, (10, 3), single("f"), 1);
    let played = played("reader", &sample);
    assert_eq!(texts(&played), ["a", "b", "c", "d", "e", "f"], "{:?}", played.said);
}

#[test]
fn very_many_empty_messages_in_a_few_bytes_are_one_bad_row() {
    let (metadata, payload) = batch_of(&[""; 20_000], CompressionType::Zstd);
    assert!(payload.len() < 1000, "{} bytes", payload.len());
    for (ending, consumer, begun) in begun() {
        let sample = begun.entry(consumer, (10, 0), (metadata.clone(), payload.clone())).step(Step::Take, 9);
        let played = played(ending, &sample);
        let expected = "a batch of 20000 messages, expected at most 4096";
        assert!(played.said.iter().any(|said| said.contains(expected)), "{ending}: {:?}", played.said);
    }
}

#[test]
fn a_message_in_any_number_of_chunks_is_never_whole_and_holds_nothing_up() {
    let mut sample = Sample::of(0).reading((10, 5));
    for (at, (number, of)) in (0..).zip([(0, i32::MAX), (i32::MAX, i32::MAX), (i32::MIN, 2), (-1, i32::MAX), (0, 2)]) {
        sample = sample.entry(2, (10, at), chunk("a", &at.to_string(), number, of));
    }
    let played = played("reader", &sample.entry(2, (10, 5), single("b")));
    assert_eq!(texts(&played), ["b"], "{:?}", played.said);
}

#[test]
fn a_topic_of_any_number_of_partitions_is_named() {
    for partitions in [10_001, u32::MAX] {
        let answer = PartitionedTopicMetadataResponse { partitions: Some(partitions), ..Default::default() };
        let sample = Sample::of(0).greeted(9).say(Command::PartitionMetadataResponse(answer));
        let played = played("question", &sample);
        let expected = format!("{partitions} partitions, expected at most 10000");
        assert!(played.said.iter().any(|said| said.contains(&expected)), "{:?}", played.said);
    }
}

#[test]
fn a_broker_that_took_a_subscription_in_any_year_is_read_from() {
    let stats = ConsumerStatsResponse {
        connected_since: Some("9223372036854775807-01-01T00:00:00+999223372036854775807".into()),
        ..Default::default()
    };
    let sample = Sample::of(0).greeted(9).success().end((10, 5), None).success();
    let sample = sample.say(Command::ConsumerStatsResponse(stats)).entry(2, (10, 0), single("a"));
    assert_eq!(texts(&played("reader", &sample)), ["a"]);
}

#[test]
fn a_broker_that_asks_for_signs_of_life_and_reads_none_is_held_nothing_for() {
    let mut pings = BytesMut::new();
    for _ in 0..2000 {
        encode(Command::Ping(Ping {}), &mut pings);
    }
    let [(_, _, begun), _] = begun();
    let mut script = Script::cut(&begun.bytes()[1..]);
    script.happenings.push(Happening::Step(Step::Deafen, 0));
    script.happenings.extend((0..100).map(|_| Happening::Said(pings.to_vec())));
    super::reader::play(0, &script).unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn a_proof_is_read_however_much_waits_for_it() {
    // With the anchor, and more than may wait in memory in a ledger of which nobody counts whether one is missing before.
    let large = (single("large").0, vec![b'x'; 100_000]);
    let sample = Sample::of(1).reading((12, 0)).bare((10, 0), single("a")).step(Step::Take, 1).bare((12, 0), large);
    let ends = (0..3).fold(sample, |sample, _| sample.end((12, 0), Some((10, u64::MAX))));
    let played = played("reader", &ends.step(Step::Take, 9));
    assert_eq!(played.payloads.iter().map(Vec::len).collect::<Vec<_>>(), [1, 100_000], "{:?}", played.said);
}
