//! A broker of one topic, which does to its clients what the real one cannot be made to do.

use super::harness::Chance;
use super::shared_subscription::{SharedSubscription, messages_of};
use crate::position::EntryId;
use crate::wire::frame::{FrameDecoder, decode_entry, encode, encode_with};
use crate::wire::protocol::{
    AckResponse, BrokerEntryMetadata, Command, Connected, ConsumerStatsResponse, Delivery, GetLastMessageIdResponse,
    LookupTopicResponse, LookupType, MessageIdData, Pong, ProducerSuccess, Send, SendError, SendReceipt, Subscribe,
    Success,
};
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// An entry as it is stored: with the broker's metadata before that of the producer.
pub struct StoredEntry {
    pub id: EntryId,
    pub rest: Bytes,
}

/// How often things go wrong, in a thousand.
#[derive(Clone, Copy)]
pub struct Troubles {
    pub repeat: u64,
    pub go_back: u64,
    pub skip: u64,
    pub damage: u64,
    pub close: u64,
    pub failed_add: u64,
    pub swallow: u64,
    /// The topic is loaded anew when a client connects.
    pub reload: u64,
}

impl Troubles {
    pub const NONE: Troubles =
        Troubles { repeat: 0, go_back: 0, skip: 0, damage: 0, close: 0, failed_add: 0, swallow: 0, reload: 0 };
}

pub struct ScriptedBroker {
    pub log: Vec<StoredEntry>,
    pub troubles: Troubles,
    /// The subscription of a queue.
    pub shared: SharedSubscription,
    messages: u64,
    ledger_entries: u64,
    /// The greatest sequence that was taken, and that was stored.
    taken: Option<u64>,
    stored: Option<u64>,
    /// Adds fail, which nobody has noticed yet.
    has_failed: bool,
    deduplicates: bool,
    /// The greatest entry that is taken.
    entry_bytes_max: usize,
    session: Session,
}

/// What a connection has opened.
#[derive(Default)]
struct Session {
    input: FrameDecoder,
    output: BytesMut,
    next: usize,
    permits: i64,
    is_reading: bool,
    is_broken: bool,
}

impl ScriptedBroker {
    pub fn new(ledger_entries: u64, deduplicates: bool) -> Self {
        ScriptedBroker {
            log: Vec::new(),
            troubles: Troubles::NONE,
            shared: SharedSubscription::default(),
            messages: 0,
            ledger_entries,
            taken: None,
            stored: None,
            has_failed: false,
            deduplicates,
            entry_bytes_max: 5 << 20,
            session: Session::default(),
        }
    }

    /// A broker that takes smaller entries.
    pub fn with_entries_of(entry_bytes_max: usize, deduplicates: bool) -> Self {
        ScriptedBroker { entry_bytes_max, ..ScriptedBroker::new(10, deduplicates) }
    }

    /// Stores an entry with its producer's checksum, metadata and payload.
    pub fn store(&mut self, entry: &[u8], messages: u64) -> EntryId {
        self.messages += messages;
        let count = self.log.len() as u64;
        let id = EntryId { ledger: 10 + 2 * (count / self.ledger_entries), entry: count % self.ledger_entries };
        let metadata = BrokerEntryMetadata { broker_timestamp: Some(1000 + count), index: Some(self.messages - 1) };
        let mut rest = BytesMut::new();
        rest.put_u16(0x0e02);
        rest.put_u32(u32::try_from(metadata.encoded_len()).unwrap());
        rest.put_slice(&metadata.encode_to_vec());
        rest.put_slice(entry);
        self.log.push(StoredEntry { id, rest: rest.freeze() });
        id
    }

    /// A new connection; the one before is gone with all that it had opened.
    pub fn connect(&mut self, chance: &mut Chance) {
        self.session = Session::default();
        self.shared.to_give.clear();
        if !self.has_failed && chance.happens(self.troubles.reload) {
            self.reload();
        }
    }

    /// Loads the topic: what its entries say of sequences is what is known, whether or not they are whole messages.
    fn reload(&mut self) {
        self.taken = None;
        for entry in &self.log {
            let metadata = decode_entry(entry.rest.clone()).unwrap().metadata;
            let signed = |sequence: u64| i64::from_ne_bytes(sequence.to_ne_bytes());
            let greatest = signed(metadata.highest_sequence_id.unwrap_or(0)).max(signed(metadata.sequence_id));
            self.taken = u64::try_from(greatest).ok();
        }
        self.stored = self.taken;
    }

    /// Takes bytes from the client; false if the broker closes the connection.
    pub fn receive(&mut self, bytes: &[u8], chance: &mut Chance) -> bool {
        self.session.input.push(bytes);
        while !self.session.is_broken {
            let Some(frame) = self.session.input.next_frame().expect("the client speaks the protocol") else { break };
            self.on_command(frame.command, &frame.rest, chance);
        }
        self.give_out(chance);
        !self.session.is_broken
    }

    pub fn take_output(&mut self) -> Bytes {
        self.session.output.split().freeze()
    }

    fn answer(&mut self, command: Command) {
        encode(command, &mut self.session.output);
    }

    fn on_command(&mut self, command: Command, rest: &Bytes, chance: &mut Chance) {
        match command {
            Command::Connect(_) => {
                let connected = Connected {
                    server_version: "scripted".into(),
                    max_message_size: i32::try_from(self.entry_bytes_max).ok(),
                };
                self.answer(Command::Connected(connected));
            }
            Command::LookupTopic(lookup) => {
                let answer = LookupTopicResponse {
                    broker_service_url: Some("pulsar://broker:6650".into()),
                    response: Some(LookupType::Connect as i32),
                    request_id: lookup.request_id,
                    ..Default::default()
                };
                self.answer(Command::LookupTopicResponse(answer));
            }
            Command::Subscribe(subscribe) => {
                if subscribe.sub_type != 0 {
                    self.shared.begin(&self.log, chance);
                }
                self.subscribe(&subscribe);
            }
            Command::GetLastMessageId(question) => {
                let none =
                    MessageIdData { ledger_id: u64::MAX, entry_id: u64::MAX, partition: None, batch_index: None };
                let last_message_id = self.log.last().map_or(none, |entry| entry.id.to_wire());
                let request_id = question.request_id;
                let answer =
                    GetLastMessageIdResponse { last_message_id, request_id, consumer_mark_delete_position: None };
                self.answer(Command::GetLastMessageIdResponse(answer));
            }
            Command::ConsumerStats(question) => {
                let connected_since = Some("1970-01-01T00:00:01.000Z".to_owned());
                let answer = ConsumerStatsResponse {
                    request_id: question.request_id,
                    connected_since,
                    backlog: Some(self.shared.backlog(&self.log)),
                    ..Default::default()
                };
                self.answer(Command::ConsumerStatsResponse(answer));
            }
            Command::Flow(flow) => self.session.permits += i64::from(flow.message_permits),
            Command::Producer(producer) => {
                let answer = ProducerSuccess {
                    request_id: producer.request_id,
                    producer_name: producer.producer_name.unwrap_or_default(),
                    last_sequence_id: self.taken.filter(|_| self.deduplicates).map(|last| i64::try_from(last).unwrap()),
                    schema_version: None,
                    producer_ready: None,
                };
                self.answer(Command::ProducerSuccess(answer));
            }
            Command::Send(send) => self.on_send(send, rest, chance),
            Command::Ping(_) => self.answer(Command::Pong(Pong {})),
            Command::Ack(ack) => {
                let Some(request_id) = ack.request_id else { return };
                self.shared.take(&ack);
                // The receipt may be lost with the connection.
                self.session.is_broken |= chance.happens(self.troubles.close);
                if !self.session.is_broken {
                    let (consumer_id, request_id) = (ack.consumer_id, Some(request_id));
                    let answer = AckResponse { consumer_id, request_id, ..Default::default() };
                    self.answer(Command::AckResponse(answer));
                }
            }
            other => panic!("the client sent {other:?}"),
        }
    }

    /// Starts at an entry, or at the first after it if it is not there, as the real broker does.
    fn subscribe(&mut self, subscribe: &Subscribe) {
        if subscribe.consumer_id == 2 {
            let start = subscribe.start_message_id.as_ref().and_then(EntryId::from_wire);
            self.session.next = start.map_or(0, |start| self.log.partition_point(|entry| entry.id < start));
            self.session.is_reading = true;
            self.session.permits = 0;
        }
        self.answer(Command::Success(Success { request_id: subscribe.request_id }));
    }

    /// Gives out entries of a queue.
    fn give_shared(&mut self, chance: &mut Chance) {
        while self.session.permits > 0 && !self.session.is_broken {
            let Some(at) = self.shared.to_give.pop() else { return };
            let entry = &self.log[at];
            // It was acknowledged since the consumer came.
            if self.shared.is_whole(entry.id) {
                continue;
            }
            self.session.permits -= i64::from(messages_of(entry));
            let ack_set = self.shared.ack_set(entry.id);
            let delivery = Delivery { consumer_id: 1, message_id: entry.id.to_wire(), ack_set };
            for _ in 0..if chance.happens(self.troubles.repeat) { 2 } else { 1 } {
                encode_with(Command::Delivery(delivery.clone()), &entry.rest, &mut self.session.output);
            }
            self.session.is_broken |= chance.happens(self.troubles.close);
        }
    }

    fn give_out(&mut self, chance: &mut Chance) {
        self.give_shared(chance);
        while self.session.is_reading && self.session.permits > 0 && self.session.next < self.log.len() {
            let entry = &self.log[self.session.next];
            let messages = decode_entry(entry.rest.clone()).unwrap().metadata.num_messages_in_batch.unwrap_or(1);
            let mut rest = entry.rest.to_vec();
            if chance.happens(self.troubles.damage) {
                let at = chance.below(rest.len() as u64) as usize;
                rest[at] ^= 1 << chance.below(8);
            }
            let delivery = Delivery { consumer_id: 2, message_id: entry.id.to_wire(), ack_set: Vec::new() };
            let times = if chance.happens(self.troubles.repeat) { 2 } else { 1 };
            for _ in 0..times {
                encode_with(Command::Delivery(delivery.clone()), &rest, &mut self.session.output);
                self.session.permits -= i64::from(messages);
            }
            self.session.next += if chance.happens(self.troubles.skip) { 2 } else { 1 };
            if chance.happens(self.troubles.go_back) {
                self.session.next = self.session.next.saturating_sub(1 + chance.below(5) as usize);
            }
            self.session.is_broken |= chance.happens(self.troubles.close);
        }
    }

    fn on_send(&mut self, send: Send, rest: &Bytes, chance: &mut Chance) {
        assert!(rest.len() <= self.entry_bytes_max, "an entry of {} bytes", rest.len());
        let (first, last) = (send.sequence_id, send.highest_sequence_id.unwrap().max(send.sequence_id));
        // Only with the last chunk of a message it is asked whether the message is there.
        let is_part = send.is_chunk.unwrap_or_default() && {
            let metadata = decode_entry(rest.clone()).unwrap().metadata;
            metadata.chunk_id.unwrap() + 1 < metadata.num_chunks_from_msg.unwrap()
        };
        if !is_part && self.deduplicates && self.taken.is_some_and(|taken| first <= taken) {
            if self.stored.is_none_or(|stored| first > stored) {
                let message = "cannot determine whether it is a duplicate".to_owned();
                let error = SendError { producer_id: 1, sequence_id: first, error: 0, message };
                self.answer(Command::SendError(error));
                return;
            }
            let dropped = MessageIdData { ledger_id: u64::MAX, entry_id: u64::MAX, partition: None, batch_index: None };
            self.receipt(first, last, dropped, chance);
            return;
        }
        if !is_part {
            self.taken = Some(last);
        }
        // Adds complete in order, so after one that failed all fail until the failure is noticed.
        if self.has_failed || chance.happens(self.troubles.failed_add) {
            // Until the failure is noticed a client that comes back is told of what was taken.
            self.session.is_broken = true;
            self.has_failed = true;
            if chance.happens(500) {
                self.notice_failures();
            }
            return;
        }
        if !is_part {
            self.stored = Some(last);
        }
        let id = self.store(rest, u64::try_from(send.num_messages.unwrap()).unwrap());
        self.receipt(first, last, id.to_wire(), chance);
    }

    fn receipt(&mut self, first: u64, last: u64, id: MessageIdData, chance: &mut Chance) {
        if chance.happens(self.troubles.swallow) {
            return;
        }
        let message_id = Some(id);
        let receipt = SendReceipt { producer_id: 1, sequence_id: first, message_id, highest_sequence_id: Some(last) };
        self.answer(Command::SendReceipt(receipt));
    }

    /// The failure of an add is noticed: what was taken and not stored is forgotten, and the clients are sent away.
    pub fn notice_failures(&mut self) -> bool {
        self.taken = self.stored;
        std::mem::take(&mut self.has_failed)
    }
}
