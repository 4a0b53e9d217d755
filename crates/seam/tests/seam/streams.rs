//! Several streams together: none runs ahead of the others, and none holds them back without end.

use crate::archiver::archive;
use crate::host::Host;
use crate::memory::*;
use crate::switch::input;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use dataflow::{EventTime, Message, ProcessingTime, ReaderState, Span};
use seam::{FRONTIER_PROPERTY, Lead, Live, Quiet, Seam, StreamInput, StreamStats, archive_schema};
use std::sync::Arc;

const MINUTE: i64 = 60 * SECOND;

struct Job {
    host: Host,
    stats: Vec<Arc<StreamStats>>,
    start: EventTime,
    watermarks: Vec<Option<EventTime>>,
    given: Vec<EventTime>,
    finished: Vec<bool>,
    rows: Vec<Vec<Row>>,
    // Times of rows given out that no common watermark has reached yet.
    ahead: Vec<i64>,
    ahead_most: usize,
    batches: usize,
}

impl Job {
    fn open(streams: Vec<StreamInput>, now: i64, until_caught_up: bool) -> Job {
        let count = streams.len();
        let seam = Seam::open(streams, &options(until_caught_up, 64 << 20, Lead::default().rows), None).unwrap();
        Job {
            host: Host::new(&seam, now),
            stats: seam.stats(),
            start: seam.start(),
            watermarks: vec![Some(EventTime::MIN); count],
            given: vec![EventTime::MIN; count],
            finished: vec![false; count],
            rows: vec![Vec::new(); count],
            ahead: Vec::new(),
            ahead_most: 0,
            batches: 0,
        }
    }

    /// Polls every reader for as long as it gives rows, up to a bound; whether any gave rows or moved.
    fn round(&mut self) -> bool {
        (0..self.rows.len()).fold(false, |moved, source| {
            let polls = (0..50).take_while(|_| self.poll(source)).count();
            moved || polls > 0
        })
    }

    /// Whether a reader gave rows or moved.
    fn poll(&mut self, source: usize) -> bool {
        if self.finished[source] {
            return false;
        }
        let polled = self.host.poll(source, 4_096).unwrap();
        let moved = polled.watermark != self.watermarks[source] || matches!(polled.state, ReaderState::Ready);
        self.batches += usize::from(polled.batch.is_some());
        for row in polled.batch.iter().flat_map(rows_of) {
            let given = self.given[source];
            assert!(row.time > given.0, "{row:?} lies behind {given}");
            self.ahead.push(row.time);
            self.rows[source].push(row);
        }
        self.watermarks[source] = polled.watermark;
        self.given[source] = self.given[source].max(polled.watermark.unwrap_or(EventTime::MIN));
        self.finished[source] = polled.state == ReaderState::Finished;
        let least = self.watermark();
        self.ahead.retain(|&time| time > least.0);
        self.ahead_most = self.ahead_most.max(self.ahead.len());
        moved
    }

    fn watermark(&self) -> EventTime {
        self.watermarks.iter().flatten().copied().min().unwrap_or(EventTime::MIN)
    }

    /// Goes on until some time has passed in which nothing moved.
    fn rounds_until_still(&mut self) {
        let mut still = 0;
        for round in 0.. {
            assert!(round < 100_000, "the streams never come to rest");
            self.host.now = ProcessingTime(self.host.now.0 + 20 * MILLI);
            still = if self.round() { 0 } else { still + 1 };
            if still > 5 {
                return;
            }
        }
    }

    /// The time is now this.
    fn set_now(&mut self, now: i64) {
        self.host.now = ProcessingTime(now.max(self.host.now.0));
    }
}

/// A history of rows `every` so often, from zero up to an end.
fn history(name: &str, every: i64, end: i64) -> StreamInput {
    let times: Vec<i64> = (0..end / every).map(|row| row * every).collect();
    let files = times.chunks(20_000).map(|times| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(times.iter().copied())),
            Arc::new(TimestampMicrosecondArray::from_iter_values(times.iter().copied())),
        ];
        RecordBatch::try_new(schema(), columns).unwrap()
    });
    let mut spec = spec(2 * SECOND, Quiet::After(Span(SECOND)));
    spec.name = name.to_owned();
    let files = MemoryFiles::new(schema(), files.collect(), true);
    StreamInput { spec, history: Some(Arc::new(files)), history_frontier: None, live: None }
}

/// A topic of one partition whose rows arrive when they happen, archived up to a message.
fn archived(name: &str, log: &[Message], archived: usize) -> (StreamInput, Arc<MemoryTopic>) {
    let mut spec = spec(2 * SECOND, Quiet::After(Span(SECOND)));
    spec.name = name.to_owned();
    let topic = Arc::new(MemoryTopic::new(name, vec![log.to_vec()]));
    let to = log[..archived].last().map(|message| message.position);
    let (batches, frontier) = archive(&mut Random(1), &spec, &topic, &[to]);
    let files =
        MemoryFiles::new(archive_schema(&schema()), batches, true).with_property(FRONTIER_PROPERTY, frontier.to_text());
    let live = Some(Live { topic: topic.clone(), decode: Arc::new(Text) });
    (StreamInput { spec, history: Some(Arc::new(files)), history_frontier: None, live }, topic)
}

fn log(times: impl Iterator<Item = i64>) -> Vec<Message> {
    let mut log = Vec::new();
    times.enumerate().for_each(|(id, time)| push(&mut log, time, format!("{id},{time}"), false));
    log
}

#[test]
fn a_dense_history_does_not_run_ahead_of_a_sparse_one() {
    let mut job = Job::open(
        vec![history("accounts", SECOND / 100, 8_000 * SECOND), history("messages", SECOND, 8_000 * SECOND)],
        0,
        true,
    );
    job.rounds_until_still();
    assert!(job.finished.iter().all(|&finished| finished));
    assert_eq!(job.stats[1].counts().history_rows, 8_000);
    assert_eq!(job.stats[0].counts().history_rows, 800_000);
    // The rows that a reader may always lead by, and one batch, of the 808,000.
    assert!(job.batches < 1_000, "{} batches", job.batches);
    assert!(job.ahead_most < (256 << 10) + 10_000, "{} rows ahead of the watermark", job.ahead_most);
    assert_eq!(job.host.end, Some(EventTime::MAX));
}

#[test]
fn a_dense_topic_does_not_run_ahead_of_a_sparse_history() {
    let dense = log((0..600_000).map(|row| row * SECOND / 100));
    let (accounts, _) = archived("accounts", &dense, 0);
    let mut job = Job::open(vec![history("messages", SECOND, 6_000 * SECOND), accounts], 6_000 * SECOND, true);
    job.rounds_until_still();
    assert!(job.finished.iter().all(|&finished| finished));
    assert_eq!(job.stats[1].counts().live_rows, 600_000);
    // The rows that a topic may always lead by, one batch, and a window of delay and silence.
    assert!(job.ahead_most < (256 << 10) + 10_000, "{} rows ahead of the watermark", job.ahead_most);
    assert_eq!(job.host.end, Some(EventTime(599_999 * SECOND / 100)));
}

#[test]
fn a_stream_silent_for_two_weeks_does_not_put_the_start_back() {
    let end = 30 * DAY;
    let busy = log((0..720).map(|row| row * 60 * MINUTE).filter(|&time| time < end));
    let silent = log((0..16).map(|row| row * DAY));
    let (busy, busy_topic) = archived("messages", &busy, 600);
    let (silent, silent_topic) = archived("reports", &silent, 16);
    busy_topic.set_now(end);
    silent_topic.set_now(end);
    let mut job = Job::open(vec![busy, silent], end, false);
    // The least is where the archive of the busy topic ends, 5 days back, not the 15 days of the silent one.
    assert_eq!(job.start, EventTime(599 * 60 * MINUTE - 2 * SECOND - 1));
    job.rounds_until_still();
    assert_eq!(job.stats[0].counts().history_rows, 600);
    assert_eq!(job.stats[0].counts().live_rows, 120);
    assert_eq!(job.stats[1].counts().history_rows, 16);
    assert_eq!(job.watermark(), EventTime(end - 3 * SECOND - 1), "silence runs the clocks on to the broker's time");
}

#[test]
fn a_stream_that_falls_silent_lets_rows_out_when_the_quiet_rule_says() {
    let minutes = |n: i64| n * MINUTE;
    let (messages, messages_topic) = archived("messages", &log((0..1200).map(|row| row * SECOND)), 300);
    let (accounts, accounts_topic) = archived("accounts", &log((0..600).map(|row| row * SECOND)), 300);
    let mut job = Job::open(vec![messages, accounts], 0, false);
    for now in (0..=1200).step_by(5) {
        messages_topic.set_now(now * SECOND);
        accounts_topic.set_now(now * SECOND);
        job.set_now(now * SECOND);
        job.rounds_until_still();
        if now > 300 {
            let silent = if now * SECOND < minutes(10) { 0 } else { SECOND };
            assert!(job.watermark() >= EventTime(now * SECOND - 2 * SECOND - silent - 1), "at {now} s");
            assert!(job.ahead.len() < 10, "{} rows wait at {now} s", job.ahead.len());
        }
    }
    assert_eq!(job.stats[0].counts().live_rows, 900);
}

#[test]
fn an_empty_topic_holds_nobody_back() {
    let (messages, topic) = archived("messages", &log((0..100).map(|row| row * SECOND)), 50);
    let (reports, reports_topic) = archived("reports", &[], 0);
    topic.set_now(99 * SECOND);
    reports_topic.set_now(99 * SECOND);
    let mut job = Job::open(vec![messages, reports], 99 * SECOND, false);
    job.rounds_until_still();
    assert_eq!(job.stats[0].counts().live_rows, 50);
    assert!(job.watermark() >= EventTime(99 * SECOND - 3 * SECOND - 1), "{}", job.watermark());
    // Its first row happened long ago: it joins behind the watermark, and is counted.
    push(&mut reports_topic.partitions.lock().unwrap()[0], 100 * SECOND, format!("1,{SECOND}"), false);
    reports_topic.set_now(100 * SECOND);
    job.set_now(100 * SECOND);
    job.rounds_until_still();
    assert_eq!(job.stats[1].counts().joined, 1);
    assert_eq!(job.stats[1].counts().live_rows, 1);
}

#[test]
fn an_empty_topic_does_not_hold_the_end_of_a_history_back() {
    let (reports, _) = archived("reports", &[], 0);
    let mut job = Job::open(vec![history("events", SECOND, 100 * SECOND), reports], 100 * SECOND, false);
    job.rounds_until_still();
    assert_eq!(job.rows[0].len(), 100);
    assert!(job.ahead.is_empty(), "{} rows wait for a topic without rows", job.ahead.len());
    assert_eq!(job.watermarks[1], None);
}

/// One to three streams of random logs, each with a random frontier, or with only one side.
fn random_job(random: &mut Random) -> (Vec<StreamInput>, Vec<Vec<Row>>, Option<i64>) {
    let (mut inputs, mut expected, mut horizon) = (Vec::new(), Vec::new(), None);
    for _ in 0..1 + random.below(3) {
        let (delay, span) = (random.of(&[0, 10 * MILLI, 2 * SECOND, 3600 * SECOND]), random.of(&[MILLI, SECOND]));
        let quiet = if random.percent(40) { Quiet::Never } else { Quiet::After(Span(span)) };
        let (spec, logs) = (spec(delay, quiet), random_logs(random, delay, span));
        let (rows, clock) = truth(&logs, delay, quiet);
        let topic = Arc::new(MemoryTopic::new("t", logs.clone()));
        let only_history = random.percent(20);
        let mut archived = |log: &Vec<Message>| if only_history { log.len() } else { random.below(log.len() + 1) };
        let counts: Vec<usize> = logs.iter().map(&mut archived).collect();
        let mut stream = input(random, &spec, &topic, &counts, &logs);
        if only_history {
            stream.live = None;
        } else {
            horizon = horizon.max(clock);
        }
        inputs.push(stream);
        expected.push(rows);
    }
    (inputs, expected, horizon)
}

#[test]
fn any_streams_together_come_to_their_ends() {
    for seed in 0..300 {
        let (inputs, expected, horizon) = random_job(&mut Random(seed));
        let mut job = Job::open(inputs, 20_000_000 * SECOND, true);
        job.rounds_until_still();
        assert!(
            job.finished.iter().all(|&finished| finished),
            "seed {seed}: held by {:?}",
            job.host.coordinator.held_by()
        );
        for (rows, expected) in job.rows.iter_mut().zip(&expected) {
            rows.sort();
            assert_eq!(rows, expected, "seed {seed}");
        }
        let horizon = horizon.map_or(EventTime::MAX, EventTime);
        assert_eq!(job.host.end, Some(horizon), "seed {seed}");
    }
}
