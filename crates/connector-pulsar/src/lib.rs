//! Pulsar, over its binary protocol: readers that notice what is missing, and producers that write each row once.
//!
//! In reading order: `wire` turns bytes into commands and entries, and refuses what does not fit; `conversation` is one
//! connection, and `link` the way to the broker that owns a topic. `reader` and `producer` are state machines over a
//! link, and `question` asks what any broker knows; none of them does I/O, knows a clock or starts a task, so they run
//! under a seed. `driver` moves their bytes over a socket, and `client` is what code calls that waits. `runtime` is the
//! thread on which all of them run in a process; `topics` has the topics of a namespace, which jobs read through
//! `partition_log` and programs write through `topic_writer`. `standalone` starts a real broker for development and tests, and `hostile` plays to
//! the state machines what no real one says.

mod error;
pub mod wire;

mod address;
mod authentication;
mod keys;
mod message;
mod position;
mod tls;

mod anchor;

mod topic;

mod settings;

mod conversation;

mod action;
mod backoff;
mod lookup;

mod link;
mod machine;
mod producer;
mod reader;

mod anchor_question;
mod question;

mod away;
mod client;
mod driver;

mod runtime;

mod contract;
mod hold;
mod output_schema;
mod release;
mod schemas;
mod waiting;

mod gone_log;
mod partition_log;
mod partition_task;
mod partition_writer;

mod pattern;

mod live_topic;
mod tail;

mod queue;

mod topic_writer;
mod topics;

mod sink;

pub mod standalone;

pub mod hostile;

#[cfg(test)]
mod seeded;

pub use address::{Address, Service};
pub use anchor::{Anchor, AnchorFacts, AnchorPlace};
pub use anchor_question::AnchorAnswer;
pub use authentication::{Authentication, Credentials, TokenServer};
pub use away::{ClusterWait, cluster_wait};
pub use client::{PartitionProducer, PartitionReader, chance, partition_count};
pub use error::{Error, ErrorKind, Result};
pub use keys::{Hashing, Key};
pub use live_topic::{AnchorsBegin, HeldAnchors, PulsarTopic};
pub use message::{EntryFacts, IncompleteMessage, Message, Payload};
pub use output_schema::OutputSchema;
pub use pattern::TopicPattern;
pub use position::{EntryId, MessageId, Position};
pub use producer::{EarlierMessages, Guarantee, OutgoingMessage, ProducerOptions};
pub use queue::{QueueConsumer, QueueOptions, QueueStats, QueueTopic};
pub use reader::{Drained, PartitionEnd, ProducerClocks, ReaderOptions, Start};
pub use settings::Settings;
pub use sink::{SinkPosition, TopicSink};
pub use tail::Tail;
pub use tls::{ClientCertificate, Tls};
pub use topic::{Namespace, TopicName};
pub use topic_writer::TopicWriter;
pub use topics::Topics;
pub use waiting::end_waits;
