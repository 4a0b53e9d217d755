//! The envelope of all commands, and those that belong to no part.

use super::consuming::{
    Ack, AckResponse, CloseConsumer, ConsumerStats, ConsumerStatsResponse, Delivery, Flow, GetLastMessageId,
    GetLastMessageIdResponse, ReachedEndOfTopic, Seek, Subscribe, Unsubscribe,
};
use super::greeting::{AuthChallenge, AuthResponse, Connect, Connected};
use super::lookup::{
    GetTopicsOfNamespace, GetTopicsOfNamespaceResponse, LookupTopic, LookupTopicResponse, PartitionedTopicMetadata,
    PartitionedTopicMetadataResponse, TopicMigrated,
};
use super::producing::{CloseProducer, Producer, ProducerSuccess, Send, SendError, SendReceipt};
use super::schema::{GetSchema, GetSchemaResponse};
use prost::{Message, Oneof};

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Success {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ErrorReply {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(int32, required, tag = "2")]
    pub error: i32,
    #[prost(string, required, tag = "3")]
    pub message: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Ping {}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Pong {}

/// A command; its number in the protocol is its field's.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum Command {
    #[prost(message, tag = "2")]
    Connect(Connect),
    #[prost(message, tag = "3")]
    Connected(Connected),
    #[prost(message, tag = "4")]
    Subscribe(Subscribe),
    #[prost(message, tag = "5")]
    Producer(Producer),
    #[prost(message, tag = "6")]
    Send(Send),
    #[prost(message, tag = "7")]
    SendReceipt(SendReceipt),
    #[prost(message, tag = "8")]
    SendError(SendError),
    #[prost(message, tag = "9")]
    Delivery(Delivery),
    #[prost(message, tag = "10")]
    Ack(Ack),
    #[prost(message, tag = "11")]
    Flow(Flow),
    #[prost(message, tag = "12")]
    Unsubscribe(Unsubscribe),
    #[prost(message, tag = "13")]
    Success(Success),
    #[prost(message, tag = "14")]
    Error(ErrorReply),
    #[prost(message, tag = "15")]
    CloseProducer(CloseProducer),
    #[prost(message, tag = "16")]
    CloseConsumer(CloseConsumer),
    #[prost(message, tag = "17")]
    ProducerSuccess(ProducerSuccess),
    #[prost(message, tag = "18")]
    Ping(Ping),
    #[prost(message, tag = "19")]
    Pong(Pong),
    #[prost(message, tag = "21")]
    PartitionMetadata(PartitionedTopicMetadata),
    #[prost(message, tag = "22")]
    PartitionMetadataResponse(PartitionedTopicMetadataResponse),
    #[prost(message, tag = "23")]
    LookupTopic(LookupTopic),
    #[prost(message, tag = "24")]
    LookupTopicResponse(LookupTopicResponse),
    #[prost(message, tag = "25")]
    ConsumerStats(ConsumerStats),
    #[prost(message, tag = "26")]
    ConsumerStatsResponse(ConsumerStatsResponse),
    #[prost(message, tag = "27")]
    ReachedEndOfTopic(ReachedEndOfTopic),
    #[prost(message, tag = "28")]
    Seek(Seek),
    #[prost(message, tag = "29")]
    GetLastMessageId(GetLastMessageId),
    #[prost(message, tag = "30")]
    GetLastMessageIdResponse(GetLastMessageIdResponse),
    #[prost(message, tag = "32")]
    GetTopicsOfNamespace(GetTopicsOfNamespace),
    #[prost(message, tag = "33")]
    GetTopicsOfNamespaceResponse(GetTopicsOfNamespaceResponse),
    #[prost(message, tag = "34")]
    GetSchema(GetSchema),
    #[prost(message, tag = "35")]
    GetSchemaResponse(GetSchemaResponse),
    #[prost(message, tag = "36")]
    AuthChallenge(AuthChallenge),
    #[prost(message, tag = "37")]
    AuthResponse(AuthResponse),
    #[prost(message, tag = "38")]
    AckResponse(AckResponse),
    #[prost(message, tag = "68")]
    TopicMigrated(TopicMigrated),
}

/// The envelope of every command.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BaseCommand {
    #[prost(int32, required, tag = "1")]
    pub kind: i32,
    #[prost(
        oneof = "Command",
        tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 32, 33, 34, 35, 36, 37, 38, 68"
    )]
    pub command: Option<Command>,
}

impl Command {
    /// What a broker says in words of why it refused something.
    pub fn text_mut(&mut self) -> Option<&mut String> {
        match self {
            Command::Error(answer) => Some(&mut answer.message),
            Command::SendError(answer) => Some(&mut answer.message),
            Command::AckResponse(answer) => answer.message.as_mut(),
            Command::LookupTopicResponse(answer) => answer.message.as_mut(),
            Command::PartitionMetadataResponse(answer) => answer.message.as_mut(),
            Command::GetSchemaResponse(answer) => answer.error_message.as_mut(),
            _ => None,
        }
    }
}
