//! Readers and producers over sockets, for code that waits.

use crate::anchor::AnchorFacts;
use crate::anchor_question::{AnchorAnswer, AnchorQuestion, AnchorTask};
use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::message::Message;
use crate::position::{EntryId, Position};
use crate::producer::{OutgoingMessage, ProducerMachine, ProducerOptions};
use crate::question::{Ask, Partitions, Question, SchemaVersion, TopicsOf};
use crate::reader::{PartitionEnd, ReaderMachine, ReaderOptions};
use crate::settings::Settings;
use crate::topic::{Namespace, TopicName};
use crate::waiting::{LOOK_FOR_STOP, is_ending};
use crate::wire::protocol::Schema;
use bytes::Bytes;
use std::convert::Infallible;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long a broker has until it gives out a partition that is opened.
pub const OPEN_WITHIN: Duration = Duration::from_secs(20);

/// A number that nobody else has: it spreads attempts over time, and makes names fresh.
pub fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// How many partitions a topic has, if it is there; 0 is a topic without partitions.
///
/// A broker that cannot be reached for so long is an error that says what the last attempt met.
pub async fn partition_count(settings: &Settings, topic: &TopicName, within: Duration) -> Result<Option<u32>> {
    ask(settings, topic, Partitions, within).await
}

/// The full names of all topics of a namespace, one of which is given; partitions are listed one by one.
pub(crate) async fn namespace_topics(
    settings: &Settings,
    namespace: &Namespace,
    topic: &TopicName,
    within: Duration,
) -> Result<Vec<String>> {
    ask(settings, topic, TopicsOf(namespace.clone()), within).await
}

/// A schema of a topic, or of the topic that a partition is of; the newest where no version is given.
pub(crate) async fn registered_schema(
    settings: &Settings,
    topic: &TopicName,
    version: Option<Bytes>,
    within: Duration,
) -> Result<Option<Schema>> {
    ask(settings, topic, SchemaVersion(version), within).await
}

async fn ask<Asked: Ask>(
    settings: &Settings,
    topic: &TopicName,
    asked: Asked,
    within: Duration,
) -> Result<Asked::Answer> {
    let question = Question::new(settings.clone(), topic.clone(), asked, chance());
    answered(settings, question, Question::answer, (topic, within)).await
}

/// Does something about the anchor of a partition; an anchor is one subscription.
pub(crate) async fn anchor(
    settings: &Settings,
    partition: &TopicName,
    name: &str,
    task: AnchorTask,
    within: Duration,
) -> Result<AnchorAnswer> {
    let question = AnchorQuestion::new(settings.clone(), partition.clone(), name, task, chance());
    answered(settings, question, |question| question.answer(), (partition, within)).await
}

/// Puts a question about a topic to its cluster, and gives the answer. A cluster that cannot be reached for so long is an
/// error that says what the last attempt met.
async fn answered<Question: Machine, Answer>(
    settings: &Settings,
    mut question: Question,
    answer: impl Fn(&mut Question) -> Option<Answer>,
    (topic, within): (&TopicName, Duration),
) -> Result<Answer> {
    let mut driver = Driver::new(settings.clone());
    let asking = async {
        let mut asked_to_end = None;
        loop {
            if let Some(answer) = answer(&mut question) {
                return Ok(answer);
            }
            tokio::select! {
                turned = driver.turn(&mut question) => turned?,
                () = sleep(LOOK_FOR_STOP.0) => {}
            }
            let since = is_ending().then(|| *asked_to_end.get_or_insert_with(Instant::now));
            if since.is_some_and(|since| since.elapsed() >= LOOK_FOR_STOP.0 * LOOK_FOR_STOP.1) {
                return Err(Error::unavailable("stopped before the cluster answered"));
            }
        }
    };
    match timeout(within, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(unreached(question.link().trouble(), topic, within)),
    }
}

/// Why a broker was given up.
pub(crate) fn unreached(trouble: Option<&Error>, topic: &TopicName, within: Duration) -> Error {
    let silent = || {
        Error::unavailable(format!(
            "topic \"{topic}\": the broker did not answer: it stands still, or what listens there is none"
        ))
    };
    trouble.cloned().unwrap_or_else(silent).context(format_args!("gave up after {} s", within.as_secs_f64()))
}

/// Reads one partition.
///
/// Nothing happens between calls: while messages are not wanted, `keep` answers the broker's questions.
pub struct PartitionReader {
    machine: ReaderMachine,
    driver: Driver,
}

impl PartitionReader {
    /// A reader that connects with its first call.
    pub fn new(settings: Settings, options: ReaderOptions) -> Self {
        let chance = chance();
        let driver = Driver::new(settings.clone());
        let options = ReaderOptions { name: format!("{}-{chance:016x}", options.name), ..options };
        PartitionReader { machine: ReaderMachine::new(settings, options, chance), driver }
    }

    /// The next message; none after the last one of a topic that was terminated.
    ///
    /// A call that is dropped while it waits has lost nothing.
    pub async fn next(&mut self) -> Result<Option<Message>> {
        loop {
            if let Some(message) = self.machine.take() {
                return Ok(Some(message));
            }
            if self.machine.has_ended() {
                return Ok(None);
            }
            self.driver.turn(&mut self.machine).await?;
        }
    }

    /// Gives way to whatever else runs on the thread, and does what has become possible on the connection; waits for nothing
    /// else.
    pub async fn attend(&mut self) -> Result<()> {
        tokio::select! {
            biased;
            turned = self.driver.turn(&mut self.machine) => turned,
            () = tokio::task::yield_now() => Ok(()),
        }
    }

    /// The next message, if it is here already.
    pub fn ready(&mut self) -> Option<Message> {
        self.machine.take()
    }

    /// The last entry that has come, where no message waits to be taken.
    pub fn received_without_messages(&self) -> Option<EntryId> {
        self.machine.received_without_messages()
    }

    /// The last entry that has come.
    pub fn last_entry(&self) -> Option<EntryId> {
        self.machine.last_entry()
    }

    /// When the entry was stored after which the reader began; known once it came again.
    pub fn begun_after_ms(&self) -> Option<u64> {
        self.machine.begun_after_ms()
    }

    /// Keeps the connection alive, and fills the memory that the reader may have; returns on errors alone.
    pub async fn keep(&mut self) -> Result<Infallible> {
        loop {
            self.driver.turn(&mut self.machine).await?;
        }
    }

    /// Where the partition ends now.
    pub async fn end(&mut self) -> Result<PartitionEnd> {
        loop {
            if let Some(end) = self.machine.take_end() {
                return Ok(end);
            }
            if self.machine.is_reading() && !self.machine.is_asking_end() {
                self.machine.ask_end(self.driver.now());
            }
            self.driver.turn(&mut self.machine).await?;
        }
    }

    /// Nothing before this position is needed any more, by any checkpoint: the anchor moves with the next call.
    pub fn release(&mut self, position: &Position) {
        self.release_before(position.oldest_needed());
    }

    /// Nothing before this entry is needed any more, by any checkpoint: the anchor moves with the next call.
    pub fn release_before(&mut self, needed: EntryId) {
        self.machine.release_before(needed, self.driver.now());
    }

    /// What is known of the anchor, where there is one.
    pub fn anchor_facts(&self) -> Option<AnchorFacts> {
        self.machine.anchor_facts().copied()
    }

    /// Whether the broker waits for another consumer to leave the anchor.
    pub fn is_busy(&self) -> bool {
        self.machine.is_busy()
    }

    /// How often the reader has come to the topic's broker; more than once is a connection that was lost.
    pub fn connections(&self) -> u64 {
        self.machine.connections()
    }

    /// What the reader waits for, if its broker cannot be reached.
    pub fn trouble(&mut self) -> Option<Error> {
        self.machine.link().trouble().cloned()
    }
}

/// Writes one partition.
pub struct PartitionProducer {
    machine: ProducerMachine,
    driver: Driver,
}

impl PartitionProducer {
    /// A producer that connects with its first call.
    pub fn new(settings: Settings, options: ProducerOptions) -> Self {
        let driver = Driver::new(settings.clone());
        PartitionProducer { machine: ProducerMachine::new(settings, options, chance()), driver }
    }

    /// Waits until the broker lets the producer write; gives the greatest sequence that it has taken from the name.
    pub async fn open(&mut self) -> Result<Option<u64>> {
        while !self.machine.is_open() {
            self.driver.turn(&mut self.machine).await?;
        }
        Ok(self.machine.taken())
    }

    /// Takes a message as soon as there is room for it.
    ///
    /// An error of the kind `Invalid` for the message's size has changed nothing. A call that is dropped while it waits
    /// has not taken the message.
    pub async fn push(&mut self, message: OutgoingMessage) -> Result<()> {
        let mut since = (self.stored(), Instant::now());
        while !self.machine.has_room() {
            self.turn(&mut since).await?;
        }
        self.machine.push(message)
    }

    /// Waits until all that was pushed is stored.
    pub async fn flush(&mut self) -> Result<()> {
        let mut since = (self.stored(), Instant::now());
        while !self.machine.is_flushed() {
            self.turn(&mut since).await?;
        }
        Ok(())
    }

    /// Does what is possible; an error once the process is to end and nothing more was stored for some seconds.
    async fn turn(&mut self, since: &mut (Option<u64>, Instant)) -> Result<()> {
        tokio::select! {
            turned = self.driver.turn(&mut self.machine) => turned?,
            () = sleep(LOOK_FOR_STOP.0) => {}
        }
        let stored = self.stored();
        if stored != since.0 || !is_ending() {
            *since = (stored, Instant::now());
        } else if since.1.elapsed() >= LOOK_FOR_STOP.0 * LOOK_FOR_STOP.1 {
            let why = self.trouble().unwrap_or_else(|| Error::unavailable("the broker does not answer"));
            let topic = self.machine.link().topic().to_string();
            return Err(why.context(format_args!("stopped before topic \"{topic}\" had stored what waits for it")));
        }
        Ok(())
    }

    /// Keeps the connection alive, and sends what is waiting; returns on errors alone.
    pub async fn keep(&mut self) -> Result<Infallible> {
        loop {
            self.attend().await?;
        }
    }

    /// Does the same until something has happened. A call that is dropped while it waits has lost nothing.
    pub async fn attend(&mut self) -> Result<()> {
        self.driver.turn(&mut self.machine).await
    }

    /// The greatest sequence up to which all is stored.
    pub fn stored(&self) -> Option<u64> {
        self.machine.stored()
    }

    /// Whether the broker removes duplicates, once it has shown that.
    pub fn is_deduplicated(&self) -> Option<bool> {
        self.machine.is_deduplicated()
    }

    /// What the producer waits for, if its broker cannot be reached.
    pub fn trouble(&mut self) -> Option<Error> {
        self.machine.link().trouble().cloned()
    }
}
