//! A worker: its readers and its share of every stage, stepped one call at a time.

use crate::control::Control;
use crate::edge::Outbox;
use crate::event::Envelope;
use crate::instance::StageInstance;
use crate::mailbox::{Caller, Letter, Mailbox};
use crate::schedule::{Next, Schedule};
use crate::source::Source;
use crate::status::{Slot, Status};
use dataflow::{Clock, Error, ProcessingTime, Result, Span};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How often a worker that never runs out of work tells when what its stages hold comes out.
const HOLDS_PAUSE: Span = Span::millis(20);

/// How long a worker sleeps at most while a source is due some time: clocks are set.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// What a step gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerStep {
    Moved,
    Idle,
    Finished,
}

/// Envelopes for this worker go to its own queue, others into the mailbox of their worker.
struct LocalOutbox {
    worker: usize,
    own: VecDeque<Envelope>,
    callers: Vec<Arc<Caller>>,
}

impl Outbox for LocalOutbox {
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
    sources: Vec<Source>,
    // Each after those that it takes rows from.
    stages: Vec<StageInstance>,
    // The instance of a stage, by stage.
    at: Vec<Option<usize>>,
    outbox: LocalOutbox,
    mailbox: Mailbox,
    control: Arc<Control>,
    status: Arc<Status>,
    clock: Arc<dyn Clock>,
    // When the stages were last asked for what they hold.
    held_at: ProcessingTime,
    // Room for the indexes of what can run, kept from step to step.
    ready_stages: Vec<usize>,
    ready_sources: Vec<usize>,
}

impl Worker {
    pub fn new(
        index: usize,
        (mailbox, callers): (Mailbox, Vec<Arc<Caller>>),
        stages: usize,
        (control, status): (Arc<Control>, Arc<Status>),
        clock: Arc<dyn Clock>,
    ) -> Worker {
        Worker {
            index,
            sources: Vec::new(),
            stages: Vec::new(),
            at: vec![None; stages],
            outbox: LocalOutbox { worker: index, own: VecDeque::new(), callers },
            mailbox,
            control,
            status,
            clock,
            held_at: ProcessingTime(i64::MIN),
            ready_stages: Vec::new(),
            ready_sources: Vec::new(),
        }
    }

    /// Gives the worker a reader.
    pub fn add_source(&mut self, source: Source) {
        self.sources.push(source);
    }

    /// Gives the worker its share of a stage; stages come in their order.
    pub fn add_stage(&mut self, stage: StageInstance) {
        self.at[stage.id.stage] = Some(self.stages.len());
        self.stages.push(stage);
    }

    /// Makes one call of one stage or reader. `Idle` when nothing can move before something arrives or time passes.
    pub fn step(&mut self, schedule: &mut dyn Schedule) -> Result<WorkerStep> {
        loop {
            // In every turn: polls that bring no row may go on for as long as a topic holds such messages.
            if self.deliver()? {
                return Ok(WorkerStep::Moved);
            }
            if self.control.has_failed() {
                return Ok(WorkerStep::Idle);
            }
            let now = self.clock.now();
            self.find_ready(now);
            let idle = self.ready_stages.is_empty() && self.ready_sources.is_empty();
            if idle || now > self.held_at.plus(HOLDS_PAUSE) || now < self.held_at {
                self.held_at = now;
                let mut told = false;
                for stage in &mut self.stages {
                    told |= stage.tell_holds()?;
                }
                if told && idle {
                    return Ok(WorkerStep::Moved);
                }
            }
            if idle {
                let finished = self.sources.iter().all(|source| source.finished && !source.unsettled)
                    && self.stages.iter().all(|stage| stage.finished);
                return Ok(if finished { WorkerStep::Finished } else { WorkerStep::Idle });
            }
            // A poll that brought no row and no watermark is no progress: the next one is looked for at once.
            if self.run_one(schedule, now)? {
                return Ok(WorkerStep::Moved);
            }
        }
    }

    fn run_one(&mut self, schedule: &mut dyn Schedule, now: ProcessingTime) -> Result<bool> {
        match schedule.next(self.ready_stages.len(), self.ready_sources.len(), now) {
            Next::Source(source) => {
                let source = &mut self.sources[self.ready_sources[source]];
                let moved = source.poll(schedule.rows_max(), now, &mut self.outbox)?;
                self.status.put(self.index, |slots| show_source(source, slots));
                Ok(moved)
            }
            Next::Stage(stage) => {
                let stage = &mut self.stages[self.ready_stages[stage]];
                stage.run(&mut |lanes| schedule.lane(lanes), &mut self.outbox)?;
                self.status.put(self.index, |slots| show_stage(stage, slots));
                Ok(true)
            }
        }
    }

    fn find_ready(&mut self, now: ProcessingTime) {
        self.ready_stages.clear();
        self.ready_sources.clear();
        let stages = self.stages.iter().enumerate().filter(|(_, stage)| stage.can_run());
        self.ready_stages.extend(stages.map(|(at, _)| at));
        let sources = self.sources.iter().enumerate().filter(|(_, source)| source.can_run(now));
        self.ready_sources.extend(sources.map(|(at, _)| at));
    }

    /// Waits for something to arrive, or until a source is due.
    pub fn wait(&mut self) -> Result<()> {
        let due = self.sources.iter().filter_map(Source::due_at).min();
        let now = self.clock.now();
        let until = |due: ProcessingTime| Duration::from_micros(due.0.saturating_sub(now.0).max(0).unsigned_abs());
        let at_most = due.map(|due| until(due).min(SLEEP_MAX));
        match self.mailbox.wait(at_most) {
            Some(letter) => self.open(letter).map(drop),
            None => Ok(()),
        }
    }

    /// Puts what has arrived where it belongs, and carries out the commands to readers, barriers among them, before
    /// anything else runs; whether there were any.
    fn deliver(&mut self) -> Result<bool> {
        let mut carried_out = false;
        self.deliver_own()?;
        for _ in 0..self.mailbox.len() {
            let Some(letter) = self.mailbox.take() else { break };
            carried_out |= self.open(letter)?;
        }
        self.deliver_own()?;
        Ok(carried_out)
    }

    fn deliver_own(&mut self) -> Result<()> {
        while let Some(envelope) = self.outbox.own.pop_front() {
            self.put(envelope)?;
        }
        Ok(())
    }

    fn open(&mut self, letter: Letter) -> Result<bool> {
        match letter {
            Letter::Event(envelope) => self.put(envelope).map(|()| false),
            Letter::Command(id, command) => {
                let source = self.sources.iter_mut().find(|source| source.id == id);
                let source =
                    source.ok_or_else(|| Error::internal(format!("a command came to no reader: {command:?}")))?;
                source.carry_out(command, &mut self.outbox).map(|()| true)
            }
            Letter::LookAgain => Ok(false),
        }
    }

    fn put(&mut self, envelope: Envelope) -> Result<()> {
        let at =
            self.at[envelope.stage].ok_or_else(|| Error::internal("an event came to a worker without its stage"))?;
        self.stages[at].lanes[envelope.lane].push(envelope.event);
        Ok(())
    }

    /// Has every source polled again.
    pub fn look_again(&mut self) {
        self.sources.iter().for_each(Source::look_again);
    }
}

fn show_source(source: &Source, slots: &mut [Slot]) {
    let cx = source.context();
    let watermark = Some(source.watermark());
    let first_bad = cx.first_bad().cloned();
    let (state_bytes, spilled_bytes) = (cx.state_bytes(), cx.spilled_bytes());
    slots[source.node] = Slot { fates: *cx.fates(), first_bad, state_bytes, spilled_bytes, watermark };
}

fn show_stage(stage: &StageInstance, slots: &mut [Slot]) {
    for node in stage.stage().nodes() {
        let first_bad = node.first_bad.cloned();
        let watermark = Some(node.watermark);
        let (state_bytes, spilled_bytes) = (node.state_bytes, node.spilled_bytes);
        slots[node.node] = Slot { fates: *node.fates, first_bad, state_bytes, spilled_bytes, watermark };
    }
}
