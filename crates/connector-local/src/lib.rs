//! Topics and files on a local disk: the durable topic log with its producers and readers, an output that writes to
//! it, and folders of Parquet, CSV and JSON lines as history.
//!
//! Only this crate knows how a local topic lies on disk. It computes no row time, and it decodes no message.

mod end;
mod errors;
mod files;
mod frame;
mod partition;
mod producer;
mod reader;
mod sink;
mod topics;

pub use files::{Files, read_rows, write_parquet};
pub use producer::{Outgoing, Producer};
pub use reader::Watch;
pub use sink::{TopicCommitter, TopicSink};
pub use topics::{LocalTopic, Topics};
