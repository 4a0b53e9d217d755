//! What a consumer and its broker say to each other.

use super::metadata::MessageIdData;
use prost::Message;

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Subscribe {
    #[prost(string, required, tag = "1")]
    pub topic: String,
    #[prost(string, required, tag = "2")]
    pub subscription: String,
    /// 0 is Exclusive, 1 Shared, and 3 Key_Shared.
    #[prost(int32, required, tag = "3")]
    pub sub_type: i32,
    #[prost(uint64, required, tag = "4")]
    pub consumer_id: u64,
    #[prost(uint64, required, tag = "5")]
    pub request_id: u64,
    #[prost(string, optional, tag = "6")]
    pub consumer_name: Option<String>,
    #[prost(bool, optional, tag = "8", default = "true")]
    pub durable: Option<bool>,
    #[prost(message, optional, tag = "9")]
    pub start_message_id: Option<MessageIdData>,
    /// 1 is Earliest.
    #[prost(int32, optional, tag = "13")]
    pub initial_position: Option<i32>,
    #[prost(bool, optional, tag = "15", default = "true")]
    pub force_topic_creation: Option<bool>,
}

/// An entry on its way to a consumer; metadata and payload follow the command in its frame.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Delivery {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(message, required, tag = "2")]
    pub message_id: MessageIdData,
    /// Of a batch that was acknowledged in part: a bit per message, set for those that were not.
    #[prost(int64, repeated, packed = "false", tag = "4")]
    pub ack_set: Vec<i64>,
}

/// An entry that is acknowledged, or a part of one.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AckedEntry {
    #[prost(uint64, required, tag = "1")]
    pub ledger_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub entry_id: u64,
    /// Empty for a whole entry; else a bit per message of the batch, set for those that are not acknowledged.
    #[prost(int64, repeated, packed = "false", tag = "5")]
    pub ack_set: Vec<i64>,
    #[prost(int32, optional, tag = "6")]
    pub batch_size: Option<i32>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Ack {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    /// 0 is Individual, 1 Cumulative.
    #[prost(int32, required, tag = "2")]
    pub ack_type: i32,
    #[prost(message, repeated, tag = "3")]
    pub message_id: Vec<AckedEntry>,
    #[prost(uint64, optional, tag = "8")]
    pub request_id: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct AckResponse {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(int32, optional, tag = "4")]
    pub error: Option<i32>,
    #[prost(string, optional, tag = "5")]
    pub message: Option<String>,
    #[prost(uint64, optional, tag = "6")]
    pub request_id: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Flow {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(uint32, required, tag = "2")]
    pub message_permits: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Unsubscribe {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub request_id: u64,
}

/// Sets a subscription to a place; its consumers are closed by that.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Seek {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub request_id: u64,
    #[prost(message, optional, tag = "3")]
    pub message_id: Option<MessageIdData>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ReachedEndOfTopic {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct CloseConsumer {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub request_id: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct GetLastMessageId {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub request_id: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct GetLastMessageIdResponse {
    #[prost(message, required, tag = "1")]
    pub last_message_id: MessageIdData,
    #[prost(uint64, required, tag = "2")]
    pub request_id: u64,
    #[prost(message, optional, tag = "3")]
    pub consumer_mark_delete_position: Option<MessageIdData>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ConsumerStats {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, required, tag = "4")]
    pub consumer_id: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ConsumerStatsResponse {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    /// Whether the consumer gets nothing more until it has acknowledged some of what it has.
    #[prost(bool, optional, tag = "10")]
    pub is_blocked: Option<bool>,
    /// When the broker took the consumer, by its clock, as text.
    #[prost(string, optional, tag = "12")]
    pub connected_since: Option<String>,
    /// The entries after what the subscription has acknowledged.
    #[prost(uint64, optional, tag = "15")]
    pub backlog: Option<u64>,
}
