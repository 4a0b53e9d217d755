//! A stream as the project runs it: its columns and where their values come from, its time, its past and its present.

use arrow::datatypes::SchemaRef;
use dataflow::{BadRowPolicy, Late, Output, QueueSharing, Quiet, Scalar, Span};
use std::sync::Arc;
use values::Encoding;

/// A stream, planned.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The name in the project.
    pub name: String,
    /// The declared columns, the time column among them.
    pub schema: SchemaRef,
    /// Where the value of each column comes from, in the order of the schema.
    pub sources: Vec<ColumnSource>,
    /// The columns that are decoded, in the order of the schema: those that are not computed. Expressions of computed
    /// columns are over these.
    pub raw: SchemaRef,
    /// The column that WATERMARK names.
    pub time_column: usize,
    /// How much earlier than the greatest time before it a row may be without being late.
    pub delay: Span,
    /// When a silent partition stops holding others back.
    pub quiet: Quiet,
    /// The column that says when a row arrived, where history does not say it otherwise.
    pub arrival: Option<usize>,
    /// What happens to late rows.
    pub late: Late,
    /// Where late rows are written that are put aside.
    pub late_rows: Option<Output>,
    /// Deliveries of a row seen before are dropped.
    pub dedup: Option<Dedup>,
    /// Where the past is.
    pub history: Option<History>,
    /// The topic of the present.
    pub live: Option<String>,
    /// How it shares the messages of the topic with other consumers, if it does.
    pub queue: Option<QueueSharing>,
    /// What happens to rows that cannot be decoded or evaluated.
    pub bad_rows: BadRowPolicy,
    /// Where dead letters are written, with their place and the reason.
    pub dead_letters: Option<Output>,
    /// Names of columns and their tags, e.g. `pii`.
    pub tags: Vec<(String, Vec<String>)>,
    /// What each column is, whatever it is called: its path, or its expression over paths.
    pub origins: Vec<String>,
}

/// Where the value of a column comes from.
#[derive(Clone, Debug)]
pub enum ColumnSource {
    /// A path in the payload.
    Path(Vec<String>),
    /// An expression over the columns that are decoded.
    Computed(Arc<dyn Scalar>),
}

/// Deliveries of a row seen before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// The columns that identify a row.
    pub keys: Vec<usize>,
    /// A delivery is dropped when the one before it lies within this span.
    pub within: Span,
}

/// Where the past of a stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum History {
    /// A table, by its name in the project.
    Table(String),
    /// Files that match a pattern in the project, and how text is stored in them.
    Files(String, Encoding),
}
