//! Events onto a topic: the rows of files, of a stream of bytes, or of a file that grows.
//!
//! ```text
//! input -> thread: rows, checked, as messages -> (at most two batches wait) -> append and sync, row n to partition n mod p
//! ```
//!
//! A batch is what was there when the one before it was being written, so that rows go out as they come and many that
//! come at once are synced at once.

use crate::archive_check::frontier_in;
use crate::failure::Failure;
use crate::named_producer::{NamedProducer, PRODUCERS};
use crate::near_path::from_here;
use crate::open::Project;
use crate::publish_input::{Input, InputEvent, InputOptions};
use crate::publish_messages::InputRow;
use crate::publish_place::{InputPart, PublishPlace};
use crate::pubsub::{Settings, TopicPublisher};
use crate::topic_producer::TopicProducer;
use crate::topics::Topics;
use connector_local::{InputMark, Outgoing, Producer, StopSignal};
use copy_contract::OutgoingMessage;
use dataflow::{BadRowPolicy, Error, ErrorKind, EventTime, Quiet, Result, Span, Topic};
use sql::{History, Stream, Target, near_or_all};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often it is looked whether the publisher was asked to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How rows are published.
#[derive(Clone, Debug)]
pub struct PublishOptions {
    /// Where they come from.
    pub input: InputOptions,
    /// How many partitions the topic gets when it is made, 1 if left out; one that is there has to have as many.
    pub partitions: Option<u32>,
    /// The name under which a run goes on where another one of the name stopped.
    pub producer: Option<String>,
}

/// What is told while rows are published.
pub enum PublishEvent<'a> {
    /// So many messages were put so far.
    Messages(usize),
    /// What people should know.
    Note(&'a str),
}

/// What `publish` wrote to a topic.
#[derive(Clone, Debug, Default)]
pub struct PublishSummary {
    /// The topic.
    pub topic: String,
    /// How many messages.
    pub messages: usize,
    /// Their size together.
    pub bytes: usize,
    /// Rows of the input that were on the topic before.
    pub known: u64,
    /// The least and greatest event time among the rows that are on the topic.
    pub times: Option<(EventTime, EventTime)>,
    /// What the publisher should know.
    pub warnings: Vec<String>,
    /// Whether the input was read to its end.
    pub is_whole: bool,
    /// Whether the input has no end of its own.
    pub is_live: bool,
}

impl Project {
    /// Publishes the rows of an input to the topic of a stream, which is created if it does not exist, until the input
    /// ends or `is_stopped` says so. Bad rows follow the policy of the stream: under FAIL nothing of a file is put when
    /// one is wrong, and nothing after it of what is read as it comes.
    pub fn publish(
        &self,
        stream: &str,
        options: &PublishOptions,
        is_stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(PublishEvent<'_>),
    ) -> Result<PublishSummary, Failure> {
        self.refuse_as("publish writes")?;
        let mut stream = self.stream(stream)?;
        stream.bad_rows = self.statements.bad_rows(&stream.name).unwrap_or(stream.bad_rows);
        let Some(topic) = &stream.live else {
            return Err(self.without_topic(&stream)?.into());
        };
        let stop = Arc::new(StopSignal::default());
        let input = Input::open(&options.input, &stream, stop.clone());
        let input = from_here(input, self.root(), Path::new(&options.input.from))?;
        let is_live = input.is_live();
        if stream.bad_rows == BadRowPolicy::Fail && !is_live {
            refuse_bad(&input, is_stopped)?;
            // What was not looked through may have a row that keeps all of them from the topic.
            if is_stopped() {
                return Ok(PublishSummary { topic: topic.clone(), ..PublishSummary::default() });
            }
        }
        let topics = self.topics()?;
        let is_new = topics.topic(topic)?.is_none();
        let there = topics.topic_or_create(topic, options.partitions.unwrap_or(1))?.partitions();
        if let Some(wanted) = options.partitions.filter(|wanted| *wanted != there) {
            let has = counted(there as usize, "partition", "partitions");
            return Err(Error::invalid(format!(
                "topic \"{topic}\" is there and has {has}, and --partitions asks for {wanted}: leave --partitions out; a topic \
                 keeps the number that it was made with, and a run that comes first makes one partition"
            ))
            .into());
        }
        let (producer, place) = self.producer(topic, options, &input)?;
        let summary = PublishSummary { topic: topic.clone(), is_live, ..PublishSummary::default() };
        let also = self.places(topic).map(|places| places.topics.as_slice()).unwrap_or_default();
        let open = |topic: &String| TopicPublisher::open(&Settings::of_environment(), topic);
        let also = also.iter().map(open).collect::<Result<Vec<_>>>()?;
        let mut publisher =
            Publisher { stream: &stream, producer, also, place, rows: 0, bad: 0, first_bad: None, summary, tell };
        let reading = Reading::start(input)?;
        publisher.summary.is_whole = publisher.all(reading, &stop, is_stopped)?;
        let mut summary = publisher.told();
        // Whoever goes on with a topic was told when it was made.
        summary.warnings.extend(self.warn_of_old(&summary, &stream).filter(|_| is_new));
        Ok(summary)
    }

    /// What puts the rows on the topic, and where a run that goes on under a name is in its input.
    fn producer(
        &self,
        topic: &str,
        options: &PublishOptions,
        input: &Input,
    ) -> Result<(TopicProducer, Option<PublishPlace>)> {
        match (self.topics()?, &options.producer) {
            (Topics::Local(topics, _), Some(name)) => {
                let claim = topics.go_on(topic, &format!("{PRODUCERS}{name}"))?;
                let mut producer = claim.producer()?;
                let there = there(&mut producer)?;
                let place = PublishPlace::open(claim.into_held(), (name, options.input.follow), &input.name(), there)?;
                Ok((TopicProducer::Local(producer), Some(place)))
            }
            (Topics::Local(topics, _), None) => Ok((TopicProducer::Local(topics.producer(topic, "", 0)?), None)),
            (Topics::Pulsar(topics), Some(name)) => {
                let there = topics.topic_or_create(topic, options.partitions.unwrap_or(1))?;
                let folder = self.publishers_path();
                let place = NamedProducer { topic: &there, folder, name, clock: self.clock.clone() };
                place.open(options.input.follow, &input.name())
            }
            (Topics::Pulsar(topics), None) => {
                let topic = topics.topic_or_create(topic, options.partitions.unwrap_or(1))?;
                Ok((TopicProducer::of_pulsar(&topic, self.clock.clone())?, None))
            }
        }
    }

    /// One stream of the project, planned.
    pub fn stream(&self, name: &str) -> Result<Stream, Failure> {
        let streams = self.statements.streams();
        if !streams.iter().any(|stream| stream.eq_ignore_ascii_case(name)) {
            return Err(self.no_stream(name, &streams).into());
        }
        let query = format!("SELECT * FROM \"{}\"", name.replace('"', "\"\""));
        let checked = self.check(&Target::Query(query)).map_err(Failure::of_a_name)?;
        let found = checked.streams.into_iter().find(|stream| stream.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| Error::internal(format!("stream \"{name}\" has no plan")).into())
    }

    /// A stream that has no topic, and what would give it one.
    fn without_topic(&self, stream: &Stream) -> Result<Error> {
        let name = &stream.name;
        // A name that is no plain one stands in quotes.
        let is_plain = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        };
        let quoted = if is_plain(name) { name.clone() } else { format!("\"{}\"", name.replace('"', "\"\"")) };
        let topic = self.unused_topic(if is_plain(name) { name } else { "events" })?;
        let is_other = |table: &str| -> Result<bool> {
            Ok(match self.warehouse_if_there()? {
                Some(warehouse) if warehouse.exists(table)? => frontier_in(&warehouse, name, table).is_err(),
                _ => false,
            })
        };
        let columns = match self.statements.declares_columns(name) {
            true => "",
            false => ", and declare its columns, which a new table does not have",
        };
        let what = match &stream.history {
            None => format!("add `LIVE {topic}` at the end of its CREATE STREAM"),
            Some(History::Table(table)) if !is_other(table)? => format!(
                "write `HISTORY {table} LIVE {topic}` for its HISTORY, and beside the stream `ARCHIVE {quoted};`"
            ),
            Some(_) => format!(
                "write `HISTORY raw.{topic} LIVE {topic}` for its HISTORY{columns}, and beside the stream `ARCHIVE \
                 {quoted};`, which copies what is published to that table"
            ),
        };
        Ok(Error::invalid(format!("stream \"{name}\" has no LIVE topic to publish to: {what}")))
    }

    /// A name that no topic of the project has, and no table of `raw`: the rows of two streams are not to meet there.
    fn unused_topic(&self, name: &str) -> Result<String> {
        let (topics, warehouse) = (self.statements.topics(), self.warehouse_if_there()?);
        let mut names = std::iter::once(name.to_owned()).chain((2..).map(|number| format!("{name}_{number}")));
        loop {
            let Some(found) = names.next() else { return Ok(name.to_owned()) };
            let is_table = match &warehouse {
                Some(warehouse) => warehouse.exists(&format!("raw.{found}"))?,
                None => false,
            };
            if !is_table && !topics.iter().any(|topic| topic.eq_ignore_ascii_case(&found)) {
                return Ok(found);
            }
        }
    }

    fn no_stream(&self, name: &str, streams: &[String]) -> Error {
        let is_view = self.statements.relations().iter().any(|known| known.eq_ignore_ascii_case(name));
        let what = if is_view { "is a view, and no stream" } else { "is no stream" };
        let none = "the project has no stream; declare one with CREATE STREAM";
        let known = near_or_all(name, streams.iter().map(String::as_str), "the streams are", none);
        Error::invalid(format!("\"{name}\" {what}; {known}"))
    }

    fn warn_of_old(&self, published: &PublishSummary, stream: &Stream) -> Option<String> {
        let (oldest, _) = published.times?;
        let now = self.clock.now();
        let old = oldest < EventTime(now.0).minus(Span::DAY);
        (old && stream.quiet != Quiet::Never).then(|| {
            format!(
                "events go back to {oldest}, more than a day, and stream \"{}\" is not QUIET NEVER: a pause of the \
                 publisher lets its clock run on, and what comes then is late",
                stream.name
            )
        })
    }
}

/// How many sequences a local topic has of a producer.
fn there(producer: &mut Producer) -> Result<u64> {
    let mut last = None;
    for partition in 0..producer.topic().partitions() {
        last = last.max(producer.last_sequence(partition)?);
    }
    Ok(last.map_or(0, |last| last + 1))
}

/// A number of things and what they are: `1 row is`, `2 rows are`.
fn counted(number: usize, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

/// Reads a whole input, and refuses it when a row of it is bad.
fn refuse_bad(input: &Input, is_stopped: &dyn Fn() -> bool) -> Result<()> {
    let mut bad = None;
    input.read(&mut |event| {
        if let InputEvent::Rows(rows) = event {
            bad = rows.into_iter().find_map(|row| row.time.err());
        }
        bad.is_none() && !is_stopped()
    })?;
    match bad {
        Some(bad) => Err(Error::data(bad)),
        None => Ok(()),
    }
}

/// An input that is being read on a thread of its own.
struct Reading {
    events: Receiver<InputEvent>,
    // Whether it waits until somebody opens the other end of a FIFO.
    is_opening: Arc<AtomicBool>,
    // Gives whether the input was read to its end.
    thread: JoinHandle<Result<bool>>,
}

impl Reading {
    fn start(input: Input) -> Result<Reading> {
        let ((send, events), is_opening) = (sync_channel(1), input.opening());
        let read = move || input.read(&mut |event| send.send(event).is_ok());
        let thread = thread::Builder::new().name("publish-input".to_owned()).spawn(read);
        let thread =
            thread.map_err(|error| Error::unavailable("the thread that reads cannot be started").with_source(error))?;
        Ok(Reading { events, is_opening, thread })
    }

    /// How reading ended, once nothing more comes of it.
    fn end(self) -> Result<bool> {
        self.thread.join().unwrap_or_else(|_| Err(Error::internal("the thread that reads has panicked")))
    }
}

/// Puts rows on a topic.
struct Publisher<'a> {
    stream: &'a Stream,
    producer: TopicProducer,
    // Topics of Pub/Sub that get the rows as well.
    also: Vec<TopicPublisher>,
    place: Option<PublishPlace>,
    // Rows of the input that were read so far.
    rows: u64,
    bad: u64,
    first_bad: Option<String>,
    summary: PublishSummary,
    tell: &'a mut dyn FnMut(PublishEvent<'_>),
}

impl Publisher<'_> {
    /// Puts all rows; whether they are all that the input has.
    fn all(&mut self, reading: Reading, stop: &StopSignal, is_stopped: &dyn Fn() -> bool) -> Result<bool> {
        let mut is_stopping = false;
        loop {
            match reading.events.recv_timeout(LOOK_EVERY) {
                Ok(event) => self.take(event)?,
                Err(RecvTimeoutError::Disconnected) => break,
                // Nothing is taken from what is opened after it was asked to stop.
                Err(RecvTimeoutError::Timeout) if is_stopping && reading.is_opening.load(SeqCst) => {
                    self.place.as_mut().map_or(Ok(()), |place| place.finish(false))?;
                    return Ok(false);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if !is_stopping && is_stopped() {
                is_stopping = true;
                stop.ask();
            }
        }
        let is_whole = reading.end().map_err(|error| self.partly(error))?;
        self.place.as_mut().map_or(Ok(()), |place| place.finish(is_whole))?;
        Ok(is_whole)
    }

    fn take(&mut self, event: InputEvent) -> Result<()> {
        match event {
            InputEvent::Rows(rows) => self.put(rows),
            InputEvent::NextFile(why) => {
                (self.tell)(PublishEvent::Note(&why));
                self.place.as_mut().map_or(Ok(()), PublishPlace::next_file)
            }
            InputEvent::Note(note) => {
                (self.tell)(PublishEvent::Note(&note));
                Ok(())
            }
        }
    }

    /// Puts some rows, up to one that ends all under the policy FAIL.
    fn put(&mut self, mut rows: Vec<InputRow>) -> Result<()> {
        let mut ends = None;
        if self.stream.bad_rows == BadRowPolicy::Fail
            && let Some(at) = rows.iter().position(|row| row.time.is_err())
        {
            ends = rows.drain(at..).next().and_then(|row| row.time.err());
        }
        let first = self.rows;
        self.rows += rows.len() as u64;
        let parts = match &mut self.place {
            Some(place) => place.take(rows)?,
            None => vec![InputPart { first, rows, end: InputMark::default(), partitions: None }],
        };
        parts.iter().try_for_each(|part| self.append(part)).map_err(|error| self.partly(error))?;
        (self.tell)(PublishEvent::Messages(self.summary.messages));
        match ends {
            Some(bad) => Err(self.partly(Error::data(bad))),
            None => Ok(()),
        }
    }

    fn append(&mut self, part: &InputPart) -> Result<()> {
        let all = u64::from(self.producer.partitions());
        let partitions = part.partitions.unwrap_or(all);
        let mut batches: Vec<(u32, Vec<Outgoing<'_>>)> = (0..partitions as u32).map(|at| (at, Vec::new())).collect();
        let mut bytes = 0;
        for (sequence, row) in (part.first..).zip(&part.rows) {
            match &row.time {
                Ok(time) => {
                    let (low, high) = self.summary.times.unwrap_or((*time, *time));
                    self.summary.times = Some((low.min(*time), high.max(*time)));
                }
                Err(bad) => {
                    self.bad += 1;
                    if self.first_bad.is_none() {
                        self.first_bad = Some(bad.clone());
                        if self.summary.is_live {
                            (self.tell)(PublishEvent::Note(&format!("the first bad row: {bad}")));
                        }
                    }
                    if self.stream.bad_rows != BadRowPolicy::DeadLetter {
                        continue;
                    }
                }
            }
            bytes += row.payload.len();
            let (_, messages) = &mut batches[(sequence % partitions) as usize];
            messages.push(Outgoing { sequence, key: None, payload: &row.payload, arrived: None });
        }
        batches.retain(|(_, messages)| !messages.is_empty());
        let count: usize = batches.iter().map(|(_, messages)| messages.len()).sum();
        if count > 0 {
            self.place.as_mut().map_or(Ok(()), |place| place.begin(part.end))?;
            // Before the topic, which says what a run that goes on need not put again.
            self.put_also(&batches)?;
            let put = match self.producer.append_all(&batches) {
                Ok(put) => put,
                Err(error) => {
                    let stored = self.producer.stored();
                    self.place.as_mut().map_or(Ok(()), |place| place.failed(stored))?;
                    return Err(error);
                }
            };
            self.summary.messages += put;
            self.summary.bytes += bytes;
        }
        let stored = self.producer.stored();
        self.place.as_mut().into_iter().for_each(|place| place.done(part.end, stored.clone()));
        Ok(())
    }

    /// Puts rows on the topics of Pub/Sub; one that these do not take is an error before any of them is put.
    fn put_also(&mut self, batches: &[(u32, Vec<Outgoing<'_>>)]) -> Result<()> {
        if self.also.is_empty() {
            return Ok(());
        }
        let rows = || batches.iter().flat_map(|(_, messages)| messages);
        let message = |row: &Outgoing<'_>| OutgoingMessage { data: row.payload.to_vec(), ..Default::default() };
        let messages: Vec<OutgoingMessage> = rows().map(message).collect();
        if let Some((row, why)) = rows().zip(&messages).find_map(|(row, message)| Some((row, message.misfit()?))) {
            return Err(Error::invalid(format!(
                "topics of Pub/Sub do not take row {} of the input: {why}; shorten it, or take them out of \
                 [env.NAME.names]",
                row.sequence + 1
            )));
        }
        self.also.iter_mut().try_for_each(|also| also.publish(messages.clone()))
    }

    /// Why an input was not published to its end, where some of it is on the topic.
    fn partly(&self, error: Error) -> Error {
        let PublishSummary { messages, topic, .. } = &self.summary;
        let there = match &self.place {
            Some(_) if error.kind() == ErrorKind::Data => {
                let rows = counted(*messages, "good row before it is", "good rows before it are");
                format!("{rows} on topic {topic}: mend it, and the same command goes on there")
            }
            // The same command goes on, as the hint of the kind says.
            Some(_) => return error,
            None if *messages == 0 => return error,
            None => format!(
                "the first {} on topic {topic}, and the rest is not: publish the rest alone, since publishing it all again \
                 would put {} twice; under a name, --producer NAME, the same command would go on",
                counted(*messages, "good row of the input is", "good rows of the input are"),
                if *messages == 1 { "it" } else { "these" }
            ),
        };
        Error::invalid(there).with_source(error)
    }

    /// What became of the rows.
    fn told(&self) -> PublishSummary {
        let mut summary = self.summary.clone();
        let skipped = if self.stream.bad_rows == BadRowPolicy::Skip { self.bad } else { 0 };
        summary.known = self.rows.saturating_sub(summary.messages as u64 + skipped);
        if let Some(first) = &self.first_bad {
            let count = self.bad;
            summary.warnings.push(match self.stream.bad_rows {
                BadRowPolicy::DeadLetter if count == 1 => format!(
                    "1 bad row is on the topic as it stands: jobs that read it write it where dead letters go: {first}"
                ),
                BadRowPolicy::DeadLetter => format!(
                    "{count} bad rows are on the topic as they stand: jobs that read it write them where dead letters go; \
                     the first: {first}"
                ),
                BadRowPolicy::Fail | BadRowPolicy::Skip if count == 1 => format!("1 row is left out as bad: {first}"),
                BadRowPolicy::Fail | BadRowPolicy::Skip => {
                    format!("{count} rows are left out as bad; the first: {first}")
                }
            });
        }
        summary
    }
}
