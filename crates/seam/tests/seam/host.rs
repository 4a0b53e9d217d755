//! A host that carries everything at once: one reader per stream, one step that all streams reach, and checkpoints that
//! are durable as soon as they are asked for.

use dataflow::{
    Coordinator, CoordinatorAction, CoordinatorEvent, EventTime, Meeting, Order, Polled, ProcessingTime, Reader,
    ReaderId, Result, StageId,
};
use seam::Seam;
use std::collections::VecDeque;

const STAGE: StageId = StageId { stage: 0, worker: 0 };

/// The readers and the coordinator of a job in which all streams meet.
pub struct Host {
    pub coordinator: Box<dyn Coordinator>,
    readers: Vec<Box<dyn Reader>>,
    pub now: ProcessingTime,
    /// The watermark of each stream; `None`: it holds nobody back.
    pub watermarks: Vec<Option<EventTime>>,
    level: EventTime,
    /// Where inputs end, once all were given out.
    pub end: Option<EventTime>,
    /// Whether the last barrier has been sent.
    pub ended: bool,
}

impl Host {
    pub fn new(seam: &Seam, now: i64) -> Host {
        let readers: Vec<Box<dyn Reader>> = seam.readers().into_iter().flatten().collect();
        let streams: Vec<usize> = (0..readers.len()).collect();
        let meetings = vec![Meeting { streams: streams.clone(), steps: vec![0] }; readers.len()];
        let mut host = Host {
            coordinator: seam.coordinator(&meetings).unwrap(),
            watermarks: vec![Some(EventTime::MIN); readers.len()],
            readers,
            now: ProcessingTime(now),
            level: EventTime::MIN,
            end: None,
            ended: false,
        };
        let start = CoordinatorEvent::Start { readers: vec![1; streams.len()], stages: vec![STAGE] };
        host.tell(start).unwrap();
        host.tell(CoordinatorEvent::Holds { stage: STAGE, due: Vec::new(), replayed: true }).unwrap();
        // The first checkpoint is durable when all splits were looked at.
        for stream in streams {
            host.poll(stream, 0).unwrap();
        }
        host
    }

    /// Polls the reader of a stream.
    pub fn poll(&mut self, stream: usize, rows_max: usize) -> Result<Polled> {
        let polled = self.readers[stream].poll(rows_max, self.now)?;
        self.watermarks[stream] = polled.watermark;
        if let Some(level) = self.watermarks.iter().flatten().min() {
            self.level = self.level.max(*level);
        }
        if let Some(report) = polled.report.clone() {
            self.tell(CoordinatorEvent::Report(ReaderId { stream, index: 0 }, report))?;
        }
        Ok(polled)
    }

    fn tell(&mut self, event: CoordinatorEvent) -> Result<()> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.coordinator.handle(event, self.now)? {
                match action {
                    CoordinatorAction::Send(reader, order) => self.order(reader, order, &mut events)?,
                    CoordinatorAction::Persist(state) => events.push_back(CoordinatorEvent::Durable(state.number)),
                }
            }
        }
        Ok(())
    }

    fn order(&mut self, id: ReaderId, order: Order, events: &mut VecDeque<CoordinatorEvent>) -> Result<()> {
        let last = id.stream + 1 == self.readers.len();
        let reader = &mut self.readers[id.stream];
        match order {
            Order::Assign(splits) => reader.add(splits)?,
            Order::Bounds(bounds) => {
                self.end = bounds.end;
                reader.bound(bounds);
            }
            Order::Durable(joined) => reader.durable(joined)?,
            Order::Barrier(barrier) => {
                self.ended |= barrier.last;
                events.push_back(CoordinatorEvent::ReaderFrozen(id, reader.freeze()?));
                if last {
                    events.push_back(CoordinatorEvent::StageFrozen { stage: STAGE, levels: vec![(0, self.level)] });
                }
            }
        }
        Ok(())
    }
}
