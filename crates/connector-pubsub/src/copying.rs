//! Copies a subscription into a log.
//!
//! ```text
//! Pub/Sub -> receive (64 MiB at most) -> append and sync -> acknowledge
//!                 leases are extended -----^
//! nothing came for a while: promise that what comes arrives later
//! ```
//!
//! A message is acknowledged after the log has it durably, and never before: what a crash leaves between the two comes
//! again. Messages of one ordering key come one after the other, each after the one before it was acknowledged.

use crate::received::Received;
use crate::settings::{Settings, runtime};
use crate::subscription::{Delivery, LEASE, Subscription};
use dataflow::{Error, Result};
use google_cloud_pubsub::subscriber::handler::Handler;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

/// How many messages are appended and synced at once, at most.
const BATCH_MESSAGES: usize = 4_096;
/// How many bytes of them.
const BATCH_BYTES: usize = 8 << 20;
/// How often it is looked whether the copy is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often it is asked whether the subscription is there.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How often the log is told that nothing came.
const IDLE_EVERY: Duration = Duration::from_secs(1);
/// How long a subscription that may not be looked at may take to refuse.
const REFUSAL: Duration = Duration::from_secs(2);
/// How long the last acknowledgements may take.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// What makes messages durable.
pub trait Append: Send + 'static {
    /// Appends messages; all are durable on return. After an error all come again.
    fn append(&mut self, messages: &[Received]) -> Result<()>;
    /// Nothing has come for so long.
    fn idle(&mut self, since: Duration) -> Result<()>;
}

/// How a subscription is copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyOptions {
    /// Ends the copy when nothing came for so long; it goes on until it is stopped without this.
    pub until_idle: Option<Duration>,
}

/// What happens while a subscription is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyEvent {
    /// The subscription is there, and is received from.
    Open,
    /// So many messages were made durable so far.
    Copied(u64),
    /// So many acknowledgements were refused, after which their messages come again: the log has these twice.
    Refused(u64),
}

/// What a copy did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyEnd {
    /// How many messages were made durable.
    pub messages: u64,
    /// How many bytes of data they have.
    pub bytes: u64,
}

/// Copies a subscription until it is stopped, or idle where that is an end.
pub fn copy(
    settings: &Settings,
    subscription: &str,
    options: CopyOptions,
    append: Box<dyn Append>,
    is_stopped: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(CopyEvent),
) -> Result<CopyEnd> {
    settings.check_reachable()?;
    runtime()?.block_on(async {
        let subscription = Subscription::open(settings, subscription).await?;
        let may_look = subscription.look().await?;
        let (deliveries, shutdown) = subscription.receive();
        let now = Instant::now();
        let mut copying = Copying {
            deliveries,
            append: Some(append),
            refusals: JoinSet::new(),
            refused: 0,
            opened: now,
            last: now,
            told_idle: now,
            end: CopyEnd::default(),
        };
        let ended = copying.run(&subscription, may_look, options, is_stopped, tell).await;
        copying.close();
        // What was acknowledged is told to Pub/Sub; what was not comes again.
        let _ = timeout(SHUTDOWN, shutdown.shutdown()).await;
        ended.map(|()| copying.end)
    })
}

struct Copying {
    deliveries: Receiver<Result<Delivery>>,
    // Away while it appends.
    append: Option<Box<dyn Append>>,
    // Acknowledgements that Pub/Sub confirms or refuses.
    refusals: JoinSet<bool>,
    refused: u64,
    opened: Instant,
    // When the last message came, and when the log was told last that nothing came.
    last: Instant,
    told_idle: Instant,
    end: CopyEnd,
}

impl Copying {
    async fn run(
        &mut self,
        subscription: &Subscription,
        may_look: bool,
        options: CopyOptions,
        is_stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(CopyEvent),
    ) -> Result<()> {
        let mut is_open = may_look;
        if is_open {
            tell(CopyEvent::Open);
        }
        let mut gone = tokio::spawn(watch(subscription.clone()));
        loop {
            let next = tokio::select! {
                biased;
                next = self.deliveries.recv() => Some(next),
                gone = &mut gone => return Err(gone.map_or_else(ended_by_itself, |gone| gone)),
                () = sleep(LOOK_EVERY) => None,
            };
            match next {
                Some(Some(first)) => {
                    let batch = self.batch(first?)?;
                    self.put(batch).await?;
                    self.last = Instant::now();
                    tell(CopyEvent::Copied(self.end.messages));
                }
                Some(None) => return Err(Error::internal("the client of Pub/Sub has ended by itself")),
                None => self.rest().await?,
            }
            // A subscription that may not be received from says so at once, and one that has nothing says nothing.
            if !is_open && (self.end.messages > 0 || self.opened.elapsed() > REFUSAL) {
                is_open = true;
                tell(CopyEvent::Open);
            }
            self.tell_refused(tell);
            if is_stopped() || options.until_idle.is_some_and(|idle| self.last.elapsed() > idle) {
                gone.abort();
                return Ok(());
            }
        }
    }

    /// A delivery and those that are here after it. Those before an error are given back, and come again.
    fn batch(&mut self, first: Delivery) -> Result<Vec<Delivery>> {
        let mut bytes = first.message.bytes();
        let mut batch = vec![first];
        while batch.len() < BATCH_MESSAGES && bytes < BATCH_BYTES {
            match self.deliveries.try_recv() {
                Ok(next) => {
                    let next = next?;
                    bytes += next.message.bytes();
                    batch.push(next);
                }
                Err(_) => break,
            }
        }
        Ok(batch)
    }

    /// Appends and syncs, then acknowledges. The client goes on meanwhile, so that leases are extended.
    async fn put(&mut self, batch: Vec<Delivery>) -> Result<()> {
        let (mut messages, mut handlers, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
        for Delivery { message, handler, room } in batch {
            self.end.bytes += message.data.len() as u64;
            messages.push(message);
            handlers.push(handler);
            rooms.push(room);
        }
        let count = messages.len() as u64;
        self.with_log(move |log| log.append(&messages)).await?;
        self.end.messages += count;
        for handler in handlers {
            match handler {
                Handler::ExactlyOnce(handler) => {
                    self.refusals.spawn(async move { handler.confirmed_ack().await.is_err() });
                }
                other => other.ack(),
            }
        }
        Ok(())
    }

    /// Tells the log that nothing came. Before the leases of a process that was killed are over, its messages may come.
    async fn rest(&mut self) -> Result<()> {
        if self.opened.elapsed() < LEASE || self.told_idle.elapsed() < IDLE_EVERY {
            return Ok(());
        }
        self.told_idle = Instant::now();
        let since = self.last.elapsed();
        self.with_log(move |log| log.idle(since)).await
    }

    /// Does something with the log on a thread that may wait for the disk.
    async fn with_log(&mut self, act: impl FnOnce(&mut dyn Append) -> Result<()> + Send + 'static) -> Result<()> {
        let mut log = self.append.take().ok_or_else(|| Error::internal("the log is away"))?;
        let acted = spawn_blocking(move || {
            let done = act(log.as_mut());
            (log, done)
        });
        let (log, done) = acted.await.map_err(ended_by_itself)?;
        self.append = Some(log);
        done
    }

    fn tell_refused(&mut self, tell: &mut dyn FnMut(CopyEvent)) {
        let before = self.refused;
        while let Some(refused) = self.refusals.try_join_next() {
            self.refused += u64::from(refused.unwrap_or(true));
        }
        if self.refused > before {
            tell(CopyEvent::Refused(self.refused));
        }
    }

    /// Gives back what was not made durable.
    fn close(&mut self) {
        self.deliveries.close();
        while self.deliveries.try_recv().is_ok() {}
    }
}

/// Looks at a subscription until it is gone, or has lost its topic. That it cannot be reached is the client's to mend.
async fn watch(subscription: Subscription) -> Error {
    loop {
        sleep(ASK_EVERY).await;
        match subscription.look().await {
            Err(error) if error.kind() != dataflow::ErrorKind::Unavailable => return error,
            _ => {}
        }
    }
}

fn ended_by_itself(error: tokio::task::JoinError) -> Error {
    Error::internal("a task of the client of Pub/Sub has ended by itself").with_source(error)
}
