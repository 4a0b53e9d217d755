//! A coordinator for readers that need none: they may always read, barriers come when asked for, and the last one when
//! every reader has given out everything.

use dataflow::{
    Barrier, CheckpointPurpose, Command, Coordinator, CoordinatorAction, CoordinatorEvent, CoordinatorState, EventTime,
    ProcessingTime, ReadBounds, ReaderId, Report, Result, Span,
};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Free {
    readers: BTreeMap<ReaderId, Option<Report>>,
    parts: usize,
    number: u64,
    // The parts that have not frozen for the running checkpoint, and whether it is the last one.
    running: Option<(usize, bool)>,
    wanted: Option<CheckpointPurpose>,
    ended: bool,
    is_last_sent: bool,
}

impl Free {
    fn send(&self, command: &Command) -> Vec<CoordinatorAction> {
        self.readers.keys().map(|&reader| CoordinatorAction::Send(reader, command.clone())).collect()
    }

    fn bounds(&self, end: Option<EventTime>) -> Vec<CoordinatorAction> {
        self.send(&Command::Bounds(ReadBounds {
            go: true,
            stops: false,
            given: EventTime::MIN,
            cap: EventTime::MIN,
            may_join: true,
            least: EventTime::MAX,
            window: Span::ZERO,
            watermarks: vec![],
            due: None,
            clock: None,
            follow: None,
            meets_absent: false,
            meets_joining: false,
            furthest: EventTime::MIN,
            pace: Span::ZERO,
            end,
            replays: false,
            replaying: false,
        }))
    }

    fn checkpoint(&mut self, purpose: CheckpointPurpose) -> Vec<CoordinatorAction> {
        // After the last barrier nothing freezes any more.
        if self.is_last_sent {
            return vec![];
        }
        if self.running.is_some() {
            self.wanted = self.wanted.max(Some(purpose));
            return vec![];
        }
        self.number += 1;
        self.is_last_sent = purpose == CheckpointPurpose::End;
        self.running = Some((self.parts, purpose == CheckpointPurpose::End));
        self.send(&Command::Barrier(Barrier::new(self.number, purpose)))
    }

    fn frozen(&mut self) -> Vec<CoordinatorAction> {
        let (left, last) = self.running.expect("a part freezes for a checkpoint");
        self.running = Some((left - 1, last));
        if left > 1 {
            return vec![];
        }
        vec![CoordinatorAction::Persist(CoordinatorState { number: self.number, splits: vec![], watermarks: vec![] })]
    }
}

impl Coordinator for Free {
    fn handle(&mut self, event: CoordinatorEvent, _: ProcessingTime) -> Result<Vec<CoordinatorAction>> {
        Ok(match event {
            CoordinatorEvent::Start { readers, stages } => {
                let of_stream =
                    |(stream, count): (usize, usize)| (0..count).map(move |index| ReaderId { stream, index });
                let readers = readers.into_iter().enumerate().flat_map(of_stream);
                self.readers = readers.map(|reader| (reader, None)).collect();
                self.parts = self.readers.len() + stages.len();
                self.bounds(None)
            }
            CoordinatorEvent::Report(reader, report) => {
                self.readers.insert(reader, Some(report));
                let all = |holds: fn(&Report) -> bool| self.readers.values().flatten().filter(|r| holds(r)).count();
                let finished = all(|report| report.finished) == self.readers.len();
                let at_end = all(|report| report.watermark == Some(EventTime::MAX)) == self.readers.len();
                match (finished, at_end, self.ended) {
                    (true, true, false) => {
                        self.ended = true;
                        self.checkpoint(CheckpointPurpose::End)
                    }
                    (true, false, _) => self.bounds(Some(EventTime::MAX)),
                    _ => vec![],
                }
            }
            CoordinatorEvent::Holds { .. } | CoordinatorEvent::TooLate(_) => vec![],
            CoordinatorEvent::ReaderFrozen(..) | CoordinatorEvent::StageFrozen { .. } => self.frozen(),
            CoordinatorEvent::Durable(_) => {
                let mut actions = self.send(&Command::Durable(vec![]));
                let last = self.running.take().is_some_and(|(_, last)| last);
                if let Some(wanted) = self.wanted.take().filter(|_| !last) {
                    actions.extend(self.checkpoint(wanted));
                }
                actions
            }
            CoordinatorEvent::CheckpointWanted(purpose) => {
                self.ended |= purpose == CheckpointPurpose::End;
                self.checkpoint(purpose)
            }
        })
    }

    fn held_by(&self) -> Option<(String, EventTime)> {
        None
    }
}
