//! Messages put on a topic of Pub/Sub.

use crate::error::{failed, is_denied, no_answer, no_client, not_stored};
use crate::settings::{Settings, runtime};
use copy_contract::OutgoingMessage;
use dataflow::{Error, Result};
use google_cloud_pubsub::client::{BasePublisher, Publisher, TopicAdmin};
use google_cloud_pubsub::error::PublishError;
use google_cloud_pubsub::model::Message;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// What it takes to publish.
const ROLE: &str = "roles/pubsub.publisher";
/// How long a call may take.
const ANSWER: Duration = Duration::from_secs(15);
/// How long messages may take to be stored; the client tries again meanwhile.
const STORED: Duration = Duration::from_secs(120);
/// How many bytes are on their way at once.
const UNDER_WAY_BYTES: usize = 8 << 20;

/// Puts messages on a topic of Pub/Sub.
pub struct TopicPublisher {
    topic: String,
    place: String,
    publisher: Publisher,
    runtime: Runtime,
}

impl TopicPublisher {
    /// Makes the client, and refuses a topic that is not there.
    pub fn open(settings: &Settings, topic: &str) -> Result<TopicPublisher> {
        settings.check_reachable()?;
        let (place, runtime) = (settings.place(), runtime()?);
        let publisher = runtime.block_on(async {
            let credentials = settings.credentials()?;
            let mut admin = TopicAdmin::builder().with_credentials(credentials.clone());
            let mut base = BasePublisher::builder().with_credentials(credentials);
            if let Some(endpoint) = settings.endpoint() {
                admin = admin.with_endpoint(endpoint.clone());
                base = base.with_endpoint(endpoint);
            }
            let admin = admin.build().await.map_err(|error| no_client(&place, error))?;
            let what = format!("topic {topic}");
            match timeout(ANSWER, admin.get_topic().set_topic(topic).send()).await {
                // Who may publish may not be allowed to look.
                Ok(Err(error)) if !is_denied(&error) => return Err(failed(&what, &place, ROLE, error)),
                Ok(_) => {}
                Err(_) => return Err(no_answer(&what, &place)),
            }
            let base = base.build().await.map_err(|error| no_client(&place, error))?;
            Ok(base.publisher(topic).set_delay_threshold(Duration::from_millis(5)).build())
        })?;
        Ok(TopicPublisher { topic: topic.to_owned(), place, publisher, runtime })
    }

    /// Puts messages on the topic; all are stored on return. After an error some may be, and come twice when they are put
    /// again.
    pub fn publish(&mut self, messages: Vec<OutgoingMessage>) -> Result<()> {
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            let mut bytes = 0;
            let some: Vec<OutgoingMessage> = std::iter::from_fn(|| {
                let next = if bytes < UNDER_WAY_BYTES { messages.next() } else { None };
                bytes += next.as_ref().map_or(0, OutgoingMessage::bytes);
                next
            })
            .collect();
            self.publish_some(some)?;
        }
        Ok(())
    }

    fn publish_some(&mut self, messages: Vec<OutgoingMessage>) -> Result<()> {
        let what = format!("topic {}", self.topic);
        self.runtime.block_on(async {
            let message = |message: OutgoingMessage| {
                let OutgoingMessage { data, ordering_key, attributes } = message;
                Message::new().set_data(data).set_ordering_key(ordering_key).set_attributes(attributes)
            };
            let under_way: Vec<_> = messages.into_iter().map(|one| self.publisher.publish(message(one))).collect();
            for stored in under_way {
                match timeout(STORED, stored).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(PublishError::Rpc(error))) => return Err(self.refused(&what, &error)),
                    Ok(Err(error)) => {
                        return Err(Error::unavailable(format!("{what} takes no message")).with_source(error));
                    }
                    Err(_) => return Err(not_stored(&what, &self.place, STORED)),
                }
            }
            Ok(())
        })
    }

    /// The client shares an error among the messages that it concerns.
    fn refused(&self, what: &str, error: &google_cloud_gax::error::Error) -> Error {
        match error.status() {
            Some(status) => failed(what, &self.place, ROLE, google_cloud_gax::error::Error::service(status.clone())),
            None => Error::unavailable(format!("{} cannot be reached for {what}: {error}", self.place)),
        }
    }
}
