//! The consumer of a queue: nothing is given out twice while it is held, and nothing is acknowledged that is not to be.

use super::player::{BUDGET_BYTES, Played, Scene, play as play_to, settings, topic};
use super::script::{Script, Step};
use crate::message::Payload;
use crate::position::{EntryId, MessageId};
use crate::queue::{QueueMachine, QueueOptions};
use crate::wire::protocol::{Ack, Command};
use dataflow::QueueSharing;
use std::collections::BTreeSet;
use std::time::Duration;

/// How many reasons and payloads are told.
const TOLD_MAX: usize = 8;

/// Plays a script to a consumer.
pub fn play(options: u8, script: &Script) -> Result<Played, String> {
    let options = QueueOptions {
        topic: topic(),
        subscription: "queue".to_owned(),
        sharing: if options & 1 == 0 { QueueSharing::Any } else { QueueSharing::ByKey },
        name: "consumer".to_owned(),
        budget_bytes: BUDGET_BYTES,
    };
    let machine = QueueMachine::new(settings(), options.clone(), 1);
    let (held, said) = (BTreeSet::new(), BTreeSet::new());
    play_to(Queue { machine, options, held, said, payloads: Vec::new() }, script)
}

struct Queue {
    machine: QueueMachine,
    options: QueueOptions,
    /// What was given out and is not to be acknowledged.
    held: BTreeSet<MessageId>,
    said: BTreeSet<String>,
    payloads: Vec<Vec<u8>>,
}

impl Queue {
    fn check_acknowledged(&self, ack: &Ack) -> Result<(), String> {
        for acked in &ack.message_id {
            let entry = EntryId { ledger: acked.ledger_id, entry: acked.entry_id };
            let is_kept = |id: &MessageId| {
                let word = acked.ack_set.get(id.index as usize / 64);
                word.is_some_and(|word| word.cast_unsigned() & (1 << (id.index % 64)) != 0)
            };
            let [first, last] = [0, u32::MAX].map(|index| MessageId { entry, index });
            if let Some(id) = self.held.range(first..=last).find(|id| !is_kept(id)) {
                return Err(format!("message {id} is acknowledged, and was not to be"));
            }
        }
        Ok(())
    }
}

impl Scene for Queue {
    type Machine = QueueMachine;

    fn machine(&mut self) -> &mut QueueMachine {
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
                let ids: Vec<MessageId> = self.held.iter().copied().step_by(1 + usize::from(how % 4)).collect();
                for id in &ids {
                    self.held.remove(id);
                }
                self.machine.acknowledge(ids);
            }
            Step::Ask => self.machine.ask_stats(now),
            Step::Rerun if how.is_multiple_of(2) => {
                self.held.clear();
                self.machine = QueueMachine::new(settings(), self.options.clone(), 1 + u64::from(how));
            }
            Step::Rerun => self.machine.leave(),
            Step::Cut | Step::Wait | Step::Deafen => {}
        }
        Ok(())
    }

    fn take(&mut self) -> Result<bool, String> {
        let Some(message) = self.machine.take() else { return Ok(false) };
        if !self.held.insert(message.id) {
            return Err(format!("message {} was given out twice", message.id));
        }
        if let (Payload::Unreadable { reason, .. }, true) = (&message.payload, self.said.len() < TOLD_MAX) {
            self.said.insert(reason.clone());
        }
        if self.payloads.len() < TOLD_MAX {
            self.payloads.push(message.payload.bytes().to_vec());
        }
        Ok(true)
    }

    fn sent(&mut self, command: &Command) -> Result<(), String> {
        match command {
            Command::Flow(flow) if flow.message_permits == 0 || i32::try_from(flow.message_permits).is_err() => {
                Err(format!("it gives {} permits, which no broker takes", flow.message_permits))
            }
            Command::Ack(ack) => self.check_acknowledged(ack),
            _ => Ok(()),
        }
    }

    fn check(&mut self) -> Result<(), String> {
        let stats = self.machine.stats();
        self.said.extend(stats.is_blocked.then(|| "blocked".to_owned()));
        self.said.extend(stats.is_used_up.then(|| "used up".to_owned()));
        Ok(())
    }

    fn said(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.said)
    }

    fn payloads(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.payloads)
    }
}
