//! What a stream declares about its time, as its SQL says it.

use arrow::datatypes::{DataType, SchemaRef};
use dataflow::{BadRowPolicy, Error, Late, Quiet, Result, RowText, Span};

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
    /// Which column says when a row of a history without coordinates arrived, if one does.
    pub arrival: Option<usize>,
    /// The columns of the DEDUP key; they order rows of equal time that have no coordinates.
    pub dedup_key: Vec<usize>,
    /// What happens to bad rows.
    pub bad_rows: BadRowPolicy,
    /// The text of a row, for the dead letters of rows that could be decoded.
    pub row_text: RowText,
}

impl StreamSpec {
    /// The name of the event time's column.
    pub fn time_name(&self) -> &str {
        self.schema.field(self.time_column).name()
    }

    /// Refuses what cannot be read: an event time or an arrival that is no timestamp, a negative delay.
    pub fn check(&self) -> Result<()> {
        for column in [Some(self.time_column), self.arrival].into_iter().flatten() {
            let Some(time) = self.schema.fields().get(column) else {
                return Err(Error::internal(format!("stream \"{}\" has no column {column}", self.name)));
            };
            if !matches!(time.data_type(), DataType::Timestamp(..)) {
                return Err(Error::invalid(format!(
                    "stream \"{}\": the watermark's column \"{}\" is {}, expected TIMESTAMP",
                    self.name,
                    time.name(),
                    values::name(time.data_type())
                )));
            }
        }
        if self.delay < Span::ZERO || self.quiet.allowance() < Span::ZERO {
            return Err(Error::invalid(format!("stream \"{}\": a span of its watermark is negative", self.name)));
        }
        Ok(())
    }
}
