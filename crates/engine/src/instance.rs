//! A stage in one worker: its lanes, the edges that its rows leave by, and the queues of its outputs.

use crate::coordination::Coordination;
use crate::edge::{OutEdge, Outbox, send_rows, sent};
use crate::event::Event;
use crate::lane::Lane;
use crate::parts::PartRows;
use crate::seeded::{self, Rule};
use crate::sink::SinkQueue;
use dataflow::{Barrier, Batch, CoordinatorEvent, Delays, Error, EventTime, Progress, Result, Span, Stage, StageId};
use std::sync::Arc;

/// Where the rows of an outlet go.
pub enum Destination {
    /// To other stages.
    Edges {
        edges: Vec<OutEdge>,
        /// The watermark that was sent last; `None`: what reaches the outlet is absent.
        watermark: Option<EventTime>,
    },
    /// To the writer of an output.
    Queue {
        queue: Arc<SinkQueue>,
        /// The node of the output.
        node: usize,
        /// The rows that were put into the queue.
        queued: u64,
    },
}

impl Destination {
    /// Whether everything has come that the output had before a restart.
    fn is_replayed(&self) -> bool {
        match self {
            Destination::Edges { .. } => true,
            Destination::Queue { queue, .. } => queue.is_replayed(),
        }
    }
}

/// A stage in one worker.
pub struct StageInstance {
    pub id: StageId,
    pub finished: bool,
    pub lanes: Vec<Lane>,
    stage: Stage,
    // By outlet.
    destinations: Vec<Destination>,
    // Per input the rows that came.
    received: Vec<u64>,
    // Per input the streams that reach it.
    streams: Vec<Vec<usize>>,
    coordination: Arc<Coordination>,
    // Whether inputs have turned present, and no operator was told yet.
    settles: bool,
    // When what it holds comes out, per stream, as it was told last; `None` before the first time.
    holds: Option<(Vec<(usize, EventTime)>, bool)>,
}

impl StageInstance {
    pub fn new(
        id: StageId,
        stage: Stage,
        (lanes, destinations): (Vec<Lane>, Vec<Destination>),
        streams: Vec<Vec<usize>>,
        delays: &[Span],
        coordination: Arc<Coordination>,
    ) -> Result<StageInstance> {
        let mut instance = StageInstance {
            id,
            finished: false,
            lanes,
            stage,
            destinations,
            received: vec![0; streams.len()],
            streams,
            coordination,
            settles: false,
            holds: None,
        };
        for input in 0..instance.streams.len() {
            // An input that no sender of this worker feeds holds nobody back.
            if !instance.lanes.iter().any(|lane| lane.input == input) {
                instance.stage.advance(input, None)?;
                continue;
            }
            let of_input = || instance.streams[input].iter().map(|&stream| delays[stream]);
            if let (Some(least), Some(greatest)) = (of_input().min(), of_input().max()) {
                instance.stage.set_delays(input, Delays { least, greatest });
            }
        }
        Ok(instance)
    }

    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Whether a call could be made: there is something to do, and room for what comes out.
    pub fn can_run(&self) -> bool {
        let has_room = |destination: &Destination| match destination {
            Destination::Edges { edges, .. } => edges.iter().all(OutEdge::has_credit),
            Destination::Queue { queue, .. } => queue.has_room(),
        };
        let has_event = || self.settles || self.stage.is_pending() || self.lanes.iter().any(Lane::can_pop);
        !self.finished && has_event() && self.destinations.iter().all(has_room)
    }

    /// Makes one call. `choose` picks among so many lanes that have events.
    pub fn run(&mut self, choose: &mut dyn FnMut(usize) -> usize, out: &mut dyn Outbox) -> Result<()> {
        let has_event = || self.lanes.iter().any(Lane::can_pop);
        let goes_on = self.stage.is_pending() && !(seeded::leaves_out(Rule::CallsEnd) && has_event());
        let progress = if goes_on { self.stage.resume()? } else { self.take_event(choose, out)? };
        self.send(progress, out)
    }

    fn take_event(&mut self, choose: &mut dyn FnMut(usize) -> usize, out: &mut dyn Outbox) -> Result<Progress> {
        if std::mem::take(&mut self.settles) {
            return self.stage.settle();
        }
        let ready: Vec<usize> = (0..self.lanes.len()).filter(|&lane| self.lanes[lane].can_pop()).collect();
        let Some(&lane) = ready.get(choose(ready.len())) else { return Ok(Progress::Done) };
        let input = self.lanes[lane].input;
        match self.lanes[lane].pop() {
            Some(Event::Rows(batch, _)) => {
                self.received[input] += batch.rows() as u64;
                self.stage.push(input, batch)
            }
            Some(Event::Watermark(_)) => self.advance(input),
            Some(Event::Barrier { barrier, .. }) => self.align(barrier, out),
            None => Ok(Progress::Done),
        }
    }

    /// Moves an input to the least watermark of its senders that are present; without any it holds nobody back.
    fn advance(&mut self, input: usize) -> Result<Progress> {
        let least = self.least(input);
        if least == self.stage.input_watermark(input) { Ok(Progress::Done) } else { self.stage.advance(input, least) }
    }

    fn least(&self, input: usize) -> Option<EventTime> {
        let watermarks = self.lanes.iter().filter(|lane| lane.input == input).filter_map(|lane| lane.watermark);
        if seeded::leaves_out(Rule::LeastOfLanes) { watermarks.max() } else { watermarks.min() }
    }

    /// Takes part in a barrier once all lanes have it.
    fn align(&mut self, barrier: Barrier, out: &mut dyn Outbox) -> Result<Progress> {
        if self.lanes.iter().any(|lane| lane.barrier().is_none()) {
            return Ok(Progress::Done);
        }
        if self.lanes.iter().any(|lane| lane.barrier() != Some(barrier)) {
            return Err(Error::internal(format!("lanes disagree on barrier {}", barrier.number)));
        }
        if self.coordination.keeps_state() {
            self.coordination.keep(barrier.number, self.id, self.stage.freeze()?);
            self.coordination.keep_rows(barrier.number, self.rows());
        }
        let levels = self.stage.nodes().map(|node| (node.node, node.watermark)).collect();
        self.coordination.tell(CoordinatorEvent::StageFrozen { stage: self.id, levels })?;
        let absent: Vec<bool> =
            (0..self.destinations.len()).map(|outlet| self.stage.watermark(outlet).is_none()).collect();
        // All levels are those at the barrier, as the coordinator takes them. What comes out since a step waits for nobody
        // who is absent any more comes after the barrier.
        let joined = self.lanes.iter().enumerate().filter(|(_, lane)| lane.turns_present());
        let joined: Vec<(EventTime, usize)> =
            joined.map(|(at, lane)| (self.stage.present_at(lane.input), at)).collect();
        for &(level, lane) in &joined {
            self.lanes[lane].watermark = Some(level);
        }
        for &(_, lane) in &joined {
            let input = self.lanes[lane].input;
            self.stage.set_watermark(input, self.least(input));
        }
        self.settles = !joined.is_empty();
        for (outlet, destination) in self.destinations.iter_mut().enumerate() {
            let turns_present = absent[outlet] && self.stage.watermark(outlet).is_some();
            match destination {
                Destination::Edges { edges, watermark } => {
                    if turns_present {
                        *watermark = Some(EventTime::MIN);
                    }
                    edges.iter().for_each(|edge| edge.control(&Event::Barrier { barrier, turns_present }, out));
                }
                Destination::Queue { queue, .. } => queue.barrier(barrier),
            }
        }
        self.lanes.iter_mut().for_each(Lane::unblock);
        self.finished = barrier.last;
        Ok(Progress::Done)
    }

    /// The rows that passed so far.
    fn rows(&self) -> PartRows {
        let mut rows = PartRows::default();
        let received = self.received.iter().enumerate();
        rows.received = received.map(|(input, &rows)| ((self.id.stage, input), rows)).collect();
        for destination in &self.destinations {
            match destination {
                Destination::Edges { edges, .. } => rows.sent.extend(sent(edges)),
                Destination::Queue { node, queued, .. } => rows.queued.push((*node, *queued)),
            }
        }
        rows.fates = self.stage.nodes().map(|node| (node.node, *node.fates)).collect();
        rows
    }

    /// Sends what was put out, and, when the call is done, the watermarks that have moved.
    fn send(&mut self, progress: Progress, out: &mut dyn Outbox) -> Result<()> {
        let is_done = progress == Progress::Done;
        if is_done && seeded::leaves_out(Rule::RowsBeforeWatermarks) {
            self.send_watermarks(out);
        }
        let put: Vec<(usize, Batch)> = self.stage.drain().collect();
        for (outlet, batch) in put {
            match &mut self.destinations[outlet] {
                Destination::Edges { edges, .. } => send_rows(edges, batch, out)?,
                Destination::Queue { queue, queued, .. } => {
                    *queued += batch.rows() as u64;
                    queue.push(batch);
                }
            }
        }
        if is_done {
            self.send_watermarks(out);
        }
        Ok(())
    }

    fn send_watermarks(&mut self, out: &mut dyn Outbox) {
        for (outlet, destination) in self.destinations.iter_mut().enumerate() {
            let now = self.stage.watermark(outlet);
            if let Destination::Edges { edges, watermark } = destination
                && now != *watermark
            {
                *watermark = now;
                edges.iter().for_each(|edge| edge.control(&Event::Watermark(now), out));
            }
        }
    }

    /// Tells the coordinator when what the stage holds comes out, if that has changed; whether it has.
    pub fn tell_holds(&mut self) -> Result<bool> {
        if self.finished || self.settles || self.stage.is_pending() {
            return Ok(false);
        }
        let mut due: Vec<(usize, EventTime)> = Vec::new();
        for (input, streams) in self.streams.iter().enumerate() {
            let above = self.stage.input_watermark(input).unwrap_or(EventTime::MIN);
            let Some(time) = self.stage.next_due(input, above) else { continue };
            for &stream in streams {
                match due.iter_mut().find(|(other, _)| *other == stream) {
                    Some((_, least)) => *least = time.min(*least),
                    None => due.push((stream, time)),
                }
            }
        }
        let replayed = self.destinations.iter().all(Destination::is_replayed);
        let holds = (due.clone(), replayed);
        if self.holds.as_ref() == Some(&holds) {
            return Ok(false);
        }
        self.holds = Some(holds);
        self.coordination.tell(CoordinatorEvent::Holds { stage: self.id, due, replayed })?;
        Ok(true)
    }
}
