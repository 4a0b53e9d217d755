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
//! A message that the log never takes is held alone, and not acknowledged: the others are copied, and it comes again to
//! whoever receives from the subscription next.
//!
//! A connection that stands still says nothing, as one does over which nothing is sent, and Pub/Sub does not say whether
//! messages wait. So after a while without any the connection is made anew.

use crate::held_log::{HeldLog, LOOK_EVERY, SHUTDOWN, is_final};
use crate::known::{COMES_AGAIN, Known, KnownChange};
use crate::settings::{Settings, runtime};
use crate::subscription::{Delivery, OUTSTANDING_BYTES, Seen, Subscription, batch};
use crate::uptime::{SystemUptime, Uptime};
use crate::watch::{Look, watch};
use copy_contract::{Append, CopyEnd, CopyEvent, CopyOptions, Received};
use dataflow::{Error, ErrorKind, Result};
use google_cloud_pubsub::subscriber::handler::Handler;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How often the log is told what has all come.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How often a batch that could not be appended is tried again.
const APPEND_EVERY: Duration = Duration::from_secs(1);
/// How often the connection is made anew while streams over it are refused or break. The client's own pauses grow to a
/// minute, and nothing tells one of them from a stream that stands.
const REFUSED_EVERY: Duration = Duration::from_secs(5);
/// What is said while streams are refused or break.
const REFUSED: &str = "the stream of messages is refused or breaks again and again, though the subscription can be looked at, \
    as when a quota is used up or a proxy closes streams; it is opened anew every 5 s";
/// How long the connection before may take to end.
const FAREWELL: Duration = Duration::from_secs(1);
/// A message over a new connection that waited for so much longer than that is there was held up by the one before.
const STOOD_STILL: Duration = Duration::from_secs(5);
/// How long a subscription that may not be looked at may take to refuse.
const REFUSAL: Duration = Duration::from_secs(2);

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
    let mut copying = Copying::new(append, options, Arc::new(SystemUptime));
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
    let clock: Arc<dyn Uptime> = Arc::new(SystemUptime);
    runtime()?.block_on(async { Subscription::open(settings, subscription, &clock).await?.look().await.map(drop) })
}

/// Why a connection is not received from any more.
enum ReceiveEnd {
    /// The copy is to end.
    Asked,
    /// Nothing has come for a while.
    Silent,
    /// The server was away, or refuses streams, or the machine was suspended.
    Broken,
}

struct Copying {
    options: CopyOptions,
    // What has come over the connection.
    deliveries: Receiver<Result<Delivery>>,
    log: HeldLog,
    // What came over the connection and is never taken, and the ids of all that were.
    unfit: Vec<(Handler, OwnedSemaphorePermit)>,
    unfit_ids: BTreeSet<String>,
    is_told_full: bool,
    // Acknowledgements that Pub/Sub confirms or refuses.
    refusals: JoinSet<bool>,
    refused: u64,
    known: Known,
    // Whether the connection before was silent, and no message has come over this one yet.
    is_again: bool,
    // Whether the server has answered after it was away.
    is_back: bool,
    // Whether the topic of the subscription was deleted.
    is_deleted: bool,
    // Whether it was told that the subscription is received from.
    is_open: bool,
    // When the log was told last what has all come.
    told: Instant,
    end: CopyEnd,
}

impl Copying {
    fn new(append: Box<dyn Append>, options: CopyOptions, clock: Arc<dyn Uptime>) -> Copying {
        Copying {
            options,
            deliveries: channel(1).1,
            log: HeldLog::new(append),
            unfit: Vec::new(),
            unfit_ids: BTreeSet::new(),
            is_told_full: false,
            refusals: JoinSet::new(),
            refused: 0,
            known: Known::new(clock),
            is_again: false,
            is_back: false,
            is_deleted: false,
            is_open: false,
            told: Instant::now(),
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
        let subscription = Subscription::open(settings, subscription, self.known.clock()).await?;
        if !self.is_open {
            let asked = self.known.clock().now();
            let seen = subscription.look().await?;
            let change = self.known.has_answered(asked);
            tell_change(change, String::new, tell);
            self.is_open = seen != Seen::Nothing;
            if self.is_open {
                tell(CopyEvent::Open);
            }
            if seen == (Seen::Whole { is_ordered: false }) {
                tell(CopyEvent::Unordered);
            }
        }
        let (deliveries, shutdown) = subscription.receive();
        self.deliveries = deliveries;
        self.is_back = false;
        self.known.open();
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
        tokio::spawn(watch(subscription.clone(), send, self.known.clock().clone()));
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
                    let came = self.known.clock().now();
                    let batch = batch(first?, &mut self.deliveries)?;
                    let before = (self.end.messages, self.unfit_ids.len());
                    if !self.put(batch, is_stopped, tell).await? {
                        return Ok(ReceiveEnd::Asked);
                    }
                    // What is never taken comes again and again, and is nothing new.
                    if before != (self.end.messages, self.unfit_ids.len()) {
                        self.known.has_come(came);
                    }
                    tell(CopyEvent::Copied(self.end.messages));
                }
                Some(None) => return Err(Error::internal("the client of Pub/Sub has ended by itself")),
                None => {}
            }
            let change = self.known.note(&subscription.attempts);
            tell_change(change, || REFUSED.to_owned(), tell);
            if !self.tell_log(true, is_stopped, tell).await? {
                return Ok(ReceiveEnd::Asked);
            }
            // A subscription that may not be received from says so at once, and one that has nothing says nothing.
            if !self.is_open && (self.end.messages > 0 || self.known.open_for() > REFUSAL) {
                self.is_open = true;
                tell(CopyEvent::Open);
            }
            self.tell_refused(tell);
            if is_stopped() || self.options.until_idle.is_some_and(|idle| self.known.is_idle(idle)) {
                return Ok(ReceiveEnd::Asked);
            }
            if !self.deliveries.is_empty() {
                continue;
            }
            if self.is_deleted && self.known.has_settled() {
                return Err(subscription.topic_is_deleted());
            }
            let is_refused = self.known.is_refused() && made.elapsed() > REFUSED_EVERY;
            if self.is_back || is_refused || self.known.was_suspended() {
                return Ok(ReceiveEnd::Broken);
            }
            if self.known.is_silent() {
                return Ok(ReceiveEnd::Silent);
            }
        }
    }

    /// Appends and syncs, then acknowledges; false when it is to stop before that. The client goes on meanwhile, so that
    /// leases are extended.
    async fn put(
        &mut self,
        batch: Vec<Delivery>,
        is_stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(CopyEvent),
    ) -> Result<bool> {
        let (mut messages, mut handlers) = (Vec::new(), Vec::new());
        for Delivery { message, handler, room } in batch {
            messages.push(message);
            handlers.push((handler, room));
        }
        let came = self.known.open_for();
        let messages = Arc::new(messages);
        let Some((waited, unfit)) = self.append_fitting(&messages, is_stopped, tell).await? else { return Ok(false) };
        // Another message that has waited, such as one that somebody else has refused, comes at any time.
        if std::mem::take(&mut self.is_again) && came < COMES_AGAIN && waited > self.known.open_for() + STOOD_STILL {
            tell(CopyEvent::StoodStill(waited));
        }
        let held: usize = self.unfit.iter().map(|(_, room)| room.num_permits()).sum();
        if held > OUTSTANDING_BYTES / 2 && !std::mem::replace(&mut self.is_told_full, true) {
            tell(CopyEvent::UnfitFill(self.unfit.len()));
        }
        for (at, (handler, room)) in handlers.into_iter().enumerate() {
            if unfit.contains(&at) {
                self.unfit.push((handler, room));
                continue;
            }
            self.end.messages += 1;
            self.end.bytes += messages[at].data.len() as u64;
            match handler {
                Handler::ExactlyOnce(handler) => {
                    self.refusals.spawn(async move { handler.confirmed_ack().await.is_err() });
                }
                other => other.ack(),
            }
        }
        Ok(true)
    }

    /// Appends all messages but those that are never taken, which are told, and their places given.
    async fn append_fitting(
        &mut self,
        messages: &Arc<Vec<Received>>,
        is_stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(CopyEvent),
    ) -> Result<Option<(Duration, BTreeSet<usize>)>> {
        let is_known = |message: &Received| self.unfit_ids.contains(&message.message_id);
        if !messages.iter().any(is_known) {
            match self.append(messages, is_stopped, tell).await {
                Err(error) if error.kind() == ErrorKind::Data => {}
                appended => return Ok(appended?.map(|waited| (waited, BTreeSet::new()))),
            }
        }
        let (mut longest, mut unfit) = (Duration::ZERO, BTreeSet::new());
        for (at, message) in messages.iter().enumerate() {
            match self.append(&Arc::new(vec![message.clone()]), is_stopped, tell).await {
                Ok(Some(waited)) => longest = longest.max(waited),
                Ok(None) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Data => {
                    unfit.insert(at);
                    let Received { message_id, data, .. } = message;
                    if self.unfit_ids.insert(message_id.clone()) {
                        let (message_id, bytes, why) = (message_id.clone(), data.len(), error.chain());
                        tell(CopyEvent::Unfit { message_id, bytes, why });
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Some((longest, unfit)))
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
            let appending = self.log.begin(move |log| log.append(&batch))?;
            let error = match self.log.wait(appending, &mut is_held, is_stopped, tell).await? {
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
                // The pauses of the client have grown with how long it was away, so that the connection is made anew.
                self.is_back |= self.known.is_away();
                let change = self.known.has_answered(look.asked);
                tell_change(change, String::new, tell);
                let was_deleted = std::mem::replace(&mut self.is_deleted, seen == Seen::WithoutTopic);
                if self.is_deleted && !was_deleted {
                    tell(CopyEvent::TopicDeleted);
                }
            }
            Err(error) if error.kind() != ErrorKind::Unavailable => return Err(error),
            Err(error) => {
                let change = self.known.has_no_answer();
                tell_change(change, || error.chain(), tell);
            }
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
        let until = if is_known { self.known.until() } else { None };
        let clock = self.known.clock().clone();
        // A batch that is held was said to be.
        let mut is_held = !is_known;
        let telling = self.log.begin(move |log| match until {
            Some(until) => log.drained(Some(&|| clock.now().since(until))),
            None => log.drained(None),
        })?;
        let told = self.log.wait(telling, &mut is_held, is_stopped, tell).await?;
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
        self.unfit.clear();
        self.deliveries.close();
        while self.deliveries.try_recv().is_ok() {}
    }
}

/// Tells that nobody knows what comes any more, for a reason, or that it is known again.
fn tell_change(change: Option<KnownChange>, why: impl FnOnce() -> String, tell: &mut dyn FnMut(CopyEvent)) {
    match change {
        Some(KnownChange::Blind) => tell(CopyEvent::Away(why())),
        Some(KnownChange::Back) => tell(CopyEvent::Back),
        None => {}
    }
}
