//! Writes one partition, each row in its turn, and each once where the broker removes duplicates.

mod batching;
mod machine;
mod outgoing;

pub use machine::{Guarantee, ProducerMachine, ProducerOptions};
pub use outgoing::OutgoingMessage;
