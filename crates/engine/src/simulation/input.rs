//! What a job reads: topics whose messages show up as the clock moves, and archives of them.

use super::chance::Chance;
use super::naive::parse;
use super::scene::{MILLI, SECOND};
use super::world::Access;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use dataflow::{
    Clock, Decode, Decoded, Error, LogEnd, ManualClock, MemoryFiles, Message, PartitionLog, Position, ProcessingTime,
    RecordBatches, Result, Span, TimedFile, TimedFiles, Topic, TopicId,
};
use seam::{Archiver, CLOCK_PROPERTY, FRONTIER_PROPERTY, Frontier, StreamSpec, archive_schema, clock_property};
use std::ops::Range;
use std::sync::Arc;
use std::task::Waker;

/// How far apart the times of rows are, if they are not equal.
const GRID: i64 = 250 * MILLI;
/// When the first messages arrive.
pub const START: i64 = 10_000_000 * SECOND;

/// A topic, all of whose messages are known from the beginning; those that have arrived are there.
pub struct Log {
    name: String,
    id: TopicId,
    pub partitions: Arc<Vec<Vec<Message>>>,
    clock: Arc<ManualClock>,
    /// So many reads give nothing before one gives messages that are on their way.
    way: usize,
    /// Whether it has no partitions that no message has come to.
    grows: bool,
    /// The run that reads, which may get no answer.
    reader: Option<Arc<Access>>,
}

impl Log {
    pub fn new(name: &str, partitions: Arc<Vec<Vec<Message>>>, clock: Arc<ManualClock>, way: usize) -> Log {
        let id = TopicId { cluster: "simulated".to_owned(), topic: name.to_owned() };
        Log { name: name.to_owned(), id, partitions, clock, way, grows: false, reader: None }
    }

    /// The same as a run reads it, which may get no answer.
    pub fn read_by(self, run: Arc<Access>) -> Log {
        Log { reader: Some(run), ..self }
    }

    /// The same, which has the partitions alone that messages have come to, and one at least.
    pub fn growing(self, grows: bool) -> Log {
        Log { grows, ..self }
    }

    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

impl Topic for Log {
    fn name(&self) -> &str {
        &self.name
    }
    fn id(&self) -> &TopicId {
        &self.id
    }
    fn margin(&self) -> Span {
        Span::ZERO
    }
    fn partitions(&self) -> u32 {
        let now = self.clock.now();
        let has_message = |log: &Vec<Message>| !self.grows || log.first().is_some_and(|first| first.arrival <= now);
        self.partitions.iter().rposition(has_message).map_or(1, |last| last as u32 + 1)
    }
    fn open(&self, partition: u32, after: Option<Position>) -> Result<Box<dyn PartitionLog>> {
        let partition = partition as usize;
        let next = self.partitions[partition].partition_point(|message| Some(message.position) <= after);
        if after.is_some_and(|after| next == 0 || self.partitions[partition][next - 1].position != after) {
            return Err(Error::corrupt("the message at the frontier is gone"));
        }
        let (partitions, clock, way) = (self.partitions.clone(), self.clock.clone(), self.way);
        let reader = self.reader.clone();
        Ok(Box::new(OpenLog { partitions, clock, partition, next, way, left: way, waker: None, reader }))
    }
}

struct OpenLog {
    partitions: Arc<Vec<Vec<Message>>>,
    clock: Arc<ManualClock>,
    partition: usize,
    next: usize,
    way: usize,
    left: usize,
    waker: Option<Waker>,
    reader: Option<Arc<Access>>,
}

impl OpenLog {
    fn there(&self) -> &[Message] {
        let (log, now) = (&self.partitions[self.partition], self.clock.now());
        &log[..log.partition_point(|message| message.arrival <= now)]
    }
}

impl PartitionLog for OpenLog {
    fn wake(&mut self, waker: &Waker) -> Result<()> {
        self.waker = Some(waker.clone());
        Ok(())
    }
    fn is_behind(&self) -> bool {
        self.way > 0 && self.there().len() > self.next
    }
    fn wait(&mut self) -> Result<()> {
        self.left = 0;
        Ok(())
    }
    fn read(&mut self, messages_max: usize, _: usize) -> Result<Vec<Message>> {
        if self.left > 0 && self.is_behind() {
            self.left -= 1;
            self.waker.iter().for_each(Waker::wake_by_ref);
            return Ok(Vec::new());
        }
        self.left = self.way;
        if self.reader.as_ref().is_some_and(|reader| reader.reads_nothing()) {
            return Err(Error::unavailable("the topic cannot be reached"));
        }
        let messages: Vec<Message> = self.there().iter().skip(self.next).take(messages_max).cloned().collect();
        self.next += messages.len();
        Ok(messages)
    }
    fn end(&mut self) -> Result<LogEnd> {
        let last = self.there().last().map(|message| message.position);
        Ok(LogEnd { last, drained_to: self.clock.now() })
    }
}

/// Turns payloads into rows.
pub struct Text(pub SchemaRef);

impl Decode for Text {
    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }
    fn decode(&self, payloads: &[&[u8]]) -> Result<Decoded> {
        let (mut ids, mut senders, mut sizes, mut times, mut bad) = (vec![], vec![], vec![], vec![], vec![]);
        for (index, payload) in payloads.iter().enumerate() {
            match parse(payload) {
                Some((id, sender, size, at)) => {
                    ids.push(id);
                    senders.push(sender);
                    sizes.push(size);
                    times.push(at);
                }
                None => bad.push((index, Error::data("it is no row"))),
            }
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(ids)),
            Arc::new(Int64Array::from(senders)),
            Arc::new(Int64Array::from(sizes)),
            Arc::new(TimestampMicrosecondArray::from(times)),
        ];
        Ok(Decoded { rows: RecordBatch::try_new(self.0.clone(), columns)?, bad })
    }
}

/// How a seed makes the messages of a topic.
pub struct Recipe {
    pub partitions: usize,
    pub messages: usize,
    /// The last arrival, when every partition has a message.
    pub end: i64,
    /// Whether partitions have their first message later than others.
    pub joins: bool,
}

/// Logs with what goes wrong: late rows, equal times, deliveries that come again, late or out of order, silences, bad
/// payloads, and partitions that lie apart. Every partition has a message at the beginning and one at the end.
pub fn logs(chance: &mut Chance, recipe: &Recipe) -> Vec<Vec<Message>> {
    let mut logs = vec![Vec::new(); recipe.partitions];
    let skews: Vec<i64> = (0..recipe.partitions).map(|_| chance.of(&[0, 0, 500 * MILLI, 4 * SECOND])).collect();
    let (disorder, repeats) = (chance.of(&[0, 500 * MILLI, 3 * SECOND]), chance.of(&[0, 1000, 3000]));
    let quiet_after = chance.hits(4000).then(|| (chance.below(recipe.partitions), chance.below(recipe.messages + 1)));
    let (mut now, mut sent) = (START, Vec::<String>::new());
    let mut events = Vec::new();
    let span = recipe.end - START - 20 * SECOND;
    for n in 0..recipe.messages {
        let first = n < if recipe.joins { 1 } else { recipe.partitions };
        if !first {
            let step = (span / recipe.messages as i64).max(1);
            now = (now + chance.of(&[0, 0, step / 2, step, 2 * step])).min(START + span);
        }
        let joined =
            if recipe.joins { recipe.partitions * (3 * n / recipe.messages + 1) / 3 } else { recipe.partitions };
        let mut partition = if first { n } else { chance.below(joined.clamp(1, recipe.partitions)) };
        if quiet_after.is_some_and(|(quiet, after)| quiet == partition && n > after && !first) {
            partition = (partition + 1) % recipe.partitions;
        }
        if !first && chance.hits(repeats) && !sent.is_empty() {
            let again = sent[sent.len() - 1 - chance.below(sent.len().min(12))].clone();
            push(chance, &mut logs[partition], now, again);
            continue;
        }
        if !first && chance.hits(200) {
            push(chance, &mut logs[partition], now, "garbage".to_owned());
            continue;
        }
        // On a grid, so that rows have equal times, and a microsecond beside it, where bounds lie.
        let behind = chance.below((disorder / GRID) as usize + 1) as i64 * GRID;
        let mut event = now / GRID * GRID - skews[partition] - behind - chance.of(&[0, 0, 1]);
        if chance.hits(800) && !events.is_empty() {
            event = events[chance.below(events.len())];
        }
        events.push(event);
        sent.push(payload(chance, n, event));
        push(chance, &mut logs[partition], now, sent[sent.len() - 1].clone());
    }
    for (partition, log) in logs.iter_mut().enumerate() {
        let last = payload(chance, recipe.messages + partition, recipe.end);
        push(chance, log, recipe.end, last);
    }
    logs
}

fn payload(chance: &mut Chance, id: usize, event: i64) -> String {
    let sender = if chance.hits(500) { String::new() } else { chance.below(6).to_string() };
    format!("{id},{sender},{},{event}", chance.below(200))
}

fn push(chance: &mut Chance, log: &mut Vec<Message>, arrival: i64, payload: String) {
    let position = match log.last().map(|last: &Message| last.position) {
        Some(last) if chance.hits(2000) => Position { batch_index: last.batch_index + 1, ..last },
        Some(last) => Position { entry: last.entry + 1, batch_index: 0, ..last },
        None => Position { ledger: 3, entry: 0, batch_index: 0 },
    };
    log.push(Message {
        position,
        arrival: ProcessingTime(arrival),
        key: None,
        payload: payload.into_bytes(),
        unreadable: None,
    });
}

/// An archive as it stood once: a fixed set of files with the frontier of the topic.
#[derive(Clone)]
pub struct Archive {
    files: MemoryFiles,
    properties: Vec<(&'static str, String)>,
    pub frontier: Frontier,
    rows: Vec<RecordBatch>,
}

impl Archive {
    /// Archives what has arrived of a topic, up to a place that chance says, after what an archive of it has.
    pub fn of(chance: &mut Chance, spec: &StreamSpec, topic: &Log, before: Option<&Archive>) -> Archive {
        let now = topic.clock.now();
        let to = topic.partitions.iter().take(topic.partitions() as usize).map(|log| {
            let there = log.partition_point(|message| message.arrival <= now);
            log[..chance.below(there + 1)].last().map(|message| message.position)
        });
        let (mut rows, frontier) = match before {
            Some(before) => (before.rows.clone(), Some(before.frontier.clone())),
            None => (Vec::new(), None),
        };
        let decode = Arc::new(Text(spec.schema.clone()));
        let mut archiver = Archiver::new(spec.clone(), topic, decode, frontier, Some(to.collect())).unwrap();
        while let Some((batch, _)) = archiver.next(1 + chance.below(40)).unwrap() {
            rows.push(batch);
        }
        Archive::new(spec, rows, archiver.frontier())
    }

    /// An archive of rows.
    pub fn new(spec: &StreamSpec, rows: Vec<RecordBatch>, frontier: Frontier) -> Archive {
        let schema = archive_schema(&spec.schema);
        let file = |(index, rows): (usize, &RecordBatch)| {
            let count = rows.num_rows() as u64;
            (TimedFile::of_one_group(format!("{index}.parquet"), count, count * 8, vec![]), vec![rows.clone()])
        };
        let files = rows.iter().enumerate().map(file).collect();
        let files = MemoryFiles::new("raw.messages".to_owned(), schema, files);
        let properties = vec![(FRONTIER_PROPERTY, frontier.to_text()), (CLOCK_PROPERTY, clock_property(spec))];
        Archive { files, properties, frontier, rows }
    }

    pub fn rows(&self) -> &[RecordBatch] {
        &self.rows
    }
}

impl TimedFiles for Archive {
    fn name(&self) -> &str {
        self.files.name()
    }
    fn schema(&self) -> SchemaRef {
        self.files.schema()
    }
    fn files(&self) -> &[TimedFile] {
        self.files.files()
    }
    fn property(&self, key: &str) -> Option<String> {
        self.properties.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone())
    }
    fn open(&self, file: usize, groups: Range<usize>, columns: &[String], batch_rows: usize) -> Result<RecordBatches> {
        self.files.open(file, groups, columns, batch_rows)
    }
}
