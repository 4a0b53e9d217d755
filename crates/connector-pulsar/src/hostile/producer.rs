//! A producer: it sends what it was given in order, and takes nothing for stored that it was not given.

use super::player::{BUDGET_BYTES, Played, Scene, play as play_to, settings, topic};
use super::script::{Script, Step};
use crate::keys::Key;
use crate::producer::{EarlierMessages, Guarantee, OutgoingMessage, ProducerMachine, ProducerOptions};
use crate::wire::protocol::{Command, CompressionType, Schema};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::Duration;

/// The greatest message that is pushed.
const PAYLOAD_BYTES: usize = 20_000;

/// Plays a script to a producer.
pub fn play(options: u8, script: &Script) -> Result<Played, String> {
    let guarantee = match options & 3 {
        0 => Guarantee::AtLeastOnce,
        1 => Guarantee::AsTheBrokerHas,
        _ => Guarantee::EffectivelyOnce,
    };
    let stored = (options & 4 != 0).then_some(3);
    let options = ProducerOptions {
        topic: topic(),
        name: "producer".to_owned(),
        guarantee,
        earlier: EarlierMessages { stored, ..EarlierMessages::default() },
        schema: (options & 8 != 0).then(Schema::default),
        compression: CompressionType::try_from(i32::from(options >> 4) % 5).unwrap_or(CompressionType::None),
        batch_messages_max: 10,
        batch_bytes_max: 4000,
        budget_bytes: BUDGET_BYTES,
    };
    let machine = ProducerMachine::new(settings(), options.clone(), 1);
    let next = stored.map_or(1, |stored| stored + 1);
    play_to(Producer { machine, options, next, stored, sent: None, said: BTreeSet::new() }, script)
}

struct Producer {
    machine: ProducerMachine,
    options: ProducerOptions,
    /// The sequence of the next message.
    next: u64,
    /// Up to here all is stored, as was said last.
    stored: Option<u64>,
    /// The last that was sent on this connection.
    sent: Option<u64>,
    said: BTreeSet<String>,
}

impl Scene for Producer {
    type Machine = ProducerMachine;

    fn machine(&mut self) -> &mut ProducerMachine {
        &mut self.machine
    }

    fn step(&mut self, step: Step, how: u8, _: Duration) -> Result<(), String> {
        match step {
            Step::Take => {
                for _ in 0..how % 32 {
                    if !self.take()? {
                        break;
                    }
                }
            }
            Step::Rerun => {
                let (stored, is_deduplicated) = (self.machine.stored(), self.machine.is_deduplicated());
                self.options.earlier = EarlierMessages { stored, is_deduplicated, is_all: false };
                self.machine = ProducerMachine::new(settings(), self.options.clone(), 1 + u64::from(how));
                (self.next, self.sent) = (self.options.earlier.stored.map_or(1, |stored| stored + 1), None);
            }
            Step::Release | Step::Ask | Step::Cut | Step::Wait | Step::Deafen => {}
        }
        Ok(())
    }

    /// Pushes a message; the machine always reads.
    fn take(&mut self) -> Result<bool, String> {
        if !self.machine.has_room() {
            return Ok(false);
        }
        let sequence = self.next;
        let size = if sequence.is_multiple_of(7) { PAYLOAD_BYTES } else { 10 * (sequence as usize % 50) };
        let message = OutgoingMessage {
            sequence,
            payload: (!sequence.is_multiple_of(5)).then(|| Bytes::from(vec![sequence as u8; size])),
            key: Some(Key::Text(sequence.to_string())),
            properties: vec![("row".to_owned(), sequence.to_string())],
            event_time_ms: None,
            publish_time_ms: 1,
        };
        self.next += 1;
        if let Err(error) = self.machine.push(message) {
            // A broker may take so little that nothing fits.
            self.said.insert(error.to_string());
        }
        Ok(true)
    }

    fn sent(&mut self, command: &Command) -> Result<(), String> {
        match command {
            Command::Producer(_) => self.sent = None,
            Command::Send(send) => {
                let (first, last) = (send.sequence_id, send.highest_sequence_id.unwrap_or(send.sequence_id));
                if last >= self.next || first > last {
                    return Err(format!("it sends {first} to {last}, and was given messages up to {}", self.next - 1));
                }
                if self.sent.is_some_and(|sent| first < sent) {
                    return Err(format!("it sends {first} after {}", self.sent.unwrap_or_default()));
                }
                self.sent = Some(last);
            }
            _ => {}
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        let (before, stored) = (self.stored, self.machine.stored());
        if stored < before || stored.is_some_and(|stored| stored >= self.next) {
            let shown = |sequence: Option<u64>| sequence.map_or("nothing".to_owned(), |sequence| sequence.to_string());
            let (stored, before) = (shown(stored), shown(before));
            return Err(format!("{stored} is stored, {before} was, and {} was given last", self.next - 1));
        }
        self.stored = stored;
        Ok(())
    }

    fn said(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.said)
    }

    fn payloads(&mut self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}
