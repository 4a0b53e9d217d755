//! A checkpoint on its way: what readers and stages froze at its barrier.

use dataflow::{CoordinatorState, Error, EventTime, FrozenReader, ReaderId, Result, SplitState, StageId};
use std::collections::{BTreeMap, BTreeSet};

/// Gathers what comes back with a barrier.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub number: u64,
    missing_readers: BTreeSet<ReaderId>,
    missing_stages: BTreeSet<StageId>,
    gathered: Gathered,
    /// What is made durable, once all have frozen.
    pub state: Option<CoordinatorState>,
    /// The splits that go on when it is durable, and the level at which they do, per reader.
    pub joined: BTreeMap<ReaderId, (EventTime, Vec<SplitState>)>,
}

/// What readers and stages froze.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gathered {
    readers: BTreeMap<ReaderId, FrozenReader>,
    // Node of the job graph, and how far it was advanced.
    levels: Vec<(usize, EventTime)>,
}

impl Checkpoint {
    /// Of all readers and stages of a run.
    pub fn new(
        number: u64,
        readers: impl Iterator<Item = ReaderId>,
        stages: impl Iterator<Item = StageId>,
    ) -> Checkpoint {
        Checkpoint {
            number,
            missing_readers: readers.collect(),
            missing_stages: stages.collect(),
            gathered: Gathered::default(),
            state: None,
            joined: BTreeMap::new(),
        }
    }

    /// A reader has sent the barrier.
    pub fn reader(&mut self, reader: ReaderId, frozen: FrozenReader) -> Result<()> {
        if !self.missing_readers.remove(&reader) {
            return Err(Error::internal(format!("{reader:?} froze twice in checkpoint {}", self.number)));
        }
        self.gathered.readers.insert(reader, frozen);
        Ok(())
    }

    /// A stage has the barrier in all lanes.
    pub fn stage(&mut self, stage: StageId, levels: Vec<(usize, EventTime)>) -> Result<()> {
        if !self.missing_stages.remove(&stage) {
            return Err(Error::internal(format!("{stage:?} froze twice in checkpoint {}", self.number)));
        }
        self.gathered.levels.extend(levels);
        Ok(())
    }

    /// Everything, once: when nothing is missing any more.
    pub fn gather(&mut self) -> Result<Option<Gathered>> {
        let complete = self.missing_readers.is_empty() && self.missing_stages.is_empty() && self.state.is_none();
        Ok(complete.then(|| std::mem::take(&mut self.gathered)))
    }
}

impl Gathered {
    /// The readers of a stream.
    pub fn readers_of(&self, stream: usize) -> impl Iterator<Item = (&ReaderId, &FrozenReader)> {
        let (from, to) = (ReaderId { stream, index: 0 }, ReaderId { stream: stream + 1, index: 0 });
        self.readers.range(from..to)
    }

    /// The watermark of a stream at the barrier; `None` when it held nobody back.
    pub fn watermark(&self, stream: usize) -> Option<EventTime> {
        self.readers_of(stream).filter(|(_, frozen)| !frozen.absent).map(|(_, frozen)| frozen.watermark).min()
    }

    /// Where an absent reader of a stream joins: at its watermark, or, where that holds nobody back, not below any step
    /// that went on without it, nor below what it gave before.
    pub fn level(&self, stream: usize, steps: &[usize]) -> EventTime {
        let went_on = || {
            let steps = self.levels.iter().filter(|(node, _)| steps.contains(node)).map(|(_, level)| *level);
            let gave = self.readers_of(stream).map(|(_, frozen)| frozen.watermark);
            steps.chain(gave).max().unwrap_or(EventTime::MIN)
        };
        self.watermark(stream).unwrap_or_else(went_on)
    }
}
