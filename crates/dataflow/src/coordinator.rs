//! The coordinator of a job: a state machine without I/O, fed with events, that answers with actions.
//!
//! Readers know nothing of each other. They report, and get commands: which splits are theirs, what holds them back,
//! and the barriers. A host carries both; it keeps the commands to one reader in sequence, and may delay anything.

use crate::{
    ByteReader, ByteWriter, EventTime, FrozenReader, ProcessingTime, ReadBounds, ReaderId, Report, Result, Split,
    SplitState,
};

/// A cut through all lanes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The number of the checkpoint that it belongs to; counts up.
    pub number: u64,
    /// Nothing comes after it.
    pub last: bool,
    /// What was prepared up to it is committed once its checkpoint is durable; else at a later one.
    pub commits: bool,
}

impl Barrier {
    /// The barrier of a checkpoint.
    pub fn new(number: u64, purpose: CheckpointPurpose) -> Barrier {
        let (last, commits) = (purpose == CheckpointPurpose::End, purpose >= CheckpointPurpose::Commit);
        Barrier { number, last, commits }
    }
}

/// What a checkpoint is taken for; each serves what those before it serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckpointPurpose {
    /// A later run goes on from it.
    GoOn,
    /// What was prepared up to it is committed.
    Commit,
    /// The job ends with it.
    End,
}

/// A stage in one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId {
    /// The stage's place in the job.
    pub stage: usize,
    /// The worker.
    pub worker: usize,
}

/// What the coordinator is told.
#[derive(Clone, Debug)]
pub enum CoordinatorEvent {
    /// The readers and stages of a run are there. What was known of those of an earlier run is forgotten, and splits go
    /// on where the last checkpoint was of which the coordinator was told that it is durable: stages are restored from
    /// that one, and nothing of the earlier run is told any more.
    Start {
        /// How many readers each stream has.
        readers: Vec<usize>,
        /// The stages that take part in barriers.
        stages: Vec<StageId>,
    },
    /// A reader reports.
    Report(ReaderId, Report),
    /// A stage says when something that it holds comes out, per stream that reaches it: the least time above the level of
    /// that input; and whether everything that outputs had before a restart has come out again. Every stage says it once
    /// at the start, and whenever it changes.
    Holds {
        /// The stage.
        stage: StageId,
        /// Stream and time.
        due: Vec<(usize, EventTime)>,
        /// Whether outputs have come as far as before the restart.
        replayed: bool,
    },
    /// A reader has sent the barrier, and this is what it handed over there.
    ReaderFrozen(ReaderId, FrozenReader),
    /// All lanes of a stage have the barrier.
    StageFrozen {
        /// The stage.
        stage: StageId,
        /// Per node of the job graph in this stage the watermark that it has been advanced to.
        levels: Vec<(usize, EventTime)>,
    },
    /// The host has made a checkpoint durable.
    Durable(u64),
    /// Making a checkpoint durable takes too long. The coordinator gives it up where nothing waits for it, and the next one
    /// holds what it held.
    TooLate(u64),
    /// A checkpoint is wanted.
    CheckpointWanted(CheckpointPurpose),
}

/// A command to a reader. Commands to one reader come in the sequence in which they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// [`crate::Reader::add`].
    Assign(Vec<SplitState>),
    /// [`crate::Reader::bound`].
    Bounds(ReadBounds),
    /// [`crate::Reader::freeze`], then the barrier in every lane of the reader.
    Barrier(Barrier),
    /// [`crate::Reader::durable`], with the splits that joined.
    Durable(Vec<SplitState>),
}

/// What the coordinator wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoordinatorAction {
    /// Send a command to a reader.
    Send(ReaderId, Command),
    /// Make a checkpoint durable, with what the stages froze, then say so.
    Persist(CoordinatorState),
    /// A checkpoint that was to be made durable is given up: nothing more becomes of it, and what it held is in the next
    /// one.
    GiveUp(u64),
}

/// The coordinator's part of a checkpoint: what a restart goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorState {
    /// The number of the checkpoint.
    pub number: u64,
    /// Every split of every stream, each once, with the stream's index.
    pub splits: Vec<(usize, SplitState)>,
    /// Per stream the watermark that it has given. Stages ignore lower ones.
    pub watermarks: Vec<EventTime>,
}

/// The version of the byte form of [`CoordinatorState`].
const VERSION: u8 = 1;

impl CoordinatorState {
    /// The byte form, with a version.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = ByteWriter::new(VERSION);
        out.u64(self.number);
        out.u64(self.splits.len() as u64);
        for (stream, split) in &self.splits {
            out.u64(*stream as u64);
            match split.split {
                Split::Share(share) => out.tagged(0, u64::from(share)),
                Split::Partition(partition) => out.tagged(1, u64::from(partition)),
            }
            out.bytes(&split.position);
        }
        out.u64(self.watermarks.len() as u64);
        self.watermarks.iter().for_each(|watermark| out.i64(watermark.0));
        out.finish()
    }

    /// Reads the byte form; an error of kind `Corrupt` says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<CoordinatorState> {
        let mut from = ByteReader::new("the coordinator's part of a checkpoint", bytes, VERSION)?;
        let number = from.u64()?;
        let mut splits = Vec::new();
        for _ in 0..from.u64()? {
            let stream = from.u64()?;
            let split = match (from.u8()?, from.u64()?) {
                (0, share) => u16::try_from(share).ok().map(Split::Share),
                (1, partition) => u32::try_from(partition).ok().map(Split::Partition),
                _ => None,
            };
            let (Ok(stream), Some(split)) = (usize::try_from(stream), split) else {
                return Err(from.corrupt("it names a split that cannot be"));
            };
            splits.push((stream, SplitState { split, position: from.bytes()?.to_vec() }));
        }
        let mut watermarks = Vec::new();
        for _ in 0..from.u64()? {
            watermarks.push(EventTime(from.i64()?));
        }
        from.end()?;
        Ok(CoordinatorState { number, splits, watermarks })
    }
}

/// Keeps the readers of a job together in event time, hands out splits and barriers. One object per job; it does no I/O.
pub trait Coordinator: Send {
    /// Takes an event; what it wants done is to be done in this sequence.
    fn handle(&mut self, event: CoordinatorEvent, now: ProcessingTime) -> Result<Vec<CoordinatorAction>>;
    /// The stream that holds the watermark back, and where it stands, for people.
    fn held_by(&self) -> Option<(String, EventTime)>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn sample() -> CoordinatorState {
        let state = |split, position: &[u8]| SplitState { split, position: position.to_vec() };
        CoordinatorState {
            number: 7,
            splits: vec![(0, state(Split::Share(63), &[1, 2])), (1, state(Split::Partition(2), &[]))],
            watermarks: vec![EventTime::MIN, EventTime(-5)],
        }
    }

    #[test]
    fn version_one_is_read_for_as_long_as_there_are_checkpoints() {
        let mut stored = vec![1];
        stored.extend([7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        stored.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 63, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        stored.extend([1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        stored.extend([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128, 251, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(CoordinatorState::parse(&stored).unwrap(), sample());
        assert_eq!(sample().to_bytes(), stored);
    }

    #[test]
    fn bytes_that_are_cut_or_changed_are_an_error_or_another_state() {
        let bytes = sample().to_bytes();
        for end in 0..bytes.len() {
            let error = CoordinatorState::parse(&bytes[..end]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            if let Ok(state) = CoordinatorState::parse(&changed) {
                assert_ne!(state, sample(), "byte {at}");
            }
        }
        assert!(CoordinatorState::parse(&[&bytes[..], &[0]].concat()).is_err(), "bytes after the end");
    }
}
