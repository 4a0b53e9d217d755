//! Fields of stored forms that several of them have.

use dataflow::{ByteReader, Result};

/// A text with its length.
pub(crate) fn text(from: &mut ByteReader) -> Result<String> {
    let bytes = from.bytes()?;
    String::from_utf8(bytes.to_vec()).map_err(|e| from.corrupt("a text in it is no UTF-8").with_source(e))
}

/// A byte that is 0 or 1.
pub(crate) fn flag(from: &mut ByteReader) -> Result<bool> {
    match from.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(from.corrupt(&format!("byte {other} where 0 or 1 is expected"))),
    }
}
