//! What messages of a topic look like, as whoever writes them has registered it.

use super::metadata::KeyValue;
use bytes::Bytes;
use prost::Message;

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Schema {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(bytes = "bytes", required, tag = "3")]
    pub schema_data: Bytes,
    /// What the messages are: 0 is bytes, 1 text, 2 JSON, 4 Avro.
    #[prost(int32, required, tag = "4")]
    pub kind: i32,
    #[prost(message, repeated, tag = "5")]
    pub properties: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetSchema {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(string, required, tag = "2")]
    pub topic: String,
    /// The newest if it is left out.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub schema_version: Option<Bytes>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetSchemaResponse {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(int32, optional, tag = "2")]
    pub error_code: Option<i32>,
    #[prost(string, optional, tag = "3")]
    pub error_message: Option<String>,
    #[prost(message, optional, tag = "4")]
    pub schema: Option<Schema>,
}
