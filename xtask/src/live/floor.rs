//! The bare loop: it reads, decodes, encodes, appends and syncs what the job does, and knows no time.

use connector_local::{Outgoing, Topics};
use dataflow::{Error, Result, Topic};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tests::machine::{Machine, pause};

const MESSAGES_MAX: usize = 8192;
const BYTES_MAX: usize = 1 << 20;
/// The rest of a loop that found nothing, in microseconds.
const REST: i64 = 200;

/// Answers every message of `messages` with an action on `actions`, until it is killed.
pub fn floor(folder: &Path) -> Result<()> {
    let topics = Topics::open(folder, Arc::new(Machine))?;
    let topic = topics.topic("messages")?.ok_or_else(|| Error::invalid("there is no topic \"messages\""))?;
    let (mut log, mut producer, mut sequence) = (topic.open(0, None)?, topics.producer("actions", "floor", 1)?, 0);
    eprintln!("the loop runs");
    loop {
        let messages = log.read(MESSAGES_MAX, BYTES_MAX)?;
        if messages.is_empty() {
            pause(REST);
            continue;
        }
        let answer = |message: &dataflow::Message| -> Result<String> {
            let message: Value = serde_json::from_slice(&message.payload)
                .map_err(|error| Error::invalid("a message is no JSON").with_source(error))?;
            let action = json!({
                "decision": "act", "subject": message["id"], "rule": "any", "action": "look",
                "user_id": message["user_id"], "text_len": message["text_len"], "sent_at": message["sent_at"],
            });
            Ok(action.to_string())
        };
        let actions = messages.iter().map(answer).collect::<Result<Vec<_>>>()?;
        let outgoing = actions.iter().map(|action| {
            sequence += 1;
            Outgoing { sequence, key: None, payload: action.as_bytes(), arrived: None }
        });
        let outgoing: Vec<_> = outgoing.collect();
        producer.append(0, &outgoing)?;
    }
}
