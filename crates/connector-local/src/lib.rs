//! Topics and files on a local disk: the durable topic log with its producers and readers, an output that writes to
//! it, and folders of Parquet, CSV and JSON lines as history.
//!
//! Only this crate knows how a local topic lies on disk. It computes no row time, and it decodes no message.

mod claim;
mod end;
mod epochs;
mod errors;
mod files;
mod frame;
mod notices;
mod partition;
mod producer;
mod producer_states;
mod published_end;
mod reader;
mod rebuild;
mod sink;
mod tail;
mod topic;
mod topics;
mod trim;
mod watcher;
mod write_lock;

pub use claim::Claim;
pub use files::{Files, read_rows, write_parquet};
pub use frame::Outgoing;
pub use producer::Producer;
pub use sink::{TopicCommitter, TopicSink};
pub use tail::Watch;
pub use topic::LocalTopic;
pub use topics::Topics;
pub use trim::TrimSummary;
