//! One partition as a job reads it: messages that have come wait in memory, and nothing but opening waits for the broker.
//!
//! ```text
//! job's thread:     open .. read, end, read, ..            (a waker says that there is more)
//!                            |  ^
//!                   questions v  | messages, answers, the error that ends it
//! thread of Pulsar: reader.next / reader.end / reader.keep
//! ```

use crate::anchor::{Anchor, AnchorFacts};
use crate::client::{PartitionReader, chance, unreached};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::position::{EntryId, MessageId};
use crate::reader::{PartitionEnd, ReaderOptions, Start, made_again};
use crate::release::Needs;
use crate::runtime;
use crate::schemas::Schemas;
use crate::settings::Settings;
use crate::topic::TopicName;
use dataflow::{LogEnd, PartitionLog, Position, ProcessingTime, Span};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// How long a broker has until it gives out a partition that is opened.
pub const OPEN_WITHIN: Duration = Duration::from_secs(20);
/// An allowance for messages that are stamped and not yet stored, and for brokers whose clocks differ.
pub const MARGIN: Span = Span::millis(250);
/// How often it is looked at whether the last entry that is there has come and gave no message.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// What may wait in memory to be read, beside what the reader itself has.
const WAITING_BYTES: usize = 4 << 20;
/// What may wait in memory at the reader.
const READER_BYTES: usize = 4 << 20;

/// A message, and the producer that wrote it.
pub struct ReadMessage {
    pub message: dataflow::Message,
    pub producer: String,
    /// The oldest entry that whoever goes on after it needs, if that is known.
    oldest: Option<EntryId>,
}

/// Where what is known of a partition's anchor is put.
pub type AnchorShown = Arc<Mutex<Option<AnchorFacts>>>;

/// The anchor that a job holds while it reads, and where that is shown.
#[derive(Clone)]
pub struct Hold {
    pub anchor: Anchor,
    pub shown: AnchorShown,
}

impl Hold {
    fn show(&self, facts: Option<AnchorFacts>) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = facts;
    }
}

/// One partition, read forward.
pub struct PulsarLog {
    shared: Arc<Shared>,
    given: Option<Position>,
    /// When the message had arrived, at the latest, after which it was opened.
    arrived_by: Option<ProcessingTime>,
    needs: Needs,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Tells the thread of Pulsar that there is room, a question, or an end.
    called: Notify,
    /// Tells whoever waits that something has come.
    came: Condvar,
}

#[derive(Default)]
struct State {
    messages: VecDeque<ReadMessage>,
    bytes: usize,
    /// When the entry was stored after which the reader began; known before any message comes.
    begun_after_ms: Option<u64>,
    /// What ended the reader; the messages before it come first.
    failed: Option<Error>,
    end: Option<LogEnd>,
    /// The last entry that the reader has, where none of its messages waits to be given out.
    received: Option<EntryId>,
    /// Whether nobody has been given the newest end yet.
    end_is_new: bool,
    asks_end: bool,
    /// Nothing before this entry is needed any more; the reader has not been told.
    released: Option<EntryId>,
    /// No message comes any more, since the topic was terminated.
    is_terminated: bool,
    is_closed: bool,
    waker: Option<Waker>,
}

impl State {
    /// Whether messages are on their way after those that were given out. An entry that has come and gives no message,
    /// such as part of a message whose rest never comes, is none.
    fn is_behind(&self, given: Option<Position>) -> bool {
        let Some(last) = self.end.and_then(|end| end.last).filter(|last| Some(*last) > given) else { return false };
        !self.messages.is_empty() || self.received < Some(message_id(last).entry)
    }
}

/// What the reader does next.
enum Step {
    Read,
    AskEnd,
    Keep,
}

/// What came of it.
enum Came {
    Message(Option<Box<Message>>),
    End(PartitionEnd),
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and calls whoever waits for that.
    fn tell(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let waker = state.waker.clone();
        drop(state);
        self.came.notify_all();
        waker.iter().for_each(Waker::wake_by_ref);
    }

    /// Whether the reader has the last entry that is known to be there.
    fn has_received_all(&self) -> bool {
        let state = self.state();
        let last = state.end.and_then(|end| end.last).map(|last| message_id(last).entry);
        state.received >= last
    }

    /// Waits until nobody reads any more.
    async fn closed(&self) {
        loop {
            let called = self.called.notified();
            if self.state().is_closed {
                return;
            }
            called.await;
        }
    }

    /// What is needed no more, once.
    fn take_released(&self) -> Option<EntryId> {
        self.state().released.take()
    }

    /// What to do next; none once nobody reads any more.
    fn next_step(&self) -> Option<Step> {
        let state = self.state();
        match &*state {
            State { is_closed: true, .. } => None,
            State { asks_end: true, .. } => Some(Step::AskEnd),
            State { bytes, is_terminated: false, .. } if *bytes < WAITING_BYTES => Some(Step::Read),
            _ => Some(Step::Keep),
        }
    }
}

impl PulsarLog {
    /// Opens a partition at the message after a position, at the first that is there, or at its end. With an anchor it
    /// waits for another holder to leave it, for 90 s at most.
    pub fn open(
        settings: &Settings,
        topic: &TopicName,
        start: Start,
        hold: Option<Hold>,
    ) -> dataflow::Result<PulsarLog> {
        let options = ReaderOptions {
            topic: topic.clone(),
            start,
            anchor: hold.as_ref().map(|hold| hold.anchor.clone()),
            name: format!("riverrun-{:08x}", chance() as u32),
            budget_bytes: READER_BYTES,
            allows_gaps: false,
        };
        let given = match start {
            Start::After(position) => Some(coordinate(position.last)),
            Start::AfterMessage(last) => Some(coordinate(last)),
            Start::Oldest | Start::Beginning | Start::End => None,
        };
        let shared = Arc::new(Shared::default());
        // The reader has a timer from the start, which belongs to that thread.
        let (settings, topic, of_task) = (settings.clone(), topic.clone(), shared.clone());
        runtime::handle()?.spawn(async move { run((settings, options, &topic), hold.as_ref(), &of_task).await });
        let mut log = PulsarLog { shared, given, arrived_by: None, needs: Needs::default() };
        log.wait_until(|state| state.end.is_some())?;
        if start == Start::End {
            log.given = log.shared.state().end.and_then(|end| end.last);
        }
        Ok(log)
    }

    /// Waits until something is so, or until it cannot become so.
    fn wait_until(&mut self, is_so: impl Fn(&State) -> bool) -> dataflow::Result<()> {
        let state = self.shared.state();
        let waits = |state: &mut State| state.failed.is_none() && !is_so(state);
        let state = self.shared.came.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        match &state.failed {
            Some(error) if !is_so(&state) => Err(error.clone().into()),
            _ => Ok(()),
        }
    }

    /// The next messages with their producers, as [`PartitionLog::read`] gives them.
    pub fn take(&mut self, messages_max: usize, bytes_max: usize) -> dataflow::Result<Vec<ReadMessage>> {
        let mut state = self.shared.state();
        if let (Some(by), Some(stamp), Some(given)) = (self.arrived_by, state.begun_after_ms, self.given)
            && time_of(stamp) > by
        {
            let error = made_again(message_id(given).entry, stamp, (by.0 / 1000).max(0) as u64);
            state.failed = Some(error.clone());
            return Err(error.into());
        }
        let (mut taken, mut bytes) = (Vec::<ReadMessage>::new(), 0usize);
        while taken.len() < messages_max && bytes < bytes_max {
            let Some(next) = state.messages.front() else { break };
            let size = next.message.payload.len();
            if !taken.is_empty() && bytes.saturating_add(size) > bytes_max {
                break;
            }
            bytes += size;
            taken.extend(state.messages.pop_front());
        }
        state.bytes = state.bytes.saturating_sub(bytes);
        // An arrival never goes back, over restarts either.
        for read in &mut taken {
            read.message.arrival = self.arrived_by.map_or(read.message.arrival, |by| read.message.arrival.max(by));
        }
        match (&state.failed, taken.last()) {
            (Some(error), None) => return Err(error.clone().into()),
            (_, Some(last)) => self.given = Some(last.message.position),
            (None, None) => {}
        }
        drop(state);
        for read in &taken {
            read.oldest.iter().for_each(|oldest| self.needs.give(read.message.position, *oldest));
        }
        if !taken.is_empty() {
            self.shared.called.notify_one();
        }
        Ok(taken)
    }
}

impl PartitionLog for PulsarLog {
    fn read(&mut self, messages_max: usize, bytes_max: usize) -> dataflow::Result<Vec<dataflow::Message>> {
        Ok(self.take(messages_max, bytes_max)?.into_iter().map(|read| read.message).collect())
    }

    fn is_behind(&self) -> bool {
        self.shared.state().is_behind(self.given)
    }

    fn wait(&mut self) -> dataflow::Result<()> {
        let given = self.given;
        self.wait_until(|state| !state.messages.is_empty() || !state.is_behind(given))
    }

    fn end(&mut self) -> dataflow::Result<LogEnd> {
        let mut state = self.shared.state();
        if let Some(error) = &state.failed {
            return Err(error.clone().into());
        }
        let end = state.end.ok_or_else(|| dataflow::Error::internal("a partition of Pulsar has no end"))?;
        if !std::mem::take(&mut state.end_is_new) && !state.asks_end {
            state.asks_end = true;
            drop(state);
            self.shared.called.notify_one();
        }
        Ok(end)
    }

    fn arrived_by(&mut self, arrival: ProcessingTime) {
        self.arrived_by = Some(arrival);
    }

    fn durable(&mut self, message: Position) {
        let Some(needed) = self.needs.after(message) else { return };
        self.shared.state().released = Some(needed);
        self.shared.called.notify_one();
    }

    fn wake(&mut self, waker: &Waker) -> dataflow::Result<()> {
        self.shared.state().waker = Some(waker.clone());
        Ok(())
    }
}

impl Drop for PulsarLog {
    fn drop(&mut self) {
        self.shared.state().is_closed = true;
        self.shared.called.notify_one();
    }
}

/// Reads for a log until nobody reads it any more, or until an error that waiting does not mend.
async fn run((settings, options, topic): (Settings, ReaderOptions, &TopicName), hold: Option<&Hold>, shared: &Shared) {
    let mut schemas = Schemas::new(settings.clone(), topic.clone());
    let mut reader = PartitionReader::new(settings, options);
    let opened = loop {
        match timeout(OPEN_WITHIN, reader.end()).await {
            Ok(opened) => break opened,
            // Whoever held the anchor may have gone without a word; that it does not go has a bound of its own.
            Err(_) if reader.is_busy() && !shared.state().is_closed => {}
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
                return shared.tell(|state| state.failed = Some(error.context(format_args!("topic \"{topic}\""))));
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
                state.end = Some(log_end(end));
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
    let (mut next, mut read, mut bytes) = (Some(first), Vec::new(), 0);
    while let Some(message) = next {
        let message = readable(schemas.readable(message).await?, arrival_ms);
        bytes += message.message.payload.len();
        read.push(message);
        next = if bytes < WAITING_BYTES / 4 { reader.ready() } else { None };
    }
    let begun_after_ms = reader.begun_after_ms();
    shared.tell(|state| {
        state.begun_after_ms = begun_after_ms;
        state.messages.extend(read);
        state.bytes += bytes;
    });
    Ok(())
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
    };
    let oldest = message.knows_chunks.then(|| message.position.oldest_needed());
    let producer = message.entry.producer_name.clone();
    ReadMessage { message: read, producer, oldest }
}

fn time_of(millis: u64) -> ProcessingTime {
    ProcessingTime(i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1000))
}

fn log_end(end: PartitionEnd) -> LogEnd {
    // Where the broker does not tell its time, silence says nothing.
    let drained = end.broker_time_ms.map(|millis| time_of(millis).0.saturating_sub(MARGIN.0));
    LogEnd { last: end.last.map(coordinate), drained_to: ProcessingTime(drained.unwrap_or(i64::MIN)) }
}

/// A place in a partition as the contract has it.
pub fn coordinate(id: MessageId) -> Position {
    Position { ledger: id.entry.ledger, entry: id.entry.entry, batch_index: id.index }
}

/// The same place as the client has it.
pub fn message_id(at: Position) -> MessageId {
    MessageId { entry: EntryId { ledger: at.ledger, entry: at.entry }, index: at.batch_index }
}
