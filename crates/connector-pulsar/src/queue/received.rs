//! What has come of a queue's partitions and waits for the job's thread, and what that thread has to acknowledge.

use super::machine::QueueStats;
use crate::error::Error;
use crate::position::MessageId;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::sync::Notify;

/// What may wait in memory to be read, over all partitions, beside what their consumers have.
pub const WAITING_BYTES: usize = 4 << 20;
/// What a message takes in memory beside its parts.
const MESSAGE_BYTES_BESIDE: usize = 128;

/// A message, and where it is acknowledged.
pub struct QueuedMessage {
    pub partition: usize,
    pub id: MessageId,
    pub key: Option<Vec<u8>>,
    pub payload: Vec<u8>,
    pub unreadable: Option<String>,
}

impl QueuedMessage {
    /// About what it takes in memory.
    pub fn bytes(&self) -> usize {
        let key = self.key.as_ref().map_or(0, Vec::len);
        let reason = self.unreadable.as_ref().map_or(0, String::len);
        MESSAGE_BYTES_BESIDE + self.payload.len() + key + reason
    }
}

/// What is known of one partition on both threads.
pub struct PartitionState {
    pub called: Arc<Notify>,
    /// To be acknowledged; its consumer has not been told.
    pub acks: Vec<MessageId>,
    /// Whether its consumer has acknowledged all that it was told, or has ended.
    pub is_settled: bool,
    pub stats: QueueStats,
}

/// What is known on both threads.
#[derive(Default)]
pub struct State {
    pub messages: VecDeque<QueuedMessage>,
    /// What they take in memory.
    pub bytes: usize,
    /// What ended a consumer; the messages before it come first.
    pub failed: Option<Error>,
    pub partitions: Vec<PartitionState>,
    pub waker: Option<Waker>,
    pub is_closed: bool,
}

/// What the job's thread and that of Pulsar tell each other.
#[derive(Default)]
pub struct Shared {
    state: Mutex<State>,
    settled: Condvar,
    /// Tells what looks for new partitions of the end.
    pub closed: Notify,
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and calls whoever reads.
    pub fn tell(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let waker = state.waker.clone();
        drop(state);
        self.settled.notify_all();
        waker.iter().for_each(Waker::wake_by_ref);
    }

    /// Another partition; gives its number, and what calls its consumer.
    pub fn add_partition(&self) -> (usize, Arc<Notify>) {
        let called = Arc::new(Notify::new());
        let mut state = self.state();
        let (acks, stats) = (Vec::new(), QueueStats::default());
        state.partitions.push(PartitionState { called: called.clone(), acks, is_settled: true, stats });
        (state.partitions.len() - 1, called)
    }

    /// What a consumer has to acknowledge, and whether nobody reads any more.
    pub fn take_acks(&self, partition: usize) -> (Vec<MessageId>, bool) {
        let mut state = self.state();
        let is_closed = state.is_closed;
        (state.partitions.get_mut(partition).map(|of| std::mem::take(&mut of.acks)).unwrap_or_default(), is_closed)
    }

    /// Has a consumer look again.
    pub fn call(&self, partition: usize) {
        if let Some(of) = self.state().partitions.get(partition) {
            of.called.notify_one();
        }
    }

    /// Whether more messages may wait here; none once a consumer has failed, so that it is soon known.
    pub fn has_room(&self) -> bool {
        let state = self.state();
        state.bytes < WAITING_BYTES && !state.is_closed && state.failed.is_none()
    }

    /// Nobody reads any more: waits for so long at most until what is to be acknowledged is.
    pub fn close(&self, within: Duration) {
        let mut state = self.state();
        state.is_closed = true;
        state.waker = None;
        for partition in &state.partitions {
            partition.called.notify_one();
        }
        self.closed.notify_one();
        let waits = |state: &mut State| state.failed.is_none() && state.partitions.iter().any(|of| !of.is_settled);
        drop(self.settled.wait_timeout_while(state, within, waits));
    }
}
