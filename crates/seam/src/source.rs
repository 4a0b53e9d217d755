//! What all readers of a stream know, and none of them changes.

use crate::frontier::Frontier;
use crate::history::{HistoryPlan, HistoryRoom};
use crate::{StreamSpec, StreamStats};
use dataflow::{Decode, Error, EventTime, Fate, Fates, Result, Split, TimedFiles, Topic};
use std::sync::Arc;

/// The live side of a stream.
#[derive(Clone)]
pub struct Live {
    /// The topic.
    pub topic: Arc<dyn Topic>,
    /// Turns its messages into rows of the declared columns.
    pub decode: Arc<dyn Decode>,
}

/// A stream with its two sides; one of them may be missing.
pub struct StreamInput {
    /// What it declares.
    pub spec: StreamSpec,
    /// Its history.
    pub history: Option<Arc<dyn TimedFiles>>,
    /// How far its history was archived; when it is not given, the history's own property says so.
    pub history_frontier: Option<Frontier>,
    /// Its topic.
    pub live: Option<Live>,
}

/// How much a reader may have given out that the watermark of the streams that meet has not reached, whatever others
/// do. Beyond that its partitions go on only within delay and silence of that watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// Rows.
    pub rows: usize,
    /// Bytes of them.
    pub bytes: usize,
}

impl Default for Lead {
    fn default() -> Lead {
        Lead { rows: 256 << 10, bytes: 64 << 20 }
    }
}

/// What all readers of a stream know, and none of them changes.
pub(crate) struct Source {
    pub spec: StreamSpec,
    pub live: Option<Live>,
    pub history: Option<Arc<HistoryPlan>>,
    /// How much room all readers of the history have together.
    pub room: HistoryRoom,
    pub stats: Arc<StreamStats>,
    /// Where the watermark stops while history is read; `MIN` when there is no topic. The coordinator tells readers: those
    /// that are made again later may find more in the topic.
    pub cap: EventTime,
    /// Whether all inputs of the job end: topics where they end when it begins.
    pub bounded: bool,
    /// Where the watermark ends; `MAX` where that is not known before all is read.
    pub end: EventTime,
    pub lead: Lead,
}

impl Source {
    /// Counts rows that do not go on.
    pub fn count_removed(&self, fates: &mut Fates, removed: &Fates) {
        fates.add(Fate::In, removed.sum());
        fates.merge(removed);
        self.stats.count_removed(removed);
    }

    /// Says in which split of which stream something is wrong.
    pub fn in_split(&self, error: Error, split: Split) -> Error {
        error.context(format!("stream \"{}\", {split}", self.spec.name))
    }
}

/// Refuses a decoder whose rows are not the declared columns.
pub(crate) fn check_decode(spec: &StreamSpec, decode: &dyn Decode) -> Result<()> {
    let (found, expected) = (decode.schema(), &spec.schema);
    let same = found.fields().len() == expected.fields().len()
        && found
            .fields()
            .iter()
            .zip(expected.fields())
            .all(|(f, e)| f.name() == e.name() && f.data_type() == e.data_type());
    if same {
        return Ok(());
    }
    Err(Error::internal(format!("stream \"{}\": its decoder gives {found:?}, expected {expected:?}", spec.name)))
}
