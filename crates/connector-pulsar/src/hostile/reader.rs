//! A reader: each message comes once and in order, and what waits to be taken has a bound.

use super::player::{BUDGET_BYTES, Played, Scene, play as play_to, settings, topic};
use super::script::{Script, Step};
use crate::anchor::Anchor;
use crate::message::{Message, Payload};
use crate::position::{EntryId, MessageId, Position};
use crate::reader::{ProducerClocks, ReaderMachine, ReaderOptions, Start};
use crate::wire::protocol::Command;
use std::collections::BTreeSet;
use std::time::Duration;

/// Where readers begin, by the options of a script: at this message where they go on from one.
const BEGUN_AFTER: MessageId = MessageId { entry: EntryId { ledger: 10, entry: 2 }, index: 0 };
/// How many reasons and payloads are told.
const TOLD_MAX: usize = 8;
/// What is told of messages that were given up, at most, with one message.
const GIVEN_UP_MAX: usize = 1000;

/// Plays a script to a reader.
pub fn play(options: u8, script: &Script) -> Result<Played, String> {
    let start = match options >> 2 & 7 {
        0 => Start::Beginning,
        1 => Start::Oldest,
        2 => Start::End,
        3 => Start::After(Position::after(BEGUN_AFTER)),
        4 => Start::After(Position {
            oldest_chunk: Some(EntryId { ledger: 10, entry: 0 }),
            ..Position::after(BEGUN_AFTER)
        }),
        _ => Start::AfterMessage(BEGUN_AFTER),
    };
    let last = match start {
        Start::After(_) | Start::AfterMessage(_) => Some(BEGUN_AFTER),
        _ => None,
    };
    let options = ReaderOptions {
        topic: topic(),
        start,
        anchor: (options & 1 != 0).then(|| Anchor::new("anchor")),
        name: "reader".to_owned(),
        budget_bytes: BUDGET_BYTES,
        allows_gaps: options & 2 != 0,
        producer_clocks: ProducerClocks::default().doubted_for(Duration::from_secs(u64::from(options >> 7))),
    };
    let machine = ReaderMachine::new(settings(), options.clone(), 1);
    play_to(Reader { machine, options, last, position: None, said: BTreeSet::new(), payloads: Vec::new() }, script)
}

struct Reader {
    machine: ReaderMachine,
    options: ReaderOptions,
    /// The last message that was given out.
    last: Option<MessageId>,
    position: Option<Position>,
    said: BTreeSet<String>,
    payloads: Vec<Vec<u8>>,
}

impl Reader {
    fn on_message(&mut self, message: &Message) -> Result<(), String> {
        if let Some(last) = self.last.filter(|last| message.id <= *last) {
            return Err(format!("message {} came after {last}", message.id));
        }
        if message.position.last != message.id || message.position.oldest_needed() > message.id.entry {
            return Err(format!("message {} has another's position", message.id));
        }
        if Position::from_bytes(&message.position.to_bytes()).as_ref() != Ok(&message.position) {
            return Err(format!("the position of message {} does not come back", message.id));
        }
        if message.given_up.len() > GIVEN_UP_MAX {
            return Err(format!("{} messages were given up before {}", message.given_up.len(), message.id));
        }
        (self.last, self.position) = (Some(message.id), Some(message.position));
        if self.said.len() < TOLD_MAX {
            self.said.extend(message.given_up.iter().map(|one| one.reason.to_owned()));
            if let Payload::Unreadable { reason, .. } = &message.payload {
                self.said.insert(reason.clone());
            }
        }
        if self.payloads.len() < TOLD_MAX {
            self.payloads.push(message.payload.bytes().to_vec());
        }
        Ok(())
    }
}

impl Scene for Reader {
    type Machine = ReaderMachine;

    fn machine(&mut self) -> &mut ReaderMachine {
        &mut self.machine
    }

    fn step(&mut self, step: Step, how: u8, now: Duration) -> Result<(), String> {
        match step {
            Step::Take => {
                for _ in 0..how {
                    if !self.take()? {
                        break;
                    }
                }
            }
            Step::Release => {
                if let Some(position) = self.position {
                    self.machine.release_before(position.oldest_needed(), now);
                }
            }
            Step::Ask => {
                if self.machine.take_end().is_some() {
                    self.said.insert("an end".to_owned());
                }
                self.machine.ask_end(now);
            }
            Step::Rerun => {
                let start = self.position.map_or(self.options.start, Start::After);
                self.options.start = start;
                self.machine = ReaderMachine::new(settings(), self.options.clone(), 1 + u64::from(how));
            }
            Step::Cut | Step::Wait | Step::Deafen => {}
        }
        Ok(())
    }

    fn take(&mut self) -> Result<bool, String> {
        match self.machine.take() {
            Some(message) => self.on_message(&message).map(|()| true),
            None => Ok(false),
        }
    }

    fn sent(&mut self, command: &Command) -> Result<(), String> {
        match command {
            Command::Flow(flow) if flow.message_permits == 0 || i32::try_from(flow.message_permits).is_err() => {
                Err(format!("it gives {} permits, which no broker takes", flow.message_permits))
            }
            _ => Ok(()),
        }
    }

    fn check(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn said(&mut self) -> BTreeSet<String> {
        while self.machine.take().is_some_and(|message| self.on_message(&message).is_ok()) {}
        std::mem::take(&mut self.said)
    }

    fn payloads(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.payloads)
    }
}
