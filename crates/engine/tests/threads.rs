//! A job on threads under a real clock: sources that wait cost nothing and starve nobody, outputs that stand still
//! hold nobody up before their queue is full, commits are tried again.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod coordinator;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use coordinator::Free;
use dataflow::{
    Batch, Clock, Committable, Committer, Edge, Error, EventTime, Exchange, Fates, FrozenReader, JobGraph, Node,
    NodeKind, Output, Polled, Port, ProcessingTime, ReadBounds, Reader, ReaderState, Result, RowOrder, Sink, Span,
    SplitState,
};
use engine::{CheckpointPace, Control, Job, SinkBinding};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

/// How long anything that a job is sure to do may take.
const PATIENCE: Duration = Duration::from_secs(30);

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "these tests run under a real clock")]
    fn now(&self) -> ProcessingTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        ProcessingTime(since.as_micros() as i64)
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("text", DataType::Utf8, true)]))
}

fn row(n: i64, bytes: usize) -> Batch {
    let columns: Vec<Arc<dyn arrow::array::Array>> =
        vec![Arc::new(Int64Array::from(vec![n])), Arc::new(StringArray::from(vec!["x".repeat(bytes)]))];
    Batch::new(RecordBatch::try_new(schema(), columns).unwrap(), vec![n], vec![RowOrder(n as u128)]).unwrap()
}

/// What a test sends to a source, and how often the source was polled.
#[derive(Clone, Default)]
struct Feed {
    polls: Arc<AtomicUsize>,
    waker: Arc<Mutex<Option<Waker>>>,
    rows: Arc<Mutex<Vec<Batch>>>,
    // A restless source tells nothing any more, and does not rest either.
    mute: Arc<AtomicBool>,
}

impl Feed {
    fn send(&self, batch: Batch) {
        self.rows.lock().unwrap().push(batch);
        self.waker.lock().unwrap().as_ref().expect("the job runs").wake_by_ref();
    }

    fn started(&self) -> bool {
        self.polls.load(SeqCst) > 0
    }
}

/// A source that gives what it was sent. One that never rests has a watermark to tell at every poll.
struct Source {
    feed: Feed,
    restless: bool,
    watermark: i64,
}

impl Reader for Source {
    fn delay(&self) -> Span {
        Span::ZERO
    }

    fn add(&mut self, _: Vec<SplitState>) -> Result<()> {
        Ok(())
    }
    fn bound(&mut self, _: ReadBounds) {}

    fn poll(&mut self, _: usize, _: ProcessingTime) -> Result<Polled> {
        self.feed.polls.fetch_add(1, SeqCst);
        let mut rows = self.feed.rows.lock().unwrap();
        let batch = (!rows.is_empty()).then(|| rows.remove(0));
        let rest = rows.is_empty() && !self.restless;
        self.watermark += i64::from(self.restless && !self.feed.mute.load(SeqCst));
        let state = if rest { ReaderState::Waiting { until: None } } else { ReaderState::Ready };
        let watermark = Some(EventTime(i64::MIN + self.watermark));
        Ok(Polled { batch, aside: vec![], watermark, report: None, state })
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

    fn wake(&mut self, waker: &Waker) -> Result<()> {
        *self.feed.waker.lock().unwrap() = Some(waker.clone());
        Ok(())
    }
}

/// Tells each number that it writes; stands still while the gate is held.
struct Writes {
    numbers: Sender<i64>,
    gate: Arc<Mutex<()>>,
}

impl Sink for Writes {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let _open = self.gate.lock().unwrap();
        for n in batch.column(0).as_primitive::<Int64Type>().values() {
            self.numbers.send(*n).map_err(|_| Error::internal("the test has gone"))?;
        }
        Ok(())
    }
    fn prepare(&mut self, _: u64) -> Result<Option<Committable>> {
        Ok(Some(Committable(vec![1])))
    }
}

struct Commits {
    failures: usize,
    commits: Arc<AtomicUsize>,
}

impl Committer for Commits {
    fn commit(&mut self, _: Vec<Committable>) -> Result<()> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err(Error::unavailable("the catalog is locked"));
        }
        self.commits.fetch_add(1, SeqCst);
        Ok(())
    }
}

/// A job of sources, each into an output of its own, which runs until the test ends it.
struct Running {
    feeds: Vec<Feed>,
    outputs: Vec<Receiver<i64>>,
    gates: Vec<Arc<Mutex<()>>>,
    commits: Vec<Arc<AtomicUsize>>,
    control: Arc<Control>,
    memory: Arc<AtomicUsize>,
    spilled: Arc<AtomicUsize>,
    told: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Result<engine::JobReport>>,
}

impl Running {
    fn start(restless: &[bool], workers: usize, failures: usize) -> Running {
        let ports = |kind: &NodeKind| if matches!(kind, NodeKind::Sink(_)) { vec![] } else { vec![Port::MAIN] };
        let node = |name: String, kind: NodeKind, inputs| Node {
            name,
            ports: ports(&kind),
            kind,
            inputs,
            schema: schema(),
            describe: String::new(),
        };
        let count = restless.len();
        let sources = (0..count).map(|n| node(format!("source {n}"), NodeKind::Source(format!("s{n}")), vec![]));
        let sinks = (0..count).map(|n| {
            let edge = Edge { from: n, port: Port::MAIN, exchange: Exchange::Single };
            node(format!("sink {n}"), NodeKind::Sink(Output::Topic(format!("t{n}"))), vec![edge])
        });
        let graph = JobGraph { nodes: sources.chain(sinks).collect() };
        let feeds: Vec<Feed> = restless.iter().map(|_| Feed::default()).collect();
        let gates: Vec<Arc<Mutex<()>>> = restless.iter().map(|_| Arc::default()).collect();
        let commits: Vec<Arc<AtomicUsize>> = restless.iter().map(|_| Arc::default()).collect();
        let (senders, outputs): (Vec<_>, Vec<_>) = restless.iter().map(|_| channel()).unzip();
        let reader = |(feed, &restless): (&Feed, &bool)| {
            vec![Box::new(Source { feed: feed.clone(), restless, watermark: 0 }) as Box<dyn Reader>]
        };
        let binding = |n: usize| {
            let (numbers, gate) = (senders[n].clone(), gates[n].clone());
            SinkBinding {
                writer: Box::new(move |_| Ok(Box::new(Writes { numbers: numbers.clone(), gate: gate.clone() }))),
                committer: Box::new(Commits { failures, commits: commits[n].clone() }),
                after: EventTime::MIN,
                replay: 0,
            }
        };
        let job = Job {
            graph,
            readers: feeds.iter().zip(restless).map(reader).collect(),
            coordinator: Box::new(Free::default()),
            sinks: (0..count).map(binding).collect(),
            workers,
            clock: Arc::new(SystemClock),
            spill_dir: std::env::temp_dir(),
            state_memory: dataflow::StateMemory::unbounded(),
            checkpoints: None,
            pace: CheckpointPace::default(),
            restored: None,
        };
        let control = Arc::new(Control::default());
        let (memory, spilled, told) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (of_job, most, most_spilled, notes) = (control.clone(), memory.clone(), spilled.clone(), told.clone());
        let thread = std::thread::spawn(move || {
            engine::run(job, &of_job, &mut |status| {
                for (_, waiting) in status.waiting() {
                    most.fetch_max(waiting.memory_bytes, SeqCst);
                    most_spilled.fetch_max(waiting.spilled_bytes, SeqCst);
                }
                let said = status.notes().all().iter().any(|note| note.contains("the catalog is locked"));
                notes.fetch_or(said, SeqCst);
            })
        });
        let running = Running { feeds, outputs, gates, commits, control, memory, spilled, told, thread };
        wait_until("the job starts", || running.feeds.iter().all(Feed::started));
        running
    }

    fn end(self) -> engine::JobReport {
        self.control.finish();
        self.thread.join().unwrap().unwrap()
    }
}

/// Waits for what is sure to happen.
fn wait_until(what: &str, happened: impl Fn() -> bool) {
    let clock = SystemClock;
    let patience = clock.now().plus(Span(PATIENCE.as_micros() as i64));
    while !happened() {
        assert!(clock.now() < patience, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_source_that_waits_is_not_polled() {
    for workers in [1, 2, 3] {
        let running = Running::start(&[false, false, false], workers, 0);
        running.feeds[1].send(row(1, 1));
        assert_eq!(running.outputs[1].recv_timeout(PATIENCE), Ok(1));
        let polls = || running.feeds.iter().map(|feed| feed.polls.load(SeqCst)).collect::<Vec<_>>();
        // Each row wakes its own source once, and a source is polled until it has nothing.
        let before = polls();
        for n in 0..100 {
            running.feeds[0].send(row(n, 1));
            assert_eq!(running.outputs[0].recv_timeout(PATIENCE), Ok(n));
        }
        let after = polls();
        assert!(after[0] - before[0] <= 300, "{before:?} {after:?}");
        assert!(after[1] - before[1] <= 2 && after[2] - before[2] <= 2, "{before:?} {after:?}");
        running.end();
    }
}

#[test]
fn a_source_that_never_rests_starves_nobody() {
    for workers in [1, 2, 3, 5] {
        // The restless ones come later and earlier in the graph than the one with rows.
        let running = Running::start(&[true, false, true], workers, 0);
        for n in 0..200 {
            running.feeds[1].send(row(n, 1));
            assert_eq!(running.outputs[1].recv_timeout(PATIENCE), Ok(n), "{workers} workers");
        }
        running.end();
    }
}

#[test]
fn a_source_whose_messages_give_no_rows_does_not_keep_a_job_from_its_end() {
    for workers in [1, 2] {
        let running = Running::start(&[true, true], workers, 0);
        running.feeds.iter().for_each(|feed| feed.mute.store(true, SeqCst));
        // Until the polls that told something are over.
        let polls = running.feeds[0].polls.load(SeqCst);
        wait_until("it goes on", || running.feeds[0].polls.load(SeqCst) > polls + 100);
        running.control.finish();
        wait_until("the job ends", || running.thread.is_finished());
    }
}

#[test]
fn an_output_that_stands_still_holds_up_nobody_and_loses_nothing() {
    const ROW: usize = 1 << 20;
    const ROWS: i64 = 160;
    let running = Running::start(&[false, false], 2, 0);
    let closed = running.gates[0].lock().unwrap();
    for n in 0..ROWS {
        running.feeds[0].send(row(n, ROW));
    }
    wait_until("the queue spills", || running.spilled.load(SeqCst) > 0);
    for n in 0..100 {
        running.feeds[1].send(row(n, 1));
        assert_eq!(running.outputs[1].recv_timeout(PATIENCE), Ok(n));
    }
    wait_until("all rows are taken in", || running.feeds[0].rows.lock().unwrap().is_empty());
    drop(closed);
    for n in 0..ROWS {
        assert_eq!(running.outputs[0].recv_timeout(PATIENCE), Ok(n));
    }
    let memory = running.memory.load(SeqCst);
    assert!(memory <= (64 << 20) + 2 * ROW, "{memory} bytes in memory");
    let ended = running.end();
    assert_eq!(ended.status.rows_out(), ROWS + 100);
}

#[test]
fn a_commit_is_tried_again_and_said() {
    let running = Running::start(&[false], 1, 3);
    running.feeds[0].send(row(1, 1));
    assert_eq!(running.outputs[0].recv_timeout(PATIENCE), Ok(1));
    running.control.commit();
    wait_until("the commit is made", || running.commits[0].load(SeqCst) == 1);
    assert!(running.told.load(SeqCst), "nobody was told that the commit waits");
    let commits = running.commits[0].clone();
    running.end();
    assert!(commits.load(SeqCst) >= 1);
}
