//! Publishes numbered messages at a rate, each once whatever happens to its connections.

use super::scene::{PARTITIONS, TOPIC};
use crate::failure;
use connector_pulsar::{Guarantee, Namespace, OutgoingMessage, Service, Settings, TopicWriter, Topics};
use dataflow::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tests::machine::{SECOND, now, pause};

/// How often messages are handed over.
const EVERY: i64 = SECOND / 10;

#[derive(Default)]
struct Shared {
    published: AtomicU64,
    is_to_end: AtomicBool,
}

/// A publisher on a thread of its own.
pub struct Publisher {
    shared: Arc<Shared>,
    ended: Receiver<Result<()>>,
}

impl Publisher {
    /// Begins to publish.
    pub fn start(service: &str, rate: u32) -> Result<Publisher> {
        let topics = Topics::new(Settings::new(Service::parse(service)?), Namespace::default());
        let topic = topics.topic(TOPIC)?.ok_or_else(|| Error::internal("the topic was not made"))?;
        let writer = TopicWriter::open(&topic, "soak", Guarantee::EffectivelyOnce, &[], None)?;
        let shared = Arc::new(Shared::default());
        let (send, ended) = channel();
        let of_thread = shared.clone();
        std::thread::spawn(move || {
            let published = publish(&writer, &of_thread, u64::from(rate));
            // Nobody waits for it where the run has failed.
            let _ = send.send(published);
        });
        Ok(Publisher { shared, ended })
    }

    /// How many messages were handed over.
    pub fn published(&self) -> u64 {
        self.shared.published.load(Ordering::Relaxed)
    }

    /// Publishes no more, and waits until all is stored; how many messages that are.
    pub fn end(self, within: i64) -> Result<u64> {
        self.shared.is_to_end.store(true, Ordering::Relaxed);
        let within = Duration::from_micros(within.unsigned_abs());
        let ended = self.ended.recv_timeout(within);
        ended.map_err(|_| failure::program("the publisher", "its messages are not stored"))??;
        Ok(self.published())
    }
}

fn publish(writer: &TopicWriter, shared: &Shared, rate: u64) -> Result<()> {
    let begun = now();
    let mut next = 0u64;
    while !shared.is_to_end.load(Ordering::Relaxed) {
        let due = (now() - begun).unsigned_abs() * rate / SECOND.unsigned_abs();
        let mut messages: Vec<Vec<OutgoingMessage>> = (0..PARTITIONS).map(|_| Vec::new()).collect();
        // After a broker was away much is due, which goes out bit by bit.
        for id in next..due.min(next + 1000) {
            messages[(id % u64::from(PARTITIONS)) as usize].push(message(id));
            next = id + 1;
        }
        for (partition, messages) in (0..).zip(messages) {
            if !messages.is_empty() {
                writer.push(partition, messages)?;
            }
        }
        shared.published.store(next, Ordering::Relaxed);
        pause(if next < due { 0 } else { EVERY });
    }
    writer.flush()
}

fn message(id: u64) -> OutgoingMessage {
    let at = now();
    OutgoingMessage {
        sequence: id,
        payload: Some(format!(r#"{{"id":{id},"sender":{},"at":{}}}"#, id % 997, at).into()),
        key: None,
        properties: Vec::new(),
        event_time_ms: None,
        publish_time_ms: (at / 1000).unsigned_abs(),
    }
}
