//! The scripts in `tests/corpora/pulsar`, which mutants are made of: what brokers that mean well say.
//!
//! `RIVERRUN_WRITE_CORPORA=1 cargo test -p connector-pulsar hostile` writes them again.

use super::script::{Happening, Script, Step};
use super::{ENDINGS, play};
use crate::wire::frame::{encode, encode_entry, encode_with};
use crate::wire::protocol::{
    AuthChallenge, BrokerEntryMetadata, CloseConsumer, CloseProducer, Command, CompressionType, Connected,
    ConsumerStatsResponse, Delivery, ErrorReply, GetLastMessageIdResponse, GetSchemaResponse,
    GetTopicsOfNamespaceResponse, KeyValue, LookupTopicResponse, LookupType, MessageIdData, MessageMetadata,
    PartitionedTopicMetadataResponse, Ping, ProducerSuccess, ReachedEndOfTopic, Schema, SendReceipt, ServerError,
    SingleMessageMetadata, Success, TopicMigrated,
};
use crate::wire::{batch, compression};
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A script as it grows.
#[derive(Clone, Default)]
pub struct Sample {
    options: u8,
    script: Script,
    messages: u64,
}

fn id(ledger: u64, entry: u64) -> MessageIdData {
    MessageIdData { ledger_id: ledger, entry_id: entry, partition: None, batch_index: None }
}

pub fn single(text: &str) -> (MessageMetadata, Vec<u8>) {
    let properties = vec![KeyValue { key: "row".into(), value: text.into() }];
    let metadata = MessageMetadata {
        producer_name: "producer".into(),
        sequence_id: 3,
        publish_time: 1000,
        properties,
        partition_key: Some("key".into()),
        event_time: Some(5),
        ..Default::default()
    };
    (metadata, text.as_bytes().to_vec())
}

pub fn batch_of(texts: &[&str], kind: CompressionType) -> (MessageMetadata, Vec<u8>) {
    let mut payload = BytesMut::new();
    for text in texts {
        let single = SingleMessageMetadata {
            payload_size: text.len() as i32,
            partition_key: Some("a2V5".into()),
            partition_key_b64_encoded: Some(true),
            sequence_id: Some(9),
            ..Default::default()
        };
        batch::append(&single, text.as_bytes(), &mut payload);
    }
    let metadata = MessageMetadata {
        producer_name: "batches".into(),
        num_messages_in_batch: Some(texts.len() as i32),
        uncompressed_size: Some(payload.len() as u32),
        compression: Some(kind as i32),
        schema_version: Some(Bytes::from_static(&[0; 8])),
        ..Default::default()
    };
    (metadata, compression::compress(kind, &payload).unwrap().to_vec())
}

pub fn chunk(producer: &str, uuid: &str, number: i32, of: i32) -> (MessageMetadata, Vec<u8>) {
    let metadata = MessageMetadata {
        producer_name: producer.into(),
        uuid: Some(uuid.into()),
        sequence_id: 7,
        publish_time: 1000 + number.max(0) as u64,
        chunk_id: Some(number),
        num_chunks_from_msg: Some(of),
        total_chunk_msg_size: Some(of.saturating_mul(10)),
        ..Default::default()
    };
    (metadata, format!("chunk {number:04}").into_bytes())
}

impl Sample {
    pub fn of(options: u8) -> Sample {
        Sample { options, ..Sample::default() }
    }

    pub fn say(self, command: Command) -> Sample {
        self.say_with(command, &[])
    }

    fn say_with(mut self, command: Command, rest: &[u8]) -> Sample {
        let mut bytes = BytesMut::new();
        encode_with(command, rest, &mut bytes);
        self.script.happenings.push(Happening::Said(bytes.to_vec()));
        self
    }

    pub fn step(mut self, step: Step, how: u8) -> Sample {
        self.script.happenings.push(Happening::Step(step, how));
        self
    }

    /// Lets the client in, and says that the topic is here.
    pub fn greeted(self, entry_bytes_max: i32) -> Sample {
        let connected = Connected { server_version: "4.0".into(), max_message_size: Some(entry_bytes_max) };
        self.say(Command::Connected(connected)).found(LookupType::Connect, "pulsar://broker:6650", false)
    }

    fn found(self, kind: LookupType, url: &str, is_proxied: bool) -> Sample {
        self.say(Command::LookupTopicResponse(LookupTopicResponse {
            broker_service_url: Some(url.into()),
            response: Some(kind as i32),
            authoritative: Some(true),
            proxy_through_service_url: Some(is_proxied),
            ..Default::default()
        }))
    }

    pub fn success(self) -> Sample {
        self.say(Command::Success(Success { request_id: 0 }))
    }

    fn error(self, error: ServerError) -> Sample {
        self.say(Command::Error(ErrorReply { request_id: 0, error: error as i32, message: "no\nat".into() }))
    }

    pub fn end(self, last: (u64, u64), mark: Option<(u64, u64)>) -> Sample {
        self.say(Command::GetLastMessageIdResponse(GetLastMessageIdResponse {
            last_message_id: id(last.0, last.1),
            request_id: 0,
            consumer_mark_delete_position: mark.map(|(ledger, entry)| id(ledger, entry)),
        }))
    }

    pub fn stats(self, backlog: u64) -> Sample {
        self.say(Command::ConsumerStatsResponse(ConsumerStatsResponse {
            request_id: 0,
            connected_since: Some("2026-11-27T16:30:00.5+02:00".into()),
            backlog: Some(backlog),
            is_blocked: Some(backlog > 100),
        }))
    }

    /// A connection on which a reader has begun.
    pub fn reading(self, last: (u64, u64)) -> Sample {
        self.greeted(5 << 20).success().end(last, Some((10, u64::MAX))).success().stats(5)
    }

    pub fn entry(self, consumer_id: u64, at: (u64, u64), parts: (MessageMetadata, Vec<u8>)) -> Sample {
        let counted = parts.0.num_messages_in_batch.unwrap_or(1) as u64;
        self.counted(consumer_id, at, parts, counted)
    }

    /// An entry that the broker has counted as so many messages.
    pub fn counted(
        mut self,
        consumer_id: u64,
        at: (u64, u64),
        (metadata, payload): (MessageMetadata, Vec<u8>),
        messages: u64,
    ) -> Sample {
        self.messages += messages;
        let broker = BrokerEntryMetadata { broker_timestamp: Some(1000), index: Some(self.messages - 1) };
        let mut rest = BytesMut::new();
        rest.put_u16(0x0e02);
        rest.put_u32(broker.encoded_len() as u32);
        rest.put_slice(&broker.encode_to_vec());
        rest.put_slice(&encode_entry(&metadata, &payload));
        let delivery = Delivery { consumer_id, message_id: id(at.0, at.1), ack_set: Vec::new() };
        self.say_with(Command::Delivery(delivery), &rest)
    }

    /// An entry of a broker that neither stamps nor counts.
    pub fn bare(self, at: (u64, u64), (metadata, payload): (MessageMetadata, Vec<u8>)) -> Sample {
        let delivery = Delivery { consumer_id: 2, message_id: id(at.0, at.1), ack_set: Vec::new() };
        self.say_with(Command::Delivery(delivery), &encode_entry(&metadata, &payload))
    }

    fn receipt(self, at: Option<(u64, u64)>) -> Sample {
        let (ledger, entry) = at.unwrap_or((u64::MAX, u64::MAX));
        let (producer_id, sequence_id) = (1, u64::MAX);
        let message_id = Some(id(ledger, entry));
        self.say(Command::SendReceipt(SendReceipt { producer_id, sequence_id, message_id, highest_sequence_id: None }))
    }

    fn producer(self, last_sequence_id: i64) -> Sample {
        self.say(Command::ProducerSuccess(ProducerSuccess {
            request_id: 0,
            producer_name: "producer".into(),
            last_sequence_id: Some(last_sequence_id),
            schema_version: Some(Bytes::from_static(b"1")),
            producer_ready: Some(true),
        }))
    }

    pub fn bytes(&self) -> Vec<u8> {
        [&[self.options], &self.script.joined()[..]].concat()
    }
}

const ALL: [CompressionType; 5] = [
    CompressionType::None,
    CompressionType::Lz4,
    CompressionType::Zlib,
    CompressionType::Zstd,
    CompressionType::Snappy,
];

fn readers() -> Vec<(&'static str, Sample)> {
    let mut batches = Sample::of(0).reading((10, 5));
    for (at, kind) in (0..).zip(ALL) {
        batches = batches.entry(2, (10, at), batch_of(&["{\"id\":1}", "", "x"], kind));
    }
    let chunks = Sample::of(1)
        .reading((10, 5))
        .entry(2, (10, 0), chunk("a", "one", 0, 2))
        .entry(2, (10, 1), chunk("b", "two", 0, 3))
        .entry(2, (10, 2), chunk("a", "one", 1, 2))
        .step(Step::Take, 9)
        .step(Step::Cut, 0)
        .reading((10, 5))
        .entry(2, (10, 1), chunk("b", "two", 0, 3))
        .entry(2, (10, 2), chunk("a", "one", 1, 2))
        .entry(2, (10, 3), chunk("b", "two", 1, 3))
        .entry(2, (10, 4), chunk("b", "two", 2, 3))
        .step(Step::Take, 9)
        .step(Step::Rerun, 0)
        .reading((10, 4))
        .entry(2, (10, 4), chunk("b", "two", 2, 3));
    let anchored = Sample::of(1)
        .reading((12, 0))
        .bare((10, 0), single("a"))
        .step(Step::Take, 1)
        .step(Step::Release, 0)
        .end((12, 0), Some((10, u64::MAX)))
        .stats(2)
        .bare((12, 0), single("b"))
        .end((12, 0), Some((10, u64::MAX)))
        .end((12, 0), Some((10, u64::MAX)))
        .step(Step::Ask, 0)
        .end((12, 0), Some((10, u64::MAX)))
        .step(Step::Take, 9);
    let after = Sample::of(3 << 2).reading((10, 5)).entry(2, (10, 2), single("c")).entry(2, (10, 3), single("d"));
    let among = Sample::of(1 | 4 << 2)
        .reading((10, 5))
        .entry(2, (10, 0), chunk("a", "one", 0, 2))
        .entry(2, (10, 1), single("b"))
        .entry(2, (10, 2), single("c"))
        .entry(2, (10, 3), chunk("a", "one", 1, 2));
    let back = Sample::of(5 << 2)
        .reading((10, 5))
        .entry(2, (10, 2), single("c"))
        .entry(2, (10, 3), chunk("a", "one", 1, 2))
        .reading((10, 5))
        .entry(2, (10, 0), chunk("a", "one", 0, 2))
        .entry(2, (10, 1), single("b"))
        .entry(2, (10, 2), single("c"))
        .entry(2, (10, 3), chunk("a", "one", 1, 2));
    let end = Sample::of(2 << 2)
        .reading((10, 5))
        .entry(2, (10, 5), single("f"))
        .entry(2, (10, 6), single("g"))
        .step(Step::Ask, 0)
        .end((10, 6), None)
        .say(Command::ReachedEndOfTopic(ReachedEndOfTopic { consumer_id: 2 }))
        .step(Step::Take, 3);
    let ways = Sample::of(2)
        .say(Command::Connected(Connected { server_version: "4.0".into(), max_message_size: None }))
        .found(LookupType::Redirect, "pulsar://other:6650", false)
        .say(Command::Connected(Connected::default()))
        .found(LookupType::Connect, "pulsar://owner:6650", true)
        .say(Command::Connected(Connected::default()))
        .success()
        .end((10, 5), None)
        .success()
        .stats(0)
        .say(Command::Ping(Ping {}))
        .say(Command::AuthChallenge(AuthChallenge::default()))
        .step(Step::Wait, 60)
        .step(Step::Deafen, 0)
        .entry(2, (10, 0), single("a"))
        .entry(2, (10, 4), single("e"))
        .say(Command::CloseConsumer(CloseConsumer { consumer_id: 2, request_id: 1 }))
        .reading((10, 5))
        .say(Command::TopicMigrated(TopicMigrated { resource_id: 1, broker_service_url: Some("x".into()) }));
    let refused =
        Sample::of(1).greeted(0).error(ServerError::ConsumerBusy).greeted(0).error(ServerError::ServiceNotReady);
    let refused = refused.greeted(9).success().end((10, 5), Some((10, 3)));
    vec![
        ("batches", batches),
        ("chunks", chunks),
        ("anchored", anchored),
        ("after", after),
        ("among", among),
        ("back", back),
        ("end", end),
        ("ways", ways),
        ("refused", refused),
    ]
}

fn queues() -> Vec<(&'static str, Sample)> {
    let acknowledged = |sample: Sample| {
        let answer = crate::wire::protocol::AckResponse { consumer_id: 1, request_id: Some(0), ..Default::default() };
        sample.say(Command::AckResponse(answer))
    };
    let begun = |options| Sample::of(options).greeted(5 << 20).success().stats(3);
    let taken = begun(0)
        .entry(1, (10, 0), single("a"))
        .entry(1, (12, 3), batch_of(&["b", "c", "d"], CompressionType::Zstd))
        .step(Step::Take, 2)
        .step(Step::Release, 0);
    let taken = acknowledged(taken).step(Step::Take, 9).step(Step::Release, 0);
    let again = taken.clone().step(Step::Cut, 0).greeted(5 << 20).success().stats(1);
    let again = again.entry(1, (12, 3), batch_of(&["b", "c", "d"], CompressionType::Zstd)).step(Step::Take, 9);
    let part = begun(1).step(Step::Ask, 0).stats(1000);
    let rest =
        encode_entry(&batch_of(&["b", "c"], CompressionType::None).0, &batch_of(&["b", "c"], CompressionType::None).1);
    let delivery = Delivery { consumer_id: 1, message_id: id(10, 1), ack_set: vec![1] };
    let part = part.say_with(Command::Delivery(delivery), &rest).entry(1, (10, 2), chunk("a", "one", 0, 2));
    let part = acknowledged(part.step(Step::Take, 9).step(Step::Release, 0)).step(Step::Rerun, 0);
    let part = part.greeted(9).success().stats(0).step(Step::Rerun, 1).entry(1, (10, 9), single("z"));
    let held =
        Sample::of(0).greeted(9).error(ServerError::ConsumerBusy).greeted(9).error(ServerError::SubscriptionNotFound);
    vec![("taken", acknowledged(taken)), ("again", acknowledged(again)), ("part", part), ("held", held)]
}

fn producers() -> Vec<(&'static str, Sample)> {
    let stored = Sample::of(0x10).step(Step::Take, 30).greeted(5 << 20).producer(-1);
    let stored = (0..6).fold(stored, |sample, entry| sample.receipt(Some((10, entry))));
    let sure = Sample::of(2).step(Step::Take, 3).greeted(5 << 20).producer(-1).receipt(Some((10, 0)));
    let sure = sure.greeted(5 << 20).producer(3).step(Step::Take, 20).receipt(Some((10, 1))).step(Step::Cut, 0);
    let sure = sure.greeted(5 << 20).producer(9).receipt(None).receipt(Some((10, 2)));
    let chunks = Sample::of(8).step(Step::Take, 9).greeted(4000).producer(-1);
    let chunks = (0..12).fold(chunks, |sample, entry| sample.receipt(Some((10, entry))));
    let chunks = chunks.say(Command::CloseProducer(CloseProducer { producer_id: 1, request_id: 0 }));
    let chunks = chunks.greeted(4000).producer(7).receipt(None).step(Step::Rerun, 1).step(Step::Take, 5).greeted(4000);
    let held = Sample::of(4).greeted(9).error(ServerError::ProducerBusy).greeted(9).error(ServerError::ProducerFenced);
    vec![("stored", stored), ("sure", sure), ("chunks", chunks), ("held", held)]
}

fn questions() -> Vec<(&'static str, Sample)> {
    let connected = |options| Sample::of(options).say(Command::Connected(Connected::default()));
    let partitions = PartitionedTopicMetadataResponse { partitions: Some(3), ..Default::default() };
    let failed = PartitionedTopicMetadataResponse { response: Some(1), error: Some(1), ..Default::default() };
    let topics = vec!["persistent://public/default/a-partition-7".to_owned(), "x".to_owned()];
    let schema = GetSchemaResponse { schema: Some(Schema { kind: 2, ..Default::default() }), ..Default::default() };
    let failed = connected(0).say(Command::PartitionMetadataResponse(failed));
    let topics = GetTopicsOfNamespaceResponse { topics, ..Default::default() };
    let anchor = |options| Sample::of(options).greeted(9).success();
    vec![
        (
            "partitions",
            failed.say(Command::Connected(Connected::default())).say(Command::PartitionMetadataResponse(partitions)),
        ),
        ("schema", connected(1).say(Command::GetSchemaResponse(schema))),
        ("topics", connected(2).say(Command::GetTopicsOfNamespaceResponse(topics))),
        ("make", anchor(3).end((10, 5), Some((10, 1))).stats(4).success()),
        ("anew", anchor(4).success()),
        ("look", Sample::of(5).greeted(9).error(ServerError::ConsumerBusy)),
        ("forget", anchor(6).success()),
    ]
}

/// An enum, a list and a message in itself; the descriptors of `message A { int64 id = 1; repeated A in = 2; }`.
const AVRO: &str = r#"{"type":"record","name":"A","fields":[{"name":"id","type":"long"},
 {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"price","type":
 {"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},{"name":"in","type":["null","A"]},
 {"name":"tags","type":{"type":"array","items":"string"}},{"name":"kind","type":{"type":"enum","name":"K","symbols":["A","B"]}},
 {"name":"of","type":{"type":"map","values":"double"}}]}"#;
const NATIVE: &str = r#"{"fileDescriptorSet":"CikKAWESAXQiIQoBQRIKCgJpZBgBIAEoAxIQCgJpbhgCIAMoCzIELnQuQQ==",
 "rootMessageTypeName":"t.A","rootFileDescriptorName":"a"}"#;
const RECORD: &str = r#"{"type":"record","name":"A","fields":[{"name":"id","type":"long"},
 {"name":"tags","type":{"type":"array","items":"string"}}]}"#;
const LISTED: &str = r#"[{"number":1,"name":"id","type":"INT64","label":"LABEL_OPTIONAL","definition":{}},
 {"number":2,"name":"tags","type":"STRING","label":"LABEL_REPEATED","definition":{}}]"#;

fn payloads() -> Vec<(&'static str, Vec<u8>)> {
    let of = |kind: i32, text: &str, properties: Vec<KeyValue>, payload: &[u8]| {
        let schema_data = Bytes::copy_from_slice(text.as_bytes());
        let schema = Schema { name: "s".into(), schema_data, kind, properties }.encode_to_vec();
        [&[0][..], &(schema.len() as u32).to_be_bytes(), &schema, payload].concat()
    };
    let listed = vec![KeyValue { key: "__PARSING_INFO__".into(), value: LISTED.into() }];
    let avro = [2, 4, 2, 5, 0, 2, 2, b'x', 0, 0, 2, 2, b'k', 0, 0, 0, 0, 0, 0, 0, 0, 0];
    vec![
        ("avro", of(4, AVRO, vec![], &avro)),
        ("native", of(20, NATIVE, vec![], &[8, 1, 18, 2, 8, 3])),
        ("listed", of(3, RECORD, listed, &[8, 5, 18, 1, b'a'])),
        ("plain", of(2, "{}", vec![], br#"{"id":1,"payload":{"user":{"id":[2,{}]}}}"#)),
    ]
}

/// All samples by the names of their files.
fn samples() -> BTreeMap<String, Vec<u8>> {
    let groups = [("reader", readers()), ("queue", queues()), ("producer", producers()), ("question", questions())];
    let scripts = groups.into_iter().flat_map(|(ending, samples)| {
        samples.into_iter().map(move |(name, sample)| (format!("{name}.{ending}"), sample.bytes()))
    });
    scripts.chain(payloads().into_iter().map(|(name, bytes)| (format!("{name}.payload"), bytes))).collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/pulsar")
}

#[test]
fn stored_scripts_are_those_that_are_written_here() {
    if std::env::var_os("RIVERRUN_WRITE_CORPORA").is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        for (name, bytes) in samples() {
            std::fs::write(folder().join(name), bytes).unwrap();
        }
    }
    // What compresses may have been built to do it in another way, which is the same to whoever reads.
    for (name, bytes) in samples() {
        assert_eq!(
            played(&name, &std::fs::read(folder().join(&name)).unwrap()),
            played(&name, &bytes),
            "{name} differs"
        );
    }
}

#[test]
fn every_stored_script_keeps_the_rules() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let ending = path.extension().unwrap().to_str().unwrap();
        assert!(ENDINGS.contains(&ending), "{}", path.display());
        play(ending, &std::fs::read(&path).unwrap()).unwrap_or_else(|wrong| panic!("{}: {wrong}", path.display()));
    }
}

/// What a script whose file has this name comes to: where each step led, and what was said.
fn played(name: &str, script: &[u8]) -> String {
    let played = play(name.rsplit('.').next().unwrap(), script).unwrap();
    let payloads: Vec<String> =
        played.payloads.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
    format!("{payloads:?} {:?} {:?}", played.said, played.steps)
}

#[test]
fn scripts_lead_where_they_are_meant_to() {
    for (name, expected) in [
        ("batches.reader", r#"["{\"id\":1}", "", "x", "{\"id\":1}","#),
        ("chunks.reader", r#"["chunk 0000chunk 0001", "chunk 0000chunk 0001chunk 0002"]"#),
        ("anchored.reader", "in doubt -> end -> reading"),
        ("after.reader", r#"["d"]"#),
        ("among.reader", r#"["chunk 0000chunk 0001"]"#),
        ("back.reader", r#"["chunk 0000chunk 0001"]"#),
        ("end.reader", r#"["g"]"#),
        ("ways.reader", "reading -> close consumer -> away"),
        ("refused.reader", "10:3"),
        ("taken.queue", r#"["a", "b", "c", "d"]"#),
        ("again.queue", "reading -> cut -> away"),
        ("part.queue", "it is a part of a message in chunks"),
        ("held.queue", "SubscriptionNotFound"),
        ("stored.producer", "open -> receipt -> open"),
        ("sure.producer", "open -> receipt -> "),
        ("chunks.producer", "open -> receipt -> open"),
        ("held.producer", "ProducerFenced"),
        ("partitions.question", "partitions true"),
        ("schema.question", "schema true"),
        ("topics.question", "topics 1"),
        ("make.question", "facts"),
        ("anew.question", "done"),
        ("look.question", "held"),
        ("forget.question", "done"),
        ("avro.payload", r#"{\"id\":1,"#),
        ("native.payload", r#"{\"id\":1,\"in\":[{\"id\":3"#),
        ("listed.payload", r#"{\"id\":5,\"tags\":[\"a\"]}"#),
        ("plain.payload", r#"{\"id\":1,\"payload\""#),
    ] {
        let played = played(name, &samples()[name]);
        assert!(played.contains(expected), "{name}: expected {expected}: {played}");
    }
    let mut bytes = BytesMut::new();
    encode(Command::Ping(Ping {}), &mut bytes);
    assert_eq!(Script::cut(&bytes).happenings, [Happening::Said(bytes.to_vec())]);
}
