//! All-history, all-live, and history then live at any frontier: the same rows with the same times and orders.

use crate::archiver::archive;
use crate::host::{Host, Run};
use crate::memory::*;
use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use dataflow::BadRowPolicy;
use dataflow::{EventTime, Message, Port, Position, RowOrder, Span};
use seam::{
    CLOCK_PROPERTY, Counts, FRONTIER_PROPERTY, Frontier, Late, Lead, Live, Quiet, Seam, StreamInput, StreamSpec,
    archive_schema, clock_property,
};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// Cuts archived rows into files at random, sometimes shuffled within and across.
fn files(random: &mut Random, spec: &StreamSpec, batches: &[RecordBatch], frontier: &Frontier) -> MemoryFiles {
    let schema = archive_schema(&spec.schema);
    let mut rows = concat_batches(&schema, batches).unwrap();
    if random.percent(50) {
        let mut indexes: Vec<u32> = (0..rows.num_rows() as u32).collect();
        random.shuffle(&mut indexes);
        rows = take_record_batch(&rows, &UInt32Array::from(indexes)).unwrap();
    }
    let (mut cut, mut from) = (Vec::new(), 0);
    while from < rows.num_rows() {
        let len = (1 + random.below(30)).min(rows.num_rows() - from);
        cut.push(rows.slice(from, len));
        from += len;
    }
    MemoryFiles::new(schema, cut, random.percent(70))
        .with_property(FRONTIER_PROPERTY, frontier.to_text())
        .with_property(CLOCK_PROPERTY, clock_property(spec))
}

struct Reading {
    rows: Vec<Row>,
    counts: Counts,
    start: EventTime,
    end: Option<EventTime>,
}

/// Reads a stream by random readers with a random lead while the broker's time moves at random; the host checks that no
/// row is behind a watermark given.
fn read(
    random: &mut Random,
    input: StreamInput,
    topic: &MemoryTopic,
    until_caught_up: bool,
    messages: usize,
) -> Reading {
    let rows = random.of(&[0, 1, 20, 256 << 10]) as usize;
    let run = Run { lead: Lead { rows, bytes: 64 << 20 }, ..Run::new(until_caught_up, 1 + random.below(3)) };
    let mut host = Host::open(vec![input], Run { now: topic.now.load(SeqCst), ..run }).unwrap();
    let readers = host.readers();
    for _ in 0..60_000 {
        let batches = host.batches;
        let reader = readers[random.below(readers.len())];
        host.poll(reader, 1 + random.below(40)).unwrap();
        if host.is_finished() || (!until_caught_up && seen(&host) == messages) {
            break;
        }
        if host.batches == batches {
            host.now += random.of(&[1, 10 * MILLI, 1000 * MILLI, 50 * SECOND, 1000 * SECOND]);
            topic.set_now(host.now);
        }
    }
    let counts = host.counts(0);
    assert_eq!(seen(&host), messages, "rows are lost or doubled: {counts:?}");
    assert_eq!(counts.history_rows + counts.live_rows, host.rows[0].len() as u64);
    assert!(host.is_finished() || !until_caught_up, "held by {:?}", host.held_by());
    let mut rows = host.rows.remove(0);
    rows.sort();
    Reading { rows, counts, start: host.start, end: host.end }
}

/// How many messages were given out or left.
fn seen(host: &Host) -> usize {
    let counts = host.counts(0);
    host.rows[0].len() + (counts.late_dropped + counts.quarantined + counts.bad) as usize
}

/// Whether a partition has, up to a time, a message that moves its clock.
fn moves(log: &[Message], to: i64) -> bool {
    log.iter().take_while(|message| message.arrival.0 <= to).any(|message| {
        let text = std::str::from_utf8(&message.payload).unwrap();
        let event = text.split_once(',').and_then(|(_, event)| event.parse::<i64>().ok());
        event.is_some_and(|event| event <= message.arrival.0 + DAY)
    })
}

/// A history up to a frontier and the topic after it.
pub fn input(
    random: &mut Random,
    spec: &StreamSpec,
    topic: &Arc<MemoryTopic>,
    counts: &[usize],
    logs: &[Vec<Message>],
) -> StreamInput {
    let to: Vec<Option<Position>> =
        logs.iter().zip(counts).map(|(log, &n)| log[..n].last().map(|message| message.position)).collect();
    let (batches, frontier) = archive(random, spec, topic, &to);
    StreamInput {
        spec: spec.clone(),
        history: Some(Arc::new(files(random, spec, &batches, &frontier))),
        history_frontier: None,
        live: Some(Live { topic: topic.clone(), decode: Arc::new(Text) }),
    }
}

struct Case {
    spec: StreamSpec,
    logs: Vec<Vec<Message>>,
    expected: Vec<Row>,
    clock: Option<i64>,
}

fn case(random: &mut Random) -> Case {
    let delay = random.of(&[0, 10 * MILLI, 2 * SECOND]);
    let span = random.of(&[MILLI, 100 * MILLI, SECOND]);
    let quiet = if random.percent(20) { Quiet::Never } else { Quiet::After(Span(span)) };
    let logs = random_logs(random, delay, span);
    let (expected, clock) = truth(&logs, delay, quiet);
    Case { spec: spec(delay, quiet), logs, expected, clock }
}

#[test]
fn the_same_rows_at_any_frontier() {
    let (mut readings, mut moved) = (0, 0);
    for seed in 0..400 {
        let mut random = Random(seed);
        let Case { spec, logs, expected, clock } = case(&mut random);
        let total: usize = logs.iter().map(Vec::len).sum();
        moved += expected.iter().filter(|row| row.late).count();
        for attempt in 0..4 {
            let counts: Vec<usize> = match attempt {
                0 => vec![0; logs.len()],
                1 => logs.iter().map(Vec::len).collect(),
                _ => logs.iter().map(|log| random.below(log.len() + 1)).collect(),
            };
            let topic = Arc::new(MemoryTopic::new("t", logs.clone()));
            let mut input = input(&mut random, &spec, &topic, &counts, &logs);
            if attempt == 0 {
                input.history = None;
            }
            let reading = read(&mut random, input, &topic, true, total);
            assert_eq!(reading.rows, expected, "seed {seed}, attempt {attempt}");
            assert_eq!(reading.counts.joined, 0);
            let end = clock.map_or(EventTime::MAX, EventTime);
            assert_eq!(reading.end, Some(end), "seed {seed}, attempt {attempt}");
            readings += 1;
        }
    }
    assert!(readings == 1600 && moved > 1000, "{readings} readings, {moved} late rows moved");
}

#[test]
fn the_same_rows_of_a_busy_log_at_two_hundred_frontiers() {
    let mut random = Random(11);
    let (delay, quiet) = (2 * SECOND, Quiet::After(Span(SECOND)));
    let (spec, logs) = (spec(delay, quiet), busy_logs(&mut random, 1_500, delay));
    let (expected, clock) = truth(&logs, delay, quiet);
    let late = expected.iter().filter(|row| row.late).count();
    assert!((10..200).contains(&late), "{late} rows of 1,500 are late");
    let arrivals: Vec<i64> = logs.iter().flatten().map(|message| message.arrival.0).collect();
    for vector in 0..200 {
        let counts: Vec<usize> =
            logs.iter().map(|log| if random.percent(15) { 0 } else { random.below(log.len() + 1) }).collect();
        let topic = Arc::new(MemoryTopic::new("t", logs.clone()));
        let input = input(&mut random, &spec, &topic, &counts, &logs);
        let until_caught_up = random.percent(50);
        if !until_caught_up {
            let archived = logs.iter().zip(&counts).filter_map(|(log, &n)| log[..n].last()).map(|m| m.arrival.0).max();
            let shown = logs.iter().map(|log| log[0].arrival.0).max();
            topic.set_now(archived.max(shown).unwrap_or(0).max(random.of(&arrivals)));
        }
        let reading = read(&mut random, input, &topic, until_caught_up, topic.messages());
        assert_eq!(reading.rows, expected, "vector {vector}: {counts:?}");
        assert_eq!(reading.counts.joined, 0);
        assert!(!until_caught_up || reading.end == clock.map(EventTime));
        check_start(vector, &reading, &logs, &counts);
    }
}

#[test]
fn the_same_rows_while_the_topic_grows() {
    let (mut joined_readings, mut readings) = (0, 0);
    for seed in 1000..1300 {
        let mut random = Random(seed);
        let Case { mut spec, logs, .. } = case(&mut random);
        if spec.quiet == Quiet::Never {
            // Rows from the future may wait for a watermark that never comes.
            spec.quiet = Quiet::After(Span(SECOND));
        }
        let (expected, _) = truth(&logs, spec.delay.0, spec.quiet);
        let total: usize = logs.iter().map(Vec::len).sum();
        let arrivals: Vec<i64> = logs.iter().flatten().map(|message| message.arrival.0).collect();
        for attempt in 0..3 {
            // The first attempt begins with topics that are as good as empty, so that partitions join.
            let counts: Vec<usize> =
                logs.iter().map(|log| if attempt == 0 { 0 } else { random.below(log.len() + 1) }).collect();
            let topic = Arc::new(MemoryTopic::new("t", logs.clone()));
            let input = input(&mut random, &spec, &topic, &counts, &logs);
            let archived = logs.iter().zip(&counts).filter_map(|(log, &n)| log[..n].last()).map(|m| m.arrival.0).max();
            let now =
                if random.percent(50) { arrivals.iter().copied().min().unwrap_or(0) } else { random.of(&arrivals) };
            let now = archived.unwrap_or(0).max(now);
            topic.set_now(now);
            let joins: Vec<bool> = logs.iter().map(|log| !moves(log, now)).collect();
            let reading = read(&mut random, input, &topic, false, total);
            check_growing(seed, &reading, &expected, &joins);
            check_start(seed, &reading, &logs, &counts);
            joined_readings += usize::from(reading.counts.joined > 0);
            readings += 1;
        }
    }
    assert!(readings == 900 && joined_readings > 20, "{joined_readings} of {readings} readings had rows that joined");
}

/// Only rows of partitions that had shown nothing at the start may have another time, each of them counted.
fn check_growing(seed: u64, reading: &Reading, expected: &[Row], joins: &[bool]) {
    let ids = |rows: &[Row]| rows.iter().map(|row| (row.id, row.order)).collect::<Vec<_>>();
    assert_eq!(ids(&reading.rows), ids(expected), "seed {seed}");
    let mut moved = 0;
    for (row, expected) in reading.rows.iter().zip(expected) {
        if row != expected {
            moved += u64::from(row.time != expected.time);
            let partition = (row.order.0 >> 112) as usize;
            assert!(joins[partition] && row.time > expected.time && row.late, "seed {seed}: {row:?}, not {expected:?}");
        }
    }
    assert_eq!(reading.counts.joined, moved, "seed {seed}");
}

/// Rows at or before W are those of history: a row of the topic after the frontier comes after it.
fn check_start(seed: u64, reading: &Reading, logs: &[Vec<Message>], counts: &[usize]) {
    for row in reading.rows.iter().filter(|row| row.time <= reading.start.0) {
        let partition = (row.order.0 >> 112) as usize;
        let archived = logs[partition][..counts[partition]].last().map(|message| message.position);
        let archived = archived.map(|at| RowOrder::of_position(partition as u32, at).unwrap());
        assert!(Some(row.order) <= archived, "seed {seed}: {row:?} of the topic is not after {}", reading.start);
    }
}

#[test]
fn late_rows_are_dropped_where_the_stream_says_so() {
    for seed in 0..50 {
        let mut random = Random(seed);
        let Case { mut spec, logs, expected, .. } = case(&mut random);
        spec.late = Late::Drop;
        let counts: Vec<usize> = logs.iter().map(|log| random.below(log.len() + 1)).collect();
        let topic = Arc::new(MemoryTopic::new("t", logs.clone()));
        let input = input(&mut random, &spec, &topic, &counts, &logs);
        let reading = read(&mut random, input, &topic, true, topic.messages());
        let (late, on_time): (Vec<Row>, Vec<Row>) = expected.into_iter().partition(|row| row.late);
        assert_eq!(reading.rows, on_time, "seed {seed}");
        assert_eq!(reading.counts.late_dropped, late.len() as u64);
    }
}

#[test]
fn outputs_begin_where_the_partitions_stand() {
    let mut log = Vec::new();
    push(&mut log, 10 * SECOND, format!("1,{}", 10 * SECOND), false);
    push(&mut log, 11 * SECOND, format!("2,{}", 11 * SECOND), false);
    let spec = spec(SECOND, Quiet::After(Span(SECOND)));
    for (archived, now, expected) in [
        // Ended at the frontier a minute ago: the silence counts.
        (2, 71 * SECOND, 71 * SECOND - SECOND - SECOND - 1),
        // The topic goes on after the frontier: the clock there counts.
        (1, 71 * SECOND, 10 * SECOND - SECOND - 1),
        // Nothing archived: the first row counts.
        (0, 71 * SECOND, 10 * SECOND - SECOND - 1),
    ] {
        let topic = Arc::new(MemoryTopic::new("t", vec![log.clone(), Vec::new()]));
        topic.set_now(now);
        let input = input(&mut Random(1), &spec, &topic, &[archived, 0], &[log.clone(), Vec::new()]);
        let seam = Seam::open(vec![input], &Run::new(false, 1).options(), None).unwrap();
        assert_eq!(seam.start(), EventTime(expected), "{archived} archived");
    }
}

#[test]
fn a_partition_that_joins_behind_the_watermark_is_moved_and_counted() {
    let spec = spec(SECOND, Quiet::After(Span(SECOND)));
    let (mut first, mut second) = (Vec::new(), Vec::new());
    (0..10).for_each(|id| push(&mut first, (100 + id) * SECOND, format!("{id},{}", (100 + id) * SECOND), false));
    // Its first rows happened long before they arrived, when the watermark stands at 107 s and 999,999 us.
    for (id, event) in [(20, 50 * SECOND), (21, 51 * SECOND), (22, 110 * SECOND)] {
        push(&mut second, 110 * SECOND, format!("{id},{event}"), false);
    }
    let topic = Arc::new(MemoryTopic::new("t", vec![first, second]));
    for workers in 1..=2 {
        topic.set_now(109 * SECOND);
        let input = StreamInput {
            spec: spec.clone(),
            history: None,
            history_frontier: None,
            live: Some(Live { topic: topic.clone(), decode: Arc::new(Text) }),
        };
        let mut host = Host::open(vec![input], Run { now: 109 * SECOND, ..Run::new(false, workers) }).unwrap();
        host.rest(100).unwrap();
        assert_eq!((host.watermark(0), host.checkpoints), (Some(EventTime(108 * SECOND - 1)), 1));
        topic.set_now(110 * SECOND);
        host.now = 110 * SECOND;
        host.rest(100).unwrap();
        let found: Vec<_> = host.rows[0][10..].iter().map(|row| (row.id, row.time, row.late)).collect();
        assert_eq!(found, [(20, 108 * SECOND, true), (21, 108 * SECOND, true), (22, 110 * SECOND, false)]);
        let counts = host.counts(0);
        assert_eq!((counts.joined, counts.late_moved, counts.live_rows), (2, 0, 13));
        assert_eq!(host.checkpoints, 2, "it waited for a checkpoint");
    }
}

#[test]
fn sides_that_do_not_belong_together_are_refused() {
    let declared = spec(SECOND, Quiet::After(Span(SECOND)));
    let mut log = Vec::new();
    push(&mut log, SECOND, format!("1,{SECOND}"), false);
    let topic = Arc::new(MemoryTopic::new("t", vec![log.clone()]));
    let good = || input(&mut Random(1), &declared, &topic, &[1], &[log.clone()]);
    let refused =
        |input: StreamInput| Seam::open(vec![input], &Run::new(true, 1).options(), None).err().unwrap().to_string();

    let mut other_quiet = good();
    other_quiet.spec.quiet = Quiet::Never;
    assert!(refused(other_quiet).contains("QUIET"));

    let mut made_again = good();
    let again = Arc::new(MemoryTopic::new("u", vec![log.clone()]));
    made_again.live = Some(Live { topic: again, decode: Arc::new(Text) });
    assert!(refused(made_again).contains("made again"));

    let plain = RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(arrow::array::Int64Array::from(vec![1])),
            Arc::new(arrow::array::TimestampMicrosecondArray::from(vec![SECOND])),
        ],
    );
    let mut without_coordinates = good();
    without_coordinates.history = Some(Arc::new(MemoryFiles::new(schema(), vec![plain.unwrap()], true)));
    assert!(refused(without_coordinates).contains("no message coordinates"));

    let mut without_frontier = good();
    let (batches, _) = archive(&mut Random(1), &declared, &topic, &[log.last().map(|m| m.position)]);
    without_frontier.history = Some(Arc::new(MemoryFiles::new(archive_schema(&schema()), batches, true)));
    assert!(refused(without_frontier).contains("no property riverrun.frontier"));

    let neither = StreamInput { spec: declared.clone(), history: None, history_frontier: None, live: None };
    assert!(refused(neither).contains("neither HISTORY nor LIVE"));
}

#[test]
fn every_message_is_given_out_or_left_aside() {
    let (mut late, mut bad) = (0, 0);
    for seed in 2000..2100 {
        let mut random = Random(seed);
        let Case { mut spec, logs, .. } = case(&mut random);
        spec.late = Late::Aside;
        spec.bad_rows = BadRowPolicy::DeadLetter;
        let topic = Arc::new(MemoryTopic::new("t", logs.clone()));
        let counts: Vec<usize> = logs.iter().map(|log| random.below(log.len() + 1)).collect();
        let input = input(&mut random, &spec, &topic, &counts, &logs);
        let mut host = Host::open(vec![input], Run::new(true, 1 + random.below(3))).unwrap();
        host.rest(1 + random.below(40)).unwrap();
        assert!(host.is_finished(), "seed {seed}: held by {:?}", host.held_by());
        let aside = |port: Port| {
            let of_port = host.aside[0].iter().filter(|(at, _)| *at == port);
            of_port.map(|(_, batch)| batch.rows()).sum::<usize>()
        };
        let (late_rows, bad_rows, counts) = (aside(Port::LATE), aside(Port::DEAD_LETTER), host.counts(0));
        assert_eq!(counts.late_dropped, late_rows as u64, "seed {seed}");
        assert_eq!(counts.dead_lettered, bad_rows as u64, "seed {seed}");
        assert_eq!(host.rows[0].len() + late_rows + bad_rows, topic.messages(), "seed {seed}: {counts:?}");
        (late, bad) = (late + late_rows, bad + bad_rows);
    }
    assert!(late > 100 && bad > 50, "{late} late rows, {bad} bad ones");
}
