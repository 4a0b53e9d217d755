//! How payloads become the JSON that columns are read from: as they are, or by the schema that they were written with.

use crate::client::registered_schema;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Message, Payload};
use crate::settings::Settings;
use crate::topic::TopicName;
use crate::wire::protocol::Schema;
use bytes::Bytes;
use codec::AvroSchema;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How many versions are kept; a producer may name any.
const KEPT_MAX: usize = 1000;
/// How long a cluster has to say what a schema is, before it is asked again.
const ASK_WITHIN: Duration = Duration::from_secs(20);

const AVRO: i32 = 4;
/// Bytes, text and JSON, which are read as JSON.
const PLAIN: [i32; 3] = [0, 1, 2];
/// What schemas of other kinds are called, by their numbers from 3 on.
const KINDS: [&str; 18] = [
    "Protobuf",
    "Avro",
    "booleans",
    "integers of 8 bits",
    "integers of 16 bits",
    "integers of 32 bits",
    "integers of 64 bits",
    "floats",
    "doubles",
    "dates",
    "times",
    "timestamps",
    "keys with values",
    "instants",
    "local dates",
    "local times",
    "local timestamps",
    "Protobuf (native)",
];

/// How the payloads of a schema are read.
#[derive(Clone, Debug)]
enum Reading {
    AsTheyAre,
    Avro(Box<AvroSchema>),
    /// There is no such version, so that the bytes say nothing.
    Unknown,
}

/// The schemas of a topic's messages, each looked up once.
pub struct Schemas {
    settings: Settings,
    topic: TopicName,
    known: BTreeMap<Bytes, Reading>,
}

impl Schemas {
    pub fn new(settings: Settings, topic: TopicName) -> Schemas {
        Schemas { settings, topic, known: BTreeMap::new() }
    }

    /// The message with a payload that is JSON, where it can be made that. Bytes that are not of their schema stay as they
    /// are, and are no JSON. A schema of a kind that is not read is an error.
    pub async fn readable(&mut self, mut message: Message) -> Result<Message> {
        let (Some(version), Payload::Bytes(bytes)) = (&message.entry.schema_version, &message.payload) else {
            return Ok(message);
        };
        if !self.known.contains_key(version) {
            let reading = self.look_up(version, &message).await?;
            if self.known.len() >= KEPT_MAX {
                self.known.clear();
            }
            self.known.insert(version.clone(), reading);
        }
        let unreadable = |reason: String| Payload::Unreadable { reason, bytes: bytes.clone() };
        message.payload = match &self.known[version] {
            Reading::AsTheyAre => return Ok(message),
            Reading::Unknown => unreadable("the topic has no schema of its version".to_owned()),
            Reading::Avro(schema) => match schema.to_json(bytes) {
                Ok(json) => Payload::Bytes(json.into()),
                Err(error) => unreadable(error.to_string()),
            },
        };
        Ok(message)
    }

    async fn look_up(&self, version: &Bytes, message: &Message) -> Result<Reading> {
        loop {
            let found = registered_schema(&self.settings, &self.topic, Some(version.clone()), ASK_WITHIN).await;
            match found {
                Ok(None) => return Ok(Reading::Unknown),
                Ok(Some(schema)) => {
                    return reading_of(&schema).map_err(|error| error.context(format_args!("message {}", message.id)));
                }
                // The cluster is away, which the reader of the partition waits for as well.
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Refuses a topic whose newest schema is of a kind that is not read.
pub async fn check(settings: &Settings, topic: &TopicName, within: Duration) -> Result<()> {
    match registered_schema(settings, topic, None, within).await? {
        Some(schema) => reading_of(&schema).map(drop).map_err(|error| error.context(format_args!("topic \"{topic}\""))),
        None => Ok(()),
    }
}

fn reading_of(schema: &Schema) -> Result<Reading> {
    match schema.kind {
        AVRO => Ok(Reading::Avro(Box::new(AvroSchema::parse(&schema.schema_data)?))),
        kind if PLAIN.contains(&kind) => Ok(Reading::AsTheyAre),
        kind => Err(Error::invalid(format!(
            "its messages are {}, which are not read, expected JSON, text or bytes that are JSON, or Avro: publish them as \
             one of these",
            Kind(kind)
        ))),
    }
}

struct Kind(i32);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match usize::try_from(self.0).ok().and_then(|kind| KINDS.get(kind.checked_sub(3)?)) {
            Some(name) => f.write_str(name),
            None => write!(f, "of the unknown kind {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_that_are_not_read_are_named() {
        let of = |kind| Schema { kind, schema_data: Bytes::from_static(b"{}"), ..Schema::default() };
        for (kind, name) in [(3, "Protobuf,"), (20, "Protobuf (native),"), (15, "keys with values,"), (8, "32 bits,")] {
            let error = reading_of(&of(kind)).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("expected JSON"), "{error}");
        }
        assert!(reading_of(&of(99)).unwrap_err().to_string().contains("unknown kind 99"));
        assert!(reading_of(&of(4)).unwrap_err().to_string().contains("a schema of Avro cannot be read"));
        for plain in PLAIN {
            assert!(matches!(reading_of(&of(plain)), Ok(Reading::AsTheyAre)));
        }
    }
}
