//! History then live: the partition's clock, row time, late and quiet rules, frontiers, the archive, and the one
//! reader that gives out the rows of a stream with their time, first from files, then from a topic, exact to the row.
//!
//! This crate knows no connector: it reads through [`dataflow::TimedFiles`], [`dataflow::Topic`] and
//! [`dataflow::Decode`]. It starts no thread of its own, gives what is read ahead to [`dataflow::Background`], and reads no clock; its only
//! files are those that it spills to, and the clocks of files that have arrivals.
//! Modules are listed in the order in which a row meets them.

mod archive;
mod checkpoint;
mod clock;
mod coordinator;
mod frontier;
mod grace;
mod history;
mod layout;
mod live;
mod open;
mod partition;
mod placing;
mod position;
mod presence;
mod probe;
mod read_again;
mod reader;
mod report;
mod source;
mod spec;
mod standing;
mod stats;
mod stream_checkpoint;
mod unreleased;

pub use archive::{Archiver, CLOCK_PROPERTY, archive_schema, check_clock_property, clock_property};
pub use clock::{PartitionClock, Placed};
pub use dataflow::{BadRowPolicy, Late, Quiet};
pub use frontier::{FRONTIER_PROPERTY, Frontier, PartitionFrontier};
pub use history::ArrivedFiles;
pub use open::{Options, Readers, Seam};
pub use read_again::{archived_to, has_read_again, read_again, rows_there};
pub use source::{Lead, Live, StreamInput};
pub use spec::StreamSpec;
pub use standing::{PartitionStanding, PartitionState};
pub use stats::{Counts, StreamStats};
pub use stream_checkpoint::{
    ReadSoFar, UnreadHistory, has_come_to_ends, has_read_history, has_read_nothing, joined_since, read_so_far,
};
