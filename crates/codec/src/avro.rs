//! Avro messages: values without their schema, which whoever wrote them has registered.

mod schema;
mod text;

pub use schema::AvroSchema;
