//! How payloads become the JSON that columns are read from: as they are, or by the schema that they were written with.

use crate::client::{partition_count, registered_schema};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Message, Payload};
use crate::settings::Settings;
use crate::topic::TopicName;
use crate::wire::protocol::Schema;
use bytes::Bytes;
use codec::{AvroSchema, ProtobufSchema};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How many versions are kept; a producer may name any.
const KEPT_MAX: usize = 1000;
/// How long a cluster has to say what a schema is, before it is asked again.
const ASK_WITHIN: Duration = Duration::from_secs(20);
/// How often it does not say that, and answers other questions, until it is given up.
const VAIN_MAX: u32 = 3;
/// How long until a cluster that has said that there is no such version is asked again.
const DENIED_PAUSE: Duration = Duration::from_millis(500);
/// The bytes of a version. Brokers take no notice of others after them, and answer nothing to fewer.
const VERSION_BYTES: usize = 8;
/// Registries number the versions of a topic from 0 on, and no topic has had so many: a greater number, or one below 0, was
/// given by none, and whoever published the message made it up.
const VERSIONS_MAX: i64 = 100_000;

const AVRO: i32 = 4;
const PROTOBUF: i32 = 3;
const PROTOBUF_NATIVE: i32 = 20;
/// The property in which the Java client lists the fields of Protobuf.
const PARSING_INFO: &str = "__PARSING_INFO__";
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
    Protobuf(Box<ProtobufSchema>),
}

/// The schemas of a topic's messages, each looked up once.
pub struct Schemas {
    settings: Settings,
    topic: TopicName,
    ask_within: Duration,
    known: BTreeMap<Bytes, Reading>,
}

impl Schemas {
    pub fn new(settings: Settings, topic: TopicName) -> Schemas {
        Schemas { settings, topic, ask_within: ASK_WITHIN, known: BTreeMap::new() }
    }

    /// Whether the schema of a message has to be looked up before the message is readable.
    pub fn is_unknown_to(&self, message: &Message) -> bool {
        matches!(message.payload, Payload::Bytes(_))
            && version_of(message)
                .is_some_and(|version| is_of_a_registry(&version) && !self.known.contains_key(&version))
    }

    /// Asks for the schema of a message, for as long as the cluster is away. One that answers other questions and not this
    /// one is an error, as is a schema of a kind that is not read, and a version that the topic does not have any more: the
    /// message is whole, and would be lost as a bad row.
    pub async fn look_up(&mut self, message: &Message) -> Result<()> {
        let Some(version) = version_of(message) else { return Ok(()) };
        let (mut vain, mut denied_since) = (0, None);
        let reading = loop {
            let found = registered_schema(&self.settings, &self.topic, Some(version.clone()), self.ask_within).await;
            let error = match found {
                Ok(Some(schema)) => break reading_of(&schema).map_err(|error| at(message, error))?,
                Ok(None) if denied_since.get_or_insert_with(Instant::now).elapsed() < self.settings.denied_for => {
                    sleep(DENIED_PAUSE).await;
                    continue;
                }
                Ok(None) => return Err(at(message, no_version(number_of(&version)))),
                Err(error) => error,
            };
            if error.kind() != ErrorKind::Unavailable {
                return Err(at(message, error));
            }
            // The reader of the partition waits for a cluster that is away as well.
            if partition_count(&self.settings, &self.topic, self.ask_within).await.is_ok() {
                vain += 1;
            }
            if vain == VAIN_MAX {
                let number = number_of(&version);
                return Err(at(message, error.context(format_args!("version {number} of its schema is not told"))));
            }
        };
        if self.known.len() >= KEPT_MAX {
            self.known.clear();
        }
        // The version is a part of its entry, which shall not stay for it.
        self.known.insert(Bytes::copy_from_slice(&version), reading);
        Ok(())
    }

    /// The message with a payload that is JSON, where it can be made that. Its schema was looked up, if it is one that is
    /// asked for; bytes that are not of their schema are unreadable.
    pub fn readable(&self, mut message: Message) -> Message {
        let (Some(version), Payload::Bytes(bytes)) = (version_of(&message), &message.payload) else { return message };
        let unreadable = |reason: String| Payload::Unreadable { reason, bytes: bytes.clone() };
        message.payload = match self.known.get(&version) {
            Some(Reading::AsTheyAre) => return message,
            Some(Reading::Avro(schema)) => json_or(schema.to_json(bytes), unreadable),
            Some(Reading::Protobuf(schema)) => json_or(schema.to_json(bytes), unreadable),
            None if version.len() == VERSION_BYTES => unreadable(format!(
                "the version of its schema is {}, which no registry gives: whoever published it wrote another",
                number_of(&version)
            )),
            None => unreadable(format!(
                "the version of its schema has {} bytes, expected {VERSION_BYTES}: whoever published it wrote another",
                version.len()
            )),
        };
        message
    }
}

fn json_or(json: dataflow::Result<Vec<u8>>, unreadable: impl Fn(String) -> Payload) -> Payload {
    json.map_or_else(|error| unreadable(error.to_string()), |json| Payload::Bytes(json.into()))
}

/// The version of a schema that a message was written with. Clients that know none leave it out, or write one of no bytes.
fn version_of(message: &Message) -> Option<Bytes> {
    let version = message.entry.schema_version.as_ref().filter(|version| !version.is_empty())?;
    Some(version.slice(..version.len().min(VERSION_BYTES)))
}

/// Whether a registry may have given a version.
fn is_of_a_registry(version: &Bytes) -> bool {
    version.len() == VERSION_BYTES && (0..VERSIONS_MAX).contains(&number_of(version))
}

/// The registry has not what it gave once. Its numbers go on after schemas were deleted, and begin anew after that was done
/// by force.
fn no_version(number: i64) -> Error {
    Error::lost(format!(
        "the topic has no version {number} of its schema any more, and the message cannot be read without it: its schemas \
         were deleted; delete them by force, so that their numbers begin anew, upload all of them again in the order in \
         which they were registered (`pulsar-admin schemas delete --force`, `pulsar-admin schemas upload`), and run again"
    ))
}

/// A version as brokers number it.
fn number_of(version: &Bytes) -> i64 {
    version.iter().fold(0, |number, byte| number << 8 | i64::from(*byte))
}

fn at(message: &Message, error: Error) -> Error {
    error.context(format_args!("message {}", message.id))
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
        PROTOBUF_NATIVE => Ok(Reading::Protobuf(Box::new(ProtobufSchema::parse_native(&schema.schema_data)?))),
        PROTOBUF => {
            let listed = schema.properties.iter().find(|property| property.key == PARSING_INFO);
            let listed = listed.ok_or_else(|| {
                Error::invalid("the schema of Protobuf cannot be read: it does not list its fields with their numbers")
            })?;
            let parsed = ProtobufSchema::parse_listed(&schema.schema_data, &listed.value)?;
            Ok(Reading::Protobuf(Box::new(parsed)))
        }
        kind if PLAIN.contains(&kind) => Ok(Reading::AsTheyAre),
        kind => Err(Error::invalid(format!(
            "its messages are {}, which are not read, expected JSON, text or bytes that are JSON, Avro or Protobuf: publish them as \
             one of these",
            Kind(kind)
        ))),
    }
}

/// The JSON of a payload by its schema, or why the payload is unreadable. A schema that is not read is an error.
pub fn json_of(schema: &Schema, payload: &[u8]) -> Result<std::result::Result<Vec<u8>, String>> {
    let json = match reading_of(schema)? {
        Reading::AsTheyAre => Ok(payload.to_vec()),
        Reading::Avro(schema) => schema.to_json(payload),
        Reading::Protobuf(schema) => schema.to_json(payload),
    };
    Ok(json.map_err(|error| error.to_string()))
}

/// What the messages of a kind of schema are called.
pub fn kind_name(kind: i32) -> String {
    match kind {
        0 => "bytes".to_owned(),
        1 => "text".to_owned(),
        2 => "JSON".to_owned(),
        kind => Kind(kind).to_string(),
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
    use crate::address::Service;
    use crate::message::EntryFacts;
    use crate::position::{EntryId, MessageId, Position};
    use crate::wire::frame::{FrameDecoder, encode};
    use crate::wire::protocol::{Command, Connected, PartitionedTopicMetadataResponse};
    use bytes::BytesMut;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// A broker that answers how many partitions there are, and closes the connection of whoever asks for a schema.
    async fn serve(mut stream: TcpStream) -> Option<()> {
        let (mut decoder, mut part) = (FrameDecoder::default(), [0; 4096]);
        loop {
            while let Some(frame) = decoder.next_frame().unwrap() {
                let answer = match frame.command {
                    Command::Connect(_) => {
                        Command::Connected(Connected { server_version: "scripted".into(), max_message_size: None })
                    }
                    Command::PartitionMetadata(question) => {
                        Command::PartitionMetadataResponse(PartitionedTopicMetadataResponse {
                            request_id: question.request_id,
                            partitions: Some(0),
                            ..Default::default()
                        })
                    }
                    _ => return None,
                };
                let mut output = BytesMut::new();
                encode(answer, &mut output);
                stream.write_all(&output).await.ok()?;
            }
            let count = stream.read(&mut part).await.ok().filter(|count| *count > 0)?;
            decoder.push(&part[..count]);
        }
    }

    #[tokio::test]
    async fn a_cluster_that_answers_all_but_what_a_schema_is_is_given_up() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let service = format!("pulsar://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        let settings = Settings::new(Service::parse(&service).unwrap());
        let mut schemas = Schemas::new(settings, TopicName::parse("plays").unwrap());
        schemas.ask_within = Duration::from_millis(500);
        let id = MessageId { entry: EntryId { ledger: 4, entry: 2 }, index: 0 };
        let message = Message {
            id,
            position: Position::after(id),
            knows_chunks: true,
            payload: Payload::Bytes(Bytes::from_static(b"{}")),
            key: None,
            properties: Vec::new(),
            event_time_ms: None,
            sequence: 0,
            index: None,
            entry: Arc::new(EntryFacts {
                producer_name: String::new(),
                publish_time_ms: 0,
                broker_time_ms: None,
                schema_version: Some(Bytes::copy_from_slice(&3i64.to_be_bytes())),
                is_transactional: false,
            }),
            given_up: Vec::new(),
        };
        assert!(schemas.is_unknown_to(&message));
        let error = schemas.look_up(&message).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let expected = "message 4:2:0: version 3 of its schema is not told: gave up after 0.5 s";
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    #[test]
    fn kinds_that_are_not_read_are_named() {
        let of = |kind| Schema { kind, schema_data: Bytes::from_static(b"{}"), ..Schema::default() };
        for (kind, name) in [(15, "keys with values,"), (8, "32 bits,")] {
            let error = reading_of(&of(kind)).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("expected JSON"), "{error}");
        }
        assert!(reading_of(&of(99)).unwrap_err().to_string().contains("unknown kind 99"));
        assert!(reading_of(&of(4)).unwrap_err().to_string().contains("a schema of Avro cannot be read"));
        for (kind, why) in [(3, "it does not list its fields"), (20, "it has no fileDescriptorSet")] {
            let error = reading_of(&of(kind)).unwrap_err().to_string();
            assert!(error.contains("the schema of Protobuf cannot be read") && error.contains(why), "{error}");
        }
        for plain in PLAIN {
            assert!(matches!(reading_of(&of(plain)), Ok(Reading::AsTheyAre)));
        }
    }
}
