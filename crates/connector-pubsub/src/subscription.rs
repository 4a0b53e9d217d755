//! A subscription, asked and received from.

use crate::attempts::{Attempts, Noting};
use crate::error::{failed, is_denied, is_not_pulled, no_answer, no_client, topic_is_deleted};
use crate::look::Looker;
use crate::settings::Settings;
use crate::uptime::Uptime;
use copy_contract::Received;
use dataflow::Result;
use google_cloud_gax::error::Error as ClientError;
use google_cloud_pubsub::client::Subscriber;
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
pub(crate) const OUTSTANDING_BYTES: usize = 64 << 20;
/// How many messages.
const OUTSTANDING_MESSAGES: usize = 20_000;
/// How many messages are appended and synced at once, at most.
const BATCH_MESSAGES: usize = 4_096;
/// How many bytes of them.
const BATCH_BYTES: usize = 8 << 20;
/// For how long a message stays ours when this process is killed.
pub(crate) const LEASE: Duration = Duration::from_secs(20);
/// A message that cannot be made durable is held for so long.
const LEASE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long a call may take.
const ANSWER: Duration = Duration::from_secs(15);

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
    looker: Looker,
    subscriber: Subscriber,
    /// When the client has tried to open the stream of messages.
    pub attempts: Attempts,
}

/// What a look at a subscription has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is there, and keeps the order of keys or does not.
    Whole { is_ordered: bool },
    /// It is there, and its topic was deleted: what waited still comes.
    WithoutTopic,
    /// This account may not look, which says nothing about what it may receive.
    Nothing,
}

impl Subscription {
    /// Makes the clients. Asks nothing.
    pub async fn open(settings: &Settings, name: &str, clock: &Arc<dyn Uptime>) -> Result<Subscription> {
        let place = settings.place();
        let looker = Looker::open(settings).await?;
        let mut subscriber = Subscriber::builder().with_credentials(Noting(settings.credentials()?));
        if let Some(endpoint) = settings.endpoint() {
            subscriber = subscriber.with_endpoint(endpoint);
        }
        let subscriber = subscriber.build().await.map_err(|error| no_client(&place, error))?;
        let attempts = Attempts::new(clock.clone());
        Ok(Subscription { name: name.to_owned(), place, looker, subscriber, attempts })
    }

    /// Asks whether it is there, over gRPC as its messages come; an error when nothing can be pulled from it.
    pub async fn look(&self) -> Result<Seen> {
        match timeout(ANSWER, self.looker.look(&self.name)).await {
            Ok(Ok(found)) => match found.is_not_pulled() {
                Some(why) => Err(is_not_pulled(&self.name, &self.place, &why)),
                None if found.has_lost_its_topic() => Ok(Seen::WithoutTopic),
                None => Ok(Seen::Whole { is_ordered: found.is_ordered() }),
            },
            Ok(Err(error)) if is_denied(&error) => Ok(Seen::Nothing),
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
        tokio::spawn(self.attempts.scope(self.clone().pump(stream, send)));
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

    /// Its topic was deleted, and all that waited has come.
    pub fn topic_is_deleted(&self) -> dataflow::Error {
        topic_is_deleted(&self.name, &self.place)
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

/// A delivery and those that are here after it. Those before an error are given back, and come again.
pub(crate) fn batch(first: Delivery, deliveries: &mut Receiver<Result<Delivery>>) -> Result<Vec<Delivery>> {
    let mut bytes = first.message.bytes();
    let mut batch = vec![first];
    while batch.len() < BATCH_MESSAGES && bytes < BATCH_BYTES {
        let Ok(next) = deliveries.try_recv() else { break };
        let next = next?;
        bytes += next.message.bytes();
        batch.push(next);
    }
    Ok(batch)
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
