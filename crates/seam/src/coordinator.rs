//! Keeps the streams of a job together in event time, so that none fills the state while another lags behind.

use dataflow::{Coordinator, EventTime, Polled, ProcessingTime, ReadBounds, ReaderState, Span};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::task::Waker;

/// What the readers of a job tell each other.
///
/// The ceiling is the least watermark of all streams that have more to come, and the greatest declared delay. While
/// streams are read from history that alone would make batches as short as the delay, so the streams also move in
/// *strides*: when all have come to the end of a stride, the next one ends where the first of them would have given
/// out all rows that it has ready. No stream is further ahead of the least one than its delay and one such batch, so
/// a dense stream cannot fill the state, and the least one may always move.
pub(crate) struct Together {
    sources: Vec<Source>,
    delay: Span,
    stride: AtomicI64,
}

struct Source {
    name: String,
    live: bool,
    watermark: AtomicI64,
    finished: AtomicBool,
    // A topic without any row, whose quiet rule lets it hold nobody back.
    empty: AtomicBool,
    // How far the rows that are ready reach; MIN when that is not known, MAX when it is no matter.
    ready_to: AtomicI64,
    // The greatest clock of the partitions; MIN when there is none.
    clock: AtomicI64,
}

impl Together {
    /// For streams by name and whether they are live, and the greatest delay that one declares.
    pub fn new(sources: Vec<(String, bool)>, delay: Span) -> Together {
        let low = || AtomicI64::new(i64::MIN);
        let source = |(name, live)| Source {
            name,
            live,
            watermark: low(),
            finished: AtomicBool::new(false),
            empty: AtomicBool::new(false),
            ready_to: low(),
            clock: low(),
        };
        Together { sources: sources.into_iter().map(source).collect(), delay: delay.max(Span(1)), stride: low() }
    }

    /// A reader tells how far its ready rows reach, its greatest clock, and whether its topic is empty.
    pub fn tell(&self, source: usize, ready_to: EventTime, clock: Option<EventTime>, empty: bool) {
        let source = &self.sources[source];
        source.ready_to.store(ready_to.0, SeqCst);
        source.clock.store(clock.unwrap_or(EventTime::MIN).0, SeqCst);
        source.empty.store(empty, SeqCst);
    }

    /// The least watermark of the streams that have more to come and are not empty.
    pub fn least_watermark(&self) -> Option<EventTime> {
        self.moving().map(|source| EventTime(source.watermark.load(SeqCst))).min()
    }

    fn moving(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| !source.finished.load(SeqCst) && !source.empty.load(SeqCst))
    }
}

/// The coordinator of a job.
pub(crate) struct Streams(pub Arc<Together>);

impl Coordinator for Streams {
    fn report(&self, source: usize, polled: &Polled) {
        let source = &self.0.sources[source];
        source.watermark.fetch_max(polled.watermark.0, SeqCst);
        if polled.state == ReaderState::Finished {
            source.finished.store(true, SeqCst);
        }
    }

    fn bounds(&self, _: usize, now: ProcessingTime) -> ReadBounds {
        let ceiling = self.ceiling();
        ReadBounds { history: ceiling, live: ceiling, due: Some(EventTime::MAX), now }
    }

    fn wake(&self, _: usize, _: &Waker) {}

    fn horizon(&self) -> Option<EventTime> {
        if !self.0.sources.iter().all(|source| source.finished.load(SeqCst)) {
            return None;
        }
        let clocks = self.0.sources.iter().filter(|source| source.live).map(|source| source.clock.load(SeqCst));
        let greatest = clocks.max().filter(|&clock| clock != i64::MIN);
        Some(greatest.map_or(EventTime::MAX, EventTime))
    }

    fn held_by(&self) -> Option<(String, EventTime)> {
        let standing = self.0.moving().map(|source| (source.watermark.load(SeqCst), source));
        let (watermark, source) = standing.min_by_key(|(watermark, _)| *watermark)?;
        Some((source.name.clone(), EventTime(watermark)))
    }
}

impl Streams {
    fn ceiling(&self) -> EventTime {
        let Some(least) = self.0.least_watermark() else {
            return EventTime::MAX;
        };
        if least.0 >= self.0.stride.load(SeqCst) {
            let reach = self.0.moving().map(|source| source.ready_to.load(SeqCst)).min().unwrap_or(i64::MAX);
            if reach < i64::MAX {
                self.0.stride.fetch_max(reach, SeqCst);
            }
        }
        least.plus(self.0.delay).max(EventTime(self.0.stride.load(SeqCst)))
    }
}
