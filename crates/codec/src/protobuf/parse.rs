//! How schemas of Protobuf are read, of both kinds.

use super::schema::{ProtobufSchema, wrong};
use super::{native, parsing_info};
use dataflow::Result;

/// The longest schema that is read.
const SCHEMA_BYTES_MAX: usize = 4 << 20;

impl ProtobufSchema {
    /// Reads a schema with its descriptors, as the clients of Pulsar register it for `PROTOBUF_NATIVE`; an error of kind
    /// `Invalid` says what in it is not known.
    pub fn parse_native(text: &[u8]) -> Result<ProtobufSchema> {
        check_length(text.len())?;
        native::parse(text)
    }

    /// Reads a schema as the Java client registers it for `PROTOBUF`: a record of Avro, which has the defaults, and beside it
    /// the list of its fields with their numbers. An error of kind `Invalid` says what in it is not known, or that a field
    /// is a message, of which such a schema does not tell the numbers.
    pub fn parse_listed(text: &[u8], parsing_info: &str) -> Result<ProtobufSchema> {
        check_length(text.len().saturating_add(parsing_info.len()))?;
        parsing_info::parse(text, parsing_info)
    }
}

fn check_length(bytes: usize) -> Result<()> {
    match bytes {
        0..=SCHEMA_BYTES_MAX => Ok(()),
        _ => Err(wrong(&format!("it has {bytes} bytes, expected at most {SCHEMA_BYTES_MAX}"))),
    }
}
