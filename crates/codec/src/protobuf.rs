//! Messages of Protobuf: fields by numbers, whose names whoever wrote them has registered.

mod native;
mod parse;
mod parsing_info;
mod schema;
mod text;
mod wire;

pub use schema::ProtobufSchema;
