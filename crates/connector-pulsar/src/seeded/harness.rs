//! Runs a state machine and a scripted broker in one loop, with a clock of its own.

use super::broker::ScriptedBroker;
use crate::action::Action;
use crate::address::Service;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::settings::Settings;
use bytes::BytesMut;
use std::time::Duration;

/// A stream of numbers from a seed.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    /// Happens so often in a thousand.
    pub fn happens(&mut self, often: u64) -> bool {
        self.below(1000) < often
    }
}

pub fn settings() -> Settings {
    Settings::new(Service::parse("pulsar://broker").expect("it is an address"))
}

/// The connection between the two, and the time.
#[derive(Default)]
pub struct Harness {
    now: Duration,
    is_connected: bool,
    to_broker: BytesMut,
    to_client: BytesMut,
    losses: u64,
    pub lost: u64,
}

impl Harness {
    /// Connections are lost so often in a thousand steps.
    pub fn new(losses: u64) -> Self {
        Harness { losses, ..Default::default() }
    }

    pub fn now(&self) -> Duration {
        self.now
    }

    /// Lets something happen: bytes move, or are lost, or time goes by.
    pub fn step(&mut self, machine: &mut impl Machine, broker: &mut ScriptedBroker, chance: &mut Chance) -> Result<()> {
        machine.advance(self.now)?;
        self.carry_out(machine, broker, chance);
        self.to_broker.extend_from_slice(&machine.link().take_output());
        if self.is_connected && chance.happens(self.losses) {
            self.lose(machine);
            return Ok(());
        }
        if !self.to_broker.is_empty() {
            let size = 1 + chance.below(self.to_broker.len() as u64) as usize;
            let bytes = self.to_broker.split_to(size);
            if !broker.receive(&bytes, chance) {
                self.to_client.extend_from_slice(&broker.take_output());
                self.lose(machine);
            }
        }
        self.to_client.extend_from_slice(&broker.take_output());
        if !self.to_client.is_empty() && machine.wants_input() {
            let size = 1 + chance.below(self.to_client.len() as u64) as usize;
            let bytes = self.to_client.split_to(size);
            machine.link().receive(&bytes, self.now);
        } else if !machine.wants_input() {
            machine.link().hold(self.now);
        } else if self.to_broker.is_empty() {
            self.now = self.now.max(machine.link().due().min(self.now + Duration::from_secs(1)));
        }
        machine.advance(self.now)
    }

    fn lose(&mut self, machine: &mut impl Machine) {
        self.lost += 1;
        self.hang_up();
        machine.link().fail(Error::unavailable("the connection broke"), self.now);
    }

    /// The connection ends, with what is on its way.
    pub fn hang_up(&mut self) {
        self.is_connected = false;
        self.to_broker.clear();
        self.to_client.clear();
    }

    fn carry_out(&mut self, machine: &mut impl Machine, broker: &mut ScriptedBroker, chance: &mut Chance) {
        while let Some(action) = machine.link().take_action() {
            self.hang_up();
            match action {
                Action::Dial { .. } if chance.happens(self.losses) => {
                    machine.link().fail(Error::unavailable("no connection"), self.now);
                }
                Action::Dial { .. } => {
                    broker.connect(chance);
                    self.is_connected = true;
                    machine.link().dialled(None, self.now);
                }
                Action::HangUp | Action::Authenticate => {}
            }
        }
    }
}
