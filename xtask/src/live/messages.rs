//! The publisher: a process that puts messages on a topic at a rate.

use super::Rate;
use connector_local::{Outgoing, Topics};
use dataflow::{EventTime, Result};
use std::path::Path;
use std::sync::Arc;
use tests::machine::{Machine, SECOND, now, until};

/// So many messages are appended at once at most.
const APPEND_MAX: i64 = 512;
const USERS: i64 = 1_000;

/// Publishes for so many microseconds, and gives how many messages. Those that are due lie in one append.
pub fn publish(topics: &Path, rate: Rate, micros: i64) -> Result<i64> {
    let mut producer = Topics::open(topics, Arc::new(Machine))?.producer("messages", "", 0)?;
    let (begun, mut sent) = (now(), 0);
    while now() < begun + micros {
        let (count, at): (i64, Box<dyn Fn(i64) -> i64>) = match rate {
            Rate::Unbounded => {
                let now = now();
                (APPEND_MAX, Box::new(move |_| now))
            }
            Rate::PerSecond(rate) => {
                let at = move |id: i64| begun + id * SECOND / rate as i64;
                until(at(sent));
                let due = (now() - begun) * rate as i64 / SECOND + 1;
                ((due - sent).clamp(1, APPEND_MAX), Box::new(at))
            }
        };
        let payloads: Vec<String> = (sent..sent + count).map(|id| payload(id, at(id))).collect();
        let outgoing = payloads.iter().map(|payload| Outgoing {
            sequence: 0,
            key: None,
            payload: payload.as_bytes(),
            arrived: None,
        });
        producer.append(0, &outgoing.collect::<Vec<_>>())?;
        sent += count;
    }
    Ok(sent)
}

/// `micros` is for the bench alone; no stream declares it.
fn payload(id: i64, at: i64) -> String {
    let user = id * 7919 % USERS;
    format!(r#"{{"id":{id},"user_id":{user},"text_len":{},"sent_at":"{}","micros":{at}}}"#, id % 200, EventTime(at))
}
