//! Bytes to rows and back, as sources and sinks see it.

use crate::{Error, Message, Result};
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

/// Decodes messages; those that are known to be unreadable are bad for that reason, whatever their bytes look like.
pub fn decode_messages(decode: &dyn Decode, messages: &[Message]) -> Result<Decoded> {
    let is_readable = |message: &&Message| message.unreadable.is_none();
    let payloads: Vec<&[u8]> = messages.iter().filter(is_readable).map(|message| message.payload.as_slice()).collect();
    let decoded = decode.decode(&payloads)?;
    if payloads.len() == messages.len() {
        return Ok(decoded);
    }
    let (mut refused, mut bad, mut payload) = (decoded.bad.into_iter().peekable(), Vec::new(), 0);
    for (at, message) in messages.iter().enumerate() {
        if let Some(reason) = &message.unreadable {
            bad.push((at, Error::data(reason.clone())));
            continue;
        }
        if let Some((_, error)) = refused.next_if(|(refused, _)| *refused == payload) {
            bad.push((at, error));
        }
        payload += 1;
    }
    Ok(Decoded { rows: decoded.rows, bad })
}

/// Turns rows into payloads.
pub trait Encode: Send + Sync {
    /// One payload per row.
    fn encode(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>>;
}
