//! Several streams together: none runs ahead of the others, and none holds them back without end.

use crate::archiver::archive;
use crate::host::{Host, Run};
use crate::memory::*;
use crate::switch::input;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use dataflow::{EventTime, Message, Span};
use seam::{BadRowPolicy, FRONTIER_PROPERTY, Lead, Live, Quiet, StreamInput, archive_schema};
use std::sync::Arc;

const MINUTE: i64 = 60 * SECOND;
/// How many rows a poll gives at most.
const ROWS_MAX: usize = 4_096;

fn open(streams: Vec<StreamInput>, until_caught_up: bool, workers: usize, now: i64) -> Host {
    Host::open(streams, Run { now, ..Run::new(until_caught_up, workers) }).unwrap()
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
    for (workers, lead, ahead_max) in
        [(1, 20_000, 80_000), (2, 20_000, 80_000), (3, 20_000, 80_000), (1, 256 << 10, (256 << 10) + 10_000)]
    {
        let streams =
            vec![history("accounts", SECOND / 100, 8_000 * SECOND), history("messages", SECOND, 8_000 * SECOND)];
        let lead = Lead { rows: lead, bytes: 64 << 20 };
        let mut host = Host::open(streams, Run { lead, ..Run::new(true, workers) }).unwrap();
        host.rest(ROWS_MAX).unwrap();
        assert!(host.is_finished());
        assert_eq!(host.counts(1).history_rows, 8_000);
        assert_eq!(host.counts(0).history_rows, 800_000);
        // One stretch of rows that are ready, of the 808,000.
        assert!(host.batches < 1_000, "{} batches", host.batches);
        assert!(host.ahead_most < ahead_max, "{} rows ahead of the watermark", host.ahead_most);
        assert_eq!(host.end, Some(EventTime::MAX));
    }
}

#[test]
fn a_dense_topic_does_not_run_ahead_of_a_sparse_history() {
    let dense = log((0..600_000).map(|row| row * SECOND / 100));
    for workers in 1..=2 {
        let (accounts, _) = archived("accounts", &dense, 0);
        let mut host = open(vec![history("messages", SECOND, 6_000 * SECOND), accounts], true, workers, 0);
        host.rest(ROWS_MAX).unwrap();
        assert!(host.is_finished());
        assert_eq!(host.counts(1).live_rows, 600_000);
        // The rows that a topic may always lead by, one batch, and a window of delay and silence.
        assert!(host.ahead_most < (256 << 10) + 10_000, "{} rows ahead of the watermark", host.ahead_most);
        assert_eq!(host.end, Some(EventTime(599_999 * SECOND / 100)));
    }
}

#[test]
fn a_stream_silent_for_two_weeks_does_not_put_the_start_back() {
    let end = 30 * DAY;
    let busy_log = log((0..720).map(|row| row * 60 * MINUTE).filter(|&time| time < end));
    let silent_log = log((0..16).map(|row| row * DAY));
    for workers in 1..=2 {
        let (busy, busy_topic) = archived("messages", &busy_log, 600);
        let (silent, silent_topic) = archived("reports", &silent_log, 16);
        busy_topic.set_now(end);
        silent_topic.set_now(end);
        let mut host = open(vec![busy, silent], false, workers, end);
        // The least is where the archive of the busy topic ends, 5 days back, not the 15 days of the silent one.
        assert_eq!(host.start, EventTime(599 * 60 * MINUTE - 2 * SECOND - 1));
        host.rest(ROWS_MAX).unwrap();
        assert_eq!(host.counts(0).history_rows, 600);
        assert_eq!(host.counts(0).live_rows, 120);
        assert_eq!(host.counts(1).history_rows, 16);
        assert_eq!(host.level, EventTime(end - 3 * SECOND - 1), "silence runs the clocks on to the broker's time");
    }
}

#[test]
fn a_stream_that_falls_silent_lets_rows_out_when_the_quiet_rule_says() {
    let minutes = |n: i64| n * MINUTE;
    for workers in 1..=2 {
        let (messages, messages_topic) = archived("messages", &log((0..1200).map(|row| row * SECOND)), 300);
        let (accounts, accounts_topic) = archived("accounts", &log((0..600).map(|row| row * SECOND)), 300);
        let mut host = open(vec![messages, accounts], false, workers, 0);
        for now in (0..=1200).step_by(5) {
            host.now = now * SECOND;
            messages_topic.set_now(host.now);
            accounts_topic.set_now(host.now);
            host.rest(ROWS_MAX).unwrap();
            if now > 300 {
                let silent = if now * SECOND < minutes(10) { 0 } else { SECOND };
                assert!(host.level >= EventTime(now * SECOND - 2 * SECOND - silent - 1), "at {now} s: {}", host.level);
                assert!(host.ahead.len() < 10, "{} rows wait at {now} s", host.ahead.len());
            }
        }
        assert_eq!(host.counts(0).live_rows, 900);
    }
}

#[test]
fn an_empty_topic_holds_nobody_back() {
    for workers in 1..=2 {
        let (messages, topic) = archived("messages", &log((0..100).map(|row| row * SECOND)), 50);
        let (reports, reports_topic) = archived("reports", &[], 0);
        topic.set_now(99 * SECOND);
        reports_topic.set_now(99 * SECOND);
        let mut host = open(vec![messages, reports], false, workers, 99 * SECOND);
        host.rest(ROWS_MAX).unwrap();
        assert_eq!(host.counts(0).live_rows, 50);
        assert_eq!(host.watermark(1), None);
        assert!(host.level >= EventTime(99 * SECOND - 3 * SECOND - 1), "{}", host.level);
        // Its first row happened long ago: it joins after the watermark, and is counted.
        push(&mut reports_topic.partitions.lock().unwrap()[0], 100 * SECOND, format!("1,{SECOND}"), false);
        host.now = 100 * SECOND;
        reports_topic.set_now(host.now);
        let behind = host.level;
        host.rest(ROWS_MAX).unwrap();
        assert_eq!(host.counts(1).joined, 1);
        let times: Vec<i64> = host.rows[1].iter().map(|row| row.time).collect();
        assert_eq!(times, [behind.0 + 1], "it is not behind more than it must");
        assert!(host.ahead.iter().all(|&time| time > behind.0));
    }
}

#[test]
fn an_empty_topic_does_not_hold_the_end_of_a_history_back() {
    for workers in 1..=2 {
        let (reports, topic) = archived("reports", &[], 0);
        topic.set_now(99 * SECOND);
        let mut host = open(vec![history("events", SECOND, 100 * SECOND), reports], false, workers, 99 * SECOND);
        host.rest(ROWS_MAX).unwrap();
        assert_eq!(host.rows[0].len(), 100);
        assert!(host.ahead.is_empty(), "{} rows wait for a topic without rows", host.ahead.len());
        assert_eq!(host.watermark(1), None);
        // Rows that come later are not behind more than they must.
        push(&mut topic.partitions.lock().unwrap()[0], 100 * SECOND, format!("1,{SECOND}"), false);
        push(&mut topic.partitions.lock().unwrap()[0], 100 * SECOND, format!("2,{}", 100 * SECOND), false);
        host.now = 100 * SECOND;
        topic.set_now(host.now);
        host.rest(ROWS_MAX).unwrap();
        let times: Vec<i64> = host.rows[1].iter().map(|row| row.time).collect();
        assert_eq!(times, [99 * SECOND + 1, 100 * SECOND]);
    }
}

#[test]
fn dead_letters_that_no_time_gives_an_order_are_bounded() {
    const MOST: i64 = 256 << 10;
    for bad in [MOST + 1, MOST, 20] {
        let (mut messages, topic) = archived("messages", &[], 0);
        messages.spec.bad_rows = BadRowPolicy::DeadLetter;
        let mut host = Host::open(vec![messages], Run::new(false, 1)).unwrap();
        host.rest(ROWS_MAX).unwrap();
        let put = |at: i64, text: String| push(&mut topic.partitions.lock().unwrap()[0], at, text, false);
        (1..=bad).for_each(|at| put(at * SECOND, "no row".to_owned()));
        host.now = bad * SECOND;
        topic.set_now(host.now);
        let rested = host.rest(ROWS_MAX);
        if bad > MOST {
            let error = rested.unwrap_err().chain();
            assert!(error.contains("messages so far are bad") && error.contains("\"no row\" is no row"), "{error}");
            continue;
        }
        rested.unwrap();
        assert_eq!(host.counts(0).dead_lettered, bad as u64);
        put((bad + 1) * SECOND, format!("1,{}", bad * SECOND));
        host.now = (bad + 10) * SECOND;
        topic.set_now(host.now);
        host.rest(10).unwrap();
        assert_eq!(host.rows[0].len(), 1);
    }
}

/// Every checkpoint commits what all outputs of the job have: a topic that shows no time does not ask for many.
#[test]
fn bad_messages_before_the_first_time_ask_for_few_checkpoints() {
    const MESSAGES: i64 = 40;
    for (policy, checkpoints_max) in
        [(BadRowPolicy::Skip, 1), (BadRowPolicy::DeadLetter, 1 + 2 * (MESSAGES as u64 / 10 + 1))]
    {
        let (mut messages, topic) = archived("messages", &[], 0);
        messages.spec.bad_rows = policy;
        let mut host = open(vec![messages], false, 1, 0);
        host.rest(ROWS_MAX).unwrap();
        let put = |host: &mut Host, at: i64, text: &str| {
            push(&mut topic.partitions.lock().unwrap()[0], at * SECOND, text.to_owned(), false);
            host.now = at * SECOND;
            topic.set_now(host.now);
            host.rest(ROWS_MAX).unwrap();
        };
        for at in 1..=MESSAGES {
            put(&mut host, at, "no row");
            // Those that the policy leaves out are passed, and a checkpoint may follow at once.
            assert!(policy != BadRowPolicy::Skip || host.counts(0).bad == at as u64, "{:?}", host.counts(0));
        }
        assert!(host.checkpoints <= checkpoints_max, "{policy:?}: {} checkpoints", host.checkpoints);
        put(&mut host, MESSAGES + 1, &format!("1,{}", MESSAGES * SECOND));
        let counts = host.counts(0);
        assert_eq!((counts.bad + counts.dead_lettered, host.rows[0].len()), (MESSAGES as u64, 1), "{policy:?}");
    }
}

/// One to three streams of random logs, each with a random frontier, or with only one side.
fn random_job(random: &mut Random) -> (Vec<StreamInput>, Vec<Vec<Row>>, Option<i64>) {
    let (mut inputs, mut expected, mut greatest) = (Vec::new(), Vec::new(), None);
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
            greatest = greatest.max(clock);
        }
        inputs.push(stream);
        expected.push(rows);
    }
    (inputs, expected, greatest)
}

#[test]
fn any_streams_together_come_to_their_ends() {
    for seed in 0..300 {
        for workers in 1..=3 {
            let (inputs, expected, clock) = random_job(&mut Random(seed));
            let mut host = open(inputs, true, workers, 0);
            host.rest(ROWS_MAX).unwrap();
            assert!(host.is_finished(), "seed {seed}, {workers} workers: held by {:?}", host.held_by());
            for (rows, expected) in host.rows.iter_mut().zip(&expected) {
                rows.sort();
                assert_eq!(rows, expected, "seed {seed}, {workers} workers");
            }
            assert_eq!(host.end, Some(clock.map_or(EventTime::MAX, EventTime)), "seed {seed}, {workers} workers");
        }
    }
}
