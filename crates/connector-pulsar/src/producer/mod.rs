//! Writes one partition, each row in its turn, and each once where the broker removes duplicates.

mod options;
mod outgoing;

mod batching;
mod chunking;

mod deduplication;
mod refusals;

mod machine;

pub use machine::ProducerMachine;
pub use options::{EarlierMessages, Guarantee, ProducerOptions};
pub use outgoing::OutgoingMessage;
