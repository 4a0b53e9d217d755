//! Reads one partition from a position on, and notices what is missing.

mod arrival_clock;
mod broker_clock;
mod broker_date;
mod chunks;
mod continuity;
mod intake;
mod lookback;
mod machine;
pub(crate) mod opening;
mod options;
pub(crate) mod permits;
mod questions;
mod watch;

pub use intake::made_again;
pub use machine::ReaderMachine;
pub use options::{Drained, PartitionEnd, ProducerClocks, ReaderOptions, Start};
pub use watch::{BEFORE_ALL, CONSUMER as WATCH_CONSUMER, Watch, end_question};
