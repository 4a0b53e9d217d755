//! Reads shares of a history in (`_time`, `_ord`) order, ahead of what is asked for.
//!
//! The row groups of all files are dealt to 64 shares, once per stream (`plan`). A reader merges those of its shares
//! (`merge`) on a background thread, and finds pieces that are ready (`ahead`); a checkpoint has a position per share
//! (`position`), from which any other reader goes on.
//!
//! Files whose rows have an arrival of their own (`arrived`) get their clocks from a pass over all of them (`clock_pass`)
//! that comes before.

mod ahead;
mod arrived;
mod bytes;
mod clock_pass;
mod merge;
mod plan;
mod position;
mod share_rows;
mod sorter;
mod spill;
mod stored_clocks;
#[cfg(test)]
mod tests;
mod waiting;

use crate::StreamStats;
use crate::placing::Removed;
use ahead::ReadAhead;
use bytes::HeldBytes;
use dataflow::{Background, Batch, Error, EventTime, Result};
use merge::{GroupAside, Merge, Piece, left_of};
use position::Place;
use share_rows::ShareRows;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

pub use arrived::ArrivedFiles;
pub(crate) use merge::HistoryRoom;
pub(crate) use plan::{HistoryPlan, SHARES};
pub(crate) use position::SharePosition;

/// The rows of some shares of a history, in order.
///
/// Memory is bounded by the room that it is given, however the files overlap; rows beyond that are spilled. What it
/// reads ahead is not held back by the ceiling, only what it gives out.
pub(crate) struct History {
    plan: Arc<HistoryPlan>,
    background: Arc<dyn Background>,
    stats: Arc<StreamStats>,
    room: HistoryRoom,
    waker: Option<Waker>,
    // Where each share was taken up, or was when another one came.
    shares: BTreeMap<u16, SharePosition>,
    reading: Reading,
    current: Piece,
    // How many rows of `current` were given out.
    given: usize,
    // Rows that leave at other ports, until they are taken.
    aside: Vec<GroupAside>,
    // Of row groups: how many rows were read with what was taken of `aside`.
    aside_taken: BTreeMap<u64, u64>,
    last: Option<LastPlace>,
    // Whether the stream's counters say that this reader has history left.
    is_counted: bool,
}

enum Reading {
    /// Nothing was asked for yet.
    Before,
    Ahead(Arc<ReadAhead>),
    /// The last piece came.
    Over,
    /// Nothing comes any more; the error until it was given out.
    Failed(Option<Error>),
}

/// The place of the last row that was given out, and how many rows of each share were given out exactly there.
struct LastPlace {
    place: Place,
    rows: BTreeMap<u16, u64>,
}

impl History {
    /// A history without a share.
    pub fn new(
        plan: Arc<HistoryPlan>,
        background: Arc<dyn Background>,
        stats: Arc<StreamStats>,
        room: HistoryRoom,
    ) -> History {
        let current = nothing(&plan, &stats, i64::MAX);
        History {
            plan,
            background,
            stats,
            room,
            waker: None,
            shares: BTreeMap::new(),
            reading: Reading::Over,
            current,
            given: 0,
            aside: Vec::new(),
            aside_taken: BTreeMap::new(),
            last: None,
            is_counted: false,
        }
    }

    /// Takes shares, new ones or ones taken up again. What was read ahead is read again when rows were asked for
    /// before; the rows of a share that lags the others come first, and the watermark goes back for them.
    pub fn add(&mut self, shares: Vec<(u16, SharePosition)>) -> Result<()> {
        self.plan.check(&shares)?;
        let mut all: BTreeMap<u16, SharePosition> = self.positions().into_iter().collect();
        for (share, position) in shares {
            if share >= SHARES || all.contains_key(&share) {
                let what = if share < SHARES { "was given to one reader twice" } else { "is none of 64" };
                return Err(Error::internal(format!("history \"{}\": share {share} {what}", self.plan.files.name())));
            }
            all.insert(share, position);
        }
        self.stop();
        let left = left_of(&self.plan, &all);
        let bound = left.iter().map(|&(least, _)| least).min().unwrap_or(i64::MAX);
        self.reading = if left.is_empty() { Reading::Over } else { Reading::Before };
        self.given = 0;
        self.current = Piece { is_last: left.is_empty(), ..nothing(&self.plan, &self.stats, bound) };
        (self.shares, self.last) = (all, None);
        // They come again, since no position covers them.
        self.aside.clear();
        self.count_end();
        Ok(())
    }

    /// Remembers whom to wake when rows became ready.
    pub fn wake(&mut self, waker: &Waker) {
        self.waker = Some(waker.clone());
        if let Reading::Ahead(ahead) = &self.reading {
            ahead.wake(waker);
        }
    }

    /// The next rows, sorted: at most so many, none above the ceiling. `None` when none are ready, when the ceiling
    /// holds the next one back, and at the end.
    pub fn next(&mut self, rows_max: usize, ceiling: EventTime) -> Result<Option<Batch>> {
        if self.is_given() {
            self.take_pieces();
            if let Reading::Failed(error) = &mut self.reading
                && let Some(error) = error.take()
            {
                return Err(error);
            }
        }
        let rows = self.current.rows.rows();
        let count = rows.times()[self.given..].partition_point(|&time| time <= ceiling.0).min(rows_max);
        if count == 0 {
            return Ok(None);
        }
        let batch = rows.slice(self.given, count);
        self.given += count;
        self.note_last(count);
        self.stats.history_rows.fetch_add(count as u64, Relaxed);
        if self.is_given() {
            // Others learn at once how far the next rows reach.
            self.take_pieces();
        }
        if self.is_given() {
            // What was given out need not stay in memory until the next rows are ready.
            let (bound, is_last) = (self.current.bound, self.current.is_last);
            self.given = 0;
            self.current = Piece { is_last, ..nothing(&self.plan, &self.stats, bound) };
        }
        self.count_end();
        Ok(Some(batch))
    }

    /// No row at or before this comes later.
    pub fn watermark(&self) -> EventTime {
        if self.is_finished() {
            return EventTime::MAX;
        }
        match self.current.rows.rows().times().get(self.given) {
            Some(&next) => EventTime(next).before(),
            None => EventTime(self.current.bound).before(),
        }
    }

    /// Rows that do not go on, since the last call; those that leave at other ports are ahead of the watermark, in no order.
    pub fn take_removed(&mut self) -> Removed {
        let mut all = Removed::default();
        for taken in self.aside.drain(..) {
            let rows = self.aside_taken.entry(taken.group as u64).or_default();
            *rows = (*rows).max(taken.rows_read as u64);
            all.ports.extend(taken.removed.ports);
            all.fates.merge(&taken.removed.fates);
        }
        all
    }

    /// Whether all rows were given out.
    pub fn is_finished(&self) -> bool {
        self.current.is_last && self.is_given() && self.aside.is_empty()
    }

    /// Whether the next call can give something, below the ceiling: rows or an error.
    pub fn has_ready(&self) -> bool {
        match &self.reading {
            _ if !self.is_given() => true,
            Reading::Before => true,
            Reading::Ahead(ahead) => ahead.has_piece(),
            Reading::Over => false,
            Reading::Failed(error) => error.is_some(),
        }
    }

    /// One of its shares.
    pub fn first_share(&self) -> u16 {
        self.shares.keys().next().copied().unwrap_or_default()
    }

    /// How far each share was given out, and what left at other ports was taken.
    pub fn positions(&self) -> Vec<(u16, SharePosition)> {
        self.shares.iter().map(|(&share, start)| (share, self.position(share, start))).collect()
    }

    fn position(&self, share: u16, start: &SharePosition) -> SharePosition {
        if self.is_finished() {
            return SharePosition::finished(start.plan);
        }
        let mut position = start.clone();
        if let Some(last) = self.last.as_ref().filter(|last| Some(last.place) >= start.place) {
            let before = if Some(last.place) == start.place { start.rows_at_place } else { 0 };
            position.place = Some(last.place);
            position.rows_at_place = before + last.rows.get(&share).copied().unwrap_or(0);
        }
        let taken = self.aside_taken.iter().map(|(&group, &rows)| (group, rows));
        for (group, rows) in taken.filter(|&(group, _)| HistoryPlan::share_of(group as usize) == share) {
            let known = position.aside.entry(group).or_default();
            *known = (*known).max(rows);
        }
        // A row group that will not be read again needs no entry.
        let least = position.least();
        position.aside.retain(|&group, _| self.plan.group(group as usize).last >= least);
        position
    }

    fn is_given(&self) -> bool {
        self.given == self.current.rows.rows().rows()
    }

    /// Takes pieces that are ready until one has something to give out.
    fn take_pieces(&mut self) {
        if matches!(self.reading, Reading::Before) {
            let merge = Merge::new(&self.plan, &self.shares, &self.stats, &self.room);
            let (background, waker) = (self.background.clone(), self.waker.clone());
            self.reading = Reading::Ahead(ReadAhead::new(self.plan.files.name(), merge, background, waker));
        }
        while let Reading::Ahead(ahead) = &self.reading {
            match ahead.next_piece() {
                Some(Ok(piece)) => {
                    self.take_piece(piece);
                    if !self.is_given() || self.aside.iter().any(|aside| !aside.removed.ports.is_empty()) {
                        break;
                    }
                }
                Some(Err(error)) => self.reading = Reading::Failed(Some(error)),
                // One that was made at once is there now.
                None if ahead.has_piece() => {}
                None => break,
            }
        }
    }

    fn take_piece(&mut self, mut piece: Piece) {
        self.aside.append(&mut piece.aside);
        if piece.is_last {
            self.reading = Reading::Over;
        }
        (self.current, self.given) = (piece, 0);
        self.count_end();
    }

    /// Remembers the place of the last of so many rows, up to `given`.
    fn note_last(&mut self, count: usize) {
        let rows = &self.current.rows;
        let place_of = |row: usize| (rows.rows().time(row), rows.rows().order(row));
        let place = place_of(self.given - 1);
        let last = match &mut self.last {
            Some(last) if last.place == place => last,
            last => last.insert(LastPlace { place, rows: BTreeMap::new() }),
        };
        let at_place = (self.given - count..self.given).rev().take_while(|&row| place_of(row) == place);
        at_place.for_each(|row| *last.rows.entry(rows.share(row)).or_default() += 1);
    }

    /// Tells the stream's counters whether this reader has history left.
    fn count_end(&mut self) {
        let has_more = !(self.current.is_last && self.is_given());
        if self.is_counted != has_more {
            self.stats.set_in_history(has_more);
            self.is_counted = has_more;
        }
    }

    fn stop(&mut self) {
        if let Reading::Ahead(ahead) = std::mem::replace(&mut self.reading, Reading::Over) {
            ahead.stop();
        }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A piece without rows, and nothing after it.
fn nothing(plan: &HistoryPlan, stats: &Arc<StreamStats>, bound: i64) -> Piece {
    let rows = ShareRows::empty(plan.spec.schema.clone());
    Piece { rows, aside: Vec::new(), bound, is_last: true, _held: HeldBytes::new(stats, 0) }
}
