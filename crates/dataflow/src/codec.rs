//! Bytes to rows and back, as sources and sinks see it.

use crate::{Error, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

/// The rows that came out of some payloads.
#[derive(Debug)]
pub struct Decoded {
    /// One row per payload that could be decoded, in their sequence.
    pub rows: RecordBatch,
    /// The payloads that could not: index into the payloads, and why. Ascending.
    pub bad: Vec<(usize, Error)>,
}

/// Turns payloads into rows of a fixed schema.
pub trait Decode: Send + Sync {
    /// The schema of the rows.
    fn schema(&self) -> SchemaRef;
    /// Decodes payloads; one that is wrong is listed and does not touch the others.
    fn decode(&self, payloads: &[&[u8]]) -> Result<Decoded>;
}

/// Turns rows into payloads.
pub trait Encode: Send + Sync {
    /// One payload per row.
    fn encode(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>>;
}
