//! One node in one worker: its lanes, its operator, and the edges that its rows leave by.

use crate::BATCH_ROWS;
use crate::commit::Prepared;
use crate::event::{Barrier, Event, Lane};
use crate::exchange::{OutEdge, Outbox};
use crate::run::Control;
use arrow::array::BooleanArray;
use dataflow::{
    Batch, Context, Coordinator, Error, EventTime, Fate, Input, Operator, Port, ProcessingTime, Progress, Reader,
    ReaderState, Result, Sink,
};
use std::sync::Arc;

pub enum Kind {
    Source(Source),
    Step { operator: Box<dyn Operator>, cx: Context },
    Write { sink: Box<dyn Sink>, index: usize, after: EventTime, cx: Context },
}

pub struct Source {
    pub reader: Box<dyn Reader>,
    pub index: usize,
    pub coordinator: Arc<dyn Coordinator>,
    pub state: ReaderState,
    pub barriers: u64,
    pub cx: Context,
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
    pub fn can_run(&self) -> bool {
        !self.finished
            && self.outs.iter().all(OutEdge::has_credit)
            && (matches!(self.kind, Kind::Source(_)) || self.pending.is_some() || self.lanes.iter().any(Lane::can_pop))
    }

    /// Makes one call. `choose` picks among so many lanes that have events; a source reads at most so many rows.
    pub fn run(
        &mut self,
        choose: &mut dyn FnMut(usize) -> usize,
        rows_max: usize,
        control: &Control,
        out: &mut dyn Outbox,
        prepared: &mut dyn FnMut(Prepared),
    ) -> Result<Ran> {
        let result = match &self.kind {
            Kind::Source(_) => self.poll(rows_max, control, out),
            _ => self.take_event(choose, out, prepared).map(|()| Ran::Moved),
        };
        result.map_err(|error| error.context(format!("step {}", self.name)))
    }

    fn take_event(
        &mut self,
        choose: &mut dyn FnMut(usize) -> usize,
        out: &mut dyn Outbox,
        prepared: &mut dyn FnMut(Prepared),
    ) -> Result<()> {
        if let Some(call) = self.pending.take() {
            return self.call(call, out);
        }
        let ready: Vec<usize> = (0..self.lanes.len()).filter(|&lane| self.lanes[lane].can_pop()).collect();
        let Some(&lane) = ready.get(choose(ready.len())) else { return Ok(()) };
        match self.lanes[lane].pop() {
            Some(Event::Rows(batch)) => self.call(Call::Process(Input(self.lanes[lane].input), batch), out),
            Some(Event::Watermark(_)) => {
                let least = self.lanes.iter().map(|lane| lane.watermark).min().unwrap_or(EventTime::MIN);
                if least > self.watermark { self.call(Call::Advance(least), out) } else { Ok(()) }
            }
            Some(Event::Barrier(barrier)) => self.align(barrier, out, prepared),
            None => Ok(()),
        }
    }

    fn call(&mut self, call: Call, out: &mut dyn Outbox) -> Result<()> {
        let progress = match &mut self.kind {
            Kind::Source(_) => return Err(Error::internal("a source takes no rows")),
            Kind::Write { sink, after, cx, .. } => {
                if let Call::Process(_, batch) = &call {
                    write(sink.as_mut(), batch, *after, cx)?;
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
    fn align(&mut self, barrier: Barrier, out: &mut dyn Outbox, prepared: &mut dyn FnMut(Prepared)) -> Result<()> {
        if self.lanes.iter().any(|lane| lane.barrier().is_none()) {
            return Ok(());
        }
        if self.lanes.iter().any(|lane| lane.barrier() != Some(barrier)) {
            return Err(Error::internal(format!("lanes disagree on barrier {}", barrier.number)));
        }
        if let Kind::Write { sink, index, .. } = &mut self.kind {
            prepared(Prepared { sink: *index, barrier: barrier.number, committable: sink.prepare()? });
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

    fn poll(&mut self, rows_max: usize, control: &Control, out: &mut dyn Outbox) -> Result<Ran> {
        let Kind::Source(source) = &mut self.kind else { return Ok(Ran::Idle) };
        if source.state == ReaderState::Finished
            && let Some(horizon) = source.coordinator.horizon().filter(|&horizon| horizon > self.watermark)
        {
            self.reached(horizon, out);
            control.finish();
            return Ok(Ran::Moved);
        }
        if let Some(barrier) = control.barrier_behind(source.barriers) {
            source.barriers = barrier.number;
            self.pass(barrier, out);
            return Ok(Ran::Moved);
        }
        if source.state == ReaderState::Finished {
            // A source that stands at the horizon already asks for the end too.
            if source.coordinator.horizon().is_some() {
                control.finish();
            }
            return Ok(Ran::Idle);
        }
        let bounds = source.coordinator.bounds(source.index, ProcessingTime(0));
        let polled = source.reader.poll(rows_max, &bounds)?;
        source.coordinator.report(source.index, &polled);
        source.state = polled.state;
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

/// Writes the rows behind the sink's start.
fn write(sink: &mut dyn Sink, batch: &Batch, after: EventTime, cx: &mut Context) -> Result<()> {
    cx.count(Fate::In, batch.rows());
    let behind: BooleanArray = batch.times().iter().map(|&time| Some(EventTime(time) > after)).collect();
    let batch = batch.filter(&behind)?;
    cx.count(Fate::Out, batch.rows());
    cx.count(Fate::Filtered, behind.len() - batch.rows());
    if batch.rows() > 0 { sink.write(&batch) } else { Ok(()) }
}
