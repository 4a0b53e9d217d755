//! A worker: an instance of every node that it has a share of, stepped one call at a time.

use crate::BATCH_ROWS;
use crate::commit::{Commits, Prepared};
use crate::event::{Credit, Envelope, Lane};
use crate::exchange::{OutEdge, Outbox};
use crate::instance::{Instance, Kind, Ran, Source};
use crate::job::{Job, SinkBinding};
use crate::run::Control;
use crate::status::Status;
use crossbeam_channel::{Receiver, Sender, unbounded};
use dataflow::{Checked, Context, Exchange, JobGraph, KeyGroups, NodeKind, ReaderState, Result, StepContext};
use std::collections::VecDeque;
use std::sync::Arc;

/// Chooses among what could happen next.
pub trait Schedule: Send {
    /// One of so many nodes that can run, given in the order of the graph.
    fn node(&mut self, nodes: usize) -> usize;
    /// One of so many lanes that have events.
    fn lane(&mut self, lanes: usize) -> usize;
    /// The most rows that a source reads.
    fn rows_max(&mut self) -> usize;
}

/// The schedule of threads: the most downstream node first, so that little waits in lanes.
pub struct Downstream {
    turn: usize,
}

impl Schedule for Downstream {
    fn node(&mut self, nodes: usize) -> usize {
        nodes - 1
    }

    fn lane(&mut self, lanes: usize) -> usize {
        self.turn = self.turn.wrapping_add(1);
        self.turn % lanes.max(1)
    }

    fn rows_max(&mut self) -> usize {
        BATCH_ROWS
    }
}

impl Downstream {
    pub fn new() -> Self {
        Downstream { turn: 0 }
    }
}

/// What a step gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    Moved,
    Idle,
    Finished,
}

/// Envelopes for this worker go to its own queue, others through the channel of their worker.
struct Mail {
    worker: usize,
    own: VecDeque<Envelope>,
    channels: Vec<Sender<Envelope>>,
}

impl Outbox for Mail {
    fn send(&mut self, worker: usize, envelope: Envelope) {
        if worker == self.worker {
            self.own.push_back(envelope);
        } else {
            // A worker that is gone has failed, and its error ends the job.
            let _ = self.channels[worker].send(envelope);
        }
    }
}

pub struct Worker {
    index: usize,
    // In the order of the graph.
    instances: Vec<Instance>,
    // The instance of a node, by node.
    at: Vec<Option<usize>>,
    mail: Mail,
    inbox: Receiver<Envelope>,
    prepared: Sender<Prepared>,
    control: Arc<Control>,
    status: Arc<Status>,
    // Sources that gave nothing when last polled are tried again when nothing else moves.
    idle: Vec<bool>,
}

impl Worker {
    /// Makes one call of one node. `Idle` when no node can move before something arrives.
    pub fn step(&mut self, schedule: &mut dyn Schedule) -> Result<Stepped> {
        self.deliver();
        loop {
            let ready: Vec<usize> =
                (0..self.instances.len()).filter(|&at| !self.idle[at] && self.instances[at].can_run()).collect();
            if ready.is_empty() {
                self.idle.fill(false);
                let finished = self.instances.iter().all(|instance| instance.finished);
                return Ok(if finished { Stepped::Finished } else { Stepped::Idle });
            }
            let at = ready[schedule.node(ready.len())];
            let rows_max = schedule.rows_max();
            let (mail, prepared) = (&mut self.mail, &self.prepared);
            let ran = self.instances[at].run(
                &mut |lanes| schedule.lane(lanes),
                rows_max,
                &self.control,
                mail,
                &mut |of_writer| {
                    // The host has gone only when the job has failed.
                    let _ = prepared.send(of_writer);
                },
            )?;
            self.show(at);
            self.deliver();
            if ran == Ran::Moved {
                self.idle.fill(false);
                return Ok(Stepped::Moved);
            }
            self.idle[at] = true;
        }
    }

    /// Waits for an event from another worker, or for a while.
    pub fn wait(&mut self, at_most: std::time::Duration) {
        if let Ok(envelope) = self.inbox.recv_timeout(at_most) {
            self.put(envelope);
        }
    }

    fn deliver(&mut self) {
        while let Some(envelope) = self.mail.own.pop_front() {
            self.put(envelope);
        }
        while let Ok(envelope) = self.inbox.try_recv() {
            self.put(envelope);
        }
    }

    fn put(&mut self, envelope: Envelope) {
        let at = self.at[envelope.node].expect("events go to workers that have the node");
        self.instances[at].lanes[envelope.lane].push(envelope.event);
    }

    fn show(&self, at: usize) {
        let instance = &self.instances[at];
        let cx = instance.context();
        self.status.put(self.index, instance.node, *cx.fates(), cx.state_bytes(), instance.watermark);
    }
}

/// A job cut into workers that have not started yet.
pub struct Built {
    pub workers: Vec<Worker>,
    pub commits: Commits,
    pub prepared: Receiver<Prepared>,
    pub status: Arc<Status>,
}

/// Where the nodes of a graph live, and the lanes between them.
struct Layout {
    workers: usize,
    // Per node the workers that have an instance of it.
    places: Vec<Vec<usize>>,
    // Per node and input edge: the first lane, and the senders in lane order (empty: the worker itself).
    lanes: Vec<Vec<(usize, Vec<usize>)>>,
    // Per node and worker: a credit for each lane.
    credits: Vec<Vec<Vec<Credit>>>,
}

impl Layout {
    fn new(graph: &JobGraph, workers: usize) -> Layout {
        let mut layout = Layout { workers, places: vec![], lanes: vec![], credits: vec![] };
        let mut sources = 0;
        for node in &graph.nodes {
            let single = |edge: &dataflow::Edge| match edge.exchange {
                Exchange::Single => true,
                Exchange::Forward => layout.places[edge.from] == [0] && !is_source(graph, edge.from) && workers > 1,
                _ => false,
            };
            let places = if matches!(node.kind, NodeKind::Source(_)) {
                sources += 1;
                vec![(sources - 1) % workers]
            } else if node.inputs.iter().all(single) {
                vec![0]
            } else {
                (0..workers).collect()
            };
            let mut first = 0;
            let lanes: Vec<_> = node
                .inputs
                .iter()
                .map(|edge| {
                    let own = edge.exchange == Exchange::Forward && !is_source(graph, edge.from);
                    let senders = if own { vec![] } else { layout.places[edge.from].clone() };
                    first += senders.len().max(1);
                    (first - senders.len().max(1), senders)
                })
                .collect();
            layout.credits.push((0..workers).map(|_| (0..first).map(|_| Credit::default()).collect()).collect());
            layout.places.push(places);
            layout.lanes.push(lanes);
        }
        layout
    }

    fn lanes(&self, graph: &JobGraph, node: usize, worker: usize) -> Vec<Lane> {
        let mut lanes = Vec::new();
        for input in 0..graph.nodes[node].inputs.len() {
            for _ in 0..self.lanes[node][input].1.len().max(1) {
                lanes.push(Lane::new(input, self.credits[node][worker][lanes.len()].clone()));
            }
        }
        lanes
    }

    fn outs(&self, graph: &JobGraph, from: usize, worker: usize) -> Vec<OutEdge> {
        let mut outs = Vec::new();
        for (node, taker) in graph.nodes.iter().enumerate() {
            for (input, edge) in taker.inputs.iter().enumerate().filter(|(_, edge)| edge.from == from) {
                let (first, senders) = &self.lanes[node][input];
                let lane = first + senders.iter().position(|&sender| sender == worker).unwrap_or(0);
                let workers = if senders.is_empty() { vec![worker] } else { self.places[node].clone() };
                outs.push(OutEdge {
                    port: edge.port,
                    exchange: edge.exchange.clone(),
                    node,
                    lanes: (0..self.workers).map(|to| (lane, self.credits[node][to][lane].clone())).collect(),
                    workers,
                    deal: is_source(graph, from),
                    next: 0,
                });
            }
        }
        outs
    }
}

fn is_source(graph: &JobGraph, node: usize) -> bool {
    matches!(graph.nodes[node].kind, NodeKind::Source(_))
}

/// Cuts a job into workers.
pub fn build(job: Job, control: &Arc<Control>) -> Result<Built> {
    job.check()?;
    let Job { graph, readers, coordinator, sinks, workers: count } = job;
    let layout = Layout::new(&graph, count);
    let status = Arc::new(Status::new(&graph, count));
    let (prepared_in, prepared) = unbounded();
    let (channels, inboxes): (Vec<_>, Vec<_>) = (0..count).map(|_| unbounded()).unzip();
    let mut workers: Vec<Worker> = inboxes
        .into_iter()
        .enumerate()
        .map(|(index, inbox)| Worker {
            index,
            instances: Vec::new(),
            at: vec![None; graph.nodes.len()],
            mail: Mail { worker: index, own: VecDeque::new(), channels: channels.clone() },
            inbox,
            prepared: prepared_in.clone(),
            control: control.clone(),
            status: status.clone(),
            idle: Vec::new(),
        })
        .collect();
    let (mut readers, mut sink, mut source) = (readers.into_iter(), 0, 0);
    for (node, of_graph) in graph.nodes.iter().enumerate() {
        for &worker in &layout.places[node] {
            let groups = KeyGroups::of_worker(worker, count);
            let cx = Context::new(groups);
            let kind = match &of_graph.kind {
                NodeKind::Source(_) => {
                    let reader = readers.next().expect("the job was checked");
                    let (index, coordinator) = (source, coordinator.clone());
                    Kind::Source(Source { reader, index, coordinator, state: ReaderState::Ready, barriers: 0, cx })
                }
                NodeKind::Step(make) => {
                    let operator = Box::new(Checked::new(make(StepContext { groups })?, &of_graph.name));
                    Kind::Step { operator, cx }
                }
                NodeKind::Sink(_) => {
                    let SinkBinding { writer, after, .. } = &sinks[sink];
                    Kind::Write { sink: writer(worker)?, index: sink, after: *after, cx }
                }
            };
            let (lanes, outs) = (layout.lanes(&graph, node, worker), layout.outs(&graph, node, worker));
            let instance = Instance::new(node, of_graph.name.clone(), kind, lanes, outs);
            workers[worker].at[node] = Some(workers[worker].instances.len());
            workers[worker].idle.push(false);
            workers[worker].instances.push(instance);
        }
        source += usize::from(is_source(&graph, node));
        sink += usize::from(matches!(of_graph.kind, NodeKind::Sink(_)));
    }
    let writers = (0..graph.nodes.len())
        .filter(|&node| matches!(graph.nodes[node].kind, NodeKind::Sink(_)))
        .map(|node| layout.places[node].len())
        .collect();
    let commits = Commits::new(sinks.into_iter().map(|sink| sink.committer).collect(), writers);
    Ok(Built { workers, commits, prepared, status })
}
