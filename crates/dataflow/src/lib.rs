//! The contract between the parts of riverrun: batches of rows with row time and order, keys and key groups,
//! the [`Operator`] that every step of a job is, what a source and a sink are to a host, the job graph, and the
//! error type.
//!
//! This crate knows Arrow and nothing else from outside, reads no clock, does no I/O and is not `async`.
//! Modules are listed in the order in which a row meets them.
#![forbid(missing_docs)]

mod background;
mod batch;
mod bytes;
mod checked;
mod checkpoint;
mod clock;
mod codec;
mod columns;
mod coordinator;
mod cut;
mod dead_letter;
mod error;
mod files;
mod graph;
mod key;
mod limits;
mod log;
mod memory_files;
mod operator;
mod order;
mod policy;
mod reader;
mod row_filter;
mod scalar;
mod sink;
mod snapshot;
mod split;
mod splitter;
mod stage;
mod state_memory;
mod stored;
mod table_layout;
mod time;

pub use background::{AtOnce, Background};
pub use batch::{Batch, concat, interleave};
pub use bytes::{ByteReader, ByteWriter};
pub use checked::Checked;
pub use checkpoint::{
    Checkpoint, CheckpointStore, JobRows, MemoryCheckpoints, OutputState, Pieces, PiecesOf, RestoredJob, StepState,
    StoredPieces,
};
pub use clock::{Clock, ManualClock};
pub use codec::{Decode, Decoded, Encode, decode_messages};
pub use coordinator::{
    Barrier, CheckpointPurpose, Command, Coordinator, CoordinatorAction, CoordinatorEvent, CoordinatorState, StageId,
};
pub use cut::{Outlet, StagePlan, stages};
pub use dead_letter::{
    BadRow, DeadLetter, ERROR_COLUMN, RAW_COLUMN, RowText, bad_row_fields, dead_letter_schema, dead_letters,
    is_bad_row_column, late_schema,
};
pub use error::{Error, ErrorKind, Result, guarded, panic_text, refusal};
pub use files::{Bounds, RecordBatches, RowGroup, TimedFile, TimedFiles};
pub use graph::{Edge, Exchange, JobGraph, MakeOperator, Meeting, Node, NodeKind, Output, StepContext};
pub use key::{KEY_GROUPS, KeyGroup, KeyGroups, is_key, key_bytes, key_group, key_hashes};
pub use limits::{BATCH_ROWS, LANE_BYTES, LANE_ROWS, rows_at_once};
pub use log::{LogEnd, Message, PartitionLog, QueueFacts, QueueSharing, Topic, TopicId, read_what_is_there};
pub use memory_files::MemoryFiles;
pub use operator::{Context, Fate, Fates, Input, Operator, Port, Progress};
pub use order::{Position, RowOrder};
pub use policy::{BadRowPolicy, Late, Quiet};
pub use reader::{FrozenReader, Polled, ReadBounds, Reader, ReaderState, Report};
pub use row_filter::{FilterComparison, FilterValue, RowFilter};
pub use scalar::{Evaluated, Scalar, Scorer, ScorerInput, ScorerValue};
pub use sink::{Committable, Committer, Sink};
pub use snapshot::{Frozen, PageAt, PageScope, Scope, Snapshot, StateReader, StateWriter};
pub use split::{ReaderId, Split, SplitState};
pub use splitter::Splitter;
pub use stage::{Budget, Delays, FrozenInput, FrozenStage, Stage, StageNodeStatus};
pub use state_memory::{SpillFile, SpillInMemory, SpillStore, SpilledPiece, StateMemory};
pub use table_layout::{PartitionField, PartitionTransform, SortField, TableLayout};
pub use time::{EventTime, ProcessingTime, Span};
