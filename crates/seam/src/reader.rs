//! The reader of a stream: history, then live, exact to the row.
//!
//! ```text
//! partition 0   h h h h h h|l l l l        h = at or before the frontier: read from files, in time order
//! partition 1   h h h|l l l l l l          l = behind it: read from the topic, starting with the frontier's clock
//! watermark     ---->|                     while history is read it stops at the least of the partitions' watermarks
//!                    cap                   at the frontier; from there on the topic is read beside what is left
//! ```

use crate::StreamStats;
use crate::coordinator::Together;
use crate::history::History;
use crate::live::LiveReader;
use crate::placing::Aside;
use dataflow::{Batch, Error, EventTime, Polled, ReadBounds, Reader, ReaderState, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

/// Gives out the rows of a stream with their `_time`.
///
/// A row belongs to one side by its coordinate, never by its time. While history is read the watermark stops at the
/// least value that the partitions allow; when history has come that far the topic is read as well, and what is left
/// of history comes as the ceiling lets it.
pub(crate) struct StreamReader {
    pub source: usize,
    pub together: Arc<Together>,
    pub stats: Arc<StreamStats>,
    pub history: Option<History>,
    pub live: Option<LiveReader>,
    /// Where the watermark stops while history is read; `MAX` when there is no topic.
    pub cap: EventTime,
    /// Whether the topic is read.
    pub switched: bool,
    /// The greatest watermark given out.
    pub given: EventTime,
}

impl Reader for StreamReader {
    fn poll(&mut self, rows_max: usize, bounds: &ReadBounds) -> Result<Polled> {
        let mut aside = Vec::new();
        let mut batch = self.poll_history(rows_max, bounds.history, &mut aside)?;
        self.switched |= self.history_watermark() >= self.cap;
        if batch.is_none()
            && let Some(live) = self.live.as_mut().filter(|_| self.switched)
        {
            batch = live.poll(rows_max, bounds, self.given)?;
            aside.extend(live.take_aside());
        }
        let watermark = self.history_watermark().min(self.live_watermark(bounds.least));
        self.given = self.given.max(watermark);
        self.stats.watermark.store(self.given.0, Relaxed);
        let state = self.state(batch.is_some());
        self.tell();
        Ok(Polled { batch, aside, watermark: self.given, state })
    }

    fn wake(&mut self, waker: &Waker) -> Result<()> {
        self.live.as_mut().map_or(Ok(()), |live| live.wake(waker))
    }
}

impl StreamReader {
    fn poll_history(&mut self, rows_max: usize, ceiling: EventTime, aside: &mut Aside) -> Result<Option<Batch>> {
        let free = self.is_past_topic();
        let Some(history) = self.history.as_mut() else {
            return Ok(None);
        };
        let batch = history.next(rows_max, if free { EventTime::MAX } else { ceiling })?;
        aside.extend(history.take_aside());
        if history.is_finished() {
            self.history = None;
        }
        if let Some(first) = batch.as_ref().map(|batch| batch.time(0)).filter(|&first| first <= self.given) {
            return Err(Error::internal(format!(
                "stream \"{}\": a row of history at {first} lies behind the watermark {}",
                self.stats.name, self.given
            )));
        }
        Ok(batch)
    }

    /// Whether only rows of history are left that lie ahead of every clock: no watermark will reach them.
    fn is_past_topic(&self) -> bool {
        let Some(live) = self.live.as_ref().filter(|_| self.switched) else { return false };
        live.clock().map_or(live.has_ended(), |clock| self.history_watermark() >= clock)
    }

    fn history_watermark(&self) -> EventTime {
        self.history.as_ref().map_or(EventTime::MAX, History::watermark)
    }

    fn live_watermark(&self, least: EventTime) -> EventTime {
        let Some(live) = &self.live else {
            return EventTime::MAX;
        };
        if !self.switched {
            return self.cap;
        }
        if let Some(watermark) = live.watermark() {
            return watermark;
        }
        // A topic without any row holds nobody back: it follows the streams that it meets, where there are any.
        let follows = live.is_empty() && !live.has_ended() && least < EventTime::MAX;
        if follows { least } else { EventTime::MIN }
    }

    fn state(&self, gave: bool) -> ReaderState {
        match &self.live {
            _ if gave => ReaderState::Ready,
            None if self.history.is_none() => ReaderState::Finished,
            Some(live) if self.history.is_none() && self.switched && live.has_ended() => ReaderState::Finished,
            live => {
                // A history that has nothing ready is still looking for its next rows.
                let looking = self.history.as_ref().is_some_and(|history| history.ready_to().is_none());
                let more = live.as_ref().is_some_and(|live| self.switched && live.has_more());
                let free = self.history.is_some() && self.is_past_topic();
                let until = live.as_ref().filter(|_| self.switched).and_then(LiveReader::until);
                if looking || more || free { ReaderState::Ready } else { ReaderState::Waiting { until } }
            }
        }
    }

    fn tell(&self) {
        let backlog = self.switched && self.live.as_ref().is_some_and(LiveReader::has_backlog);
        let clock = self.live.as_ref().and_then(LiveReader::clock);
        let ready_to = match &self.history {
            Some(history) => history.ready_to().unwrap_or(EventTime::MIN),
            None => EventTime::MAX,
        };
        // How far the next rows of a topic reach is not known before they are read; those that were reach to its clock.
        let ready_to = if backlog { ready_to.min(clock.unwrap_or(EventTime::MIN)) } else { ready_to };
        let empty = self.switched && self.history.is_none() && self.live.as_ref().is_some_and(LiveReader::is_empty);
        self.together.tell(self.source, ready_to, clock, empty);
    }
}
