//! What a stream declares about its time, as its SQL says it.

use arrow::datatypes::{DataType, SchemaRef};
use dataflow::{Error, Result, RowText, Span};

/// When a partition that shows nothing new stops holding others back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// Its clock runs on after so much silence.
    After(Span),
    /// Its clock stands still until its next row.
    Never,
}

/// What happens to late rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// They are moved to the earliest moment still open, and marked.
    Move,
    /// They are removed and counted.
    Drop,
    /// They are removed, counted, and leave at [`dataflow::Port::LATE`].
    Aside,
}

/// What happens to rows that cannot be decoded, have no event time, or lie more than a day ahead of their arrival.
#[derive(Clone, Copy, Debug)]
pub enum BadRows {
    /// The job stops with an error that names the row.
    Fail,
    /// They are removed and counted.
    Skip,
    /// They are removed, counted, and leave at [`dataflow::Port::DEAD_LETTER`]; those that could be decoded with their
    /// text.
    DeadLetter(RowText),
}

/// A stream as a reader needs it.
#[derive(Clone, Debug)]
pub struct StreamSpec {
    /// The name in the project, for messages to people.
    pub name: String,
    /// The declared columns.
    pub schema: SchemaRef,
    /// Which column is the event time.
    pub time_column: usize,
    /// How much the event times of a partition may go back.
    pub delay: Span,
    /// When silence counts as progress.
    pub quiet: Quiet,
    /// What happens to late rows.
    pub late: Late,
    /// The columns of the DEDUP key; they order rows of equal time that have no coordinates.
    pub dedup_key: Vec<usize>,
    /// What happens to bad rows.
    pub bad_rows: BadRows,
}

impl StreamSpec {
    /// The name of the event time's column.
    pub fn time_name(&self) -> &str {
        self.schema.field(self.time_column).name()
    }

    /// Refuses what cannot be read: a time column that is no timestamp, a negative delay.
    pub(crate) fn check(&self) -> Result<()> {
        let Some(time) = self.schema.fields().get(self.time_column) else {
            return Err(Error::internal(format!("stream \"{}\" has no column {}", self.name, self.time_column)));
        };
        if !matches!(time.data_type(), DataType::Timestamp(..)) {
            return Err(Error::invalid(format!(
                "stream \"{}\": the watermark's column \"{}\" is {}, expected a timestamp",
                self.name,
                time.name(),
                time.data_type()
            )));
        }
        let quiet = match self.quiet {
            Quiet::After(span) => span,
            Quiet::Never => Span::ZERO,
        };
        if self.delay < Span::ZERO || quiet < Span::ZERO {
            return Err(Error::invalid(format!("stream \"{}\": a span of its watermark is negative", self.name)));
        }
        Ok(())
    }
}
