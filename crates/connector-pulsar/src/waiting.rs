//! What has come of a partition and waits for the job's thread, and what that thread asks for.

use crate::contract::message_id;
use crate::error::Error;
use crate::position::EntryId;
use dataflow::{LogEnd, Position};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::sync::Notify;

/// What may wait in memory to be read, beside what the reader itself has.
pub const WAITING_BYTES: usize = 4 << 20;
/// What a message takes in memory beside its parts.
const MESSAGE_BYTES_BESIDE: usize = 128;
/// How often a wait looks whether the process is to end, and how often it does before it is given up for that: what is on
/// its way has five seconds to come.
pub const LOOK_FOR_STOP: (Duration, u32) = (Duration::from_millis(100), 50);

/// A message, and the producer that wrote it.
pub struct ReadMessage {
    pub message: dataflow::Message,
    pub producer: String,
    /// The oldest entry that whoever goes on after it needs, if that is known.
    pub oldest: Option<EntryId>,
}

impl ReadMessage {
    /// About what it takes in memory: messages of no bytes take some too.
    pub fn bytes(&self) -> usize {
        let key = self.message.key.as_ref().map_or(0, Vec::len);
        let reason = self.message.unreadable.as_ref().map_or(0, String::len);
        MESSAGE_BYTES_BESIDE + self.message.payload.len() + key + reason + self.producer.len()
    }
}

/// What the reader does next.
pub enum Step {
    Read,
    AskEnd,
    Keep,
}

/// What the job's thread and that of Pulsar tell each other.
#[derive(Default)]
pub struct Shared {
    state: Mutex<State>,
    /// Tells the thread of Pulsar that there is room, a question, or an end.
    pub called: Notify,
    /// Tells whoever waits that something has come.
    came: Condvar,
}

/// What is known of the partition on both threads.
#[derive(Default)]
pub struct State {
    pub messages: VecDeque<ReadMessage>,
    /// What they take in memory.
    pub bytes: usize,
    /// When the entry was stored after which the reader began; known before any message comes.
    pub begun_after_ms: Option<u64>,
    /// When the message had arrived, at the latest, after which the reader began, as far as the job knows.
    pub arrived_by_ms: u64,
    /// What ended the reader; the messages before it come first.
    pub failed: Option<Error>,
    pub end: Option<LogEnd>,
    /// The last entry that the reader has, where none of its messages waits to be given out.
    pub received: Option<EntryId>,
    /// Whether nobody has been given the newest end yet.
    pub end_is_new: bool,
    pub asks_end: bool,
    /// Nothing before this entry is needed any more; the reader has not been told.
    pub released: Option<EntryId>,
    /// No message comes any more, since the topic was terminated.
    pub is_terminated: bool,
    pub is_closed: bool,
    pub waker: Option<Waker>,
}

impl State {
    /// Whether messages are on their way after those that were given out. An entry that has come and gives no message,
    /// such as part of a message whose rest never comes, is none.
    pub fn is_behind(&self, given: Option<Position>) -> bool {
        let Some(last) = self.end.and_then(|end| end.last).filter(|last| Some(*last) > given) else { return false };
        !self.messages.is_empty() || self.received < Some(message_id(last).entry)
    }
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and calls whoever waits for that.
    pub fn tell(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let waker = state.waker.clone();
        drop(state);
        self.came.notify_all();
        waker.iter().for_each(Waker::wake_by_ref);
    }

    /// Whether the reader has the last entry that is known to be there.
    pub fn has_received_all(&self) -> bool {
        let state = self.state();
        let last = state.end.and_then(|end| end.last).map(|last| message_id(last).entry);
        state.received >= last
    }

    /// Waits until nobody reads any more.
    pub async fn closed(&self) {
        loop {
            let called = self.called.notified();
            if self.state().is_closed {
                return;
            }
            called.await;
        }
    }

    /// What is needed no more, once.
    pub fn take_released(&self) -> Option<EntryId> {
        self.state().released.take()
    }

    /// Waits until something is so, or until it cannot become so. Where the process is asked to end meanwhile, that is an
    /// error some seconds later.
    pub fn wait_until(&self, is_so: impl Fn(&State) -> bool) -> dataflow::Result<()> {
        let (mut state, mut looks) = (self.state(), 0);
        let waits = |state: &mut State| state.failed.is_none() && !is_so(state);
        loop {
            let waited = self.came.wait_timeout_while(state, LOOK_FOR_STOP.0, waits);
            let timeout;
            (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            match &state.failed {
                _ if is_so(&state) => return Ok(()),
                Some(error) => return Err(error.clone().into()),
                None => {}
            }
            looks += u32::from(timeout.timed_out() && is_ending());
            if looks >= LOOK_FOR_STOP.1 {
                return Err(dataflow::Error::unavailable("stopped before the cluster gave what was waited for"));
            }
        }
    }

    /// What to do next; none once nobody reads any more.
    pub fn next_step(&self) -> Option<Step> {
        let state = self.state();
        match &*state {
            State { is_closed: true, .. } => None,
            State { asks_end: true, .. } => Some(Step::AskEnd),
            State { bytes, is_terminated: false, .. } if *bytes < WAITING_BYTES => Some(Step::Read),
            _ => Some(Step::Keep),
        }
    }
}

/// Whether the process is to end.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// From now on who waits for a cluster is told some seconds later that it is in vain: the process is to end.
pub fn end_waits() {
    IS_ENDING.store(true, Ordering::Relaxed);
}

/// Whether the process is to end.
pub fn is_ending() -> bool {
    IS_ENDING.load(Ordering::Relaxed)
}
