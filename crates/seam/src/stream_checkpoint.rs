//! What a checkpoint says of a stream, and whether what is there now fits it.

use crate::StreamSpec;
use crate::history::{HistoryPlan, SharePosition};
use crate::layout::Until;
use crate::position::{LastMessage, PartitionPosition, ShareBytes};
use crate::probe::BRING_BACK;
use crate::source::StreamInput;
use dataflow::{CoordinatorState, Error, EventTime, MemoryFiles, Result, RowOrder, Split, SplitState, Topic};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The splits of a stream in a checkpoint.
pub(crate) struct StreamCheckpoint {
    /// Its shares.
    pub shares: Vec<(SplitState, SharePosition)>,
    /// Its partitions.
    pub partitions: BTreeMap<u32, PartitionPosition>,
    /// The watermark that the stream had given.
    pub watermark: EventTime,
}

/// Whether a checkpoint has read the history of a stream to its end, so that a job which goes on from it does not open
/// that again.
pub fn has_read_history(state: &CoordinatorState, stream: usize) -> Result<bool> {
    let of_stream = state.splits.iter().filter(|(of, _)| *of == stream).map(|(_, split)| split);
    let mut known = StreamCheckpoint::empty(EventTime::MIN);
    of_stream.map(|split| known.take(split)).collect::<Result<Vec<bool>>>()?;
    Ok(known.has_read_history())
}

/// How far a checkpoint has read a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadSoFar {
    /// Whether all rows of the history were given out.
    pub has_read_history: bool,
    /// Whether the stream has a topic.
    pub has_topic: bool,
    /// The last message that was given out of each partition that has given one.
    pub messages: Vec<RowOrder>,
    /// A partition that joined late, and whose clock is another one than its messages alone give.
    pub apart: Option<u32>,
}

/// How far a checkpoint has read a stream.
pub fn read_so_far(state: &CoordinatorState, stream: usize) -> Result<ReadSoFar> {
    let mut known = StreamCheckpoint::empty(EventTime::MIN);
    for (_, split) in state.splits.iter().filter(|(of, _)| *of == stream) {
        known.take(split)?;
    }
    let last = |(&partition, at): (&u32, &PartitionPosition)| Some(RowOrder::of_position(partition, at.message?));
    Ok(ReadSoFar {
        has_read_history: known.has_read_history(),
        has_topic: !known.partitions.is_empty(),
        messages: known.partitions.iter().filter_map(last).collect::<Result<_>>()?,
        apart: known.partitions.iter().find(|(_, at)| at.alone.is_some()).map(|(&partition, _)| partition),
    })
}

/// Whether a checkpoint has read nothing at all, so that a job begins as it does without one. Where its inputs had ended
/// then it cannot go on.
pub fn has_read_nothing(state: &CoordinatorState) -> Result<bool> {
    let mut known = StreamCheckpoint::empty(EventTime::MIN);
    for (_, split) in &state.splits {
        known.take(split)?;
        if !known.shares.is_empty() || known.partitions.values().any(|partition| partition.message.is_some()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A stream by its number, and a partition of it that has joined between a checkpoint and a later one: its rows stand among
/// those of others as the moment had it at which it did. They may be given out before any checkpoint has one of them.
pub fn joined_since(before: &CoordinatorState, after: &CoordinatorState) -> Result<Option<(usize, u32)>> {
    let partitions = |state: &CoordinatorState| -> Result<Vec<(usize, u32, PartitionPosition)>> {
        let parsed = |(stream, split): &(usize, SplitState)| match split.split {
            Split::Partition(partition) => {
                Some(PartitionPosition::parse(&split.position).map(|at| (*stream, partition, at)))
            }
            Split::Share(_) => None,
        };
        state.splits.iter().filter_map(parsed).collect()
    };
    let known = partitions(before)?;
    let had = |stream: usize, partition: u32| {
        known.iter().find(|(of, number, _)| (*of, *number) == (stream, partition)).map(|(.., at)| at)
    };
    let has_joined = |(stream, partition, at): &(usize, u32, PartitionPosition)| match had(*stream, *partition) {
        Some(had) => {
            let gave_first = (had.absent || had.message.is_none()) && at.message > had.message;
            gave_first || (had.absent && !at.absent) || had.joins < at.joins
        }
        None => !at.absent || at.message.is_some(),
    };
    Ok(partitions(after)?.iter().find(|at| has_joined(at)).map(|(stream, partition, _)| (*stream, *partition)))
}

/// Whether a run that had ends has come to them: all was given out up to there, and watermarks stand where it ends. A run
/// that was stopped before may have rows to release there that an earlier one had released.
pub fn has_come_to_ends(state: &CoordinatorState) -> Result<bool> {
    let (mut known, mut end) = (StreamCheckpoint::empty(EventTime::MIN), None);
    for (_, split) in &state.splits {
        known.take(split)?;
        let all = std::mem::take(&mut known.partitions);
        if !all.values().all(PartitionPosition::at_end) {
            return Ok(false);
        }
        end = end.max(all.values().filter_map(|at| at.clock.clock).max());
    }
    let end = end.unwrap_or(EventTime::MAX);
    Ok(known.has_read_history() && state.watermarks.iter().all(|watermark| *watermark >= end))
}

/// A history that was read to its end and has other files now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadHistory {
    /// The stream.
    pub stream: String,
    /// Its history.
    pub history: String,
    /// How many files were read, and how many bytes they had.
    pub read: (u64, u64),
    /// How many there are now, and how many bytes they have.
    pub now: (u64, u64),
}

impl StreamCheckpoint {
    fn empty(watermark: EventTime) -> StreamCheckpoint {
        StreamCheckpoint { shares: Vec::new(), partitions: BTreeMap::new(), watermark }
    }

    /// Those of all streams; an error of kind `Corrupt` says what is wrong with the checkpoint.
    pub fn of_all(streams: &[StreamInput], state: &CoordinatorState) -> Result<Vec<StreamCheckpoint>> {
        let wrong =
            |what: String| Error::corrupt(format!("the checkpoint {} does not fit the job: {what}", state.number));
        if state.watermarks.len() != streams.len() {
            return Err(wrong(format!("it has {} watermarks for {} streams", state.watermarks.len(), streams.len())));
        }
        let mut all: Vec<StreamCheckpoint> = state.watermarks.iter().copied().map(StreamCheckpoint::empty).collect();
        for (index, split) in &state.splits {
            let (Some(stream), Some(known)) = (streams.get(*index), all.get_mut(*index)) else {
                return Err(wrong(format!(
                    "it has {} of stream {index}, which is none of {}",
                    split.split,
                    streams.len()
                )));
            };
            let name = &stream.spec.name;
            let is_new = known.take(split);
            if !is_new.map_err(|error| error.context(format!("stream \"{name}\", {}", split.split)))? {
                return Err(wrong(format!("it has {} of stream \"{name}\" twice", split.split)));
            }
        }
        Ok(all)
    }

    /// Takes a split; false when it is there already.
    fn take(&mut self, state: &SplitState) -> Result<bool> {
        match state.split {
            Split::Share(share) => {
                let position = SharePosition::parse(share, &ShareBytes::parse(&state.position)?.position)?;
                let is_new = self.shares.iter().all(|(known, _)| known.split != state.split);
                self.shares.push((state.clone(), position));
                Ok(is_new)
            }
            Split::Partition(partition) => {
                let position = PartitionPosition::parse(&state.position)?;
                Ok(self.partitions.insert(partition, position).is_none())
            }
        }
    }

    /// The last message of each partition that was given out.
    pub fn last_messages(&self) -> Until {
        self.partitions.iter().filter_map(|(&partition, at)| Some((partition, at.message?))).collect()
    }

    /// Ends partitions after the last message of each that was given out. Nothing of a queue comes again, so that it is at
    /// its end.
    pub fn end_partitions(&self, topic: Option<&dyn Topic>, partitions: &mut [PartitionPosition]) {
        if topic.is_some_and(Topic::is_queue) {
            for (partition, known) in partitions.iter_mut().zip(self.partitions.values()) {
                *partition = PartitionPosition { end: Some(LastMessage(known.message)), ..known.clone() };
            }
            return;
        }
        for (index, partition) in partitions.iter_mut().enumerate() {
            let last = self.partitions.get(&(index as u32)).and_then(|known| known.message);
            partition.end = Some(LastMessage(last));
        }
    }

    /// Whether all rows of the history were given out; so were those of none.
    pub fn has_read_history(&self) -> bool {
        self.shares.iter().all(|(_, position)| position.is_finished)
    }

    /// The plan of a history that was read to its end: its readers keep the positions of its shares, and open nothing.
    pub fn plan_of_nothing(&self, spec: &StreamSpec) -> Result<Option<HistoryPlan>> {
        if self.shares.is_empty() {
            return Ok(None);
        }
        let files = MemoryFiles::new(spec.name.clone(), spec.schema.clone(), Vec::new());
        Ok(Some(HistoryPlan::new(spec, Arc::new(files))?))
    }

    /// Refuses a history that is not what it was when part of it was read.
    pub fn check_shares(&self, plan: &HistoryPlan) -> Result<()> {
        let share_of = |split: Split| if let Split::Share(share) = split { Some(share) } else { None };
        let positions = self.shares.iter().filter_map(|(state, at)| Some((share_of(state.split)?, at.clone())));
        let mut positions: Vec<(u16, SharePosition)> = positions.collect();
        positions.sort_unstable_by_key(|(share, _)| *share);
        plan.check(&positions)?;
        let expected = plan.shares();
        if positions.iter().map(|(share, _)| share).eq(expected.iter().map(|(share, _)| share)) {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "stream \"{}\": the checkpoint has {} shares of history \"{}\", expected {}",
            plan.spec.name,
            positions.len(),
            plan.files.name(),
            expected.len()
        )))
    }

    /// A history of which a part was read is gone.
    pub fn lost_history(&self, stream: &StreamInput) -> Error {
        Error::invalid(format!(
            "stream \"{}\": its history is gone, and the checkpoint has read part of it; bring it back as it was, or begin \
             anew with --fresh",
            stream.spec.name
        ))
    }

    /// Refuses to go on without a topic that was read.
    pub fn check_no_topic(&self, spec: &StreamSpec) -> Result<()> {
        if self.partitions.is_empty() {
            return Ok(());
        }
        let name = &spec.name;
        Err(Error::invalid(format!(
            "stream \"{name}\": its topic is gone, and the checkpoint goes on with it; {BRING_BACK}"
        )))
    }

    /// Refuses a topic whose next row would have no place: one that came after the stream was read without it, and one
    /// of a run that has ended before any message of the job had a time.
    pub fn check_topic(&self, spec: &StreamSpec, topic: &dyn Topic) -> Result<()> {
        let why = if self.watermark == EventTime::MAX {
            "the inputs of the job had ended for good when the checkpoint was made, since no message had a time"
        } else if self.partitions.is_empty() && !self.shares.is_empty() {
            "was not there when the checkpoint was made, and the history of the stream may hold messages of it"
        } else {
            return Ok(());
        };
        let (name, topic) = (&spec.name, topic.name());
        Err(Error::invalid(format!("stream \"{name}\", topic \"{topic}\": {why}; begin anew with --fresh")))
    }

    /// What there is of a history that was read to its end, if that is something else. What an archive gains is read from
    /// its topic.
    pub fn unread(&self, stream: &StreamInput) -> Option<UnreadHistory> {
        let files = stream.history.as_ref().filter(|_| stream.live.is_none() && self.has_read_history())?;
        let read = self.shares.first().map_or((0, 0), |(_, position)| (position.plan.files, position.plan.bytes));
        let now = (files.files().len() as u64, files.files().iter().map(|file| file.bytes).sum());
        if now == read {
            return None;
        }
        Some(UnreadHistory { stream: stream.spec.name.clone(), history: files.name().to_owned(), read, now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::ClockPosition;
    use crate::unreleased::OutRows;
    use dataflow::{Position, TopicId};

    #[test]
    fn a_partition_has_joined_before_a_checkpoint_has_a_row_of_it() {
        let at = |absent: bool, entry: Option<u64>, joins: u64| PartitionPosition {
            absent,
            message: entry.map(|entry| Position { ledger: 1, entry, batch_index: 0 }),
            // Once its clock and that of its messages agree, nothing else tells of it.
            alone: None,
            joins,
            topic: TopicId { cluster: "c".to_owned(), topic: "t".to_owned() },
            clock: ClockPosition::default(),
            end: None,
            start: None,
            out: OutRows::NONE,
        };
        let state = |at: Option<PartitionPosition>| CoordinatorState {
            number: 1,
            splits: at
                .map(|at| (0, SplitState { split: Split::Partition(3), position: at.to_bytes() }))
                .into_iter()
                .collect(),
            watermarks: Vec::new(),
        };
        for (before, after, has_joined) in [
            (Some(at(true, None, 0)), at(true, None, 0), false),
            (Some(at(true, None, 0)), at(false, None, 0), true),
            (Some(at(true, None, 0)), at(false, Some(1), 0), true),
            (Some(at(false, Some(1), 0)), at(false, Some(2), 0), false),
            (Some(at(false, Some(1), 0)), at(false, Some(2), 1), true),
            (Some(at(false, Some(1), 1)), at(false, Some(2), 2), true),
            (Some(at(false, Some(1), 1)), at(false, Some(2), 1), false),
            (None, at(true, None, 0), false),
            (None, at(false, None, 0), true),
        ] {
            let joined = joined_since(&state(before.clone()), &state(Some(after.clone()))).unwrap();
            assert_eq!(joined, has_joined.then_some((0, 3)), "{before:?} to {after:?}");
        }
    }
}
