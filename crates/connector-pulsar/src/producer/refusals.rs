//! Why brokers take a producer or its messages not, in words that say what to do.

use crate::error::Error;
use crate::wire::protocol::{Schema, SendError, ServerError};

/// What a broker answers where a topic has a greatest size of its own.
const TOO_LARGE: &str = "maximum message size";

/// Whether a message is beyond the greatest size of its topic.
pub fn is_too_large(error: &SendError) -> bool {
    error.error == ServerError::NotAllowedError as i32 && error.message.contains(TOO_LARGE)
}

/// A message of so many bytes that its topic does not take, whatever the broker would.
pub fn too_large(sequence: u64, bytes: usize) -> Error {
    Error::unfit(format!(
        "message {sequence} has {bytes} bytes and is too large for the topic; raise the maxMessageSize of its policies"
    ))
}

/// The broker had taken no such message when the producer was opened, so that it may have dropped more of the batch than it
/// has; the next batch may be stored all the same.
pub fn takes_for_duplicates(first: u64, last: u64) -> Error {
    Error::lost(format!(
        "the broker took messages {first} to {last} for duplicates, and had none of them when the producer was opened: \
         another producer writes under its name, and messages may be missing"
    ))
}

/// Brokers of today ask for duplicates with the last chunk of a message alone.
pub fn takes_parts_for_duplicates(sequence: u64) -> Error {
    Error::lost(format!(
        "the broker took a part of message {sequence} for a duplicate of the part before it, as brokers before Pulsar 3.1 \
         do: update them, raise their maxMessageSize, or switch their deduplication off"
    ))
}

/// The answer to a producer, with what can be done about it where its schema was refused.
pub fn explained(error: Error, code: i32, schema: Option<&Schema>) -> Error {
    if code != ServerError::IncompatibleSchema as i32 {
        return error;
    }
    let Some(schema) = schema else {
        return error.with_hint(
            "the topic takes only messages with a schema, and these are told to have none: let it take others with \
             `pulsar-admin namespaces set-schema-validation-enforce --disable`",
        );
    };
    let text = String::from_utf8_lossy(&schema.schema_data).into_owned();
    error.context("the schema of what is written is refused").with_hint(&format!(
        "write to another topic, let an administrator upload the schema with `pulsar-admin schemas upload`, or have the \
         cluster take it with `pulsar-admin namespaces set-schema-compatibility-strategy`; the schema is {text}"
    ))
}
