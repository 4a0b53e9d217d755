//! A worker: an instance of every node that it has a share of, stepped one call at a time.

use crate::control::Control;
use crate::event::Envelope;
use crate::exchange::Outbox;
use crate::instance::{Instance, Ran};
use crate::mailbox::{Caller, Mailbox};
use crate::schedule::{Next, Schedule};
use crate::status::Status;
use dataflow::{Clock, ProcessingTime, Result};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What a step gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerStep {
    Moved,
    Idle,
    Finished,
}

/// Envelopes for this worker go to its own queue, others into the mailbox of their worker.
pub struct Post {
    worker: usize,
    own: VecDeque<Envelope>,
    callers: Vec<Arc<Caller>>,
}

impl Outbox for Post {
    fn send(&mut self, worker: usize, envelope: Envelope) {
        if worker == self.worker {
            self.own.push_back(envelope);
        } else {
            self.callers[worker].send(envelope);
        }
    }
}

pub struct Worker {
    index: usize,
    // In the order of the graph.
    instances: Vec<Instance>,
    // The instance of a node, by node.
    at: Vec<Option<usize>>,
    post: Post,
    mailbox: Mailbox,
    control: Arc<Control>,
    status: Arc<Status>,
    clock: Arc<dyn Clock>,
    // Room for the indexes of what can run, kept from step to step.
    steps: Vec<usize>,
    sources: Vec<usize>,
}

impl Worker {
    pub fn new(
        index: usize,
        (mailbox, callers): (Mailbox, Vec<Arc<Caller>>),
        nodes: usize,
        (control, status): (Arc<Control>, Arc<Status>),
        clock: Arc<dyn Clock>,
    ) -> Worker {
        Worker {
            index,
            instances: Vec::new(),
            at: vec![None; nodes],
            post: Post { worker: index, own: VecDeque::new(), callers },
            mailbox,
            control,
            status,
            clock,
            steps: Vec::new(),
            sources: Vec::new(),
        }
    }

    /// Gives the worker its share of a node; nodes come in the order of the graph.
    pub fn add(&mut self, instance: Instance) {
        self.at[instance.node] = Some(self.instances.len());
        self.instances.push(instance);
    }

    /// Makes one call of one node. `Idle` when no node can move before something arrives or time passes.
    pub fn step(&mut self, schedule: &mut dyn Schedule) -> Result<WorkerStep> {
        self.deliver();
        loop {
            // Looked at in every turn: polls that bring no row may go on for as long as a topic holds such messages.
            if self.send_barriers() {
                return Ok(WorkerStep::Moved);
            }
            if self.control.has_failed() {
                return Ok(WorkerStep::Idle);
            }
            let now = self.clock.now();
            self.find_ready(now);
            if self.steps.is_empty() && self.sources.is_empty() {
                let finished = self.instances.iter().all(|instance| instance.finished);
                return Ok(if finished { WorkerStep::Finished } else { WorkerStep::Idle });
            }
            // A poll that brought no row and no watermark is no progress: the next one is looked for at once.
            if self.run_one(schedule, now)? == Ran::Moved {
                return Ok(WorkerStep::Moved);
            }
        }
    }

    fn run_one(&mut self, schedule: &mut dyn Schedule, now: ProcessingTime) -> Result<Ran> {
        let (at, ran) = match schedule.next(self.steps.len(), self.sources.len(), now) {
            Next::Source(source) => {
                let at = self.sources[source];
                let rows_max = schedule.rows_max();
                (at, self.instances[at].poll(rows_max, now, &self.control, &mut self.post)?)
            }
            Next::Step(step) => {
                let at = self.steps[step];
                self.instances[at].run(&mut |lanes| schedule.lane(lanes), &mut self.post)?;
                (at, Ran::Moved)
            }
        };
        self.show(at);
        self.deliver();
        Ok(ran)
    }

    fn find_ready(&mut self, now: ProcessingTime) {
        self.steps.clear();
        self.sources.clear();
        for (at, instance) in self.instances.iter().enumerate().filter(|(_, instance)| instance.can_run(now)) {
            if instance.is_source() { self.sources.push(at) } else { self.steps.push(at) }
        }
    }

    /// Has every source send the barrier that was asked for: nothing that can run comes before it.
    fn send_barriers(&mut self) -> bool {
        let mut sent = false;
        for instance in &mut self.instances {
            sent |= instance.send_barrier(&self.control, &mut self.post);
        }
        self.deliver();
        sent
    }

    /// Waits for something to arrive, or until a source is due.
    pub fn wait(&mut self) {
        let due = self.instances.iter().filter_map(Instance::due_at).min();
        let now = self.clock.now();
        let at_most = due.map(|due| Duration::from_micros(due.0.saturating_sub(now.0).max(0).unsigned_abs()));
        let (instances, at) = (&mut self.instances, &self.at);
        self.mailbox.wait(at_most, &mut |envelope| put(instances, at, envelope));
    }

    fn deliver(&mut self) {
        let (instances, at) = (&mut self.instances, &self.at);
        while let Some(envelope) = self.post.own.pop_front() {
            put(instances, at, envelope);
        }
        self.mailbox.take(&mut |envelope| put(instances, at, envelope));
    }

    fn show(&self, at: usize) {
        let instance = &self.instances[at];
        let cx = instance.context();
        self.status.put(self.index, instance.node, *cx.fates(), cx.state_bytes(), instance.watermark);
    }

    /// Has every source polled again.
    pub fn look_again(&mut self) {
        self.instances.iter().for_each(Instance::look_again);
    }
}

fn put(instances: &mut [Instance], at: &[Option<usize>], envelope: Envelope) {
    let at = at[envelope.node].expect("events go to workers that have the node");
    instances[at].lanes[envelope.lane].push(envelope.event);
}
