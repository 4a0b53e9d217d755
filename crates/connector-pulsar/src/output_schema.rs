//! What an output to a topic says of its messages, so that others read them by it.

use crate::client::registered_schema;
use crate::error::{Error, Result};
use crate::schemas::kind_name;
use crate::settings::Settings;
use crate::topic::TopicName;
use crate::wire::protocol::Schema;
use bytes::Bytes;
use std::time::Duration;

const BYTES: i32 = 0;
const TEXT: i32 = 1;
const JSON: i32 = 2;

/// The schema that the messages of an output are registered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSchema(pub(crate) Schema);

impl OutputSchema {
    /// Messages of JSON with these columns, in the form that the Java client registers for them. The topic's name becomes
    /// that of the record.
    pub fn json(topic: &str, columns: &arrow::datatypes::Schema) -> OutputSchema {
        let schema_data = Bytes::from(codec::avro_form(topic, columns));
        OutputSchema(Schema { schema_data, kind: JSON, ..Schema::default() })
    }

    /// Messages that are text, of which nothing more is said.
    fn text() -> OutputSchema {
        OutputSchema(Schema { kind: TEXT, ..Schema::default() })
    }
}

/// What messages of JSON with these columns are registered with on a topic: JSON, or text where the topic is said to hold
/// text. One that is said to hold others is an error.
pub async fn of_output(
    settings: &Settings,
    topic: &TopicName,
    (name, columns): (&str, &arrow::datatypes::Schema),
    within: Duration,
) -> Result<OutputSchema> {
    match registered_schema(settings, topic, None, within).await?.map(|schema| schema.kind) {
        None | Some(BYTES | JSON) => Ok(OutputSchema::json(name, columns)),
        Some(TEXT) => Ok(OutputSchema::text()),
        Some(kind) => Err(Error::invalid(format!(
            "topic \"{topic}\": its messages are {}, as its schema says, and an output writes JSON: write to another topic",
            kind_name(kind)
        ))),
    }
}
