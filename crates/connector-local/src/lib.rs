//! Topics and files on a local disk: the durable topic log with its producers and readers, an output that writes to
//! it, and folders of Parquet, CSV and JSON lines as history.
//!
//! Only this crate knows how a local topic lies on disk. It computes no row time, and it decodes no message.
//! Modules are listed from the bottom up: each group refers only to itself and to those above it.

mod disk;

mod end;
mod frame;

mod partition;

mod epochs;
mod producer_states;
mod rebuild;

mod write_lock;

mod published_end;

mod notices;
mod watcher;

mod copies;
mod reader;
mod tail;

mod topic;

mod claim;
mod held_name;
mod input_mark;
mod producer;
mod topic_position;

mod sink;
mod trim;

mod topics;

mod files;

pub use claim::Claim;
pub use copies::COPIER;
pub use files::{
    FileColumn, Files, Format, GrowingFile, GrowingFiles, InputEnd, Pipe, StopSignal, TextFeed, TextFeeds, TextRows,
    write_parquet,
};
pub use frame::{MESSAGE_BYTES_MAX, Outgoing};
pub use held_name::HeldName;
pub use input_mark::{InputMark, PublishedInput};
pub use producer::Producer;
pub use sink::{TopicCommitter, TopicSink};
pub use tail::Watch;
pub use topic::{COPY_MARGIN, LocalTopic};
pub use topic_position::TopicPosition;
pub use topics::{Topics, check_topic_name};
pub use trim::TrimSummary;
