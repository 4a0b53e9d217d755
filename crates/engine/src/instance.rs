//! One node in one worker: its lanes, its operator, and the edges that its rows leave by.

use crate::BATCH_ROWS;
use crate::control::Control;
use crate::event::{Barrier, Event, Lane};
use crate::exchange::{OutEdge, Outbox};
use crate::mailbox::SourceWaker;
use crate::sink::SinkQueue;
use arrow::array::BooleanArray;
use dataflow::{
    Batch, Context, Coordinator, Error, EventTime, Fate, Input, Operator, Port, ProcessingTime, Progress, Reader,
    ReaderState, Result, Span,
};
use std::sync::Arc;

pub enum Kind {
    Source(Source),
    Step { operator: Box<dyn Operator>, cx: Context },
    Write { queue: Arc<SinkQueue>, after: EventTime, cx: Context },
}

pub struct Source {
    pub reader: Box<dyn Reader>,
    pub index: usize,
    pub coordinator: Arc<dyn Coordinator>,
    pub state: ReaderState,
    pub waker: Arc<SourceWaker>,
    pub barriers: u64,
    pub cx: Context,
}

/// The shortest pause between two polls of a source that nobody has woken: what is asked for while rows wait for
/// silence to pass is asked at this rate at most.
const POLL_PAUSE: Span = Span::millis(2);

impl Source {
    /// Whether a poll could give something.
    fn is_due(&self, now: ProcessingTime) -> bool {
        self.waker.is_woken() || self.state == ReaderState::Ready || self.due_at().is_some_and(|due| due <= now)
    }

    /// When a poll is due although nobody wakes the source.
    fn due_at(&self) -> Option<ProcessingTime> {
        match self.state {
            ReaderState::Waiting { until } => until,
            _ => None,
        }
    }
}

/// A call that has more to put out.
#[derive(Debug)]
enum Call {
    Process(Input, Batch),
    Advance(EventTime),
}

/// What running a node once gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Ran {
    /// Something moved.
    Moved,
    /// Nothing could.
    Idle,
}

pub struct Instance {
    pub node: usize,
    pub name: String,
    pub kind: Kind,
    pub lanes: Vec<Lane>,
    pub outs: Vec<OutEdge>,
    /// Everything at or before this has been released.
    pub watermark: EventTime,
    pub finished: bool,
    pending: Option<Call>,
}

impl Instance {
    pub fn new(node: usize, name: String, kind: Kind, lanes: Vec<Lane>, outs: Vec<OutEdge>) -> Self {
        Instance { node, name, kind, lanes, outs, watermark: EventTime::MIN, finished: false, pending: None }
    }

    pub fn context(&self) -> &Context {
        match &self.kind {
            Kind::Source(source) => &source.cx,
            Kind::Step { cx, .. } | Kind::Write { cx, .. } => cx,
        }
    }

    /// Whether a call could be made: there is something to do, and room for what comes out.
    pub fn can_run(&self, now: ProcessingTime) -> bool {
        !self.finished
            && self.outs.iter().all(OutEdge::has_credit)
            && match &self.kind {
                Kind::Source(source) => source.is_due(now),
                Kind::Step { .. } => self.has_event(),
                Kind::Write { queue, .. } => self.has_event() && queue.has_room(),
            }
    }

    pub fn is_source(&self) -> bool {
        matches!(self.kind, Kind::Source(_))
    }

    /// When a source is to be polled although nothing calls for it.
    pub fn due_at(&self) -> Option<ProcessingTime> {
        match &self.kind {
            // Without room for what comes out it waits for that, and is called.
            Kind::Source(source) if !self.finished && self.outs.iter().all(OutEdge::has_credit) => source.due_at(),
            _ => None,
        }
    }

    /// Has a source polled again.
    pub fn look_again(&self) {
        if let Kind::Source(source) = &self.kind {
            source.waker.look_again();
        }
    }

    fn has_event(&self) -> bool {
        self.pending.is_some() || self.lanes.iter().any(Lane::can_pop)
    }

    /// Makes one call. `choose` picks among so many lanes that have events.
    pub fn run(&mut self, choose: &mut dyn FnMut(usize) -> usize, out: &mut dyn Outbox) -> Result<()> {
        self.take_event(choose, out).map_err(|error| error.context(format!("step {}", self.name)))
    }

    fn take_event(&mut self, choose: &mut dyn FnMut(usize) -> usize, out: &mut dyn Outbox) -> Result<()> {
        if let Some(call) = self.pending.take() {
            return self.call(call, out);
        }
        let ready: Vec<usize> = (0..self.lanes.len()).filter(|&lane| self.lanes[lane].can_pop()).collect();
        let Some(&lane) = ready.get(choose(ready.len())) else { return Ok(()) };
        match self.lanes[lane].pop() {
            Some(Event::Rows(batch, _)) => self.call(Call::Process(Input(self.lanes[lane].input), batch), out),
            Some(Event::Watermark(_)) => {
                let least = self.lanes.iter().map(|lane| lane.watermark).min().unwrap_or(EventTime::MIN);
                if least > self.watermark { self.call(Call::Advance(least), out) } else { Ok(()) }
            }
            Some(Event::Barrier(barrier)) => self.align(barrier, out),
            None => Ok(()),
        }
    }

    fn call(&mut self, call: Call, out: &mut dyn Outbox) -> Result<()> {
        let progress = match &mut self.kind {
            Kind::Source(_) => return Err(Error::internal("a source takes no rows")),
            Kind::Write { queue, after, cx } => {
                if let Call::Process(_, batch) = &call {
                    write(queue, batch, *after, cx)?;
                }
                Progress::Done
            }
            Kind::Step { operator, cx } => {
                cx.set_room(BATCH_ROWS);
                let progress = match &call {
                    Call::Process(input, batch) => operator.process(*input, batch, cx)?,
                    Call::Advance(watermark) => operator.advance(*watermark, cx)?,
                };
                for (port, batch) in cx.take_emitted() {
                    send(&mut self.outs, port, batch, out)?;
                }
                progress
            }
        };
        match (progress, call) {
            (Progress::More, call) => self.pending = Some(call),
            (Progress::Done, Call::Advance(watermark)) => self.reached(watermark, out),
            (Progress::Done, Call::Process(..)) => {}
        }
        Ok(())
    }

    /// Takes part in a barrier once all lanes have it.
    fn align(&mut self, barrier: Barrier, out: &mut dyn Outbox) -> Result<()> {
        if self.lanes.iter().any(|lane| lane.barrier().is_none()) {
            return Ok(());
        }
        if self.lanes.iter().any(|lane| lane.barrier() != Some(barrier)) {
            return Err(Error::internal(format!("lanes disagree on barrier {}", barrier.number)));
        }
        if let Kind::Write { queue, .. } = &self.kind {
            queue.barrier(barrier);
        }
        self.pass(barrier, out);
        Ok(())
    }

    fn pass(&mut self, barrier: Barrier, out: &mut dyn Outbox) {
        self.lanes.iter_mut().for_each(Lane::unblock);
        self.outs.iter().for_each(|edge| edge.control(&Event::Barrier(barrier), out));
        self.finished = barrier.last;
    }

    fn reached(&mut self, watermark: EventTime, out: &mut dyn Outbox) {
        self.watermark = watermark;
        self.outs.iter().for_each(|edge| edge.control(&Event::Watermark(watermark), out));
    }

    /// Sends the barrier that was asked for, if this is a source that has not sent it yet.
    pub fn send_barrier(&mut self, control: &Control, out: &mut dyn Outbox) -> bool {
        let Kind::Source(source) = &mut self.kind else { return false };
        let Some(barrier) = control.barrier_after(source.barriers).filter(|_| !self.finished) else { return false };
        source.barriers = barrier.number;
        // The barrier that ends bounded inputs comes after everything that they release.
        let horizon = source.coordinator.horizon().filter(|_| source.state == ReaderState::Finished);
        if let Some(horizon) = horizon.filter(|&horizon| horizon > self.watermark) {
            self.reached(horizon, out);
        }
        self.pass(barrier, out);
        true
    }

    /// Polls a source for at most so many rows.
    pub fn poll(
        &mut self,
        rows_max: usize,
        now: ProcessingTime,
        control: &Control,
        out: &mut dyn Outbox,
    ) -> Result<Ran> {
        self.poll_reader(rows_max, now, control, out).map_err(|error| error.context(format!("step {}", self.name)))
    }

    fn poll_reader(
        &mut self,
        rows_max: usize,
        now: ProcessingTime,
        control: &Control,
        out: &mut dyn Outbox,
    ) -> Result<Ran> {
        let Kind::Source(source) = &mut self.kind else { return Ok(Ran::Idle) };
        // Before the poll: a call that comes while the reader looks leads to another look.
        source.waker.answer();
        if source.state == ReaderState::Finished {
            if source.coordinator.horizon().is_none() {
                return Ok(Ran::Idle);
            }
            control.finish();
            return Ok(Ran::Moved);
        }
        let polled = source.reader.poll(rows_max, &source.coordinator.bounds(source.index, now))?;
        source.state = match polled.state {
            ReaderState::Waiting { until: Some(until) } => {
                ReaderState::Waiting { until: Some(until.max(now.plus(POLL_PAUSE))) }
            }
            other => other,
        };
        source.coordinator.report(source.index, &polled);
        if polled.state == ReaderState::Finished {
            source.waker.look_again();
        }
        let mut moved = polled.state == ReaderState::Finished;
        if let Some(batch) = polled.batch.filter(|batch| batch.rows() > 0) {
            source.cx.count(Fate::Out, batch.rows());
            send(&mut self.outs, Port::MAIN, batch, out)?;
            moved = true;
        }
        for (port, batch) in polled.aside {
            send(&mut self.outs, port, batch, out)?;
            moved = true;
        }
        if polled.watermark > self.watermark {
            self.reached(polled.watermark, out);
            moved = true;
        }
        Ok(if moved { Ran::Moved } else { Ran::Idle })
    }
}

fn send(outs: &mut [OutEdge], port: Port, batch: Batch, out: &mut dyn Outbox) -> Result<()> {
    if !outs.iter().any(|edge| edge.port == port) {
        return Err(Error::internal(format!("{} rows leave at port {}, and no edge takes them", batch.rows(), port.0)));
    }
    for edge in outs.iter_mut().filter(|edge| edge.port == port) {
        edge.rows(batch.clone(), out)?;
    }
    Ok(())
}

/// Puts the rows after the sink's start into its queue.
fn write(queue: &SinkQueue, batch: &Batch, after: EventTime, cx: &mut Context) -> Result<()> {
    cx.count(Fate::In, batch.rows());
    let kept: BooleanArray = batch.times().iter().map(|&time| Some(EventTime(time) > after)).collect();
    let batch = batch.filter(&kept)?;
    cx.count(Fate::Filtered, kept.len() - batch.rows());
    if batch.rows() > 0 {
        queue.push(batch);
    }
    Ok(())
}
