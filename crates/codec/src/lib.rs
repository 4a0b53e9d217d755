//! Bytes to rows and back: JSON, in messages and in lines of files, and messages of Avro and of Protobuf by way of it.
//!
//! A payload becomes one row of a declared schema, or is listed with the reason why it could not. Only this crate
//! knows what a message looks like; it does no I/O.

mod json;

mod avro;
mod protobuf;

pub use avro::AvroSchema;
pub use json::{JsonDecode, JsonEncode, JsonRows, avro_form, check_grammar, free_paths, text_payload, with_fields};
pub use protobuf::ProtobufSchema;
