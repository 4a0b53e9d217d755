//! The reader of a stream: history, then live, exact to the row. A stream has several, each with some of its splits.
//!
//! ```text
//! partition 0   h h h h h h|l l l l        h = at or before the frontier: read from files, in time order
//! partition 1   h h h|l l l l l l          l = after it: read from the topic, starting with the frontier's clock
//! watermark     ---->|                     while history is read it stops at the least of the partitions' watermarks
//!                    cap                   at the frontier; from there on the topic is read beside what is left
//! ```

mod follow;

use crate::grace::Grace;
use crate::history::{History, HistoryRoom, SharePosition};
use crate::live::{LiveBounds, LiveReader};
use crate::placing::Aside;
use crate::position::ShareBytes;
use crate::presence::State;
use crate::report::{Reporter, no_bounds};
use crate::source::Source;
use crate::unreleased::{OutRows, UnreleasedRows};
use dataflow::{
    Background, Batch, Error, EventTime, Fate, Fates, FrozenReader, Polled, ProcessingTime, ReadBounds, Reader,
    ReaderState, Report, Result, Span, Split, SplitState, concat,
};
use std::sync::Arc;
use std::task::Waker;

/// How far a reader that follows nobody goes beyond what is due at first; twice as far every time.
const LEAP_MIN: Span = Span::seconds(1);

/// Gives out the rows of some splits of a stream with their `_time`.
///
/// A row belongs to one side by its coordinate, never by its time. While history is read the watermark stops at the
/// least value that the partitions allow; when history has come that far the topic is read as well, and what is left
/// of history comes as the ceiling lets it.
pub(crate) struct StreamReader {
    source: Arc<Source>,
    index: usize,
    history: Option<History>,
    live: Option<LiveReader>,
    splits: usize,
    bounds: ReadBounds,
    // Whether the topic is read.
    switched: bool,
    // Whether others wait for it; it is not absent before it is told to go.
    state: State,
    // The greatest watermark given out.
    given: EventTime,
    // Whether steps may hold rows of it.
    has_given: bool,
    // The greatest time of a row of history that was given out.
    history_reach: EventTime,
    unreleased: UnreleasedRows,
    // How far it goes beyond what is due while nobody leads.
    leap: Span,
    // The least watermark at which a split at its ceiling goes on.
    goes_on: Option<EventTime>,
    grace: Grace,
    // Since when nothing came but what waits for a partition that may not join yet.
    stands_since: Option<ProcessingTime>,
    // What became of the rows that were read.
    fates: Fates,
    reporter: Reporter,
}

impl Reader for StreamReader {
    fn delay(&self) -> Span {
        if self.live.is_some() { self.source.spec.delay } else { Span::ZERO }
    }

    fn add(&mut self, splits: Vec<SplitState>) -> Result<()> {
        let mut shares = Vec::new();
        self.splits += splits.len();
        for SplitState { split, position } in splits {
            let (out, is_absent) = match (split, &mut self.live) {
                (Split::Share(share), _) => {
                    let bytes = ShareBytes::parse(&position);
                    let position = |bytes: ShareBytes| Ok((SharePosition::parse(share, &bytes.position)?, bytes.out));
                    let read = bytes.and_then(position).map_err(|error| self.source.in_split(error, split))?;
                    shares.push((share, read.0));
                    (read.1, false)
                }
                (Split::Partition(partition), Some(live)) => {
                    live.add(partition, &position).map_err(|error| self.source.in_split(error, split))?
                }
                (Split::Partition(_), None) => {
                    let without = Error::internal(format!("stream \"{}\" has no topic here", self.source.spec.name));
                    return Err(without.context(split.to_string()));
                }
            };
            // Dead letters of a partition that has shown no time wait for nobody.
            self.has_given |= out.rows > 0 && !is_absent;
            self.unreleased.take_up(split, out);
        }
        match &mut self.history {
            _ if shares.is_empty() => {}
            Some(history) => history.add(shares)?,
            None => {
                let without = format!("stream \"{}\" has no history here", self.source.spec.name);
                return Err(Error::internal(without));
            }
        }
        self.reporter.touch();
        Ok(())
    }

    fn bound(&mut self, bounds: ReadBounds) {
        self.given = self.given.max(bounds.given);
        self.unreleased.release(bounds.least);
        self.reporter.reached(&bounds.watermarks);
        self.bounds = bounds;
    }

    fn poll(&mut self, rows_max: usize, now: ProcessingTime) -> Result<Polled> {
        let (mut batch, mut aside, mut until) = (None, Vec::new(), None);
        if self.gives() {
            let before = self.given;
            batch = self.poll_rows(rows_max, &mut aside)?;
            let given = batch.as_ref().map_or(0, |batch| batch.rows() as i64);
            self.has_given |= given > 0;
            self.stands_since = self.stands_since.filter(|_| given == 0);
            [Fate::In, Fate::Out].into_iter().for_each(|fate| self.fates.add(fate, given));
            let (ceiling, history_is_finished) = (self.ceiling(), self.history_is_finished());
            if let Some(live) = self.live.as_mut().filter(|_| self.switched) {
                // What waits at the ceiling, and history beside the topic, is a backlog, of which more follows.
                if !live.has_more() && live.at_ceiling(ceiling).next().is_none() && history_is_finished {
                    self.grace.rest();
                }
                if self.bounds.may_join {
                    until = live.look_at_absent(now)?;
                }
                until = until.into_iter().chain(live.look_at_silence(self.bounds.due, now)?).min();
            }
            // Also of partitions that were looked at, whose positions pass such messages.
            if let Some(live) = &mut self.live {
                self.source.count_removed(&mut self.fates, &live.take_removed());
            }
            until = until.into_iter().chain(self.advance(now)).min();
            let goes_on = self.goes_on_above(EventTime::MIN);
            if batch.is_some() || self.given > before || goes_on != self.goes_on {
                self.reporter.touch();
            }
            self.goes_on = goes_on;
        }
        let watermark = self.watermark();
        self.source.stats.set_watermark(self.index, watermark);
        let report = self.report(now);
        // After rows that leave at other ports more may be ready, of which nobody is told again.
        let gave = batch.is_some() || !aside.is_empty();
        let state = self.state(gave, until.into_iter().chain(self.reporter.until()).min());
        self.live.iter_mut().for_each(|live| live.show(state != ReaderState::Ready, now));
        Ok(Polled { batch, aside, watermark, report, state })
    }

    fn freeze(&mut self) -> Result<FrozenReader> {
        let joining = self.live.as_mut().map_or_else(Vec::new, |live| live.freeze(self.given, self.bounds.may_join));
        self.reporter.forget_question();
        Ok(FrozenReader {
            splits: self.positions(),
            watermark: self.given,
            absent: self.state == State::Absent,
            joining,
            fates: self.fates,
        })
    }

    fn durable(&mut self, joined: Vec<SplitState>) -> Result<()> {
        self.grace.durable();
        let Some(live) = &mut self.live else { return Ok(()) };
        if let Some(level) = live.durable(&joined)? {
            self.state = State::Present;
            self.given = self.given.max(level);
            self.grace.join();
        }
        self.reporter.touch();
        Ok(())
    }

    fn wake(&mut self, waker: &Waker) -> Result<()> {
        if let Some(history) = &mut self.history {
            history.wake(waker);
        }
        self.live.as_mut().map_or(Ok(()), |live| live.wake(waker))
    }
}

impl StreamReader {
    /// A reader without splits.
    pub fn new(source: Arc<Source>, (index, readers): (usize, usize), background: Arc<dyn Background>) -> StreamReader {
        let room = HistoryRoom { readers, ..source.room.clone() };
        let history =
            source.history.as_ref().map(|plan| History::new(plan.clone(), background, source.stats.clone(), room));
        source.stats.set_watermark(index, Some(EventTime::MIN));
        StreamReader {
            history,
            live: source.live.as_ref().map(|live| LiveReader::new(&source.spec, live, source.stats.clone())),
            index,
            splits: 0,
            bounds: no_bounds(),
            switched: false,
            state: State::Present,
            given: EventTime::MIN,
            has_given: false,
            history_reach: EventTime::MIN,
            unreleased: UnreleasedRows::default(),
            leap: LEAP_MIN,
            goes_on: None,
            grace: Grace::default(),
            stands_since: None,
            fates: Fates::default(),
            reporter: Reporter::default(),
            source,
        }
    }

    /// How far beyond the least watermark of the streams that meet rows may come now: all, while it has a lead left.
    fn ceiling(&self) -> EventTime {
        let ((rows, bytes), lead) = (self.unreleased.size(), self.source.lead);
        let free = rows < lead.rows && bytes < lead.bytes;
        if free { EventTime::MAX } else { self.bounds.least.plus(self.bounds.window) }
    }

    /// The next rows, of the side that is earlier in time where there are both.
    fn poll_rows(&mut self, rows_max: usize, aside: &mut Aside) -> Result<Option<Batch>> {
        let live = self.live.as_ref().and_then(|live| live.watermark(false, self.bounds.may_join));
        let live_first = self.switched && live.is_some_and(|live| live < self.history_watermark());
        if live_first && let Some(batch) = self.poll_live(rows_max, aside)? {
            return Ok(Some(batch));
        }
        if let Some(batch) = self.poll_history(rows_max, aside)? {
            return Ok(Some(batch));
        }
        self.switch();
        if live_first || !self.switched { Ok(None) } else { self.poll_live(rows_max, aside) }
    }

    /// The topic is read when history has come as far as the partitions allow.
    fn switch(&mut self) {
        self.switched |= self.live.is_some() && self.history_watermark() >= self.bounds.cap;
    }

    fn poll_history(&mut self, rows_max: usize, aside: &mut Aside) -> Result<Option<Batch>> {
        if self.history_is_finished() {
            return Ok(None);
        }
        let ceiling = if self.is_past_topic() { EventTime::MAX } else { self.ceiling() };
        let Some(history) = &mut self.history else { return Ok(None) };
        let batch = history.next(rows_max, ceiling)?;
        let removed = history.take_removed();
        aside.extend(removed.ports);
        self.source.count_removed(&mut self.fates, &removed.fates);
        let Some(batch) = batch else { return Ok(None) };
        if batch.time(0) <= self.given {
            return Err(Error::internal(format!(
                "stream \"{}\": a row of history at {} is not after the watermark {}",
                self.source.spec.name,
                batch.time(0),
                self.given
            )));
        }
        self.history_reach = self.history_reach.max(batch.time(batch.rows() - 1));
        // The rows of shares come merged; that they are out is told with one of them.
        let share = history.first_share();
        self.unreleased.add(Split::Share(share), &batch);
        Ok(Some(batch))
    }

    fn poll_live(&mut self, rows_max: usize, aside: &mut Aside) -> Result<Option<Batch>> {
        let (ceiling, given, cap) = (self.ceiling(), self.given, self.bounds.cap);
        let bounds = LiveBounds { rows_max, ceiling, given, cap };
        let Some(live) = &mut self.live else { return Ok(None) };
        let batches = live.read(bounds)?;
        for (split, letters) in live.take_aside() {
            self.unreleased.add(split, &letters.1);
            aside.push(letters);
        }
        for (split, batch) in &batches {
            self.unreleased.add(*split, batch);
        }
        match batches.len() {
            0 => Ok(None),
            _ => {
                let batches: Vec<Batch> = batches.into_iter().map(|(_, batch)| batch).collect();
                Ok(Some(concat(&self.source.spec.schema, &batches)?))
            }
        }
    }

    /// Whether only rows of history are left that lie ahead of every clock: no watermark will reach them.
    fn is_past_topic(&self) -> bool {
        let Some(live) = self.live.as_ref().filter(|_| self.switched) else { return false };
        let clock = live.clock().max(self.bounds.clock);
        clock.map_or(self.has_ended(), |clock| self.history_watermark() >= clock)
    }

    fn history_watermark(&self) -> EventTime {
        self.history.as_ref().map_or(EventTime::MAX, History::watermark)
    }

    fn history_is_finished(&self) -> bool {
        self.history.as_ref().is_none_or(History::is_finished)
    }

    /// Whether a bounded run has nothing more to read of the partitions.
    fn has_ended(&self) -> bool {
        self.source.bounded && self.live.as_ref().is_some_and(LiveReader::has_ended)
    }

    fn is_finished(&self) -> bool {
        self.bounds.go && self.history_is_finished() && (self.live.is_none() || self.has_ended())
    }

    /// Whether a bounded run has partitions left, and all of them wait until rows of an earlier run have come again.
    fn awaits_replay(&self) -> bool {
        let is_replaying = self.source.bounded && self.bounds.go && !self.bounds.may_join;
        is_replaying && self.history_is_finished() && self.live.as_ref().is_some_and(LiveReader::awaits_replay)
    }

    /// No row at or before this comes later; `None` when nothing is left to wait for.
    fn level(&self) -> Option<EventTime> {
        let end = self.bounds.end.filter(|_| self.is_finished());
        let history = (!self.history_is_finished()).then(|| self.history_watermark());
        // A history that is read to its end holds nobody back, but does not say either that nothing happens any more:
        // an empty topic may still get a row.
        let Some(live) = &self.live else {
            return history.or(end).or_else(|| self.source.bounded.then_some(EventTime::MAX));
        };
        let live = match self.switched {
            false => None,
            // Where the partitions have ended, rows of history may lie ahead of all that has happened. A topic without any
            // row stands where the others have come: a row of a file that lies ahead of that has not happened either.
            true if self.has_ended() => {
                let clock = live.clock().max(self.bounds.clock);
                Some(clock.unwrap_or(EventTime::MIN).max(self.bounds.cap))
            }
            true => live.watermark(self.state == State::Absent, self.bounds.may_join),
        };
        history.into_iter().chain(live).min().max(end)
    }

    /// Moves the watermark on, or steps back from holding others up when nothing is left to wait for. Gives when it moves
    /// next by the clock alone.
    fn advance(&mut self, now: ProcessingTime) -> Option<ProcessingTime> {
        self.switch();
        match (self.level(), self.state) {
            (Some(level), _) => {
                self.state = State::Present;
                let until = self.go_to(level, now);
                let replay = if self.replays_after_end() { self.reach_due(now) } else { self.pass_below(now) };
                return until.into_iter().chain(replay).min();
            }
            (None, State::Present) => {
                // The last rows of history wait for no later one; but what lies ahead of now may still meet a row that
                // has not happened.
                let reach = if self.source.bounded { EventTime::MIN } else { self.history_reach };
                self.move_to(reach.min(EventTime(now.0)), now);
                self.state = State::Leaves;
            }
            // Others have gone on without it since; only a checkpoint makes it present.
            (None, State::Absent) => {}
            (None, State::Leaves) if self.given == EventTime::MIN && !self.has_given => self.state = State::Absent,
            (None, State::Leaves | State::Follows) => {
                self.state = State::Follows;
                return self.follow(now);
            }
        }
        None
    }

    /// Moves the watermark to a level; gives when, if a stream that meets this one may still join before it does.
    fn go_to(&mut self, level: EventTime, now: ProcessingTime) -> Option<ProcessingTime> {
        if level <= self.given {
            self.grace.stand();
            return None;
        }
        let ReadBounds { meets_absent, meets_joining, furthest, may_join, pace, .. } = self.bounds;
        let others_may_join = self.switched && meets_absent && may_join && !self.source.bounded;
        if others_may_join && self.grace.holds((self.given.max(furthest), level), pace, now, meets_joining) {
            return self.grace.until().filter(|&until| now < until);
        }
        self.move_to(level, now);
        None
    }

    /// Moves the watermark on, if it does not stand there already.
    fn move_to(&mut self, level: EventTime, now: ProcessingTime) {
        let level = level.min(self.source.end);
        if level > self.given {
            self.grace.moved(now);
            self.given = level;
        }
    }

    /// Whether rows may be given out, and the watermark may move.
    fn gives(&self) -> bool {
        self.bounds.go && !self.bounds.stops
    }

    fn watermark(&self) -> Option<EventTime> {
        (self.state != State::Absent).then_some(self.given)
    }

    /// Tells the coordinator what is new, at once where that may move others.
    fn report(&mut self, now: ProcessingTime) -> Option<Report> {
        let live = self.live.as_ref();
        let short = Report {
            watermark: matches!(self.state, State::Present | State::Leaves).then_some(self.given),
            splits: self.splits,
            waits: Vec::new(),
            clock: live.and_then(LiveReader::clock),
            joins: self.bounds.go && live.is_some_and(|live| live.asks(self.bounds.may_join)),
            finished: self.is_finished(),
            awaits_replay: self.awaits_replay(),
        };
        if !self.reporter.is_due(&short, self.bounds.least, now) {
            return None;
        }
        let waits = self.bounds.watermarks.iter().map(|&watermark| self.wait_above(watermark)).collect();
        self.reporter.send(Report { waits, ..short }, now)
    }

    /// The least time above a watermark at which something waits for it: a row that is out, or the least watermark at
    /// which a split at its ceiling goes on.
    fn wait_above(&self, watermark: EventTime) -> Option<EventTime> {
        self.unreleased.due_above(watermark).into_iter().chain(self.goes_on_above(watermark)).min()
    }

    /// The least watermark above one at which a split at its ceiling goes on.
    fn goes_on_above(&self, watermark: EventTime) -> Option<EventTime> {
        let ceiling = self.ceiling();
        let history = (!self.history_is_finished()).then(|| self.history_watermark());
        let history = history.filter(|&level| level >= ceiling).map(|level| level.plus(Span(1)));
        let live = self.live.iter().filter(|_| self.switched).flat_map(|live| live.at_ceiling(ceiling));
        live.chain(history).map(|level| level.minus(self.bounds.window)).filter(|&at| at > watermark).min()
    }

    fn state(&self, gave: bool, until: Option<ProcessingTime>) -> ReaderState {
        let ended = self.given == EventTime::MAX || self.bounds.end.is_some_and(|end| self.given >= end);
        if !gave && self.is_finished() && ended && !self.reporter.is_pending() {
            return ReaderState::Finished;
        }
        let more = self.live.as_ref().is_some_and(|live| self.switched && live.has_more());
        // A history that is past the topic is held back by nothing.
        let has_ready = self.history.as_ref().is_some_and(History::has_ready);
        let free = has_ready && self.is_past_topic();
        let ready = self.gives() && (gave || more || free || self.state == State::Leaves);
        if ready { ReaderState::Ready } else { ReaderState::Waiting { until } }
    }

    fn positions(&self) -> Vec<SplitState> {
        let out = self.unreleased.by_split();
        let share = |(share, position): (u16, SharePosition)| {
            let split = Split::Share(share);
            let bytes =
                ShareBytes { position: position.to_bytes(), out: out.get(&split).copied().unwrap_or(OutRows::NONE) };
            SplitState { split, position: bytes.to_bytes() }
        };
        let shares = self.history.iter().flat_map(History::positions);
        let mut positions: Vec<SplitState> = shares.map(share).collect();
        positions.extend(self.live.iter().flat_map(|live| live.positions(&out)));
        positions
    }
}
