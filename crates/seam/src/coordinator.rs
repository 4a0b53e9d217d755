//! Keeps the streams of a job together in event time, so that none fills the state while another lags.

use crate::unreleased::UnreleasedRows;
use dataflow::{Coordinator, EventTime, Polled, ProcessingTime, ReadBounds, ReaderState, Span};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// How many rows of a topic may be given out and not released, whatever other streams do.
const LEAD_ROWS: usize = 256 << 10;
/// How many bytes of them.
const LEAD_BYTES: usize = 64 << 20;

/// A stream as the coordinator knows it before it reads.
#[derive(Clone, Debug)]
pub(crate) struct StreamTime {
    /// The name, for people.
    pub name: String,
    /// Whether it has a topic.
    pub live: bool,
    /// The declared delay.
    pub delay: Span,
    /// The declared silence; zero where there is none.
    pub quiet: Span,
}

/// What the readers of a job tell each other.
///
/// Only streams that meet in a step hold each other back. While streams are read from history they move in *strides*:
/// when all that meet have come to the end of a stride, the next one ends where the first of them would have given out
/// all rows that it has ready. No stream is further ahead of the least one than its delay and one such batch, so a
/// dense stream cannot fill the state, and the least one may always move. The rows of a topic may lead by a fixed
/// number that no watermark has released, and beyond it by delay and silence.
pub(crate) struct Together(Mutex<Vec<Source>>);

struct Source {
    time: StreamTime,
    // The sources that meet this one, itself among them.
    meets: Vec<usize>,
    watermark: EventTime,
    finished: bool,
    // A topic without any row holds nobody back.
    empty: bool,
    // How far the rows that are ready reach; MIN when that is not known, MAX when it is no matter.
    ready_to: EventTime,
    // The greatest clock of the partitions.
    clock: Option<EventTime>,
    stride: EventTime,
    unreleased: UnreleasedRows,
    // The greatest time of the rows given out.
    reach: EventTime,
    // Whether the reader waits, and the bounds that it was told last.
    waits: bool,
    told: Option<ReadBounds>,
    waker: Option<Waker>,
}

impl Together {
    /// For the streams of a job. Until it is told which of them meet, all do.
    pub fn new(streams: Vec<StreamTime>) -> Together {
        let all: Vec<usize> = (0..streams.len()).collect();
        let source = |time| Source {
            time,
            meets: all.clone(),
            watermark: EventTime::MIN,
            finished: false,
            empty: false,
            ready_to: EventTime::MIN,
            clock: None,
            stride: EventTime::MIN,
            unreleased: UnreleasedRows::default(),
            reach: EventTime::MIN,
            waits: false,
            told: None,
            waker: None,
        };
        Together(Mutex::new(streams.into_iter().map(source).collect()))
    }

    /// Says which streams meet each one in a step, and how long steps hold its rows past their own time.
    pub fn meet(&self, meetings: &[(Vec<usize>, Span)]) {
        for (source, (meets, hold)) in self.sources().iter_mut().zip(meetings) {
            source.meets.clone_from(meets);
            source.unreleased.set_hold(*hold);
        }
    }

    /// A reader tells how far its ready rows reach, its greatest clock, and whether its topic is empty.
    pub fn tell(&self, source: usize, ready_to: EventTime, clock: Option<EventTime>, empty: bool) {
        let mut sources = self.sources();
        let source = &mut sources[source];
        (source.ready_to, source.clock, source.empty) = (ready_to, clock, empty);
    }

    fn sources(&self) -> MutexGuard<'_, Vec<Source>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sources that meet one and have more to come.
fn moving(sources: &[Source], of: usize) -> impl Iterator<Item = &Source> {
    let meets = sources[of].meets.iter().map(|&source| &sources[source]);
    meets.filter(|source| !source.finished && !source.empty)
}

/// The least watermark of the streams that meet one, have more to come and have shown a row.
fn least(sources: &[Source], of: usize) -> Option<EventTime> {
    moving(sources, of).map(|source| source.watermark).min()
}

/// What a source without rows follows: the least watermark of the streams that it meets. Where all of those have come
/// to their ends, no watermark is left to follow, and their last rows are what waits for it; what lies ahead of now may
/// still meet a row that has not happened.
fn followed(sources: &[Source], of: usize, least: EventTime, now: ProcessingTime) -> EventTime {
    if least < EventTime::MAX {
        return least;
    }
    let reach = sources[of].meets.iter().map(|&other| sources[other].reach).max();
    reach.unwrap_or(EventTime::MIN).min(EventTime(now.0))
}

/// What holds a source back now, and what waits for it.
fn bounds(sources: &mut [Source], of: usize, now: ProcessingTime) -> ReadBounds {
    let Some(least) = least(sources, of) else {
        let least = followed(sources, of, EventTime::MAX, now);
        return ReadBounds { history: EventTime::MAX, live: EventTime::MAX, least, due: None, now };
    };
    let delay = moving(sources, of).map(|source| source.time.delay).max().unwrap_or(Span::ZERO).max(Span(1));
    if least >= sources[of].stride {
        let reach = moving(sources, of).map(|source| source.ready_to).min().unwrap_or(EventTime::MAX);
        if reach < EventTime::MAX {
            sources[of].stride = sources[of].stride.max(reach);
        }
    }
    let (rows, bytes) = sources[of].unreleased.size();
    let live = if rows < LEAD_ROWS && bytes < LEAD_BYTES {
        EventTime::MAX
    } else {
        let window = moving(sources, of).map(|source| source.time.delay.0.saturating_add(source.time.quiet.0)).max();
        least.plus(Span(window.unwrap_or(0).max(1)))
    };
    let watermark = sources[of].watermark;
    let due = sources[of].meets.iter().filter_map(|&other| sources[other].unreleased.due_above(watermark)).min();
    let history = least.plus(delay).max(sources[of].stride);
    ReadBounds { history, live, least: followed(sources, of, least, now), due, now }
}

/// The coordinator of a job.
pub(crate) struct Streams(pub Arc<Together>);

impl Coordinator for Streams {
    fn report(&self, source: usize, polled: &Polled) {
        let mut sources = self.0.sources();
        let finished = polled.state == ReaderState::Finished;
        let it = &mut sources[source];
        it.watermark = it.watermark.max(polled.watermark);
        it.finished |= finished;
        it.waits = matches!(polled.state, ReaderState::Waiting { .. });
        if let Some(batch) = &polled.batch {
            it.unreleased.add(batch);
            let newest = batch.times().iter().max().map_or(EventTime::MIN, |&time| EventTime(time));
            it.reach = it.reach.max(newest.plus(it.unreleased.hold()));
        }
        for other in sources[source].meets.clone() {
            let released = least(&sources, other).unwrap_or(EventTime::MAX);
            sources[other].unreleased.release(released);
        }
        wake_others(&mut sources, source);
        if sources.iter().all(|source| source.finished) {
            sources.iter().filter_map(|source| source.waker.as_ref()).for_each(Waker::wake_by_ref);
        }
    }

    fn bounds(&self, source: usize, now: ProcessingTime) -> ReadBounds {
        let mut sources = self.0.sources();
        let bounds = bounds(&mut sources, source, now);
        sources[source].told = Some(bounds);
        bounds
    }

    fn wake(&self, source: usize, waker: &Waker) {
        self.0.sources()[source].waker = Some(waker.clone());
    }

    fn horizon(&self) -> Option<EventTime> {
        let sources = self.0.sources();
        if !sources.iter().all(|source| source.finished) {
            return None;
        }
        let greatest = sources.iter().filter(|source| source.time.live).filter_map(|source| source.clock).max();
        Some(greatest.unwrap_or(EventTime::MAX))
    }

    fn held_by(&self) -> Option<(String, EventTime)> {
        let sources = self.0.sources();
        let standing = sources.iter().filter(|source| !source.finished && !source.empty);
        let source = standing.min_by_key(|source| source.watermark)?;
        Some((source.time.name.clone(), source.watermark))
    }
}

/// Wakes the readers that wait and may go on by what one reported, that one among them: a bound has risen, or
/// something waits for them sooner than they know.
fn wake_others(sources: &mut [Source], reported: usize) {
    for other in 0..sources.len() {
        if !sources[other].waits || !sources[other].meets.contains(&reported) {
            continue;
        }
        let Some(told) = sources[other].told else { continue };
        let now = bounds(sources, other, told.now);
        let rises = now.history > told.history || now.live > told.live;
        let follows = sources[other].empty && now.least > told.least;
        let sooner =
            now.due.is_some_and(|due| told.due.is_none_or(|known| due < known || known <= sources[other].watermark));
        if (rises || follows || sooner)
            && let Some(waker) = &sources[other].waker
        {
            waker.wake_by_ref();
        }
    }
}
