//! Jobs that go on from a checkpoint: after a kill, after an end, with inputs that have changed meanwhile.

use crate::host::{Host, Kept, Run};
use crate::memory::*;
use crate::switch::input;
use dataflow::{CoordinatorState, ErrorKind, EventTime, Message, RowOrder, Span};
use seam::{Live, Quiet, Seam, StreamInput, has_read_history, has_read_nothing};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What came of a job over all its runs.
struct Job {
    topic: Arc<MemoryTopic>,
    input: StreamInput,
    kept: Option<Kept>,
    rows: Vec<Row>,
    moved: u64,
    start: Option<EventTime>,
}

pub fn only_live(topic: &Arc<MemoryTopic>, delay: i64, quiet: Quiet) -> StreamInput {
    let live = Some(Live { topic: topic.clone(), decode: Arc::new(Text) });
    StreamInput { spec: spec(delay, quiet), history: None, history_frontier: None, live }
}

pub fn again(input: &StreamInput) -> StreamInput {
    StreamInput {
        spec: input.spec.clone(),
        history: input.history.clone(),
        history_frontier: None,
        live: input.live.clone(),
    }
}

impl Job {
    fn new(topic: &Arc<MemoryTopic>, input: StreamInput) -> Job {
        Job { topic: topic.clone(), input, kept: None, rows: Vec::new(), moved: 0, start: None }
    }

    /// Runs up to where the topic ends now; is killed after so many polls, if it comes to that. Gives whether it ended.
    fn run(&mut self, random: &mut Random, polls_max: usize) -> bool {
        let now = self.topic.now.load(std::sync::atomic::Ordering::SeqCst);
        // Such a job begins as it does without a checkpoint.
        if self.kept.take_if(|kept| has_read_nothing(&kept.state).unwrap()).is_some() {
            self.start = None;
        }
        let new_ends = self.kept.as_ref().is_some_and(|kept| kept.last);
        let run = Run { now, new_ends, ..Run::new(true, 1 + random.below(3)) };
        let mut host = Host::go_on(vec![again(&self.input)], run, self.kept.as_ref()).unwrap();
        if self.kept.is_some() {
            assert_eq!(Some(host.start), self.start, "outputs begin where they began");
        }
        let readers = host.readers();
        let mut polls = 0;
        while !host.is_finished() && polls < polls_max {
            host.poll(readers[random.below(readers.len())], 1 + random.below(20)).unwrap();
            if random.percent(10) {
                host.want_checkpoint().unwrap();
            }
            host.now += MILLI;
            polls += 1;
            assert!(polls < 20_000, "held by {:?}", host.held_by());
        }
        let ended = host.is_finished();
        self.start = self.start.or(host.kept.is_some().then_some(host.start));
        // What came after the last checkpoint comes again.
        let kept = host.kept.take();
        let rows = kept.as_ref().map_or(0, |kept| kept.rows[0]);
        self.rows.extend(host.rows[0].drain(..rows));
        if ended {
            self.moved += host.counts(0).joined;
        }
        self.kept = kept.or(self.kept.take());
        assert!(!ended || self.kept.as_ref().is_some_and(|kept| kept.last));
        ended
    }
}

/// The rows of a log that count, by their place.
fn by_order(rows: &[Row]) -> BTreeMap<RowOrder, &Row> {
    let all: BTreeMap<RowOrder, &Row> = rows.iter().map(|row| (row.order, row)).collect();
    assert_eq!(all.len(), rows.len(), "a row twice");
    all
}

/// Checks that rows are those of the logs, each once, and that those which are not where the log alone puts them were
/// moved on. Gives how many were.
fn check_rows(rows: &[Row], logs: &[Vec<Message>], input: &StreamInput) -> usize {
    let (expected, _) = truth(logs, input.spec.delay.0, input.spec.quiet);
    let (found, expected) = (by_order(rows), by_order(&expected));
    assert!(found.keys().eq(expected.keys()), "{} rows of {}", found.len(), expected.len());
    let moved = found.iter().filter(|(order, row)| row.time != expected[order].time);
    moved.inspect(|(order, row)| assert!(row.late && row.time > expected[order].time, "{row:?}")).count()
}

#[test]
fn a_bounded_run_that_is_killed_gives_what_one_that_is_not_gives() {
    let mut kills = 0;
    for seed in 0..300 {
        let mut random = Random(seed);
        let delay = random.of(&[0, 10 * MILLI, 2 * SECOND]);
        let span = random.of(&[MILLI, 100 * MILLI, SECOND]);
        let logs = random_logs(&mut random, delay, span);
        let topic = Arc::new(MemoryTopic::new("t", logs.clone()));
        let counts: Vec<usize> = logs.iter().map(|log| random.below(log.len() + 1)).collect();
        let spec = spec(delay, Quiet::After(dataflow::Span(span)));
        let mut job = Job::new(&topic, input(&mut random, &spec, &topic, &counts, &logs));
        // Later and later, so that it comes to an end.
        for polls in (3..).step_by(5) {
            if job.run(&mut random, polls) {
                break;
            }
            kills += 1;
        }
        assert_eq!((check_rows(&job.rows, &logs, &job.input), job.moved), (0, 0), "seed {seed}");
        let (_, clock) = truth(&logs, delay, spec.quiet);
        let watermark = job.kept.unwrap().state.watermarks[0];
        assert_eq!(watermark, clock.map_or(EventTime::MAX, EventTime), "seed {seed}");
    }
    assert!(kills > 1_000, "{kills} kills");
}

/// A checkpoint has a watermark that silence had lifted, and what a partition has next arrived before that, but was shown
/// later. The run before had gone on through its silence, so that its rows come again only beside that partition.
#[test]
fn rows_that_come_again_pass_a_partition_that_waits_for_them() {
    let quiet = Quiet::After(Span(SECOND));
    let row = |log: &mut Vec<Message>, id: i64, at: i64| push(log, at, format!("{id},{at}"), false);
    let mut logs = vec![Vec::new(), Vec::new()];
    row(&mut logs[0], 0, SECOND);
    row(&mut logs[1], 1, SECOND);
    let topic = Arc::new(MemoryTopic::new("t", logs.clone()));
    topic.set_now(5 * SECOND);
    let run = Run { now: 5 * SECOND, ..Run::new(false, 1) };
    let mut host = Host::open(vec![only_live(&topic, 0, quiet)], run).unwrap();
    let due = |second: i64| [(0, EventTime(second * SECOND))];
    host.rest(10).unwrap();
    host.holds(&due(3), true).unwrap();
    host.rest(10).unwrap();
    host.want_checkpoint().unwrap();
    let kept = host.kept.take().unwrap();
    assert!(kept.state.watermarks[0] >= EventTime(3 * SECOND), "{}", kept.state.watermarks[0]);

    row(&mut logs[0], 2, 1_500 * MILLI);
    row(&mut logs[1], 3, 6 * SECOND);
    let topic = Arc::new(MemoryTopic::new("t", logs));
    topic.set_now(20 * SECOND);
    let run = Run { now: 20 * SECOND, replayed: false, ..Run::new(false, 1) };
    let mut host = Host::go_on(vec![only_live(&topic, 0, quiet)], run, Some(&kept)).unwrap();
    host.rest(10).unwrap();
    host.holds(&due(6), false).unwrap();
    host.rest(10).unwrap();
    assert!(host.watermark(0).unwrap() < EventTime(6 * SECOND), "it waits for a moment");
    host.now += 2 * SECOND;
    host.rest(10).unwrap();
    assert!(host.watermark(0).unwrap() >= EventTime(6 * SECOND), "{:?}", host.watermark(0));
    assert_eq!(host.rows[0].iter().map(|row| row.time).collect::<Vec<_>>(), [6 * SECOND]);
    host.holds(&[], true).unwrap();
    host.rest(10).unwrap();
    let times: Vec<i64> = host.rows[0].iter().map(|row| row.time).collect();
    assert!(times.len() == 2 && times[1] > 6 * SECOND, "{times:?}");
    assert_eq!(host.counts(0).joined, 1);
}

/// The message was on its way for longer than the allowance, while its partition was said to be drained far beyond where
/// another one held the stream: it joins where the stream stands, in this run and in one that goes on from there.
#[test]
fn a_message_below_the_watermark_joins_where_its_stream_stands_however_far_its_partition_was_drained() {
    let quiet = Quiet::After(Span(SECOND));
    let row = |log: &mut Vec<Message>, id: i64, event: i64, arrival: i64| {
        push(log, arrival * SECOND, format!("{id},{}", event * SECOND), false);
    };
    let mut logs = vec![Vec::new(), Vec::new()];
    row(&mut logs[0], 0, 10, 10);
    row(&mut logs[1], 1, 14, 19);
    let topic = Arc::new(MemoryTopic::new("t", logs));
    topic.set_now(20 * SECOND);
    let live = only_live(&topic, 2 * SECOND, quiet);
    let mut host = Host::open(vec![again(&live)], Run { now: 20 * SECOND, ..Run::new(false, 1) }).unwrap();
    host.rest(10).unwrap();
    host.holds(&[(0, EventTime(16 * SECOND))], true).unwrap();
    host.rest(10).unwrap();
    let stands = host.watermark(0).unwrap();
    assert_eq!(stands, EventTime(12 * SECOND - 1));

    row(&mut topic.partitions.lock().unwrap()[0], 2, 11, 11);
    topic.set_now(20 * SECOND + 1);
    let checkpoints = host.checkpoints;
    host.rest(10).unwrap();
    assert!(host.checkpoints > checkpoints, "it joins at a checkpoint");
    let times = |host: &Host| host.rows[0].iter().filter(|row| row.id == 2).map(|row| row.time).collect::<Vec<_>>();
    assert_eq!(times(&host), [12 * SECOND]);
    assert_eq!(host.counts(0).joined, 1);

    let joined = host.kept.take().unwrap();
    let mut later = Host::go_on(vec![live], Run { now: host.now, ..Run::new(false, 1) }, Some(&joined)).unwrap();
    later.rest(10).unwrap();
    assert_eq!(times(&later), times(&host));
}

#[test]
fn what_comes_after_an_end_comes_out_after_it_and_once() {
    let (mut ends, mut moved) = (0, 0);
    'seeds: for seed in 0..300 {
        let mut random = Random(seed);
        let delay = random.of(&[0, 10 * MILLI, 2 * SECOND]);
        let span = random.of(&[MILLI, 100 * MILLI, SECOND]);
        let logs = random_logs(&mut random, delay, span);
        let topic = Arc::new(MemoryTopic::new("t", logs.clone()));
        let (first, last) = (
            logs.iter().flatten().map(|message| message.arrival.0).min().unwrap(),
            topic.now.load(std::sync::atomic::Ordering::SeqCst),
        );
        topic.set_now(first + random.below((last - first + 1) as usize) as i64);
        let now = topic.now.load(std::sync::atomic::Ordering::SeqCst);
        let counts: Vec<usize> = logs
            .iter()
            .map(|log| random.below(log.iter().take_while(|message| message.arrival.0 <= now).count() + 1))
            .collect();
        let spec = spec(delay, Quiet::After(dataflow::Span(span)));
        let mut job = Job::new(&topic, input(&mut random, &spec, &topic, &counts, &logs));
        for killed in 0.. {
            let polls = 3 + random.below(80) + killed;
            if job.run(&mut random, polls) {
                ends += 1;
                let now = topic.now.load(std::sync::atomic::Ordering::SeqCst);
                if now == last {
                    break;
                }
                let kept = job.kept.as_ref().unwrap();
                if kept.state.watermarks[0] == EventTime::MAX && !has_read_nothing(&kept.state).unwrap() {
                    let (_, told) = refused(again(&job.input), &kept.state);
                    assert!(told.contains("had ended for good"), "{told}");
                    continue 'seeds;
                }
                topic.set_now(if random.percent(30) {
                    last
                } else {
                    now + 1 + random.below((last - now) as usize) as i64
                });
            }
            let read = job.kept.as_ref().is_some_and(|kept| has_read_history(&kept.state, 0).unwrap());
            if read && random.percent(50) {
                // The archive goes on, or is gone: nobody looks.
                let now = topic.now.load(std::sync::atomic::Ordering::SeqCst);
                let arrived = |log: &Vec<Message>| log.iter().take_while(|message| message.arrival.0 <= now).count();
                let counts: Vec<usize> = logs.iter().map(arrived).collect();
                let grown = input(&mut random, &job.input.spec.clone(), &topic, &counts, &logs);
                job.input.history = if random.percent(50) { grown.history } else { None };
            }
        }
        let differ = check_rows(&job.rows, &logs, &job.input);
        moved += differ;
    }
    assert!(ends > 900 && moved > 300, "{ends} ends, {moved} rows moved");
}

/// A message of `id` at its event time, which arrives a little later.
fn message(log: &mut Vec<Message>, id: i64, event: i64) {
    push(log, event + 1, format!("{id},{event}"), false);
}

#[test]
fn rows_at_or_below_the_end_are_moved_to_the_microsecond_after_it() {
    let mut logs = vec![Vec::new(), Vec::new()];
    message(&mut logs[0], 0, 100 * SECOND);
    message(&mut logs[1], 1, 95 * SECOND);
    let topic = Arc::new(MemoryTopic::new("t", logs));
    let mut job = Job::new(&topic, only_live(&topic, 10 * SECOND, Quiet::Never));
    let mut random = Random(1);
    assert!(job.run(&mut random, usize::MAX));
    let end = 100 * SECOND;
    assert_eq!(job.kept.as_ref().unwrap().state.watermarks, [EventTime(end)], "the end is the greatest clock");
    {
        let mut logs = topic.partitions.lock().unwrap();
        // Below, at and above the end; in time by their own partition's clock, all of them.
        for (id, event) in [(2, 99 * SECOND), (3, end), (4, end + 1), (5, end + 5 * SECOND)] {
            let now = end + (id - 2) * SECOND;
            push(&mut logs[1], now, format!("{id},{event}"), false);
        }
        message(&mut logs[0], 6, end + 7 * SECOND);
    }
    topic.set_now(end + 20 * SECOND);
    assert!(job.run(&mut random, usize::MAX));
    let mut times: Vec<(i64, i64)> = job.rows.iter().map(|row| (row.id, row.time - end)).collect();
    times.sort_unstable();
    assert_eq!(times, [(0, 0), (1, -5 * SECOND), (2, 1), (3, 1), (4, 1), (5, 5 * SECOND), (6, 7 * SECOND)]);
    assert_eq!(job.moved, 2, "moved, and counted as joined");
    // Nothing has come since: the end is the same, and nothing comes out.
    let (rows, watermarks) = (job.rows.len(), job.kept.as_ref().unwrap().state.watermarks.clone());
    assert!(job.run(&mut random, usize::MAX));
    assert_eq!((job.rows.len(), &job.kept.as_ref().unwrap().state.watermarks), (rows, &watermarks));
}

#[test]
fn a_run_without_end_goes_on_after_one_that_had_one() {
    let mut logs = vec![Vec::new(), Vec::new()];
    message(&mut logs[0], 0, 100 * SECOND);
    message(&mut logs[1], 1, 95 * SECOND);
    let topic = Arc::new(MemoryTopic::new("t", logs));
    let mut job = Job::new(&topic, only_live(&topic, 10 * SECOND, Quiet::After(dataflow::Span(SECOND))));
    assert!(job.run(&mut Random(1), usize::MAX));
    let run = Run { now: 101 * SECOND, ..Run::new(false, 2) };
    let mut host = Host::go_on(vec![again(&job.input)], run, job.kept.as_ref()).unwrap();
    host.rest(10).unwrap();
    {
        let mut logs = topic.partitions.lock().unwrap();
        push(&mut logs[1], 102 * SECOND, format!("2,{}", 99 * SECOND), false);
        push(&mut logs[0], 120 * SECOND, format!("3,{}", 120 * SECOND), false);
    }
    topic.set_now(130 * SECOND);
    host.now = 130 * SECOND;
    host.rest(10).unwrap();
    let mut times: Vec<(i64, i64)> = host.rows[0].iter().map(|row| (row.id, row.time)).collect();
    times.sort_unstable();
    assert_eq!(times, [(2, 100 * SECOND + 1), (3, 120 * SECOND)]);
    assert_eq!(host.counts(0).joined, 1);
}

#[test]
fn a_partition_that_is_new_is_read_from_its_beginning_and_joins() {
    for (is_bounded, workers) in [(true, 1), (true, 3), (false, 1), (false, 2)] {
        let mut logs = vec![Vec::new()];
        message(&mut logs[0], 0, 100 * SECOND);
        let topic = Arc::new(MemoryTopic::new("t", logs));
        let mut job = Job::new(&topic, only_live(&topic, SECOND, Quiet::After(dataflow::Span(SECOND))));
        assert!(job.run(&mut Random(1), usize::MAX));
        {
            let mut logs = topic.partitions.lock().unwrap();
            logs.extend([Vec::new(), Vec::new()]);
            push(&mut logs[1], 90 * SECOND, format!("1,{}", 90 * SECOND), false);
            push(&mut logs[1], 105 * SECOND, format!("2,{}", 105 * SECOND), false);
        }
        topic.set_now(110 * SECOND);
        let run = Run { now: 110 * SECOND, new_ends: true, ..Run::new(is_bounded, workers) };
        let mut host = Host::go_on(vec![again(&job.input)], run, job.kept.as_ref()).unwrap();
        assert_eq!(Some(host.start), job.start);
        host.rest(10).unwrap();
        let mut rows = host.rows[0].clone();
        rows.sort_by_key(|row| row.id);
        assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [1, 2], "bounded: {is_bounded}");
        assert!(rows[0].time > 100 * SECOND && rows[0].late && rows[1].time >= 105 * SECOND, "{rows:?}");
        let state = &host.kept.as_ref().unwrap().state;
        assert_eq!(state.splits.len(), 3);
        assert_eq!(host.is_finished(), is_bounded);
    }
}

fn refused(input: StreamInput, state: &CoordinatorState) -> (ErrorKind, String) {
    let run = Run::new(true, 1);
    let error = Seam::open(vec![input], &run.options(), Some(state)).err().expect("it is refused");
    (error.kind(), error.chain())
}

#[test]
fn a_topic_that_is_not_what_it_was_is_refused_with_what_to_do() {
    let mut logs = vec![Vec::new(), Vec::new()];
    (0..5).for_each(|id| message(&mut logs[id as usize % 2], id, id * SECOND));
    let topic = Arc::new(MemoryTopic::new("t", logs.clone()));
    let mut job = Job::new(&topic, only_live(&topic, SECOND, Quiet::Never));
    assert!(job.run(&mut Random(1), usize::MAX));
    let state = job.kept.unwrap().state;
    let with =
        |id: &str, logs: Vec<Vec<Message>>| only_live(&Arc::new(MemoryTopic::new(id, logs)), SECOND, Quiet::Never);
    let gone = StreamInput { live: None, ..with("t", logs.clone()) };
    let trimmed = vec![Vec::new(), logs[1].clone()];
    let mut cut = logs.clone();
    cut[0].pop();
    for (input, expected) in [
        (with("other", logs.clone()), "it was made again"),
        (with("t", logs[..1].to_vec()), "has 1 partitions, and the checkpoint has read partition 1"),
        (gone, "its topic is gone"),
        (with("t", trimmed), "cannot be read where the checkpoint goes on"),
        (with("t", cut), "cannot be read where the checkpoint goes on"),
    ] {
        let (_, told) = refused(input, &state);
        assert!(told.contains(expected) && told.contains("--fresh"), "{told}");
    }
    let grown = with("t", logs);
    assert!(Seam::open(vec![grown], &Run::new(true, 1).options(), Some(&state)).is_ok());
}

/// Files without a topic, of so many rows each.
fn files(rows: &[i64]) -> StreamInput {
    let schema = schema();
    let mut next = 0;
    let batch = |rows: &i64| {
        let ids: Vec<i64> = (next..next + rows).collect();
        next += rows;
        let times = ids.iter().map(|id| id * SECOND).collect::<Vec<_>>();
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(arrow::array::Int64Array::from(ids)),
            Arc::new(arrow::array::TimestampMicrosecondArray::from(times)),
        ];
        arrow::array::RecordBatch::try_new(schema.clone(), columns).unwrap()
    };
    let rows: Vec<_> = rows.iter().map(batch).collect();
    let history = Some(Arc::new(MemoryFiles::new(schema.clone(), rows, true)) as _);
    StreamInput { spec: spec(0, Quiet::Never), history, history_frontier: None, live: None }
}

#[test]
fn a_history_that_was_read_is_not_opened_again_and_one_that_was_not_has_to_be_the_same() {
    let host = |input: StreamInput, kept: Option<&Kept>, polls: usize| {
        let mut host = Host::go_on(vec![input], Run::new(true, 2), kept).unwrap();
        let readers = host.readers();
        for poll in 0..polls {
            if host.is_finished() {
                break;
            }
            host.poll(readers[poll % readers.len()], 3).unwrap();
            host.want_checkpoint().unwrap();
            host.now += 100 * MILLI;
        }
        host
    };
    let whole = host(files(&[5, 5]), None, 1_000);
    assert!(whole.is_finished());
    let read = whole.kept.clone().unwrap();
    let unread = |input: StreamInput, kept: &Kept| {
        let seam = Seam::open(vec![input], &Run::new(true, 1).options(), Some(&kept.state)).unwrap();
        seam.unread().iter().map(|unread| (unread.read, unread.now)).collect::<Vec<_>>()
    };
    assert!(has_read_history(&read.state, 0).unwrap());
    assert_eq!(unread(files(&[5, 5]), &read), []);
    assert_eq!(unread(files(&[5, 5, 7]), &read), [((2, 80), (3, 136))]);
    assert_eq!(unread(files(&[]), &read), [((2, 80), (0, 0))]);
    assert_eq!(unread(StreamInput { history: None, ..files(&[]) }, &read), []);
    for changed in [files(&[5, 5, 7]), files(&[1]), StreamInput { history: None, ..files(&[]) }] {
        let after = host(changed, Some(&read), 1_000);
        assert!(after.is_finished() && after.rows[0].is_empty());
        let kept = after.kept.unwrap();
        assert!(kept.state.splits.len() == 2 && has_read_history(&kept.state, 0).unwrap());
        assert_eq!(unread(files(&[5, 5]), &kept), [], "it still knows what was read");
    }
    let part = host(files(&[5, 5]), None, 4);
    assert!(!part.is_finished());
    let kept = part.kept.clone().unwrap();
    assert!(!has_read_history(&kept.state, 0).unwrap());
    for (changed, expected) in [
        (files(&[5, 5, 7]), "is not what it was when part of it was read"),
        (files(&[5]), "is not what it was when part of it was read"),
        (StreamInput { history: None, ..files(&[]) }, "its history is gone"),
    ] {
        let (kind, told) = refused(changed, &kept.state);
        assert_eq!(kind, ErrorKind::Invalid);
        assert!(told.contains(expected) && told.contains("--fresh"), "{told}");
    }
    let rest = host(files(&[5, 5]), Some(&kept), 1_000);
    let mut ids: Vec<i64> = part.rows[0][..kept.rows[0]].iter().chain(&rest.rows[0]).map(|row| row.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..10).collect::<Vec<_>>());
    // A topic that comes after such an end has no place for its first row.
    let live = only_live(&Arc::new(MemoryTopic::new("t", vec![Vec::new()])), 0, Quiet::Never);
    let (_, told) = refused(StreamInput { spec: files(&[]).spec, ..live }, &read.state);
    assert!(told.contains("had ended for good when the checkpoint was made"), "{told}");
}

#[test]
fn a_checkpoint_that_does_not_fit_the_job_is_named() {
    let mut logs = vec![Vec::new()];
    message(&mut logs[0], 0, SECOND);
    let topic = Arc::new(MemoryTopic::new("t", logs));
    let mut job = Job::new(&topic, only_live(&topic, 0, Quiet::Never));
    assert!(job.run(&mut Random(1), usize::MAX));
    let state = job.kept.unwrap().state;
    let twice = [state.splits.clone(), state.splits.clone()].concat();
    let elsewhere = state.splits.iter().map(|(_, split)| (3, split.clone())).collect();
    let mut damaged = state.splits.clone();
    damaged[0].1.position.pop();
    for (state, expected) in [
        (CoordinatorState { splits: twice, ..state.clone() }, "has partition 0 of stream \"events\" twice"),
        (CoordinatorState { splits: elsewhere, ..state.clone() }, "of stream 3, which is none of 1"),
        (CoordinatorState { splits: damaged, ..state.clone() }, "stream \"events\", partition 0"),
        (CoordinatorState { watermarks: Vec::new(), ..state.clone() }, "has 0 watermarks for 1 streams"),
    ] {
        let (kind, told) = refused(again(&job.input), &state);
        assert_eq!(kind, ErrorKind::Corrupt);
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn a_partition_whose_messages_are_on_their_way_is_neither_empty_nor_silent() {
    let mut logs = vec![Vec::new(), Vec::new()];
    for id in 0..20 {
        message(&mut logs[(id % 2) as usize], id, id * SECOND);
    }
    let mut topic = MemoryTopic::new("t", logs);
    topic.ways = vec![0, 30];
    let topic = Arc::new(topic);
    let mut host =
        Host::open(vec![only_live(&topic, 0, Quiet::After(dataflow::Span(SECOND)))], Run::new(false, 1)).unwrap();
    host.rest(2000).unwrap();
    let mut times: Vec<(i64, i64)> = host.rows[0].iter().map(|row| (row.id, row.time)).collect();
    times.sort_unstable();
    assert_eq!(times, (0..20).map(|id| (id, id * SECOND)).collect::<Vec<_>>());
    let counts = host.counts(0);
    assert_eq!((counts.joined, counts.late_moved), (0, 0));
}
