//! The part of the broker's binary protocol that this client speaks, as plain structs.
//!
//! Field numbers are those of the public `PulsarApi.proto`. Fields that are not listed are skipped.

mod metadata;
mod server_error;

mod greeting;
mod lookup;
mod schema;

mod consuming;
mod producing;

mod command;

pub use command::{BaseCommand, Command, ErrorReply, Ping, Pong, Success};
pub use consuming::{
    Ack, AckResponse, AckedEntry, CloseConsumer, ConsumerStats, ConsumerStatsResponse, Delivery, Flow,
    GetLastMessageId, GetLastMessageIdResponse, ReachedEndOfTopic, Seek, Subscribe, Unsubscribe,
};
pub use greeting::{AuthChallenge, AuthData, AuthResponse, Connect, Connected, FeatureFlags};
pub use lookup::{
    GetTopicsOfNamespace, GetTopicsOfNamespaceResponse, LookupTopic, LookupTopicResponse, LookupType,
    PartitionedTopicMetadata, PartitionedTopicMetadataResponse, TopicMigrated,
};
pub use metadata::{
    BrokerEntryMetadata, CompressionType, EncryptionKeys, KeyValue, MessageIdData, MessageMetadata,
    SingleMessageMetadata,
};
pub use producing::{CloseProducer, Producer, ProducerSuccess, Send, SendError, SendReceipt};
pub use schema::{GetSchema, GetSchemaResponse, Schema};
pub use server_error::ServerError;
