//! Carries what readers and stages report to the job's coordinator, and its commands to the readers.

use crate::mailbox::Caller;
use crate::pace::Pause;
use crate::parts::{Part, PartRows};
use crossbeam_channel::Sender;
use dataflow::{
    CheckpointPurpose, Clock, Command, Coordinator, CoordinatorAction, CoordinatorEvent, EventTime, FrozenStage,
    ReaderId, Result, Span, StageId,
};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The coordinator of a job in this process. Whoever tells it something carries out what it wants done, under one lock,
/// so that the commands to a reader arrive in their sequence.
pub struct Coordination {
    coordinator: Mutex<Box<dyn Coordinator>>,
    // Per stream and reader the worker that it lives in.
    places: Vec<Vec<usize>>,
    workers: Vec<Arc<Caller>>,
    clock: Arc<dyn Clock>,
    // Where what outlives the process goes.
    parts: Option<Sender<Part>>,
    pause: Mutex<Pause>,
}

impl Coordination {
    pub fn new(
        coordinator: Box<dyn Coordinator>,
        places: Vec<Vec<usize>>,
        workers: Vec<Arc<Caller>>,
        clock: Arc<dyn Clock>,
        (parts, pause): (Option<Sender<Part>>, Span),
    ) -> Coordination {
        // Checkpoints that nobody keeps cost next to nothing, and nobody would ask again for one that waits.
        let pause = Mutex::new(Pause::new(if parts.is_some() { pause } else { Span::ZERO }));
        Coordination { coordinator: Mutex::new(coordinator), places, workers, clock, parts, pause }
    }

    /// Asks for a checkpoint, which begins when one may.
    pub fn ask(&self, purpose: CheckpointPurpose) -> Result<()> {
        self.pause().ask(purpose);
        self.begin_due().map(drop)
    }

    /// Begins a checkpoint that was asked for and had to wait; whether there was one.
    pub fn begin_due(&self) -> Result<bool> {
        let due = self.pause().take_due(self.clock.now());
        due.map_or(Ok(false), |purpose| self.tell(CoordinatorEvent::CheckpointWanted(purpose)).map(|()| true))
    }

    fn pause(&self) -> MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether checkpoints outlive the process.
    pub fn keeps_state(&self) -> bool {
        self.parts.is_some()
    }

    /// Hands over the state of a stage for a checkpoint; before the coordinator is told that it has frozen.
    pub fn keep(&self, number: u64, stage: StageId, frozen: FrozenStage) {
        if let Some(parts) = &self.parts {
            // What takes them has gone only when the job has failed.
            let _ = parts.send(Part::Stage(number, stage, frozen));
        }
    }

    /// Hands over the rows that passed a reader or a stage up to a barrier; before the coordinator is told that it has
    /// frozen.
    pub fn keep_rows(&self, number: u64, rows: PartRows) {
        if let Some(parts) = &self.parts {
            let _ = parts.send(Part::Rows(number, rows));
        }
    }

    /// Tells the coordinator something, and carries out what it wants done.
    pub fn tell(&self, event: CoordinatorEvent) -> Result<()> {
        let mut coordinator = self.coordinator();
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            if let CoordinatorEvent::Durable(_) = event {
                let (mut pause, now) = (self.pause(), self.clock.now());
                pause.ended(now);
                events.extend(pause.take_due(now).map(CoordinatorEvent::CheckpointWanted));
            }
            for action in coordinator.handle(event, self.clock.now())? {
                match action {
                    CoordinatorAction::Send(reader, command) => {
                        if let Command::Barrier(_) = command {
                            self.pause().begun();
                        }
                        self.workers[self.worker_of(reader)].command(reader, command)
                    }
                    CoordinatorAction::GiveUp(number) => {
                        self.pause().ended(self.clock.now());
                        self.parts.iter().for_each(|parts| drop(parts.send(Part::GivenUp(number))));
                    }
                    CoordinatorAction::Persist(state) => match &self.parts {
                        Some(parts) => drop(parts.send(Part::State(state))),
                        // Nothing outlives this process: a checkpoint is over once all parts have frozen.
                        None => events.push_back(CoordinatorEvent::Durable(state.number)),
                    },
                }
            }
        }
        Ok(())
    }

    /// The stream that holds the watermark back, and where it stands.
    pub fn held_by(&self) -> Option<(String, EventTime)> {
        self.coordinator().held_by()
    }

    fn worker_of(&self, reader: ReaderId) -> usize {
        self.places[reader.stream][reader.index]
    }

    fn coordinator(&self) -> MutexGuard<'_, Box<dyn Coordinator>> {
        self.coordinator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
