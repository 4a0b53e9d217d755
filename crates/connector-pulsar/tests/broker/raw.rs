//! A producer that writes what no client of ours does.

use crate::place::{settings, topic};
use bytes::{Bytes, BytesMut};
use connector_pulsar::standalone::Standalone;
use connector_pulsar::wire::frame::{FrameDecoder, encode, encode_entry, encode_with};
use connector_pulsar::wire::protocol::{Command, Connect, MessageMetadata, Producer, Send};
use connector_pulsar::{PartitionReader, Start, TopicName};
use std::io::{Read, Write};
use std::net::TcpStream;

/// A connection with a producer on it.
pub struct RawProducer {
    stream: TcpStream,
    decoder: FrameDecoder,
    sequence: u64,
}

impl RawProducer {
    /// A producer on a topic of its own, which the broker has loaded.
    pub async fn on(broker: &Standalone, name: &str) -> (TopicName, RawProducer) {
        let topic = topic(broker, name);
        let options = crate::place::reader_options(&topic, Start::Oldest);
        PartitionReader::new(settings(broker), options).end().await.expect("the topic is there");
        let address = broker.service_url().replace("pulsar://", "");
        let stream = TcpStream::connect(address).expect("the broker listens");
        let mut producer = RawProducer { stream, decoder: FrameDecoder::default(), sequence: 0 };
        producer.say(Command::Connect(Connect {
            client_version: "raw".to_owned(),
            auth_data: None,
            protocol_version: Some(20),
            auth_method_name: None,
            proxy_to_broker_url: None,
            feature_flags: None,
        }));
        assert!(matches!(producer.hear(), Command::Connected(_)));
        producer.say(Command::Producer(Producer {
            topic: topic.to_string(),
            producer_id: 1,
            request_id: 1,
            producer_name: Some("raw".to_owned()),
            ..Default::default()
        }));
        let heard = producer.hear();
        assert!(matches!(heard, Command::ProducerSuccess(_)), "{heard:?}");
        (topic, producer)
    }

    /// Publishes a message with a version of its schema, whatever that is.
    pub fn publish(&mut self, version: Option<&[u8]>, payload: &[u8]) {
        let metadata = MessageMetadata {
            producer_name: "raw".to_owned(),
            sequence_id: self.sequence,
            publish_time: 1_700_000_000_000 + self.sequence,
            schema_version: version.map(Bytes::copy_from_slice),
            ..Default::default()
        };
        let send = Send { producer_id: 1, sequence_id: self.sequence, ..Default::default() };
        self.sequence += 1;
        let mut output = BytesMut::new();
        encode_with(Command::Send(send), &encode_entry(&metadata, payload), &mut output);
        self.stream.write_all(&output).expect("the broker takes it");
        let heard = self.hear();
        assert!(matches!(heard, Command::SendReceipt(_)), "{heard:?}");
    }

    fn say(&mut self, command: Command) {
        let mut output = BytesMut::new();
        encode(command, &mut output);
        self.stream.write_all(&output).expect("the broker takes it");
    }

    fn hear(&mut self) -> Command {
        let mut part = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.next_frame().expect("the broker speaks the protocol") {
                return frame.command;
            }
            let count = self.stream.read(&mut part).expect("the broker answers");
            assert!(count > 0, "the broker closed the connection");
            self.decoder.push(&part[..count]);
        }
    }
}
