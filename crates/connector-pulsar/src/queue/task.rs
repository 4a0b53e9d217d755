//! The tasks that consume a queue for its log, on the thread of Pulsar: one per partition, and one that looks for more.

use super::consumer::QueueConsumer;
use super::options::QueueOptions;
use super::received::{QueuedMessage, Shared};
use crate::client::{OPEN_WITHIN, partition_count};
use crate::error::Result;
use crate::hold::AnchorShown;
use crate::message::{Message, Payload};
use crate::runtime::{OnPanic, panicked};
use crate::schemas::Schemas;
use crate::settings::Settings;
use crate::topic::TopicName;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often it is looked whether a topic has more partitions.
const LOOK_FOR_PARTITIONS: Duration = Duration::from_secs(20);
/// How many messages are given to the job's thread at once.
const GIVE_MAX: usize = 512;
/// How long a consumer tries to tell what is acknowledged when nobody reads any more.
pub const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// How the partitions of a topic are consumed.
#[derive(Clone)]
pub struct Consuming {
    pub settings: Settings,
    pub options: QueueOptions,
    /// The topic, of whose partitions the options name one.
    pub topic: TopicName,
    /// None is a topic without partitions.
    pub partitions: Option<u32>,
    /// How the subscription stands on each partition.
    pub shown: Vec<AnchorShown>,
}

/// Consumes all partitions, those that are added too, until nobody reads any more.
pub async fn run(consuming: Consuming, shared: Arc<Shared>) {
    let mut known = 0;
    let mut count = consuming.partitions;
    loop {
        for partition in known..count.unwrap_or(1) {
            let topic = count.map_or_else(|| consuming.topic.clone(), |_| consuming.topic.partition(partition));
            let options = QueueOptions { topic, ..consuming.options.clone() };
            let shown = consuming.shown.get(partition as usize).cloned();
            tokio::spawn(consume((consuming.settings.clone(), options), shown, shared.clone()));
        }
        known = known.max(count.unwrap_or(1));
        tokio::select! {
            () = shared.closed.notified() => return,
            () = sleep(LOOK_FOR_PARTITIONS) => {}
        }
        // Whoever cannot be asked now is asked again; the consumers say what is wrong.
        if let (Some(_), Ok(Some(now))) =
            (count, partition_count(&consuming.settings, &consuming.topic, OPEN_WITHIN).await)
        {
            count = Some(now.max(known));
        }
    }
}

async fn consume((settings, options): (Settings, QueueOptions), shown: Option<AnchorShown>, shared: Arc<Shared>) {
    let (partition, called) = shared.add_partition();
    let topic = options.topic.clone();
    let _guard = OnPanic(|| shared.tell(|state| state.failed = Some(panicked(&topic))));
    let mut task = Task {
        schemas: Schemas::new(settings.clone(), topic.clone()),
        consumer: QueueConsumer::new(settings, options),
        partition,
        shown,
        left: None,
    };
    let ended = loop {
        match task.step(&shared, &called).await {
            Ok(true) => {}
            Ok(false) => break None,
            Err(error) => break Some(error.of_topic(&topic)),
        }
    };
    shared.tell(|state| {
        state.partitions[partition].is_settled = true;
        state.failed = state.failed.take().or(ended);
    });
}

/// The consumer of a partition, and what it tells the job's thread.
struct Task {
    consumer: QueueConsumer,
    schemas: Schemas,
    partition: usize,
    shown: Option<AnchorShown>,
    /// When nobody read any more.
    left: Option<Instant>,
}

impl Task {
    /// Acknowledges, gives out, and waits for more; false once nobody reads any more and all is acknowledged.
    async fn step(&mut self, shared: &Shared, called: &tokio::sync::Notify) -> Result<bool> {
        let (acks, is_closed) = shared.take_acks(self.partition);
        self.consumer.acknowledge(acks);
        if is_closed {
            self.consumer.leave();
            let left = *self.left.get_or_insert_with(Instant::now);
            if self.consumer.is_settled() || left.elapsed() >= LEAVE_WITHIN {
                return Ok(false);
            }
        }
        self.give(shared).await?;
        self.show(shared);
        tokio::select! {
            biased;
            () = called.notified() => {}
            turned = self.consumer.turn() => turned?,
        }
        // Where messages come all the time, others have their turn on this thread.
        tokio::task::yield_now().await;
        Ok(true)
    }

    /// Puts messages that have come where the job's thread finds them.
    async fn give(&mut self, shared: &Shared) -> Result<()> {
        let mut ready = Vec::new();
        while shared.has_room() && ready.len() < GIVE_MAX {
            let Some(message) = self.consumer.ready() else { break };
            if self.schemas.is_unknown_to(&message) && !self.look_up(&message, shared).await? {
                return Ok(());
            }
            ready.push(queued(self.partition, self.schemas.readable(message)));
        }
        if !ready.is_empty() {
            shared.tell(|state| {
                state.bytes += ready.iter().map(QueuedMessage::bytes).sum::<usize>();
                state.messages.extend(ready);
            });
            // There may be more, for which there is room.
            shared.call(self.partition);
        }
        Ok(())
    }

    /// Looks a schema up, for as long as its cluster is away, while the connection is kept; false if nobody reads any
    /// more.
    async fn look_up(&mut self, message: &Message, shared: &Shared) -> Result<bool> {
        let Task { schemas, consumer, .. } = self;
        let keep = async {
            loop {
                if let Err(error) = consumer.turn().await {
                    return error;
                }
            }
        };
        let closed = async {
            while !shared.state().is_closed {
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            known = schemas.look_up(message) => known.map(|()| true),
            error = keep => Err(error),
            () = closed => Ok(false),
        }
    }

    /// Says how the subscription stands.
    fn show(&self, shared: &Shared) {
        let (stats, is_settled) = (self.consumer.stats(), self.consumer.is_settled());
        let mut state = shared.state();
        let of = &mut state.partitions[self.partition];
        let is_new = of.stats != stats || of.is_settled != (is_settled && of.acks.is_empty());
        of.is_settled = is_settled && of.acks.is_empty();
        of.stats = stats;
        drop(state);
        if is_new {
            shared.tell(|_| {});
        }
        if let Some(shown) = &self.shown {
            let facts = crate::anchor::AnchorFacts { stands_at: None, backlog: stats.backlog };
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = stats.backlog.map(|_| facts);
        }
    }
}

/// A message as the job's thread gets it.
fn queued(partition: usize, message: Message) -> QueuedMessage {
    QueuedMessage {
        partition,
        id: message.id,
        key: message.key.as_ref().map(|key| key.bytes().to_vec()),
        payload: message.payload.bytes().to_vec(),
        unreadable: match message.payload {
            Payload::Unreadable { reason, .. } => Some(reason),
            Payload::Bytes(_) | Payload::Null => None,
        },
    }
}
