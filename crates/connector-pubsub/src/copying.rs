//! Copies a subscription into a log.
//!
//! ```text
//! Pub/Sub -> receive (64 MiB at most) -> append and sync -> acknowledge
//!                 leases are extended -----^
//!                         |
//! every second, while the server answers: promise what has all come
//! ```
//!
//! A message is acknowledged after the log has it durably, and never before: what a crash leaves between the two comes
//! again. A batch that cannot be appended is held and tried again: giving it back would count as a delivery of each of its
//! messages, after some of which they are dead letters. Messages of one ordering key come one after the other, each after
//! the one before it was acknowledged.
//!
//! A connection that stands still says nothing, as one does over which nothing is sent, and Pub/Sub does not say whether
//! messages wait. So after a while without any the connection is made anew.

use crate::attempts::Attempts;
use crate::settings::{Settings, runtime};
use crate::subscription::{Delivery, LEASE, Seen, Subscription, batch};
use crate::watch::{Look, watch};
use copy_contract::{Append, CopyEnd, CopyEvent, CopyOptions, Received};
use dataflow::{Error, ErrorKind, Result};
use google_cloud_pubsub::subscriber::handler::Handler;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

/// How often it is looked whether the copy is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often the log is told what has all come.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How often a batch that could not be appended is tried again.
const APPEND_EVERY: Duration = Duration::from_secs(1);
/// After how long an append that goes on is said to be slow.
const SLOW: Duration = Duration::from_secs(10);
/// How often the connection is made anew while streams over it are refused or break. The client's own pauses grow to a
/// minute, and nothing tells one of them from a stream that stands.
const REFUSED_EVERY: Duration = Duration::from_secs(5);
/// A stream of a new connection that has not failed for so long stands: the client tries again sooner.
const STANDS: Duration = Duration::from_secs(2);
/// What is said while streams are refused or break.
const REFUSED: &str = "the stream of messages is refused or breaks again and again, though the subscription can be looked at, \
    as when a quota is used up or a proxy closes streams; it is opened anew every 5 s";
/// After how long without a message the connection is made anew.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the connection before may take to end.
const FAREWELL: Duration = Duration::from_secs(1);
/// When what was on its way to a process that was killed, or over a connection that is no more, has come again.
const COMES_AGAIN: Duration = LEASE.saturating_add(Duration::from_secs(2));
/// A message over a new connection that waited for so much longer than that is there was held up by the one before.
const STOOD_STILL: Duration = Duration::from_secs(5);
/// How long a subscription that may not be looked at may take to refuse.
const REFUSAL: Duration = Duration::from_secs(2);
/// How long the last append may take when the copy is to stop, and the last acknowledgements.
const SHUTDOWN: Duration = Duration::from_secs(10);

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
    let mut copying = Copying::new(append, options);
    loop {
        let runtime = runtime()?;
        let ended = runtime.block_on(copying.receive(settings, subscription, is_stopped, tell));
        // A call over a connection that stands still would hold it open.
        runtime.shutdown_background();
        match ended? {
            ReceiveEnd::Asked => return Ok(copying.end),
            ReceiveEnd::Silent => copying.is_again = true,
            ReceiveEnd::Broken => {}
        }
    }
}

/// Refuses a subscription that is not there or is not pulled from. One that this account may not look at is taken to be there.
pub fn check(settings: &Settings, subscription: &str) -> Result<()> {
    settings.check_reachable()?;
    runtime()?.block_on(async { Subscription::open(settings, subscription).await?.look().await.map(drop) })
}

/// Why a connection is not received from any more.
enum ReceiveEnd {
    /// The copy is to end.
    Asked,
    /// Nothing has come for a while.
    Silent,
    /// The server was away, or refuses streams.
    Broken,
}

struct Copying {
    options: CopyOptions,
    // What has come over the connection.
    deliveries: Receiver<Result<Delivery>>,
    // Away while it appends.
    append: Option<Box<dyn Append>>,
    // Acknowledgements that Pub/Sub confirms or refuses.
    refusals: JoinSet<bool>,
    refused: u64,
    // When the client began to open the stream that it has, and whether that was since the one before was silent, and no
    // message has come yet.
    opened: Instant,
    is_again: bool,
    // When the last message came, once one has.
    came: Option<Instant>,
    // Whether streams are refused or break, and whether the server has answered after it was away.
    is_refused: bool,
    is_back: bool,
    // Whether the topic of the subscription was deleted.
    is_deleted: bool,
    // Whether it was told that the subscription is received from.
    is_open: bool,
    // When the last message came, or the client has connected anew, and when the log was told last what has all come.
    last: Instant,
    told: Instant,
    // When the server was asked last of the times that it answered, and whether it does not now.
    answered: Instant,
    is_away: bool,
    // From when on it is known what has all come.
    knows_from: Instant,
    end: CopyEnd,
}

impl Copying {
    fn new(append: Box<dyn Append>, options: CopyOptions) -> Copying {
        let now = Instant::now();
        Copying {
            options,
            deliveries: channel(1).1,
            append: Some(append),
            refusals: JoinSet::new(),
            refused: 0,
            opened: now,
            is_again: false,
            came: None,
            is_refused: false,
            is_back: false,
            is_deleted: false,
            is_open: false,
            last: now,
            told: now,
            answered: now,
            is_away: false,
            knows_from: now,
            end: CopyEnd::default(),
        }
    }

    /// Receives over a connection of its own.
    async fn receive(
        &mut self,
        settings: &Settings,
        subscription: &str,
        is_stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(CopyEvent),
    ) -> Result<ReceiveEnd> {
        let subscription = Subscription::open(settings, subscription).await?;
        if !self.is_open {
            self.answered = Instant::now();
            self.is_open = subscription.look().await? != Seen::Nothing;
            if self.is_open {
                tell(CopyEvent::Open);
            }
        }
        let (deliveries, shutdown) = subscription.receive();
        self.deliveries = deliveries;
        self.opened = Instant::now();
        self.is_back = false;
        self.knows_from = self.knows_from.max(self.opened + COMES_AGAIN);
        let ended = self.run(&subscription, is_stopped, tell).await;
        self.close();
        let within = if matches!(ended, Ok(ReceiveEnd::Silent)) { FAREWELL } else { SHUTDOWN };
        // What was acknowledged is told to Pub/Sub; what was not comes again.
        let _ = timeout(within, shutdown.shutdown()).await;
        ended
    }

    async fn run(
        &mut self,
        subscription: &Subscription,
        is_stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(CopyEvent),
    ) -> Result<ReceiveEnd> {
        let made = Instant::now();
        let (send, mut looks) = channel(1);
        tokio::spawn(watch(subscription.clone(), send));
        loop {
            let next = tokio::select! {
                biased;
                Some(look) = looks.recv() => {
                    self.looked(look, tell)?;
                    continue;
                }
                next = self.deliveries.recv() => Some(next),
                () = sleep(LOOK_EVERY) => None,
            };
            match next {
                Some(Some(first)) => {
                    let came = Instant::now();
                    let batch = batch(first?, &mut self.deliveries)?;
                    if !self.put(batch, is_stopped, tell).await? {
                        return Ok(ReceiveEnd::Asked);
                    }
                    (self.last, self.came) = (Instant::now(), Some(came));
                    tell(CopyEvent::Copied(self.end.messages));
                }
                Some(None) => return Err(Error::internal("the client of Pub/Sub has ended by itself")),
                None => {}
            }
            self.note_attempts(&subscription.attempts, tell);
            if !self.tell_log(true, is_stopped, tell).await? {
                return Ok(ReceiveEnd::Asked);
            }
            // A subscription that may not be received from says so at once, and one that has nothing says nothing.
            if !self.is_open && (self.end.messages > 0 || self.opened.elapsed() > REFUSAL) {
                self.is_open = true;
                tell(CopyEvent::Open);
            }
            self.tell_refused(tell);
            if is_stopped() || self.options.until_idle.is_some_and(|idle| self.is_idle(idle)) {
                return Ok(ReceiveEnd::Asked);
            }
            if !self.deliveries.is_empty() {
                continue;
            }
            if self.is_deleted && !self.is_blind() && self.last.max(self.opened).elapsed() > COMES_AGAIN {
                return Err(subscription.topic_is_deleted());
            }
            if self.is_back || self.is_refused && made.elapsed() > REFUSED_EVERY {
                return Ok(ReceiveEnd::Broken);
            }
            if self.is_silent() {
                return Ok(ReceiveEnd::Silent);
            }
        }
    }

    /// Whether nothing has come over this connection for a while, while the server answers.
    fn is_silent(&self) -> bool {
        !self.is_blind() && self.last.max(self.opened).elapsed() > SILENCE
    }

    /// Whether nobody knows what comes.
    fn is_blind(&self) -> bool {
        self.is_away || self.is_refused
    }

    /// What the attempts of the client to open its stream say of what has come.
    fn note_attempts(&mut self, attempts: &Attempts, tell: &mut dyn FnMut(CopyEvent)) {
        if let Some(last) = attempts.last().filter(|last| *last > self.opened) {
            // What was on its way over the one before comes again.
            self.opened = last;
            self.knows_from = self.knows_from.max(last + COMES_AGAIN);
        }
        if !self.is_refused && attempts.are_many() {
            self.is_refused = true;
            if !self.is_away {
                tell(CopyEvent::Away(REFUSED.to_owned()));
            }
        } else if self.is_refused
            && attempts.is_first()
            && self.opened.elapsed() > STANDS
            && self.answered > self.opened
        {
            self.is_refused = false;
            if !self.is_away {
                tell(CopyEvent::Back);
            }
        }
    }

    /// Whether nothing came for so long, and the server has answered after that. What a killed process held comes before.
    fn is_idle(&self, idle: Duration) -> bool {
        !self.is_blind()
            && self.opened.elapsed() > COMES_AGAIN
            && self.last.elapsed() > idle
            && self.answered.saturating_duration_since(self.last) > idle
    }

    /// Appends and syncs, then acknowledges; false when it is to stop before that. The client goes on meanwhile, so that
    /// leases are extended.
    async fn put(
        &mut self,
        batch: Vec<Delivery>,
        is_stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(CopyEvent),
    ) -> Result<bool> {
        let (mut messages, mut handlers, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        for Delivery { message, handler, room } in batch {
            bytes += message.data.len() as u64;
            messages.push(message);
            handlers.push(handler);
            rooms.push(room);
        }
        let came = self.opened.elapsed();
        let messages = Arc::new(messages);
        let Some(waited) = self.append(&messages, is_stopped, tell).await? else { return Ok(false) };
        // Another message that has waited, such as one that somebody else has refused, comes at any time.
        if std::mem::take(&mut self.is_again) && came < COMES_AGAIN && waited > self.opened.elapsed() + STOOD_STILL {
            tell(CopyEvent::StoodStill(waited));
        }
        self.end.messages += messages.len() as u64;
        self.end.bytes += bytes;
        for handler in handlers {
            match handler {
                Handler::ExactlyOnce(handler) => {
                    self.refusals.spawn(async move { handler.confirmed_ack().await.is_err() });
                }
                other => other.ack(),
            }
        }
        Ok(true)
    }

    /// Appends until it succeeds, and gives for how long the oldest has waited; nothing when it is to stop before that. What
    /// is wrong in itself, such as a mirror that another one has taken over, is an error.
    async fn append(
        &mut self,
        messages: &Arc<Vec<Received>>,
        is_stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(CopyEvent),
    ) -> Result<Option<Duration>> {
        let mut is_held = false;
        let waited = loop {
            let batch = messages.clone();
            let appending = self.begin(move |log| log.append(&batch))?;
            let error = match self.wait(appending, &mut is_held, is_stopped, tell).await? {
                None => return Ok(None),
                Some(Ok(waited)) => break waited,
                Some(Err(error)) => error,
            };
            if is_final(&error) {
                return Err(error);
            }
            if !is_held {
                is_held = true;
                tell(CopyEvent::Held(error.chain()));
            }
            let failed = Instant::now();
            while failed.elapsed() < APPEND_EVERY {
                if is_stopped() {
                    return Ok(None);
                }
                sleep(LOOK_EVERY).await;
            }
            if !self.tell_log(false, is_stopped, tell).await? {
                return Ok(None);
            }
        };
        if is_held {
            tell(CopyEvent::Released);
        }
        Ok(Some(waited))
    }

    /// What an answer of the server, or that there is none, says of what has come.
    fn looked(&mut self, look: Look, tell: &mut dyn FnMut(CopyEvent)) -> Result<()> {
        match look.found {
            Ok(seen) => {
                if self.is_away {
                    // The pauses of the client have grown with how long it was away, so that the connection is made anew.
                    let now = Instant::now();
                    self.knows_from = self.knows_from.max(now + COMES_AGAIN);
                    (self.last, self.is_away, self.is_back) = (now, false, true);
                    if !self.is_refused {
                        tell(CopyEvent::Back);
                    }
                }
                self.answered = look.asked;
                let was_deleted = std::mem::replace(&mut self.is_deleted, seen == Seen::WithoutTopic);
                if self.is_deleted && !was_deleted {
                    tell(CopyEvent::TopicDeleted);
                }
            }
            Err(error) if error.kind() != ErrorKind::Unavailable => return Err(error),
            Err(error) if !self.is_away => {
                self.is_away = true;
                tell(CopyEvent::Away(error.chain()));
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Tells the log every second what has all come, whether or not messages flow; nothing while some are held. False when
    /// it is to stop before that is done.
    async fn tell_log(
        &mut self,
        is_known: bool,
        is_stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(CopyEvent),
    ) -> Result<bool> {
        if self.told.elapsed() < TELL_EVERY {
            return Ok(true);
        }
        self.told = Instant::now();
        let since = (is_known && !self.is_blind() && self.told >= self.knows_from).then(|| self.known_since());
        // A batch that is held was said to be.
        let mut is_held = !is_known;
        let telling = self.begin(move |log| log.drained(since))?;
        let told = self.wait(telling, &mut is_held, is_stopped, tell).await?;
        if is_known && is_held {
            tell(CopyEvent::Released);
        }
        match told {
            None => Ok(false),
            Some(Err(error)) if is_final(&error) => Err(error),
            // It is told again in a second.
            Some(_) => Ok(true),
        }
    }

    /// How long ago the time lies up to which all has come. A message over the stream tells that it stands. An answer of
    /// the server tells less: what was on its way over a stream that broke since then comes again after its lease.
    fn known_since(&self) -> Duration {
        let by_answer = self.answered.elapsed() + COMES_AGAIN;
        let came = self.came.filter(|came| *came > self.opened);
        came.map_or(by_answer, |came| came.elapsed().min(by_answer))
    }

    /// Waits until the log has done something, and says when that takes long; nothing when it is to stop before that.
    async fn wait<T>(
        &mut self,
        mut doing: JoinHandle<(Box<dyn Append>, Result<T>)>,
        is_held: &mut bool,
        is_stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(CopyEvent),
    ) -> Result<Option<Result<T>>> {
        let begun = Instant::now();
        loop {
            if let Ok(ended) = timeout(LOOK_EVERY, &mut doing).await {
                let (log, done) = ended.map_err(ended_by_itself)?;
                self.append = Some(log);
                return Ok(Some(done));
            }
            if is_stopped() && begun.elapsed() > SHUTDOWN {
                return Ok(None);
            }
            if !*is_held && begun.elapsed() > SLOW {
                *is_held = true;
                tell(CopyEvent::Held(format!("it has not answered for {} s, and is waited for", SLOW.as_secs())));
            }
        }
    }

    /// Begins to do something with the log, which is away until that is done.
    fn begin<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut dyn Append) -> Result<T> + Send + 'static,
    ) -> Result<JoinHandle<(Box<dyn Append>, Result<T>)>> {
        let mut log = self.append.take().ok_or_else(|| Error::internal("the log is away"))?;
        Ok(spawn_blocking(move || {
            let done = act(log.as_mut());
            (log, done)
        }))
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

/// Whether trying again changes nothing: what is asked for is wrong, or the topic is damaged or another one.
fn is_final(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Corrupt)
}

fn ended_by_itself(error: tokio::task::JoinError) -> Error {
    Error::internal("a task of the client of Pub/Sub has ended by itself").with_source(error)
}
