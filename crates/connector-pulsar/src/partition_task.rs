//! The task that reads a partition for its log, on the thread of Pulsar.

use crate::client::{OPEN_WITHIN, PartitionReader, unreached};
use crate::contract::{MARGIN, coordinate, time_of};
use crate::error::Result;
use crate::hold::Hold;
use crate::message::{Message, Payload};
use crate::reader::{Drained, PartitionEnd, ReaderOptions};
use crate::schemas::Schemas;
use crate::settings::Settings;
use crate::topic::TopicName;
use crate::waiting::{ReadMessage, Shared, Step, WAITING_BYTES};
use dataflow::{LogEnd, ProcessingTime};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How often it is looked at whether the last entry that is there has come and gave no message.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// What a message counts for that could not be read: finding that out may have cost as much as one of so many bytes.
const UNREADABLE_BYTES: usize = 64 << 10;

/// What came of a step.
enum Came {
    Message(Option<Box<Message>>),
    End(PartitionEnd),
}

/// Reads for a log until nobody reads it any more, or until an error that waiting does not mend.
pub async fn run(
    (settings, options, topic): (Settings, ReaderOptions, &TopicName),
    hold: Option<&Hold>,
    shared: &Shared,
) {
    let mut schemas = Schemas::new(settings.clone(), topic.clone());
    let mut reader = PartitionReader::new(settings, options);
    let mut last_entry = None;
    let opened = loop {
        match timeout(OPEN_WITHIN, reader.end()).await {
            Ok(opened) => break opened,
            _ if shared.state().is_closed => return,
            // Whoever held the anchor may have gone without a word; that it does not go has a bound of its own.
            Err(_) if reader.is_busy() => {}
            // What lies between the anchor and the place comes again first, which may be much.
            Err(_) if reader.last_entry() != last_entry => last_entry = reader.last_entry(),
            Err(_) => break Err(unreached(reader.trouble().as_ref(), topic, OPEN_WITHIN)),
        }
    };
    let (mut arrival_ms, mut is_shown) = (0, hold.is_none());
    let mut came = opened.map(Came::End);
    loop {
        let kept = match came {
            // A schema may be looked up for as long as its cluster is away.
            Ok(came) => tokio::select! {
                kept = keep_what_came(came, (&mut reader, &mut schemas), shared, &mut arrival_ms) => kept,
                () = shared.closed() => return,
            },
            Err(error) => Err(error),
        };
        match kept {
            Ok(()) => {}
            Err(error) => {
                return shared.tell(|state| state.failed = Some(error.of_topic(topic)));
            }
        }
        came = loop {
            let Some(step) = shared.next_step() else { return };
            if let Some(needed) = shared.take_released() {
                reader.release_before(needed);
                is_shown = false;
            }
            tokio::select! {
                biased;
                () = shared.called.notified() => {}
                came = act(&mut reader, step) => break came,
                () = sleep(LOOK_AGAIN), if !shared.has_received_all() || !is_shown => {
                    note_received(&reader, shared);
                    hold.iter().for_each(|hold| hold.show(reader.anchor_facts()));
                    is_shown = true;
                }
            }
        };
    }
}

/// Takes note of entries that have come and gave no message.
fn note_received(reader: &PartitionReader, shared: &Shared) {
    let received = reader.received_without_messages();
    if received > shared.state().received {
        shared.tell(|state| state.received = received);
    }
}

/// A step that is dropped while it waits has lost nothing.
async fn act(reader: &mut PartitionReader, step: Step) -> Result<Came> {
    match step {
        Step::Read => Ok(Came::Message(reader.next().await?.map(Box::new))),
        Step::AskEnd => Ok(Came::End(reader.end().await?)),
        Step::Keep => match reader.keep().await? {},
    }
}

/// Puts what came where the job's thread finds it, with the messages that came with it.
async fn keep_what_came(
    came: Came,
    (reader, schemas): (&mut PartitionReader, &mut Schemas),
    shared: &Shared,
    arrival_ms: &mut u64,
) -> Result<()> {
    let first = match came {
        Came::End(end) => {
            shared.tell(|state| {
                state.end = Some(log_end(end, state.arrived_by_ms.max(*arrival_ms)));
                (state.end_is_new, state.asks_end) = (true, false);
            });
            return Ok(());
        }
        Came::Message(None) => {
            shared.tell(|state| state.is_terminated = true);
            return Ok(());
        }
        Came::Message(Some(first)) => *first,
    };
    let (mut next, mut read, mut cost) = (Some(first), Vec::new(), 0);
    while let Some(message) = next {
        if schemas.is_unknown_to(&message) {
            // That may take as long as the cluster is away: those before it go on, and the reader has a connection to keep.
            give(std::mem::take(&mut read), reader, shared);
            tokio::select! {
                known = schemas.look_up(&message) => known?,
                kept = reader.keep() => match kept? {},
            }
        }
        let message = readable(schemas.readable(message), arrival_ms);
        cost += if message.message.unreadable.is_some() { UNREADABLE_BYTES } else { message.bytes() };
        read.push(message);
        next = if cost < WAITING_BYTES / 4 { reader.ready() } else { None };
    }
    give(read, reader, shared);
    // Where messages come all the time, others have their turn on this thread, and the connection is heard.
    reader.attend().await
}

/// Puts messages where the job's thread finds them.
fn give(read: Vec<ReadMessage>, reader: &PartitionReader, shared: &Shared) {
    let begun_after_ms = reader.begun_after_ms();
    if read.is_empty() {
        return;
    }
    shared.tell(|state| {
        state.begun_after_ms = begun_after_ms;
        state.bytes += read.iter().map(ReadMessage::bytes).sum::<usize>();
        state.messages.extend(read);
    });
}

/// A message as the contract has it. Its arrival never goes back: where brokers do not stamp, it is the time of the
/// producers, which are several. What was given up before it is no message: no client was told that it is stored.
fn readable(message: Message, arrival_ms: &mut u64) -> ReadMessage {
    *arrival_ms = (*arrival_ms).max(message.entry.broker_time_ms.unwrap_or(message.entry.publish_time_ms));
    let key = message.key.as_ref().map(|key| key.bytes().to_vec());
    let read = dataflow::Message {
        position: coordinate(message.id),
        arrival: time_of(*arrival_ms),
        key,
        payload: message.payload.bytes().to_vec(),
        unreadable: match message.payload {
            Payload::Unreadable { reason, .. } => Some(reason),
            Payload::Bytes(_) | Payload::Null => None,
        },
    };
    let oldest = message.knows_chunks.then(|| message.position.oldest_needed());
    let producer = message.entry.producer_name.clone();
    ReadMessage { message: read, producer, oldest }
}

fn log_end(end: PartitionEnd, arrival_ms: u64) -> LogEnd {
    // What comes next arrives after the message before it, also where that one's producer had a clock that is ahead.
    let arrives_ms = |published_ms: u64| arrival_ms.max(published_ms);
    let drained = end.drained.map(|drained| match drained {
        Drained::BrokerTime(millis) => time_of(millis),
        Drained::Silence { published_ms, silence } => {
            time_of(arrives_ms(published_ms).saturating_add(u64::try_from(silence.as_millis()).unwrap_or(u64::MAX)))
        }
    });
    // Where the broker does not tell its time, silence says nothing.
    let drained = drained.map(|drained| drained.0.saturating_sub(MARGIN.0));
    LogEnd { last: end.last.map(coordinate), drained_to: ProcessingTime(drained.unwrap_or(i64::MIN)) }
}
