//! Frames: how commands, metadata and payloads lie in a stream of bytes.
//!
//! ```text
//! size u32 | size u32, command | [0x0e02, size u32, broker's metadata] [0x0e01, crc32c] size u32, metadata | payload
//! ```
//!
//! The first size is that of all that follows it. What stands after the command is there for SEND and MESSAGE alone.

use super::protocol::{BaseCommand, BrokerEntryMetadata, Command, MessageMetadata};
use crate::error::{Error, Result};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

/// The largest command without an entry, and the largest metadata of an entry that this client writes.
///
/// Decoded strings take more memory than their bytes do, so this bounds what a hostile frame can claim. The metadata of an
/// entry that is read is as large as its producer had it, within what the broker takes of it all.
pub const METADATA_BYTES_MAX: usize = 1 << 20;

/// What a frame may hold beside a payload of the greatest size.
const FRAME_BYTES_BESIDE: usize = 2 * METADATA_BYTES_MAX;

/// The greatest message size of a broker whose configuration does not say another.
pub const MESSAGE_BYTES_DEFAULT: usize = 5 << 20;

const CHECKSUM_MAGIC: u16 = 0x0e01;
const BROKER_METADATA_MAGIC: u16 = 0x0e02;

/// A command, and what follows it in its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub command: Command,
    pub rest: Bytes,
}

/// Cuts a stream of bytes into frames.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    frame_bytes_max: usize,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        FrameDecoder { buffer: BytesMut::new(), frame_bytes_max: MESSAGE_BYTES_DEFAULT + FRAME_BYTES_BESIDE }
    }
}

impl FrameDecoder {
    /// Takes the greatest payload that the broker says it sends.
    pub fn allow_messages_of(&mut self, bytes: usize) {
        self.frame_bytes_max = bytes.saturating_add(FRAME_BYTES_BESIDE);
    }

    /// Adds bytes as they came; they may end anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame that is there whole; commands that this client does not know are passed over.
    ///
    /// A size beyond the greatest is refused before its bytes have come. After an error nothing more can be read.
    pub fn next_frame(&mut self) -> Result<Option<Frame>> {
        while let Some(head) = self.buffer.first_chunk::<4>() {
            if head == b"HTTP" {
                return Err(Error::invalid(
                    "what answers there speaks HTTP: it is the port of the admin interface; name that of the binary \
                     protocol, which is 6650 where nobody has changed it",
                ));
            }
            let size = u32::from_be_bytes(*head) as usize;
            if size > self.frame_bytes_max {
                return Err(broken(format!("a frame of {size} bytes, expected at most {}", self.frame_bytes_max)));
            }
            if self.buffer.len() < 4 + size {
                break;
            }
            self.buffer.advance(4);
            if let Some(frame) = decode(self.buffer.split_to(size).freeze())? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::unavailable(format!("the broker sent what is not Pulsar's protocol: {what}"))
}

/// A part with its size before it.
fn sized_part(bytes: &mut Bytes, name: &str, bytes_max: usize) -> Result<Bytes> {
    let size = bytes.try_get_u32().map_err(|_| broken(format!("a frame ends before the size of its {name}")))? as usize;
    if size > bytes_max {
        return Err(broken(format!("the {name} has {size} bytes, expected at most {bytes_max}")));
    }
    if size > bytes.len() {
        return Err(broken(format!("the {name} has {size} bytes, but {} are left in its frame", bytes.len())));
    }
    Ok(bytes.split_to(size))
}

/// A command and what follows it, from a frame without its first size; none if the command is unknown.
pub fn decode(mut frame: Bytes) -> Result<Option<Frame>> {
    let command = sized_part(&mut frame, "command", METADATA_BYTES_MAX)?;
    let base = BaseCommand::decode(command).map_err(|error| broken(format!("a command does not decode: {error}")))?;
    Ok(base.command.map(|command| Frame { command, rest: frame }))
}

/// An entry of a ledger as the broker gave it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireEntry {
    pub broker: Option<BrokerEntryMetadata>,
    pub metadata: MessageMetadata,
    /// As the producer sent it: compressed, and a batch if it is one.
    pub payload: Bytes,
}

/// Reads what follows a MESSAGE command, and compares its checksum.
pub fn decode_entry(mut rest: Bytes) -> Result<WireEntry> {
    let magic = |bytes: &Bytes| bytes.first_chunk::<2>().map(|magic| u16::from_be_bytes(*magic));
    let mut broker = None;
    if magic(&rest) == Some(BROKER_METADATA_MAGIC) {
        rest.advance(2);
        let part = sized_part(&mut rest, "broker's metadata", METADATA_BYTES_MAX)?;
        let part = BrokerEntryMetadata::decode(part);
        broker = Some(part.map_err(|error| broken(format!("the broker's metadata does not decode: {error}")))?);
    }
    if magic(&rest) == Some(CHECKSUM_MAGIC) {
        rest.advance(2);
        let expected = rest.try_get_u32().map_err(|_| broken("a frame ends before its checksum"))?;
        let found = crc32c::crc32c(&rest);
        if found != expected {
            return Err(broken(format!("an entry has checksum {found:08x}, expected {expected:08x}")));
        }
    }
    let metadata = sized_part(&mut rest, "metadata", usize::MAX)?;
    let metadata =
        MessageMetadata::decode(metadata).map_err(|error| broken(format!("metadata does not decode: {error}")))?;
    Ok(WireEntry { broker, metadata, payload: rest })
}

/// The number of a command in the protocol.
fn kind(command: &Command) -> i32 {
    match command {
        Command::Connect(_) => 2,
        Command::Connected(_) => 3,
        Command::Subscribe(_) => 4,
        Command::Producer(_) => 5,
        Command::Send(_) => 6,
        Command::SendReceipt(_) => 7,
        Command::SendError(_) => 8,
        Command::Delivery(_) => 9,
        Command::Ack(_) => 10,
        Command::Flow(_) => 11,
        Command::Unsubscribe(_) => 12,
        Command::Success(_) => 13,
        Command::Error(_) => 14,
        Command::CloseProducer(_) => 15,
        Command::CloseConsumer(_) => 16,
        Command::ProducerSuccess(_) => 17,
        Command::Ping(_) => 18,
        Command::Pong(_) => 19,
        Command::PartitionMetadata(_) => 21,
        Command::PartitionMetadataResponse(_) => 22,
        Command::LookupTopic(_) => 23,
        Command::LookupTopicResponse(_) => 24,
        Command::ConsumerStats(_) => 25,
        Command::ConsumerStatsResponse(_) => 26,
        Command::ReachedEndOfTopic(_) => 27,
        Command::Seek(_) => 28,
        Command::GetLastMessageId(_) => 29,
        Command::GetLastMessageIdResponse(_) => 30,
        Command::GetTopicsOfNamespace(_) => 32,
        Command::GetTopicsOfNamespaceResponse(_) => 33,
        Command::GetSchema(_) => 34,
        Command::GetSchemaResponse(_) => 35,
        Command::AuthChallenge(_) => 36,
        Command::AuthResponse(_) => 37,
        Command::AckResponse(_) => 38,
        Command::TopicMigrated(_) => 68,
    }
}

fn put_size(output: &mut BytesMut, size: usize) {
    // What is sent is bounded by the broker's greatest message size, which is far below this.
    output.put_u32(u32::try_from(size).unwrap_or(u32::MAX));
}

/// Appends a command without an entry.
pub fn encode(command: Command, output: &mut BytesMut) {
    encode_with(command, &[], output);
}

/// Appends a command and what follows it in its frame.
pub fn encode_with(command: Command, rest: &[u8], output: &mut BytesMut) {
    let base = BaseCommand { kind: kind(&command), command: Some(command) };
    let size = base.encoded_len();
    put_size(output, 4 + size + rest.len());
    put_size(output, size);
    output.put_slice(&base.encode_to_vec());
    output.put_slice(rest);
}

/// What an entry takes beside its metadata and its payload.
const ENTRY_BYTES_BESIDE: usize = 10;

/// How many bytes `encode_entry` gives, which are what a broker counts.
pub fn entry_bytes(metadata: &MessageMetadata, payload_bytes: usize) -> usize {
    ENTRY_BYTES_BESIDE + metadata.encoded_len() + payload_bytes
}

/// What follows a SEND command: checksum, metadata and payload.
pub fn encode_entry(metadata: &MessageMetadata, payload: &[u8]) -> Bytes {
    let size = metadata.encoded_len();
    let mut part = BytesMut::with_capacity(entry_bytes(metadata, payload.len()));
    part.put_u16(CHECKSUM_MAGIC);
    part.put_u32(0);
    put_size(&mut part, size);
    part.put_slice(&metadata.encode_to_vec());
    part.put_slice(payload);
    let checksum = crc32c::crc32c(&part[6..]);
    part[2..6].copy_from_slice(&checksum.to_be_bytes());
    part.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::protocol::{Delivery, MessageIdData, Ping};
    use proptest::prelude::*;

    fn delivery() -> Command {
        let message_id = MessageIdData { ledger_id: 7, entry_id: 3, partition: None, batch_index: None };
        Command::Delivery(Delivery { consumer_id: 1, message_id, ack_set: Vec::new() })
    }

    fn entry(payload: &[u8]) -> Vec<u8> {
        let metadata = MessageMetadata { producer_name: "p".into(), sequence_id: 9, ..Default::default() };
        encode_entry(&metadata, payload).to_vec()
    }

    #[test]
    fn a_stream_of_frames_is_the_same_however_it_is_cut() {
        let mut stream = BytesMut::new();
        encode_with(delivery(), &entry(b"payload"), &mut stream);
        encode(Command::Ping(Ping {}), &mut stream);
        for cut in 1..stream.len() {
            let mut decoder = FrameDecoder::default();
            let mut found = Vec::new();
            for piece in stream.chunks(cut) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    found.push(frame);
                }
            }
            assert_eq!(found.len(), 2, "cut into pieces of {cut}");
            let read = decode_entry(found[0].rest.clone()).unwrap();
            assert_eq!((read.metadata.sequence_id, &read.payload[..]), (9, &b"payload"[..]));
            assert_eq!(found[1].command, Command::Ping(Ping {}));
        }
    }

    #[test]
    fn a_frame_beyond_the_greatest_size_is_refused_before_it_has_come() {
        let mut decoder = FrameDecoder::default();
        decoder.push(&u32::MAX.to_be_bytes());
        let error = decoder.next_frame().unwrap_err().to_string();
        assert!(error.contains("a frame of 4294967295 bytes"), "{error}");
    }

    #[test]
    fn every_changed_bit_of_an_entry_is_noticed() {
        let good = entry(b"some payload");
        for bit in 8 * 6..8 * good.len() {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let error = decode_entry(Bytes::from(bad)).unwrap_err().to_string();
            assert!(error.contains("checksum"), "bit {bit}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..200) {
            let mut decoder = FrameDecoder::default();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next_frame() {}
            let _ = decode(Bytes::from(bytes.clone()));
            let _ = decode_entry(Bytes::from(bytes.clone()));
            let mut stream = BytesMut::new();
            encode_with(delivery(), &entry(&bytes), &mut stream);
            let at = at % stream.len();
            stream[at] ^= bytes.first().copied().unwrap_or(1);
            let mut decoder = FrameDecoder::default();
            decoder.push(&stream);
            while let Ok(Some(frame)) = decoder.next_frame() {
                let _ = decode_entry(frame.rest);
            }
        }
    }
}
