//! Rules of what a run is given, left out from outside: its readers, its archive, and where topics begin.

use super::bugs::Bug;
use super::input::{Archive, Log};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use dataflow::{EventTime, FrozenReader, Polled, ProcessingTime, ReadBounds, Reader, Result, Span, SplitState};
use seam::{PartitionFrontier, StreamSpec};
use std::collections::BTreeSet;
use std::task::Waker;

/// A reader of which a rule is left out.
struct Broken {
    inner: Box<dyn Reader>,
    bug: Bug,
    before: Option<FrozenReader>,
    is_absent: bool,
}

/// The readers, with a rule left out that is theirs.
pub fn readers(readers: Vec<Vec<Box<dyn Reader>>>, bug: Option<Bug>) -> Vec<Vec<Box<dyn Reader>>> {
    const THEIRS: [Bug; 5] =
        [Bug::TornBarrier, Bug::DisorderIgnored, Bug::JoinsBeforeReplay, Bug::ReplayEnds, Bug::RowsWithoutWatermark];
    let Some(bug) = bug.filter(|bug| THEIRS.contains(bug)) else { return readers };
    let broken = |inner| Box::new(Broken { inner, bug, before: None, is_absent: false }) as Box<dyn Reader>;
    readers.into_iter().map(|of_stream| of_stream.into_iter().map(broken).collect()).collect()
}

impl Reader for Broken {
    fn delay(&self) -> Span {
        self.inner.delay()
    }
    fn add(&mut self, splits: Vec<SplitState>) -> Result<()> {
        self.inner.add(splits)
    }
    fn bound(&mut self, mut bounds: ReadBounds) {
        bounds.due = bounds.due.filter(|_| self.bug != Bug::ReplayEnds || bounds.may_join);
        bounds.may_join |= self.bug == Bug::JoinsBeforeReplay;
        self.inner.bound(bounds);
    }
    fn poll(&mut self, rows_max: usize, now: ProcessingTime) -> Result<Polled> {
        let mut polled = self.inner.poll(rows_max, now)?;
        if self.bug == Bug::DisorderIgnored {
            let delay = self.inner.delay();
            let lifted =
                |watermark: EventTime| if watermark == EventTime::MIN { watermark } else { watermark.plus(delay) };
            polled.watermark = polled.watermark.map(lifted);
        }
        // It has told others that it has nothing to wait for, and has said no watermark.
        self.is_absent = self.bug == Bug::RowsWithoutWatermark
            && polled.watermark == Some(EventTime::MIN)
            && (self.is_absent || polled.report.as_ref().is_some_and(|report| report.watermark.is_none()));
        if self.is_absent {
            polled.watermark = None;
        }
        Ok(polled)
    }
    fn freeze(&mut self) -> Result<FrozenReader> {
        let mut now = self.inner.freeze()?;
        now.absent |= self.is_absent;
        let before = self.before.replace(now.clone());
        let is_alike = |before: &FrozenReader| before.splits.len() == now.splits.len() && now.joining.is_empty();
        let torn = before.filter(|before| self.bug == Bug::TornBarrier && is_alike(before));
        Ok(torn.map_or(now.clone(), |before| FrozenReader { splits: before.splits, ..now }))
    }
    fn durable(&mut self, joined: Vec<SplitState>) -> Result<()> {
        self.inner.durable(joined)
    }
    fn wake(&mut self, waker: &Waker) -> Result<()> {
        self.inner.wake(waker)
    }
}

/// An archive, with a rule left out that is its own.
pub fn archive(archive: Archive, spec: &StreamSpec, topic: &Log, bug: Option<Bug>) -> Archive {
    match bug {
        Some(Bug::SwitchTooLate) => shifted(&archive, spec, topic, 1),
        Some(Bug::SwitchTooEarly) => shifted(&archive, spec, topic, -1),
        Some(Bug::ArchiveClockIgnored) => {
            let rows = archive.rows().iter().map(without_clocks).collect();
            Archive::new(spec, rows, archive.frontier.clone())
        }
        Some(Bug::ArchiveDropsRepeats) => {
            let mut seen = BTreeSet::new();
            let rows = archive.rows().iter().map(|rows| without_repeats(rows, &mut seen)).collect();
            Archive::new(spec, rows, archive.frontier.clone())
        }
        _ => archive,
    }
}

/// The frontier so many messages further in every partition, with its clock.
fn shifted(archive: &Archive, spec: &StreamSpec, topic: &Log, by: isize) -> Archive {
    let mut frontier = archive.frontier.clone();
    for (partition, at) in frontier.partitions.iter_mut().enumerate() {
        let Some(PartitionFrontier { position, .. }) = at else { continue };
        let log = &topic.partitions[partition];
        let index = log.iter().position(|message| message.position == *position);
        let there = index.and_then(|index| index.checked_add_signed(by)).and_then(|index| log.get(index));
        if let Some(message) = there.filter(|message| message.arrival <= dataflow::Clock::now(topic.clock())) {
            *position = message.position;
        }
    }
    Archive::new(spec, archive.rows().to_vec(), frontier)
}

fn without_clocks(rows: &RecordBatch) -> RecordBatch {
    let at = rows.schema().index_of("_clock").unwrap();
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns[at] = new_null_array(columns[at].data_type(), rows.num_rows());
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

fn without_repeats(rows: &RecordBatch, seen: &mut BTreeSet<i64>) -> RecordBatch {
    let ids = rows.column(0).as_primitive::<Int64Type>();
    let is_new = (0..rows.num_rows()).map(|row| ids.is_null(row) || seen.insert(ids.value(row)));
    let is_new: BooleanArray = is_new.map(Some).collect();
    filter_record_batch(rows, &is_new).unwrap()
}

/// After which instant a topic is written that begins after `start`.
pub fn after(start: EventTime, bug: Option<Bug>) -> EventTime {
    if bug == Some(Bug::StartOffByOne) { EventTime(start.0.saturating_sub(1)) } else { start }
}
