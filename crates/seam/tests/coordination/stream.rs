//! A random stream: its partitions, its topic, and what of it lies in a history.

use crate::archiver::archive;
use crate::expected::{Log, clock_after, levels_before};
use crate::job::{FOREVER, MILLI};
use crate::memory::{self, MemoryFiles, MemoryTopic, Random, Text};
use crate::stage::NEVER;
use crate::topic::AskedTopic;
use arrow::array::RecordBatch;
use dataflow::Span;
use seam::{FRONTIER_PROPERTY, Frontier, Live, Quiet, StreamInput, StreamSpec, archive_schema};
use std::sync::Arc;

/// A stream of a job.
pub struct Stream {
    pub delay: i64,
    pub quiet: i64,
    pub logs: Vec<Log>,
    pub topic: Arc<AskedTopic>,
    // How many messages of each partition are in its history, and those.
    pub archived: Vec<usize>,
    history: Option<(Vec<RecordBatch>, Frontier)>,
    // The least watermark of each partition before each row.
    pub levels: Vec<Vec<i64>>,
    // When each message shows.
    pub shown: Vec<Vec<i64>>,
    pub margin: i64,
    // When its questions were asked, per partition.
    pub asks: Vec<(u32, i64)>,
}

fn random_logs(random: &mut Random, delay: i64, quiet: i64) -> Vec<Log> {
    let partitions = 1 + random.below(3);
    let mut logs = vec![Log::new(); partitions];
    let mut first = || {
        let late = if random.percent(30) { FOREVER } else { 6_000 * MILLI };
        random.of(&[0, 0, 0, 500 * MILLI, 3_000 * MILLI, late])
    };
    let first: Vec<i64> = (0..partitions).map(|_| first()).collect();
    let silent = random.of(&[FOREVER, FOREVER, 1_500 * MILLI]);
    let mut now = 0;
    for _ in 0..random.of(&[5, 15, 30]) {
        now += random.of(&[0, MILLI, 5 * MILLI, 20 * MILLI, 100 * MILLI, quiet / 2, quiet + MILLI, 300 * MILLI]);
        let partition = if random.percent(80) { random.below(partitions) } else { 0 };
        if now < first[partition] || (now > silent && silent >= first[partition]) {
            continue;
        }
        let lags = [0, 0, MILLI, 5 * MILLI, delay / 2, delay, delay + MILLI, delay * 3, quiet + delay + 5 * MILLI];
        let mut lag = random.of(&lags);
        if first[partition] > 0 && logs[partition].is_empty() {
            lag = random.of(&[0, 4_000 * MILLI, quiet + delay + 50 * MILLI]);
        }
        if random.percent(4) {
            lag = random.of(&[-1_000 * MILLI, -5_000 * MILLI, 8_000 * MILLI]);
        }
        logs[partition].push((now - lag, now, random.below(6) as i64, random.percent(50)));
    }
    logs
}

impl Stream {
    /// A stream of a broker that says that partitions are drained up to a margin before now, and shows messages that late
    /// at most.
    pub fn new(random: &mut Random, number: usize, margin: i64, lag: i64) -> Stream {
        let (delay, quiet) = (random.of(&[0, 50 * MILLI, 2_000 * MILLI]), random.of(&[100 * MILLI, 1_000 * MILLI]));
        let logs = random_logs(random, delay, quiet);
        Stream::of(random, number, (delay, quiet), logs, (margin, lag))
    }

    /// A stream whose partitions begin within some milliseconds after a moment, with a row every 50 ms and so far between
    /// event times and arrivals. It may have had a row each before, as far from its arrival as `before` says.
    pub fn beginning(random: &mut Random, number: usize, at: i64, ahead: i64, before: Option<i64>) -> Stream {
        // Its partitions may be apart by what joining takes.
        let (delay, quiet) = (random.of(&[500 * MILLI, 2_000 * MILLI]), 1_000 * MILLI);
        let mut log = || {
            let first = at + random.below(20) as i64 * MILLI;
            let early = before.map(|ahead| (at - 2_000 * MILLI, ahead)).into_iter();
            let rows = early.chain((0..20).map(|turn| (first + turn * 50 * MILLI, ahead)));
            let row = |(arrival, ahead)| (arrival + ahead, arrival, random.below(6) as i64, random.percent(50));
            rows.map(row).collect()
        };
        let logs = (0..2).map(|_| log()).collect();
        Stream::of(random, number, (delay, quiet), logs, (0, 0))
    }

    fn of(
        random: &mut Random,
        number: usize,
        (delay, quiet): (i64, i64),
        logs: Vec<Log>,
        (margin, lag): (i64, i64),
    ) -> Stream {
        let messages = logs.iter().map(|log| {
            let mut messages = Vec::new();
            for (event, arrival, key, good) in log {
                memory::push(&mut messages, *arrival, format!("{},{event}", key * 2 + i64::from(*good)), false);
            }
            messages
        });
        let topic = MemoryTopic::new(&number.to_string(), messages.collect());
        let levels = logs.iter().map(|log| levels_before(log, delay, quiet)).collect();
        let archived = vec![0; logs.len()];
        let mut showing = |log: &Log| {
            let shown = log.iter().map(|row| row.1 + random.of(&[0, 0, lag / 2, lag]));
            let in_sequence = |before: &mut i64, at: i64| {
                *before = at.max(*before);
                Some(*before)
            };
            shown.scan(NEVER, in_sequence).collect()
        };
        let shown: Vec<Vec<i64>> = logs.iter().map(&mut showing).collect();
        let topic = Arc::new(AskedTopic::new(topic, shown.clone(), margin));
        Stream { delay, quiet, logs, topic, archived, history: None, levels, shown, margin, asks: Vec::new() }
    }

    fn spec(&self) -> StreamSpec {
        memory::spec(self.delay, Quiet::After(Span(self.quiet)))
    }

    /// Archives some of what had arrived by a time.
    pub fn archive(&mut self, random: &mut Random, now: i64) {
        let shows = |shown: &Vec<i64>| shown.iter().take_while(|shown| **shown <= now).count();
        self.archived = self.shown.iter().map(|shown| random.below(shows(shown) + 1)).collect();
        let inner = &self.topic.inner;
        let to: Vec<_> = {
            let logs = inner.partitions.lock().unwrap();
            logs.iter().zip(&self.archived).map(|(log, &n)| log[..n].last().map(|message| message.position)).collect()
        };
        self.topic.inner.set_now(now);
        self.history = Some(archive(random, &self.spec(), inner, &to));
    }

    /// The least watermark of its partitions where live goes on, at a time.
    pub fn cap(&self, now: i64) -> i64 {
        let start = |((log, shown), &archived): ((&Log, &Vec<i64>), &usize)| {
            let arrived = shown.iter().take_while(|shown| **shown <= now).count();
            let read = archived.max(1).min(arrived);
            let clock = clock_after(&log[..read], self.delay, self.quiet);
            let at = if arrived == archived {
                clock.map(|clock| clock.at(now - self.margin, self.quiet))
            } else {
                clock.map(|c| c.clock)
            };
            at.map(|clock| clock - self.delay - 1)
        };
        self.logs.iter().zip(&self.shown).zip(&self.archived).filter_map(start).min().unwrap_or(NEVER)
    }

    pub fn input(&self) -> StreamInput {
        let files = self.history.as_ref().map(|(batches, frontier)| {
            let files = MemoryFiles::new(archive_schema(&memory::schema()), batches.clone(), true);
            Arc::new(files.with_property(FRONTIER_PROPERTY, frontier.to_text())) as _
        });
        let live = Some(Live { topic: self.topic.clone(), decode: Arc::new(Text) });
        StreamInput { spec: self.spec(), history: files, history_frontier: None, live }
    }
}
