//! Cuts a job into workers, writers and committers that have not started yet.

use crate::checkpoint::{Checkpointer, OutputParts};
use crate::commit::{SinkCommitter, TellCommitted};
use crate::control::Control;
use crate::coordination::Coordination;
use crate::instance::{Destination, StageInstance};
use crate::job::{Job, SinkBinding};
use crate::layout::Layout;
use crate::mailbox::{Caller, Mailbox, SourceWaker};
use crate::parts::{Names, Part, Preparation};
use crate::patience::Patience;
use crate::restore::{self, Restore};
use crate::seeded;
use crate::sink::{SinkQueue, SinkWriter};
use crate::source::Source;
use crate::status::Status;
use crate::worker::Worker;
use crossbeam_channel::{Receiver, Sender, unbounded};
use dataflow::{
    CheckpointStore, Clock, CoordinatorEvent, EventTime, JobGraph, NodeKind, Outlet, Reader, ReaderId, RestoredJob,
    Result, Span, Stage, StageId, StagePlan, StateMemory,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::task::Waker;

/// How a job ended.
#[derive(Debug)]
pub struct JobReport {
    /// What it showed last.
    pub status: Arc<Status>,
    /// How many commits its sinks made.
    pub commits: u64,
}

/// A job cut into what its threads run.
pub struct Parts {
    pub workers: Vec<Worker>,
    pub writers: Vec<SinkWriter>,
    pub checkpointer: Option<Checkpointer>,
    pub committers: Vec<SinkCommitter>,
    pub queues: Vec<Arc<SinkQueue>>,
    pub status: Arc<Status>,
    pub commits: Arc<AtomicU64>,
}

/// Cuts a job into what its threads run, and tells its coordinator that it starts.
pub fn build(job: Job, control: &Arc<Control>) -> Result<Parts> {
    job.check()?;
    let Job {
        graph,
        readers,
        coordinator,
        sinks,
        workers: count,
        clock,
        spill_dir,
        state_memory,
        checkpoints,
        pace,
        restored,
    } = job;
    let mailboxes: Vec<Mailbox> = (0..count).map(|_| Mailbox::new()).collect();
    let callers: Vec<Arc<Caller>> = mailboxes.iter().map(|mailbox| mailbox.caller().clone()).collect();
    let delays: Vec<Span> = readers.iter().map(|readers| readers[0].delay()).collect();
    let of_streams: Vec<usize> = readers.iter().map(Vec::len).collect();
    let layout = Layout::new(&graph, &of_streams, &callers);
    let (parts_in, parts) = unbounded();
    let parts_in = checkpoints.is_some().then_some(parts_in);
    let kept = (parts_in.clone(), pace.pause);
    let coordination = Coordination::new(coordinator, layout.readers.clone(), callers.clone(), clock.clone(), kept);
    let coordination = Arc::new(coordination);
    let status = Arc::new(Status::new(&graph, count, coordination.clone()));
    let worker = |(index, mailbox)| {
        let shared = (control.clone(), status.clone());
        Worker::new(index, (mailbox, callers.clone()), layout.stages.len(), shared, clock.clone())
    };
    let workers = mailboxes.into_iter().enumerate().map(worker).collect();
    let commits = Arc::new(AtomicU64::new(0));
    let (writers, checkpointer, committers, queues) = (vec![], None, vec![], vec![]);
    let built = Parts { workers, writers, checkpointer, committers, queues, status, commits };
    let mut builder = Builder {
        graph,
        layout,
        callers,
        coordination,
        clock,
        ends: control.ends(),
        spill_dir,
        state_memory,
        checkpoint_timeout: pace.timeout,
        parts: parts_in,
        outputs: vec![],
        queues: BTreeMap::new(),
        built,
    };
    builder.sources(readers)?;
    let after = builder.sinks(sinks, restored.as_ref())?;
    let stages = builder.stages(&after, &delays, restored.as_ref())?;
    builder.checkpointer(checkpoints, parts, restored.as_ref());
    let Builder { coordination, built, callers, .. } = builder;
    coordination.tell(CoordinatorEvent::Start { readers: of_streams, stages })?;
    control.attach(coordination, callers);
    Ok(built)
}

struct Builder {
    graph: JobGraph,
    layout: Layout,
    callers: Vec<Arc<Caller>>,
    coordination: Arc<Coordination>,
    clock: Arc<dyn Clock>,
    // Whether the job was asked to end.
    ends: Arc<AtomicBool>,
    checkpoint_timeout: Span,
    spill_dir: PathBuf,
    state_memory: Arc<StateMemory>,
    // Where parts of checkpoints go, if there are any.
    parts: Option<Sender<Part>>,
    outputs: Vec<OutputParts>,
    // By sink node and worker.
    queues: BTreeMap<(usize, usize), Arc<SinkQueue>>,
    built: Parts,
}

impl Builder {
    fn sources(&mut self, readers: Vec<Vec<Box<dyn Reader>>>) -> Result<()> {
        let nodes =
            (0..self.graph.nodes.len()).filter(|&node| matches!(self.graph.nodes[node].kind, NodeKind::Source(_)));
        let nodes: Vec<usize> = nodes.collect();
        for (stream, (node, readers)) in nodes.into_iter().zip(readers).enumerate() {
            for (index, mut reader) in readers.into_iter().enumerate() {
                let worker = self.layout.readers[stream][index];
                let waker = Arc::new(SourceWaker::new(self.callers[worker].clone()));
                reader.wake(&Waker::from(waker.clone()))?;
                let of = &self.graph.nodes[node];
                let edges = of.ports.iter().map(|&port| (port, self.layout.edges(node, port, worker))).collect();
                let named = (ReaderId { stream, index }, node, of.name.clone());
                let source = Source::new(named, reader, (self.coordination.clone(), waker), edges);
                self.built.workers[worker].add_source(source);
            }
        }
        Ok(())
    }

    /// Makes the stages of all workers; `after` tells where each sink node starts, and `delays` what each stream declares.
    fn stages(
        &mut self,
        after: &BTreeMap<usize, EventTime>,
        delays: &[Span],
        restored: Option<&RestoredJob>,
    ) -> Result<Vec<StageId>> {
        let restore = restored.filter(|job| !job.is_beginning());
        let restore = restore.map(|job| Restore::new(job, &self.graph, &self.layout.stages)).transpose()?;
        let mut made = self.empty_stages(after)?;
        if let Some(restore) = &restore {
            restore.stages(&mut made, &self.graph, &self.layout.stages, self.callers.len())?;
        }
        let reach = self.graph.sources_by_node();
        let mut ids = Vec::new();
        for (id, made) in made {
            let StageId { stage, worker } = id;
            let plan = &self.layout.stages[stage];
            let streams: Vec<Vec<usize>> = plan.inputs.iter().map(|edge| reach[edge.from].clone()).collect();
            let destination = |outlet: &Outlet| match *outlet {
                Outlet::Port(node, port) => {
                    let edges = self.layout.edges(node, port, worker);
                    Destination::Edges { edges, watermark: Some(EventTime::MIN) }
                }
                Outlet::Sink(node) => {
                    Destination::Queue { queue: self.queues[&(node, worker)].clone(), node, queued: 0 }
                }
            };
            let destinations = plan.outlets.iter().map(destination).collect();
            let lanes = self.layout.lanes(stage, worker);
            let shared = self.coordination.clone();
            let instance = StageInstance::new(id, made, (lanes, destinations), streams, delays, shared)?;
            self.built.workers[worker].add_stage(instance);
            ids.push(id);
        }
        Ok(ids)
    }

    /// The stages of all workers, which know nothing yet.
    fn empty_stages(&self, after: &BTreeMap<usize, EventTime>) -> Result<Vec<(StageId, Stage)>> {
        let begins = |node: usize| after.get(&node).copied().unwrap_or(EventTime::MIN);
        let mut all = Vec::new();
        for (stage, plan) in self.layout.stages.iter().enumerate() {
            for &worker in &self.layout.places[stage] {
                let groups = restore::groups(plan, worker, self.callers.len());
                let mut made = Stage::new(&self.graph, plan, groups, &begins, seeded::budget())?;
                made.share_memory(&self.state_memory);
                all.push((StageId { stage, worker }, made));
            }
        }
        Ok(all)
    }

    /// Makes the writers and committers of all sinks; gives where each sink node starts.
    fn sinks(
        &mut self,
        bindings: Vec<SinkBinding>,
        restored: Option<&RestoredJob>,
    ) -> Result<BTreeMap<usize, EventTime>> {
        let nodes =
            (0..self.graph.nodes.len()).filter(|&node| matches!(self.graph.nodes[node].kind, NodeKind::Sink(_)));
        let nodes: Vec<usize> = nodes.collect();
        let mut starts = BTreeMap::new();
        for (node, binding) in nodes.into_iter().zip(bindings) {
            starts.insert(node, binding.after);
            self.sink(node, binding, restored)?;
        }
        Ok(starts)
    }

    fn sink(&mut self, node: usize, binding: SinkBinding, restored: Option<&RestoredJob>) -> Result<()> {
        let SinkBinding { writer, committer, replay, .. } = binding;
        let name = self.graph.nodes[node].name.clone();
        let stage = self.layout.stages.iter().position(|plan| plan.nodes.contains(&node));
        let places = stage.map(|stage| self.layout.places[stage].clone()).unwrap_or_default();
        let (prepared_in, prepared) = unbounded();
        for &worker in &places {
            let queue = SinkQueue::new(self.callers[worker].clone(), places.len(), replay, self.spill_dir.clone());
            let queue = Arc::new(queue);
            self.queues.insert((node, worker), queue.clone());
            self.built.status.add_queue(node, queue.clone());
            self.built.queues.push(queue.clone());
            self.built.writers.push(SinkWriter {
                name: name.clone(),
                sink: writer(worker)?,
                queue,
                prepared: self.prepared_to(prepared_in.clone()),
                written: self.built.status.written(node).clone(),
                rows: 0,
                clock: self.clock.clone(),
            });
        }
        let notes = self.built.status.notes().clone();
        let tell: TellCommitted = match self.parts.clone() {
            // What takes it has gone only when nothing comes any more.
            Some(parts) => {
                let output = self.outputs.len();
                Box::new(move |upto| drop(parts.send(Part::Committed(output, upto))))
            }
            None => Box::new(|_| {}),
        };
        self.built.committers.push(SinkCommitter::new(
            name.clone(),
            committer,
            (prepared, places.len()),
            (self.built.commits.clone(), notes),
            (Patience::new(self.clock.clone(), self.ends.clone()), tell),
        ));
        let before = restored.and_then(|job| {
            let output = job.outputs.iter().find(|output| output.output == name)?;
            Some((job.coordinator.number, output.clone()))
        });
        self.outputs.push(OutputParts { node, name, writers: places.len(), committer: prepared_in, before });
        Ok(())
    }

    /// Where a writer of the output that is made next hands over what it prepares: to its committer, or into checkpoints.
    fn prepared_to(&self, committer: Sender<Preparation>) -> Box<dyn Fn(Preparation) + Send> {
        // Those who take it have gone only when the job has failed.
        match self.parts.clone() {
            Some(parts) => {
                let output = self.outputs.len();
                Box::new(move |preparation| drop(parts.send(Part::Prepared(output, preparation))))
            }
            None => Box::new(move |preparation| drop(committer.send(preparation))),
        }
    }

    fn checkpointer(
        &mut self,
        store: Option<Box<dyn CheckpointStore>>,
        parts: Receiver<Part>,
        restored: Option<&RestoredJob>,
    ) {
        // Without a store only the writers may hold what ends the committers.
        let outputs = std::mem::take(&mut self.outputs);
        let Some(store) = store else { return };
        let inputs = |plan: &StagePlan| plan.inputs.iter().map(|edge| self.graph.edge_name(edge)).collect();
        let first =
            |plan: &StagePlan| plan.nodes.first().map_or_else(String::new, |&node| self.graph.nodes[node].name.clone());
        let names = Names {
            nodes: self.graph.nodes.iter().map(|node| node.name.clone()).collect(),
            is_source: self.graph.nodes.iter().map(|node| matches!(node.kind, NodeKind::Source(_))).collect(),
            stages: self.layout.stages.iter().map(first).collect(),
            inputs: self.layout.stages.iter().map(inputs).collect(),
        };
        let waits = (Patience::new(self.clock.clone(), self.ends.clone()), self.built.status.notes().clone());
        let late = (self.checkpoint_timeout, self.clock.clone());
        let before = restored.map(|restored| restored.rows.clone()).unwrap_or_default();
        let made = Checkpointer::new(parts, store, self.coordination.clone(), (names, outputs, before), waits, late);
        self.built.checkpointer = Some(made);
    }
}
