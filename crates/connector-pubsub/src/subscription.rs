//! A subscription, asked and received from.

use crate::error::{failed, is_denied, no_answer, no_client, topic_is_deleted};
use crate::settings::Settings;
use copy_contract::Received;
use dataflow::Result;
use google_cloud_gax::error::Error as ClientError;
use google_cloud_pubsub::client::{Subscriber, SubscriptionAdmin};
use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::subscriber::MessageStream;
use google_cloud_pubsub::subscriber::handler::Handler;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// What it takes to receive.
pub(crate) const ROLE: &str = "roles/pubsub.subscriber";
/// How many bytes of messages are here at once that were not acknowledged.
const OUTSTANDING_BYTES: usize = 64 << 20;
/// How many messages.
const OUTSTANDING_MESSAGES: usize = 20_000;
/// For how long a message stays ours when this process is killed.
pub(crate) const LEASE: Duration = Duration::from_secs(20);
/// A message that cannot be made durable is held for so long.
const LEASE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long a call may take.
const ANSWER: Duration = Duration::from_secs(15);
/// What a topic is called in a subscription when it was deleted.
const DELETED: &str = "_deleted-topic_";

/// A message with what acknowledges it.
pub(crate) struct Delivery {
    pub message: Received,
    pub handler: Handler,
    // Room for its bytes, until it is acknowledged.
    pub room: OwnedSemaphorePermit,
}

/// A subscription.
#[derive(Clone)]
pub(crate) struct Subscription {
    pub name: String,
    place: String,
    admin: SubscriptionAdmin,
    subscriber: Subscriber,
}

impl Subscription {
    /// Makes the clients. Asks nothing.
    pub async fn open(settings: &Settings, name: &str) -> Result<Subscription> {
        let place = settings.place();
        let credentials = settings.credentials()?;
        let mut admin = SubscriptionAdmin::builder().with_credentials(credentials.clone());
        let mut subscriber = Subscriber::builder().with_credentials(credentials);
        if let Some(endpoint) = settings.endpoint() {
            admin = admin.with_endpoint(endpoint.clone());
            subscriber = subscriber.with_endpoint(endpoint);
        }
        let admin = admin.build().await.map_err(|error| no_client(&place, error))?;
        let subscriber = subscriber.build().await.map_err(|error| no_client(&place, error))?;
        Ok(Subscription { name: name.to_owned(), place, admin, subscriber })
    }

    /// Asks whether it is there and has a topic; false when this account may not look, which says nothing about what it
    /// may receive.
    pub async fn look(&self) -> Result<bool> {
        let asked = self.admin.get_subscription().set_subscription(&self.name).send();
        match timeout(ANSWER, asked).await {
            Ok(Ok(found)) if found.topic == DELETED => Err(topic_is_deleted(&self.name, &self.place)),
            Ok(Ok(_)) => Ok(true),
            Ok(Err(error)) if is_denied(&error) => Ok(false),
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_) => Err(self.no_answer()),
        }
    }

    /// Receives on a task of its own, as far as there is room; the first error ends it. Leases are extended for as long as
    /// a message is held.
    pub fn receive(&self) -> (Receiver<Result<Delivery>>, google_cloud_pubsub::subscriber::ShutdownToken) {
        let stream = self
            .subscriber
            .subscribe(&self.name)
            .set_max_outstanding_bytes(OUTSTANDING_BYTES as i64)
            .set_max_outstanding_messages(OUTSTANDING_MESSAGES as i64)
            .set_max_lease_extension(LEASE)
            .set_max_lease(LEASE_MAX)
            .build();
        let shutdown = stream.shutdown_token();
        let (send, deliveries) = channel(OUTSTANDING_MESSAGES);
        tokio::spawn(self.clone().pump(stream, send));
        (deliveries, shutdown)
    }

    async fn pump(self, mut stream: MessageStream, send: Sender<Result<Delivery>>) {
        // The server is asked to keep within the same bounds, and need not.
        let room = Arc::new(Semaphore::new(OUTSTANDING_BYTES));
        while let Some(next) = stream.next().await {
            let delivery = match next {
                Ok((message, handler)) => {
                    let message = received(message, handler.delivery_attempt());
                    let bytes = message.bytes().min(OUTSTANDING_BYTES) as u32;
                    let Ok(room) = room.clone().acquire_many_owned(bytes).await else { return };
                    Ok(Delivery { message, handler, room })
                }
                Err(error) => Err(self.failed(error)),
            };
            if send.send(delivery).await.is_err() {
                return;
            }
        }
    }

    /// It was asked for, and no answer came in time.
    pub fn no_answer(&self) -> dataflow::Error {
        no_answer(&self.what(), &self.place)
    }

    fn what(&self) -> String {
        format!("subscription {}", self.name)
    }

    fn failed(&self, error: ClientError) -> dataflow::Error {
        failed(&self.what(), &self.place, ROLE, error)
    }
}

fn received(message: Message, delivery_attempt: Option<i32>) -> Received {
    let published = message.publish_time.map_or(0, |at| at.seconds() * 1_000_000 + i64::from(at.nanos()) / 1_000);
    let mut attributes: Vec<(String, String)> = message.attributes.into_iter().collect();
    attributes.sort_unstable();
    Received {
        message_id: message.message_id,
        published_at_us: published,
        ordering_key: message.ordering_key,
        attributes,
        data: message.data.to_vec(),
        delivery_attempt: delivery_attempt.and_then(|attempt| u32::try_from(attempt).ok()),
    }
}
