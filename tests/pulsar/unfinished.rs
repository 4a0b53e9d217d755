//! Partitions whose last entry is part of a message whose rest has not come: a producer died there, or is not done.

use crate::losses::{Scene, broker};
use bytes::BytesMut;
use connector_pulsar::wire::frame::{FrameDecoder, encode, encode_entry, encode_with};
use connector_pulsar::wire::protocol::{Command, Connect, MessageMetadata, Producer, Send};
use std::io::{Read, Write};
use std::net::TcpStream;
use tests::machine::{SECOND, now, pause};

/// A producer that sends the chunks of one message when it is told to.
struct Chunks {
    stream: TcpStream,
    decoder: FrameDecoder,
}

impl Chunks {
    fn on(topic: &str) -> Option<Chunks> {
        let address = broker()?.service_url().replace("pulsar://", "");
        let stream = TcpStream::connect(address).expect("the broker listens");
        let mut chunks = Chunks { stream, decoder: FrameDecoder::default() };
        chunks.say(Command::Connect(Connect {
            client_version: "chunks".to_owned(),
            auth_data: None,
            protocol_version: Some(20),
            auth_method_name: None,
            proxy_to_broker_url: None,
            feature_flags: None,
        }));
        assert!(matches!(chunks.hear(), Command::Connected(_)));
        chunks.say(Command::Producer(Producer {
            topic: topic.to_owned(),
            producer_id: 1,
            request_id: 1,
            producer_name: Some("chunks".to_owned()),
            ..Default::default()
        }));
        let heard = chunks.hear();
        assert!(matches!(heard, Command::ProducerSuccess(_)), "{heard:?}");
        Some(chunks)
    }

    /// Sends the chunk of this number, one of three.
    fn send(&mut self, chunk: i32, payload: &str) {
        let publish_time = u64::try_from(now() / 1000).expect("it is after 1970");
        let metadata = MessageMetadata {
            producer_name: "chunks".to_owned(),
            publish_time,
            uuid: Some("large".to_owned()),
            chunk_id: Some(chunk),
            num_chunks_from_msg: Some(3),
            ..Default::default()
        };
        let send = Send { producer_id: 1, sequence_id: 0, ..Default::default() };
        let mut output = BytesMut::new();
        encode_with(Command::Send(send), &encode_entry(&metadata, payload.as_bytes()), &mut output);
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

#[test]
fn a_message_whose_rest_has_not_come_holds_up_no_other_partition_and_no_end() {
    let Some(scene) = Scene::start("unfinished", 2, "") else { return };
    let wait_for = |least: usize, what: &str| {
        let begun = now();
        while scene.copies().len() < least {
            assert!(now() < begun + 60 * SECOND, "{what}: {} of {least} copies", scene.copies().len());
            pause(SECOND / 5);
        }
    };
    scene.publish_to(0, 0..5);
    scene.publish_to(1, 5..10);
    let mut running = scene.folder.start(&["run", "copy"], "pulsar");
    wait_for(10, "before");
    let mut chunks = Chunks::on("persistent://public/unfinished/notes-partition-1").expect("there is a broker");
    chunks.send(0, r#"{"id":90,"#);
    // The other partition is far ahead, so that only silence lets its rows go on.
    scene.publish_to(0, 20..30);
    wait_for(20, "beside a message that is not whole");
    running.interrupt();
    assert_eq!(running.ended(60 * SECOND).expect("it ends").code, Some(0));
    scene.publish_to(0, 30..40);
    scene.copy();
    assert_eq!(scene.copies().len(), 30, "a run ends where a message is not whole");
    chunks.send(1, r#""at":"#);
    scene.copy();
    chunks.send(2, r#""2026-01-01 00:01:00"}"#);
    scene.copy();
    let mut copies = scene.copies();
    copies.sort_unstable();
    assert_eq!(copies, (0..10).chain(20..40).chain([90]).collect::<Vec<u64>>());
}
