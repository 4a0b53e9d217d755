//! Reads a topic as a queue that several consumers share: each message once it is acknowledged, in any order.

mod open_entries;
mod options;

mod machine;

mod consumer;
mod received;

mod task;

mod log;
mod topic;

pub use consumer::QueueConsumer;
pub use machine::{QueueMachine, QueueStats};
pub use options::QueueOptions;
pub use topic::QueueTopic;
