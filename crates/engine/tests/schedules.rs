//! A job gives the same rows under every schedule and number of workers, and its commits hold whole barriers.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod coordinator;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use coordinator::Free;
use dataflow::{
    Batch, Committable, Committer, Context, Coordinator, CoordinatorAction, CoordinatorEvent, Edge, Error, ErrorKind,
    EventTime, Exchange, Fates, Frozen, FrozenReader, Input, JobGraph, ManualClock, Node, NodeKind, Operator, Output,
    Polled, Port, ProcessingTime, Progress, ReadBounds, Reader, ReaderState, Report, Result, RowOrder, Sink, Span,
    SplitState, StateReader,
};
use engine::{CheckpointPace, Control, Driver, Job, SinkBinding};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::Waker;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("key", DataType::Int64, true), Field::new("value", DataType::Int64, true)]))
}

fn rows(rows: &[(i64, i64, i64)]) -> Batch {
    let keys = Int64Array::from_iter_values(rows.iter().map(|row| row.1));
    let values = Int64Array::from_iter_values(rows.iter().map(|row| row.2));
    let columns = RecordBatch::try_new(schema(), vec![Arc::new(keys), Arc::new(values)]).unwrap();
    let orders = rows.iter().map(|row| RowOrder(row.2 as u128)).collect();
    Batch::new(columns, rows.iter().map(|row| row.0).collect(), orders).unwrap()
}

/// Gives out (time, key, value) rows in their sequence, with the greatest time less one as watermark.
struct Rows {
    rows: Vec<(i64, i64, i64)>,
    given: usize,
    end: Option<EventTime>,
}

impl Rows {
    fn reader(rows: Vec<(i64, i64, i64)>) -> Box<dyn Reader> {
        Box::new(Rows { rows, given: 0, end: None })
    }
}

impl Reader for Rows {
    fn delay(&self) -> Span {
        Span::ZERO
    }

    fn add(&mut self, _: Vec<SplitState>) -> Result<()> {
        Ok(())
    }
    fn bound(&mut self, bounds: ReadBounds) {
        self.end = bounds.end;
    }
    fn poll(&mut self, rows_max: usize, _: ProcessingTime) -> Result<Polled> {
        let part = &self.rows[self.given..(self.given + rows_max).min(self.rows.len())];
        self.given += part.len();
        let batch = rows(part);
        let reached = EventTime(self.rows[..self.given].iter().map(|row| row.0 - 1).max().unwrap_or(i64::MIN));
        let finished = self.given == self.rows.len();
        let watermark = Some(self.end.filter(|_| finished).map_or(reached, |end| end.max(reached)));
        let report =
            Report { watermark, splits: 0, waits: vec![], clock: None, joins: false, finished, awaits_replay: false };
        let state = match (finished, self.end) {
            (false, _) => ReaderState::Ready,
            (true, None) => ReaderState::Waiting { until: None },
            (true, Some(_)) => ReaderState::Finished,
        };
        Ok(Polled { batch: Some(batch), aside: Vec::new(), watermark, report: Some(report), state })
    }
    fn freeze(&mut self) -> Result<FrozenReader> {
        Ok(FrozenReader {
            splits: vec![],
            watermark: EventTime::MIN,
            absent: false,
            joining: vec![],
            fates: Fates::default(),
        })
    }
    fn durable(&mut self, _: Vec<SplitState>) -> Result<()> {
        Ok(())
    }
    fn wake(&mut self, _: &Waker) -> Result<()> {
        Ok(())
    }
}

/// Numbers the rows of each key in (time, order), once the watermark has reached them.
#[derive(Default)]
struct Number {
    held: BTreeMap<(i64, u128), i64>,
    counts: BTreeMap<i64, i64>,
    fail_at: Option<i64>,
}

impl Operator for Number {
    fn process(&mut self, _: Input, batch: &Batch, _: &mut Context) -> Result<Progress> {
        for row in 0..batch.rows() {
            let key = batch.column(0).as_primitive::<Int64Type>().value(row);
            self.held.insert((batch.time(row).0, batch.order(row).0), key);
        }
        Ok(Progress::Done)
    }
    fn advance(&mut self, watermark: EventTime, cx: &mut Context) -> Result<Progress> {
        let mut out = Vec::new();
        while let Some((&(time, order), &key)) = self.held.first_key_value() {
            if EventTime(time) > watermark {
                break;
            }
            if out.len() == cx.room() {
                cx.emit(Port::MAIN, rows(&out));
                return Ok(Progress::More);
            }
            self.held.pop_first();
            assert!(self.fail_at != Some(time), "told to fail");
            let count = self.counts.entry(key).or_default();
            *count += 1;
            out.push((time, key, order as i64 * 100_000 + *count));
        }
        cx.emit(Port::MAIN, rows(&out));
        Ok(Progress::Done)
    }
    fn next_due(&self, _: EventTime) -> Option<EventTime> {
        None
    }
    fn freeze(&mut self) -> Result<Arc<dyn Frozen>> {
        Ok(Arc::new(()))
    }
    fn restore(&mut self, _: &mut dyn StateReader, _: &mut Context) -> Result<()> {
        Ok(())
    }
}

type Written = Arc<Mutex<Vec<(i64, i64, i64)>>>;

#[derive(Default)]
struct Writer {
    rows: Vec<(i64, i64, i64)>,
    checkpoint: u64,
}

impl Sink for Writer {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let value = |column: usize, row| batch.column(column).as_primitive::<Int64Type>().value(row);
        self.rows.extend((0..batch.rows()).map(|row| (batch.time(row).0, value(0, row), value(1, row))));
        Ok(())
    }
    fn prepare(&mut self, checkpoint: u64) -> Result<Option<Committable>> {
        assert_eq!(checkpoint, self.checkpoint + 1);
        self.checkpoint = checkpoint;
        let rows: Vec<u8> =
            self.rows.drain(..).flat_map(|row| [row.0, row.1, row.2]).flat_map(i64::to_le_bytes).collect();
        Ok((!rows.is_empty()).then_some(Committable(rows)))
    }
}

struct Table(Written);

impl Committer for Table {
    fn commit(&mut self, committables: Vec<Committable>) -> Result<()> {
        let bytes = committables.into_iter().flat_map(|one| one.0).collect::<Vec<_>>();
        let words: Vec<i64> = bytes.chunks(8).map(|word| i64::from_le_bytes(word.try_into().unwrap())).collect();
        self.0.lock().unwrap().extend(words.chunks(3).map(|row| (row[0], row[1], row[2])));
        Ok(())
    }
}

/// Two sources into one numbering by key, into a table; and a second view of it by value, on one worker.
fn job(inputs: [Vec<(i64, i64, i64)>; 2], workers: usize, after: i64, fail_at: Option<i64>) -> (Job, Written, Written) {
    let node = |name: &str, kind, inputs| {
        let ports = if matches!(kind, NodeKind::Sink(_)) { vec![] } else { vec![Port::MAIN] };
        Node { name: name.into(), kind, inputs, ports, schema: schema(), describe: String::new() }
    };
    let edge = |from, exchange| Edge { from, port: Port::MAIN, exchange };
    let number = |fail_at| {
        NodeKind::Step(Arc::new(move |_| Ok(Box::new(Number { fail_at, ..Number::default() }) as Box<dyn Operator>)))
    };
    let graph = JobGraph {
        nodes: vec![
            node("left", NodeKind::Source("left".into()), vec![]),
            node("right", NodeKind::Source("right".into()), vec![]),
            node("number", number(fail_at), vec![edge(0, Exchange::Hash(vec![0])), edge(1, Exchange::Hash(vec![0]))]),
            node("table", NodeKind::Sink(Output::Table("t".into())), vec![edge(2, Exchange::Forward)]),
            node("again", number(None), vec![edge(2, Exchange::Single)]),
            node("topic", NodeKind::Sink(Output::Topic("u".into())), vec![edge(4, Exchange::Forward)]),
        ],
    };
    let (table, topic) = (Written::default(), Written::default());
    let sink = |written: &Written| SinkBinding {
        writer: Box::new(|_| Ok(Box::new(Writer::default()))),
        committer: Box::new(Table(written.clone())),
        after: EventTime(after),
        replay: 0,
    };
    let [left, right] = inputs;
    let job = Job {
        graph,
        readers: vec![vec![Rows::reader(left)], vec![Rows::reader(right)]],
        coordinator: Box::new(Free::default()),
        sinks: vec![sink(&table), sink(&topic)],
        workers,
        clock: Arc::new(ManualClock::new(ProcessingTime(0))),
        spill_dir: std::env::temp_dir(),
        state_memory: dataflow::StateMemory::unbounded(),
        checkpoints: None,
        pace: CheckpointPace::default(),
        restored: None,
    };
    (job, table, topic)
}

/// The rows as a loop over all of them gives.
fn expected(inputs: &[Vec<(i64, i64, i64)>; 2], after: i64) -> Vec<(i64, i64, i64)> {
    let mut all: Vec<_> = inputs.iter().flatten().copied().collect();
    all.sort_by_key(|row| (row.0, row.2));
    let mut counts = BTreeMap::<i64, i64>::new();
    let numbered = all.into_iter().map(|(time, key, order)| {
        let count = counts.entry(key).or_default();
        *count += 1;
        (time, key, order * 100_000 + *count)
    });
    numbered.filter(|row| row.0 > after).collect()
}

fn inputs() -> impl Strategy<Value = [Vec<(i64, i64, i64)>; 2]> {
    let side = |offset: i64| {
        prop::collection::vec((0i64..3, 0i64..5), 0..200).prop_map(move |steps| {
            let mut time = 0;
            let row = |(n, (step, key)): (usize, (i64, i64))| {
                time += step;
                (time, key, 2 * n as i64 + offset)
            };
            steps.into_iter().enumerate().map(row).collect::<Vec<_>>()
        })
    };
    (side(0), side(1)).prop_map(|(left, right)| [left, right])
}

proptest! {
    #[test]
    fn every_schedule_gives_the_same_rows(inputs in inputs(), workers in 1usize..5, seed: u64, commits in 0usize..4) {
        let (job, table, topic) = job(inputs.clone(), workers, 20, None);
        let driver = Driver::new(job, seed).unwrap();
        for _ in 0..commits {
            driver.control().commit();
        }
        driver.run(&mut || Ok(())).unwrap();
        let mut rows = table.lock().unwrap().clone();
        rows.sort_by_key(|row| (row.0, row.2));
        prop_assert_eq!(&rows, &expected(&inputs, 20));
        let mut rows: Vec<_> = topic.lock().unwrap().iter().map(|row| (row.0, row.1)).collect();
        rows.sort_unstable();
        let mut all: Vec<_> = expected(&inputs, 20).iter().map(|row| (row.0, row.1)).collect();
        all.sort_unstable();
        prop_assert_eq!(rows, all);
    }

    #[test]
    fn a_stop_anywhere_commits_a_prefix(inputs in inputs(), workers in 1usize..4, seed: u64, steps in 0usize..200) {
        let (job, table, _) = job(inputs.clone(), workers, -1, None);
        let mut driver = Driver::new(job, seed).unwrap();
        for _ in 0..steps {
            driver.step().unwrap();
        }
        driver.control().finish();
        driver.run(&mut || Ok(())).unwrap();
        let all = expected(&inputs, -1);
        let mut rows = table.lock().unwrap().clone();
        rows.sort_by_key(|row| (row.0, row.2));
        let last = rows.last().map_or(-1, |row| row.0);
        // Released up to a watermark, which workers may have reached to different degrees.
        prop_assert!(rows.iter().all(|row| all.contains(row)));
        prop_assert!(workers > 1 || rows.len() == all.iter().filter(|row| row.0 <= last).count());
    }
}

#[test]
fn threads_give_the_rows_of_the_driver() {
    let side = |offset: i64| (0..20_000).map(|n| (n / 3, n * 7 % 11, 2 * n + offset)).collect::<Vec<_>>();
    let inputs = [side(0), side(1)];
    let (job, table, _) = job(inputs.clone(), 3, -1, None);
    let control = Arc::new(Control::default());
    let asked = control.clone();
    let ended = engine::run(job, &control, &mut |_| asked.commit()).unwrap();
    let mut rows = table.lock().unwrap().clone();
    rows.sort_by_key(|row| (row.0, row.2));
    assert_eq!(rows, expected(&inputs, -1));
    assert!(ended.commits >= 2);
    assert_eq!(ended.status.rows_out(), 2 * rows.len() as i64);
}

#[test]
fn a_panic_in_a_step_ends_the_job_with_an_error() {
    let side = (0..100).map(|n| (n, n % 3, n)).collect::<Vec<_>>();
    let (job, table, _) = job([side, vec![]], 2, -1, Some(50));
    let error: Error = engine::run(job, &Arc::default(), &mut |_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.to_string().contains("told to fail"), "{error}");
    assert!(table.lock().unwrap().is_empty());
}

/// A coordinator that takes no checkpoint, a writer that writes nothing and a committer that commits nothing.
struct Broken(Free);

impl Coordinator for Broken {
    fn handle(&mut self, event: CoordinatorEvent, now: ProcessingTime) -> Result<Vec<CoordinatorAction>> {
        match event {
            CoordinatorEvent::CheckpointWanted(_) => Err(Error::internal("no checkpoint is taken")),
            event => self.0.handle(event, now),
        }
    }
    fn held_by(&self) -> Option<(String, EventTime)> {
        None
    }
}

impl Sink for Broken {
    fn write(&mut self, _: &Batch) -> Result<()> {
        Err(Error::unavailable("no row is written"))
    }
    fn prepare(&mut self, _: u64) -> Result<Option<Committable>> {
        Ok(None)
    }
}

impl Committer for Broken {
    fn commit(&mut self, _: Vec<Committable>) -> Result<()> {
        Err(Error::invalid("nothing is committed"))
    }
}

/// Runs a job with a broken part in both hosts; its error has to say so.
fn check_broken(expected: &str, break_it: fn(&mut Job)) {
    let side = |offset: i64| (0..100).map(|n| (n, n % 3, 2 * n + offset)).collect::<Vec<_>>();
    let broken = || {
        let (mut job, ..) = job([side(0), side(1)], 2, -1, None);
        break_it(&mut job);
        job
    };
    for seed in 0..20 {
        let driver = Driver::new(broken(), seed).unwrap();
        driver.control().commit();
        let mut idle = 0;
        let ended = driver.run(&mut || {
            idle += 1;
            Ok(())
        });
        let error = ended.unwrap_err();
        assert!(error.chain().contains(expected), "{}", error.chain());
        assert!(idle < 1000, "the job stood still {idle} times before it said: {}", error.chain());
    }
    let control = Arc::new(Control::default());
    control.commit();
    let error = engine::run(broken(), &control, &mut |_| ()).unwrap_err();
    assert!(error.chain().contains(expected), "{}", error.chain());
}

#[test]
fn the_error_of_any_part_ends_the_job_in_both_hosts() {
    check_broken("no checkpoint is taken", |job| job.coordinator = Box::new(Broken(Free::default())));
    check_broken("no row is written", |job| {
        job.sinks[0].writer = Box::new(|_| Ok(Box::new(Broken(Free::default()))));
    });
    check_broken("nothing is committed", |job| job.sinks[0].committer = Box::new(Broken(Free::default())));
}
