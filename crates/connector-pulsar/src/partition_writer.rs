//! One partition as programs write it: messages go to the thread of Pulsar, which keeps the producer's connection.

use crate::client::{OPEN_WITHIN, PartitionProducer, unreached};
use crate::error::{Error, Result};
use crate::producer::{OutgoingMessage, ProducerOptions};
use crate::runtime;
use crate::settings::Settings;
use crate::topic::TopicName;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// So many calls wait for the producer, beside what it has in its own memory.
const CALLS_MAX: usize = 4;

enum Call {
    Push(Vec<OutgoingMessage>),
    Flush(oneshot::Sender<()>),
}

/// What the producer of a partition has shown.
#[derive(Clone, Debug, Default)]
pub struct WriterState {
    /// The greatest sequence that the broker had taken from the name when the producer was opened first.
    pub taken: Option<u64>,
    /// Whether the broker removes duplicates, once it has shown that.
    pub is_deduplicated: Option<bool>,
    /// The greatest sequence up to which all is stored, as of the last flush or the end of the producer.
    pub stored: Option<u64>,
    failed: Option<Error>,
}

/// Writes one partition. Messages that were not flushed are lost with it.
pub struct PartitionWriter {
    calls: mpsc::Sender<Call>,
    state: Arc<Mutex<WriterState>>,
}

impl PartitionWriter {
    /// Opens a producer, and waits until it may write.
    pub fn open(settings: Settings, options: ProducerOptions) -> dataflow::Result<PartitionWriter> {
        let (calls, called) = mpsc::channel(CALLS_MAX);
        let state = Arc::new(Mutex::new(WriterState { stored: options.earlier.stored, ..WriterState::default() }));
        let (of_task, (is_open, opened)) = (state.clone(), oneshot::channel());
        runtime::handle()?.spawn(async move {
            // Whoever waits is woken when these are dropped, and is to find the reason then.
            let (mut called, mut is_open) = (called, Some(is_open));
            let mut flush = None;
            if let Err(error) = run(settings, options, &mut called, &of_task, &mut is_open, &mut flush).await {
                locked(&of_task).failed = Some(error);
            }
        });
        let writer = PartitionWriter { calls, state };
        opened.blocking_recv().map_err(|_| writer.failure())?;
        Ok(writer)
    }

    /// What the producer has shown so far.
    pub fn state(&self) -> WriterState {
        locked(&self.state).clone()
    }

    /// Gives messages to the producer; waits while it has no room.
    pub fn push(&self, messages: Vec<OutgoingMessage>) -> dataflow::Result<()> {
        self.calls.blocking_send(Call::Push(messages)).map_err(|_| self.failure())
    }

    /// Begins to wait until all that was pushed is stored; the wait is over when the answer is.
    pub fn begin_flush(&self) -> dataflow::Result<oneshot::Receiver<()>> {
        let (done, is_done) = oneshot::channel();
        self.calls.blocking_send(Call::Flush(done)).map_err(|_| self.failure())?;
        Ok(is_done)
    }

    /// Waits until all that was pushed before is stored.
    pub fn end_flush(&self, is_done: oneshot::Receiver<()>) -> dataflow::Result<()> {
        is_done.blocking_recv().map_err(|_| self.failure())
    }

    fn failure(&self) -> dataflow::Error {
        let ended = || Error::unavailable("the producer of a partition has ended");
        self.state().failed.unwrap_or_else(ended).into()
    }
}

fn locked(state: &Mutex<WriterState>) -> MutexGuard<'_, WriterState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(
    settings: Settings,
    options: ProducerOptions,
    calls: &mut mpsc::Receiver<Call>,
    state: &Mutex<WriterState>,
    is_open: &mut Option<oneshot::Sender<()>>,
    flush: &mut Option<oneshot::Sender<()>>,
) -> Result<()> {
    let topic = options.topic.clone();
    let mut producer = PartitionProducer::new(settings, options);
    let ended = serve(&mut producer, &topic, calls, state, is_open, flush).await;
    locked(state).stored = producer.stored();
    ended
}

async fn serve(
    producer: &mut PartitionProducer,
    topic: &TopicName,
    calls: &mut mpsc::Receiver<Call>,
    state: &Mutex<WriterState>,
    is_open: &mut Option<oneshot::Sender<()>>,
    flush: &mut Option<oneshot::Sender<()>>,
) -> Result<()> {
    let taken = match timeout(OPEN_WITHIN, producer.open()).await {
        Ok(taken) => taken?,
        Err(_) => return Err(unreached(producer.trouble().as_ref(), topic, OPEN_WITHIN)),
    };
    locked(state).taken = taken;
    // Whoever waited for this may have gone.
    let _ = is_open.take().map(|is_open| is_open.send(()));
    loop {
        let call = tokio::select! {
            biased;
            call = calls.recv() => call,
            turned = producer.attend() => {
                turned?;
                locked(state).is_deduplicated = producer.is_deduplicated();
                continue;
            }
        };
        match call {
            Some(Call::Push(messages)) => {
                for message in messages {
                    producer.push(message).await?;
                }
            }
            Some(Call::Flush(done)) => {
                *flush = Some(done);
                producer.flush().await?;
                {
                    let mut state = locked(state);
                    (state.is_deduplicated, state.stored) = (producer.is_deduplicated(), producer.stored());
                }
                let _ = flush.take().map(|done| done.send(()));
            }
            None => return Ok(()),
        }
    }
}
