//! Cuts a job into workers, writers and committers that have not started yet.

use crate::commit::SinkCommitter;
use crate::control::Control;
use crate::instance::{Instance, Kind, Source};
use crate::job::{Job, SinkBinding};
use crate::layout::Layout;
use crate::mailbox::{Caller, Mailbox, SourceWaker};
use crate::sink::{SinkQueue, SinkWriter};
use crate::status::Status;
use crate::worker::Worker;
use crossbeam_channel::unbounded;
use dataflow::{
    Checked, Clock, Context, Coordinator, JobGraph, KeyGroups, NodeKind, Reader, ReaderState, Result, StepContext,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::Waker;

/// A job cut into what its threads run.
pub struct Built {
    pub workers: Vec<Worker>,
    pub writers: Vec<SinkWriter>,
    pub committers: Vec<SinkCommitter>,
    pub queues: Vec<Arc<SinkQueue>>,
    pub status: Arc<Status>,
    pub commits: Arc<AtomicU64>,
}

/// Cuts a job into what its threads run.
pub fn build(job: Job, control: &Arc<Control>) -> Result<Built> {
    job.check()?;
    let Job { graph, readers, coordinator, sinks, workers: count, clock, spill_dir } = job;
    let mailboxes: Vec<Mailbox> = (0..count).map(|_| Mailbox::new()).collect();
    let callers: Vec<Arc<Caller>> = mailboxes.iter().map(|mailbox| mailbox.caller().clone()).collect();
    callers.iter().for_each(|caller| control.add_worker(caller.clone()));
    let status = Arc::new(Status::new(&graph, count));
    let layout = Layout::new(&graph, &callers);
    let worker = |(index, mailbox)| {
        let shared = (control.clone(), status.clone());
        Worker::new(index, (mailbox, callers.clone()), graph.nodes.len(), shared, clock.clone())
    };
    let workers = mailboxes.into_iter().enumerate().map(worker).collect();
    let commits = Arc::new(AtomicU64::new(0));
    let built = Built { workers, writers: vec![], committers: vec![], queues: vec![], status, commits };
    let mut building = Building { graph, layout, callers, coordinator, clock, spill_dir, built };
    let (mut readers, mut sinks) = (readers.into_iter(), sinks.into_iter());
    let mut source = 0;
    for node in 0..building.graph.nodes.len() {
        match building.graph.nodes[node].kind.clone() {
            NodeKind::Source(_) => {
                let reader = readers.next().expect("the job was checked");
                building.source(node, source, reader)?;
                source += 1;
            }
            NodeKind::Step(make) => {
                for worker in building.layout.places[node].clone() {
                    let groups = KeyGroups::of_worker(worker, count);
                    let operator = Checked::new(make(StepContext { groups })?, &building.graph.nodes[node].name);
                    building.add(node, worker, Kind::Step { operator: Box::new(operator), cx: Context::new(groups) });
                }
            }
            NodeKind::Sink(_) => building.sink(node, sinks.next().expect("the job was checked"))?,
        }
    }
    Ok(building.built)
}

struct Building {
    graph: JobGraph,
    layout: Layout,
    callers: Vec<Arc<Caller>>,
    coordinator: Arc<dyn Coordinator>,
    clock: Arc<dyn Clock>,
    spill_dir: PathBuf,
    built: Built,
}

impl Building {
    fn add(&mut self, node: usize, worker: usize, kind: Kind) {
        let (lanes, outs) = (self.layout.lanes(&self.graph, node, worker), self.layout.outs(&self.graph, node, worker));
        let instance = Instance::new(node, self.graph.nodes[node].name.clone(), kind, lanes, outs);
        self.built.workers[worker].add(instance);
    }

    fn context(&self, worker: usize) -> Context {
        Context::new(KeyGroups::of_worker(worker, self.callers.len()))
    }

    fn source(&mut self, node: usize, index: usize, mut reader: Box<dyn Reader>) -> Result<()> {
        // A source has one reader, which lives in one worker.
        let worker = self.layout.places[node][0];
        let waker = Arc::new(SourceWaker::new(self.callers[worker].clone()));
        let wake = Waker::from(waker.clone());
        reader.wake(&wake)?;
        self.coordinator.wake(index, &wake);
        let (coordinator, cx) = (self.coordinator.clone(), self.context(worker));
        let source = Source { reader, index, coordinator, state: ReaderState::Ready, waker, barriers: 0, cx };
        self.add(node, worker, Kind::Source(source));
        Ok(())
    }

    fn sink(&mut self, node: usize, binding: SinkBinding) -> Result<()> {
        let SinkBinding { writer, committer, after } = binding;
        let name = self.graph.nodes[node].name.clone();
        let places = self.layout.places[node].clone();
        let (prepared_in, prepared) = unbounded();
        for &worker in &places {
            let queue = SinkQueue::new(self.callers[worker].clone(), places.len(), self.spill_dir.clone());
            let queue = Arc::new(queue);
            self.built.status.add_queue(node, queue.clone());
            self.built.queues.push(queue.clone());
            self.built.writers.push(SinkWriter {
                name: name.clone(),
                sink: writer(worker)?,
                queue: queue.clone(),
                prepared: prepared_in.clone(),
                written: self.built.status.written(node).clone(),
                clock: self.clock.clone(),
            });
            let cx = self.context(worker);
            self.add(node, worker, Kind::Write { queue, after, cx });
        }
        let notes = self.built.status.notes().clone();
        let from = (prepared, places.len());
        let commits = self.built.commits.clone();
        self.built.committers.push(SinkCommitter::new(name, committer, from, self.clock.clone(), commits, notes));
        Ok(())
    }
}
