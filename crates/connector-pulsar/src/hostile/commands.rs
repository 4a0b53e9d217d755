//! Which commands of a client want an answer, and which commands of a broker are one.

use crate::conversation::RequestId;
use crate::wire::protocol::Command;

/// The kinds of questions, as far as their answers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Lookup,
    Partitions,
    End,
    Stats,
    Topics,
    Schema,
    Producer,
    Acknowledgement,
    /// Whatever is answered with a plain success.
    Plain,
}

/// What a command asks for.
pub fn asked(command: &Command) -> Option<(RequestId, Kind)> {
    Some(match command {
        Command::LookupTopic(it) => (it.request_id, Kind::Lookup),
        Command::PartitionMetadata(it) => (it.request_id, Kind::Partitions),
        Command::GetLastMessageId(it) => (it.request_id, Kind::End),
        Command::ConsumerStats(it) => (it.request_id, Kind::Stats),
        Command::GetTopicsOfNamespace(it) => (it.request_id, Kind::Topics),
        Command::GetSchema(it) => (it.request_id, Kind::Schema),
        Command::Producer(it) => (it.request_id, Kind::Producer),
        Command::Ack(it) => (it.request_id?, Kind::Acknowledgement),
        Command::Subscribe(it) => (it.request_id, Kind::Plain),
        Command::Unsubscribe(it) => (it.request_id, Kind::Plain),
        Command::CloseConsumer(it) => (it.request_id, Kind::Plain),
        Command::Seek(it) => (it.request_id, Kind::Plain),
        _ => return None,
    })
}

/// The request that an answer of a broker is to, and its kind; an error answers any.
pub fn answered(command: &mut Command) -> Option<(&mut RequestId, Option<Kind>)> {
    Some(match command {
        Command::LookupTopicResponse(it) => (&mut it.request_id, Some(Kind::Lookup)),
        Command::PartitionMetadataResponse(it) => (&mut it.request_id, Some(Kind::Partitions)),
        Command::GetLastMessageIdResponse(it) => (&mut it.request_id, Some(Kind::End)),
        Command::ConsumerStatsResponse(it) => (&mut it.request_id, Some(Kind::Stats)),
        Command::GetTopicsOfNamespaceResponse(it) => (&mut it.request_id, Some(Kind::Topics)),
        Command::GetSchemaResponse(it) => (&mut it.request_id, Some(Kind::Schema)),
        Command::ProducerSuccess(it) => (&mut it.request_id, Some(Kind::Producer)),
        Command::AckResponse(it) => (it.request_id.as_mut()?, Some(Kind::Acknowledgement)),
        Command::Success(it) => (&mut it.request_id, Some(Kind::Plain)),
        Command::Error(it) => (&mut it.request_id, None),
        _ => return None,
    })
}

/// What a command is called where steps are told apart.
pub fn name(command: &Command) -> &'static str {
    match command {
        Command::Connected(_) => "connected",
        Command::SendReceipt(_) => "receipt",
        Command::SendError(_) => "send error",
        Command::Delivery(_) => "entry",
        Command::Success(_) => "success",
        Command::Error(_) => "error",
        Command::CloseProducer(_) => "close producer",
        Command::CloseConsumer(_) => "close consumer",
        Command::ProducerSuccess(_) => "producer",
        Command::Ping(_) => "ping",
        Command::Pong(_) => "pong",
        Command::PartitionMetadataResponse(_) => "partitions",
        Command::LookupTopicResponse(_) => "lookup",
        Command::ConsumerStatsResponse(_) => "stats",
        Command::ReachedEndOfTopic(_) => "end of topic",
        Command::GetLastMessageIdResponse(_) => "end",
        Command::GetTopicsOfNamespaceResponse(_) => "topics",
        Command::GetSchemaResponse(_) => "schema",
        Command::AuthChallenge(_) => "challenge",
        Command::AckResponse(_) => "acknowledged",
        Command::TopicMigrated(_) => "moved",
        _ => "what clients say",
    }
}
