//! A topic, a decoder and a set of files in memory, random logs, and what their rows are by the rule alone.

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use dataflow::BadRowPolicy;
use dataflow::{
    Bounds, Decode, Decoded, Encode, Error, LogEnd, Message, PartitionLog, Position, ProcessingTime, RecordBatches,
    Result, RowOrder, Span, TimedFile, TimedFiles, Topic, TopicId,
};
use seam::{Late, Quiet, StreamSpec};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Waker;

pub const MILLI: i64 = 1_000;
pub const SECOND: i64 = 1_000_000;
pub const DAY: i64 = 86_400 * SECOND;

/// Random numbers from a seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn of(&mut self, choices: &[i64]) -> i64 {
        choices[self.below(choices.len())]
    }

    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}

pub fn schema() -> SchemaRef {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, None);
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("at", instant, true)]))
}

pub fn spec(delay: i64, quiet: Quiet) -> StreamSpec {
    StreamSpec {
        name: "events".to_owned(),
        schema: schema(),
        time_column: 1,
        delay: Span(delay),
        quiet,
        late: Late::Move,
        arrival: None,
        dedup_key: vec![0],
        bad_rows: BadRowPolicy::Skip,
        row_text: |_| Ok(Arc::new(AnyRow)),
    }
}

/// Payloads are `id,at`; an empty `at` is NULL, anything else cannot be decoded.
pub struct Text;

impl Decode for Text {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn decode(&self, payloads: &[&[u8]]) -> Result<Decoded> {
        let (mut ids, mut times, mut bad) = (Vec::new(), Vec::new(), Vec::new());
        for (index, payload) in payloads.iter().enumerate() {
            let text = std::str::from_utf8(payload).unwrap();
            let row = text.split_once(',').and_then(|(id, at)| {
                let at = if at.is_empty() { None } else { Some(at.parse::<i64>().ok()?) };
                Some((id.parse::<i64>().ok()?, at))
            });
            match row {
                Some((id, at)) => {
                    ids.push(id);
                    times.push(at);
                }
                None => bad.push((index, Error::data(format!("\"{text}\" is no row")))),
            }
        }
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(Int64Array::from(ids)), Arc::new(TimestampMicrosecondArray::from(times))];
        Ok(Decoded { rows: RecordBatch::try_new(schema(), columns)?, bad })
    }
}

/// A topic whose messages become visible as the broker's time reaches their arrival.
pub struct MemoryTopic {
    id: TopicId,
    pub partitions: Arc<Mutex<Vec<Vec<Message>>>>,
    pub now: Arc<AtomicI64>,
    /// Per partition, so many reads give nothing before one gives messages, which are on their way so long.
    pub ways: Vec<usize>,
}

impl MemoryTopic {
    pub fn new(id: &str, partitions: Vec<Vec<Message>>) -> MemoryTopic {
        let now = partitions.iter().flatten().map(|message| message.arrival.0).max().unwrap_or(0);
        MemoryTopic {
            id: TopicId { cluster: "memory".to_owned(), topic: id.to_owned() },
            partitions: Arc::new(Mutex::new(partitions)),
            now: Arc::new(AtomicI64::new(now)),
            ways: Vec::new(),
        }
    }

    pub fn set_now(&self, now: i64) {
        self.now.store(now, SeqCst);
    }

    pub fn messages(&self) -> usize {
        self.partitions.lock().unwrap().iter().map(Vec::len).sum()
    }
}

impl Topic for MemoryTopic {
    fn name(&self) -> &str {
        "events"
    }

    fn id(&self) -> &TopicId {
        &self.id
    }

    fn margin(&self) -> Span {
        Span::ZERO
    }

    fn partitions(&self) -> u32 {
        self.partitions.lock().unwrap().len() as u32
    }

    fn open(&self, partition: u32, after: Option<Position>) -> Result<Box<dyn PartitionLog>> {
        let partition = partition as usize;
        let messages = self.partitions.lock().unwrap();
        let next = messages[partition].partition_point(|message| Some(message.position) <= after);
        if after.is_some_and(|after| next == 0 || messages[partition][next - 1].position != after) {
            return Err(Error::corrupt("the message at the frontier is gone"));
        }
        let way = self.ways.get(partition).copied().unwrap_or(0);
        let (partitions, now) = (self.partitions.clone(), self.now.clone());
        Ok(Box::new(MemoryLog { partitions, now, partition, next, way, left: way, waker: None }))
    }
}

struct MemoryLog {
    partitions: Arc<Mutex<Vec<Vec<Message>>>>,
    now: Arc<AtomicI64>,
    partition: usize,
    next: usize,
    way: usize,
    left: usize,
    waker: Option<Waker>,
}

impl MemoryLog {
    /// The messages that arrived by now, and that time.
    fn visible<T>(&self, use_of: impl Fn(&[Message], i64) -> T) -> T {
        let (messages, now) = (self.partitions.lock().unwrap(), self.now.load(SeqCst));
        let log = &messages[self.partition];
        use_of(&log[..log.partition_point(|message| message.arrival.0 <= now)], now)
    }
}

impl PartitionLog for MemoryLog {
    fn wake(&mut self, waker: &Waker) -> Result<()> {
        self.waker = Some(waker.clone());
        Ok(())
    }

    fn is_behind(&self) -> bool {
        self.way > 0 && self.visible(|log, _| log.len() > self.next)
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
        let next = self.next;
        let messages = self.visible(|log, _| log.iter().skip(next).take(messages_max).cloned().collect::<Vec<_>>());
        self.next += messages.len();
        Ok(messages)
    }

    fn end(&mut self) -> Result<LogEnd> {
        Ok(self.visible(|log, now| LogEnd {
            last: log.last().map(|message| message.position),
            drained_to: ProcessingTime(now),
        }))
    }
}

/// Files in memory, with the bounds of their timestamp columns.
pub struct MemoryFiles {
    rows: dataflow::MemoryFiles,
    properties: Vec<(String, String)>,
    /// Files open now, and the most that were open at once.
    pub open: Arc<Mutex<(usize, usize)>>,
}

/// Counts a file as open while it is read.
struct OpenFile(Arc<Mutex<(usize, usize)>>);

impl OpenFile {
    fn new(open: &Arc<Mutex<(usize, usize)>>) -> OpenFile {
        let mut counts = open.lock().unwrap();
        *counts = (counts.0 + 1, counts.1.max(counts.0 + 1));
        OpenFile(open.clone())
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.0.lock().unwrap().0 -= 1;
    }
}

impl MemoryFiles {
    pub fn new(schema: SchemaRef, rows: Vec<RecordBatch>, with_bounds: bool) -> MemoryFiles {
        let file = |(index, rows): (usize, RecordBatch)| {
            let bounds = if with_bounds { bounds(&rows) } else { Vec::new() };
            let count = rows.num_rows() as u64;
            (TimedFile::of_one_group(format!("{index}.parquet"), count, count * 8, bounds), vec![rows])
        };
        let files = rows.into_iter().enumerate().map(file).collect();
        let rows = dataflow::MemoryFiles::new("raw.events".to_owned(), schema, files);
        MemoryFiles { rows, properties: Vec::new(), open: Arc::default() }
    }

    pub fn with_property(mut self, key: &str, value: String) -> MemoryFiles {
        self.properties.push((key.to_owned(), value));
        self
    }
}

fn bounds(rows: &RecordBatch) -> Vec<(String, Bounds)> {
    let mut all = Vec::new();
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>()
            && let (Some(min), Some(max)) = (times.iter().flatten().min(), times.iter().flatten().max())
        {
            all.push((field.name().clone(), Bounds { min, max, nulls: times.null_count() as u64 }));
        }
    }
    all
}

impl TimedFiles for MemoryFiles {
    fn name(&self) -> &str {
        self.rows.name()
    }

    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn files(&self) -> &[TimedFile] {
        self.rows.files()
    }

    fn property(&self, key: &str) -> Option<String> {
        self.properties.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    }

    fn open(&self, file: usize, groups: Range<usize>, columns: &[String], batch_rows: usize) -> Result<RecordBatches> {
        let rows = self.rows.open(file, groups, columns, batch_rows)?;
        let open = OpenFile::new(&self.open);
        Ok(Box::new(rows.inspect(move |_| {
            let _counted = &open;
        })))
    }
}

/// A row as a reader gave it out, or as the rule says that it must.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub id: i64,
    pub time: i64,
    pub order: RowOrder,
    pub late: bool,
}

/// What a log's rows are, by the formula of the rule, row by row: those that are given out, and the greatest clock.
pub fn truth(logs: &[Vec<Message>], delay: i64, quiet: Quiet) -> (Vec<Row>, Option<i64>) {
    let (mut rows, mut greatest) = (Vec::new(), None);
    for (partition, log) in logs.iter().enumerate() {
        let (mut clock, mut before): (Option<i64>, Option<i64>) = (None, None);
        for message in log {
            let arrival = message.arrival.0;
            if let (Some(at), Some(before), Quiet::After(quiet)) = (clock, before, quiet) {
                clock = Some(at.max((at + (arrival - before) - quiet.0).min(arrival - quiet.0)));
            }
            before = Some(before.unwrap_or(arrival).max(arrival));
            let text = std::str::from_utf8(&message.payload).unwrap();
            let Some((id, event)) = text.split_once(',') else { continue };
            let Ok(event) = event.parse::<i64>() else { continue };
            if event > arrival + DAY {
                continue;
            }
            let time = clock.map_or(event, |clock| event.max(clock - delay));
            let order = RowOrder::of_position(partition as u32, message.position).unwrap();
            rows.push(Row { id: id.parse().unwrap(), time, order, late: time != event });
            clock = Some(clock.map_or(event.min(arrival), |clock| clock.max(event.min(arrival))));
        }
        greatest = greatest.max(clock);
    }
    rows.sort();
    (rows, greatest)
}

/// Logs with everything that goes wrong: late rows, producers ahead, nonsense, replays, duplicates, bad payloads,
/// silences, partitions that say nothing.
pub fn random_logs(random: &mut Random, delay: i64, quiet: i64) -> Vec<Vec<Message>> {
    let partitions = [1, 2, 3, 4][random.below(4)];
    let rows = [5, 20, 60][random.below(3)];
    let mut logs = vec![Vec::new(); partitions];
    let mut now = random.of(&[0, 10_000_000 * SECOND]);
    let shift = random.of(&[0, 0, -5_000_000 * SECOND]);
    let mut events: Vec<i64> = Vec::new();
    for id in 0..rows {
        now += random.of(&[0, MILLI, 20 * MILLI, 100 * MILLI, quiet / 2, quiet + 1, quiet * 3, 60 * SECOND]);
        let partition = if random.percent(80) { random.below(partitions) } else { 0 };
        let lag =
            random.of(&[0, 1, 5 * MILLI, delay / 2, delay, delay + 1, delay * 3, quiet + delay + 5, 100 * SECOND]);
        let mut event = now + shift - lag;
        if random.percent(3) {
            event = now + shift + random.of(&[600 * SECOND, 3600 * SECOND]);
        }
        if random.percent(2) {
            event = now + 2 * DAY;
        }
        if random.percent(5) && !events.is_empty() {
            event = events[random.below(events.len())];
        }
        events.push(event);
        let payload = match random.below(50) {
            0 => "garbage".to_owned(),
            1 => format!("{id},"),
            _ => format!("{id},{event}"),
        };
        push(&mut logs[partition], now, payload, random.percent(20));
    }
    logs
}

/// A log as production has it: 4 partitions that lie up to 10 s apart, one silent after its first rows, 1 % of the rows
/// beyond the bound, producers ahead, and duplicates.
pub fn busy_logs(random: &mut Random, rows: i64, delay: i64) -> Vec<Vec<Message>> {
    let mut logs = vec![Vec::new(); 4];
    let skew = [0, 3_000 * MILLI, 7_000 * MILLI, 10_000 * MILLI];
    let (mut now, mut payloads) = (1_000_000 * SECOND, vec![Vec::<String>::new(); 4]);
    for id in 0..rows {
        now += random.of(&[0, MILLI, 30 * MILLI, 100 * MILLI]);
        let partition = if id < 20 { random.below(4) } else { random.below(3) };
        let mut event = now - skew[partition] - random.below(delay as usize) as i64;
        if random.percent(1) {
            event -= delay + random.below(60_000) as i64 * MILLI;
        }
        if partition == 0 && random.percent(3) {
            event = now + random.below(3_600_000) as i64 * MILLI;
        }
        let mut payload = format!("{id},{event}");
        let before = &mut payloads[partition];
        if random.percent(3) && !before.is_empty() {
            payload = before[before.len() - 1 - random.below(before.len().min(20))].clone();
        }
        before.push(payload.clone());
        push(&mut logs[partition], now, payload, random.percent(50));
    }
    logs
}

/// Appends a message, after the last one of its entry or in an entry of its own.
pub fn push(log: &mut Vec<Message>, arrival: i64, payload: String, same_entry: bool) {
    let position = match log.last().map(|last: &Message| last.position) {
        Some(last) if same_entry => Position { batch_index: last.batch_index + 1, ..last },
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

/// The rows of batches, in their sequence.
pub fn rows_of(batch: &dataflow::Batch) -> Vec<Row> {
    let ids = batch.column(0).as_primitive::<arrow::datatypes::Int64Type>();
    (0..batch.rows())
        .map(|row| Row {
            id: ids.value(row),
            time: batch.time(row).0,
            order: batch.order(row),
            late: batch.is_late(row),
        })
        .collect()
}

/// The text of rows in dead letters.
struct AnyRow;

impl Encode for AnyRow {
    fn encode(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>> {
        Ok(vec![b"a row".to_vec(); rows.num_rows()])
    }
}
