//! A consumer of a queue over a socket, for code that waits.

use super::machine::{QueueMachine, QueueStats};
use super::options::QueueOptions;
use crate::client::chance;
use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::message::Message;
use crate::position::MessageId;
use crate::settings::Settings;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How often the broker is asked how the subscription stands.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Consumes one partition of a queue.
pub struct QueueConsumer {
    machine: QueueMachine,
    driver: Driver,
    asked_at: Instant,
}

impl QueueConsumer {
    /// A consumer that connects with its first call.
    pub fn new(settings: Settings, options: QueueOptions) -> Self {
        let driver = Driver::new(settings.clone());
        QueueConsumer { machine: QueueMachine::new(settings, options, chance()), driver, asked_at: Instant::now() }
    }

    /// The next message, as soon as there is one. A call that is dropped while it waits has lost nothing.
    pub async fn next(&mut self) -> Result<Message> {
        loop {
            if let Some(message) = self.ready() {
                return Ok(message);
            }
            self.turn().await?;
        }
    }

    /// The next message, if it is here already.
    pub fn ready(&mut self) -> Option<Message> {
        self.machine.take()
    }

    /// These messages are not needed any more. Later calls tell the broker, until it has confirmed.
    pub fn acknowledge(&mut self, ids: impl IntoIterator<Item = MessageId>) {
        self.machine.acknowledge(ids);
    }

    /// Waits until the broker has confirmed all acknowledgements.
    pub async fn settle(&mut self) -> Result<()> {
        while !self.machine.is_settled() {
            self.turn().await?;
        }
        Ok(())
    }

    /// Whether the broker has confirmed all acknowledgements.
    pub fn is_settled(&self) -> bool {
        self.machine.is_settled()
    }

    /// Gives out no more messages; those that wait go to others once the connection ends.
    pub fn leave(&mut self) {
        self.machine.leave();
    }

    /// What the broker said last.
    pub fn stats(&self) -> QueueStats {
        self.machine.stats()
    }

    /// Waits until something happens, and lets the consumer go on; a call that is dropped has lost nothing.
    pub async fn turn(&mut self) -> Result<()> {
        if self.asked_at.elapsed() >= ASK_EVERY {
            self.asked_at = Instant::now();
            self.machine.ask_stats(self.driver.now());
        }
        tokio::select! {
            turned = self.driver.turn(&mut self.machine) => turned,
            () = sleep_until(self.asked_at + ASK_EVERY) => Ok(()),
        }
    }

    /// What the consumer waits for, if its broker cannot be reached.
    pub fn trouble(&mut self) -> Option<Error> {
        self.machine.link().trouble().cloned()
    }
}
