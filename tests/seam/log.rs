//! Random logs of a topic, and what DuckDB says of them.

use connector_local::Outgoing;
use dataflow::{EventTime, Span};
use serde_json::json;
use std::collections::BTreeMap;
use tests::{Chance, Place, duckdb};

pub const PARTITIONS: u32 = 4;
const SECOND: i64 = 1_000_000;
/// The partition that is silent after its first rows.
const SILENT: u32 = 3;
const FIRST_ROWS: usize = 6;
/// How far the events of each partition lie behind their arrival.
const SKEW: [i64; 4] = [0, 3 * SECOND, 10 * SECOND, 5 * SECOND];

/// The beginning of all logs: 2026-01-01.
pub const START: i64 = 1_767_225_600 * SECOND;

/// Puts so many messages on the topic `events`: every partition has some, rows lie out of order within the declared
/// delay of 2 s, one in a hundred beyond it; some producers' clocks are ahead, some rows are sent again, some are
/// nonsense.
pub fn write(place: &Place, messages: usize, seed: u64) {
    let mut chance = Chance::new(seed);
    let topics = place.topics();
    topics.create("events", PARTITIONS).unwrap();
    let mut producer = topics.producer("events", "", 0).unwrap();
    let mut sent: Vec<String> = Vec::new();
    let mut written = BTreeMap::<u32, usize>::new();
    while sent.len() < messages {
        let pause = chance.of(&[0, 0, 1, 900, 20_000, 100_000, 300_000, 700_000, 1_100_000, 3_000_000]);
        place.advance(Span(if chance.permille(5) { 40 * SECOND } else { pause }));
        let partition = if sent.len() < PARTITIONS as usize * 3 {
            sent.len() as u32 % PARTITIONS
        } else {
            chance.below(u64::from(PARTITIONS)) as u32
        };
        let before = written.entry(partition).or_default();
        if partition == SILENT && *before >= FIRST_ROWS {
            continue;
        }
        *before += 1;
        let again = (!sent.is_empty() && chance.permille(50)).then(|| chance.of(&(0..sent.len()).collect::<Vec<_>>()));
        let payload = match again {
            Some(of) => sent[sent.len().saturating_sub(1 + of % 40)].clone(),
            None => payload(&mut chance, sent.len(), place.now(), SKEW[partition as usize]),
        };
        let message = Outgoing { sequence: 0, key: None, payload: payload.as_bytes(), arrived: None };
        producer.append(partition, &[message]).unwrap();
        sent.push(payload);
    }
}

fn payload(chance: &mut Chance, number: usize, now: i64, skew: i64) -> String {
    let within = chance.of(&[0, 0, 1, 1000, 300_000, SECOND, 2 * SECOND]);
    let event = now - skew - within;
    let event = match chance.below(1000) {
        0..10 => event - chance.between(2 * SECOND, 90 * SECOND),
        10..25 => now + chance.between(1, 3600 * SECOND),
        25..30 => now + 30 * 3600 * SECOND,
        _ => event,
    };
    let event = if chance.permille(5) { serde_json::Value::Null } else { json!(EventTime(event).to_string()) };
    if chance.permille(5) {
        return format!("{{\"id\": \"m{number}");
    }
    let (device, value) = (chance.below(8), chance.between(-50, 1000));
    json!({ "id": format!("m{number}"), "device": device, "value": value, "sent_at": event }).to_string()
}

/// The rows that the outputs `moved` and `once` hold once everything up to the end has been released.
pub fn truth(place: &Place) -> BTreeMap<String, Vec<String>> {
    let lines = place.messages("events").into_iter().enumerate().flat_map(|(partition, log)| {
        log.into_iter().enumerate().map(move |(index, message)| {
            let payload = String::from_utf8(message.payload).unwrap();
            json!({ "partition": partition, "index": index, "arrival": message.arrival.0, "payload": payload })
                .to_string()
        })
    });
    let path = place.path().join("log.jsonl");
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let script = tests::root().join("tests/seam/truth.py");
    let mut rows: BTreeMap<String, Vec<String>> = serde_json::from_str(&duckdb(&script, &[&path])).unwrap();
    rows.values_mut().for_each(|rows| rows.sort_unstable());
    rows
}
