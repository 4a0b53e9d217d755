//! The time-ordered log: rows of all keys in one sequence, in columns, in pages that never change once they are full.
//!
//! ```text
//!   first          start                              end
//!     | page | page | page | page | page | page | open |
//!                   ^cursor of the longest frame   ^cursor of "now"
//! ```
//!
//! Rows are numbered from the first ever appended. A cursor is such a number, kept by whoever sweeps. What every cursor
//! has passed is dropped, page by page. A snapshot shares all full pages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The rows of a full page.
pub(crate) const PAGE_ROWS: usize = 4096;
/// The number of the next page that is full.
static NEXT_PAGE: AtomicU64 = AtomicU64::new(1);

/// How many columns a log has beside time and key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Columns of eight bytes: values as [`crate::Values`] encodes them.
    pub values: usize,
    /// Columns of one byte: whether a value is there, whether a filter is true.
    pub flags: usize,
}

/// Rows in columns, by time.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Of a full page, which never changes: what no other page of this process has.
    pub(crate) number: u64,
    /// Times in microseconds, ascending.
    pub times: Vec<i64>,
    /// Key ids.
    pub keys: Vec<u32>,
    /// Value columns.
    pub values: Vec<Vec<u64>>,
    /// Flag columns.
    pub flags: Vec<Vec<u8>>,
}

impl Page {
    fn new(shape: Shape) -> Page {
        Page {
            number: 0,
            times: Vec::new(),
            keys: Vec::new(),
            values: vec![Vec::new(); shape.values],
            flags: vec![Vec::new(); shape.flags],
        }
    }

    fn rows(&self) -> usize {
        self.times.len()
    }
}

/// Rows of all keys in order of time.
///
/// Bounded by what its owner's cursors have not passed; [`Log::drop_before`] lets go of the rest.
#[derive(Debug)]
pub struct Log {
    shape: Shape,
    // Invariant: each holds PAGE_ROWS rows.
    pages: VecDeque<Arc<Page>>,
    open: Page,
    // The number of the first row of the first page.
    first: u64,
    // The first row that was not dropped.
    start: u64,
}

/// The rows of a log as they were; shares its full pages.
#[derive(Clone, Debug)]
pub struct LogSnapshot {
    pub(crate) pages: Vec<Arc<Page>>,
    pub(crate) first: u64,
    pub(crate) start: u64,
}

impl LogSnapshot {
    /// Calls for each row `from .. end` with its page and its place in it, in order.
    pub fn for_each(&self, from: u64, end: u64, mut row: impl FnMut(&Page, usize)) {
        let (mut number, start) = (self.first, self.start.max(from));
        for page in &self.pages {
            if number + page.rows() as u64 <= start {
                number += page.rows() as u64;
                continue;
            }
            for at in 0..page.rows() {
                if number >= start && number < end {
                    row(page, at);
                }
                number += 1;
            }
        }
    }
}

impl Log {
    /// A log without rows.
    pub fn new(shape: Shape) -> Log {
        Log { shape, pages: VecDeque::new(), open: Page::new(shape), first: 0, start: 0 }
    }

    /// The number of the first row that is still here.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The number that the next row gets.
    pub fn end(&self) -> u64 {
        self.first + (self.pages.len() * PAGE_ROWS + self.open.rows()) as u64
    }

    /// The time of the last row that was appended and is still in a page.
    pub fn last_time(&self) -> Option<i64> {
        self.open.times.last().or_else(|| self.pages.back().and_then(|page| page.times.last())).copied()
    }

    /// Appends rows; their times are at or after that of the last row, and all columns are as long as `times`.
    pub fn append(&mut self, times: &[i64], keys: &[u32], values: &[Vec<u64>], flags: &[Vec<u8>]) {
        assert!(values.len() == self.shape.values && flags.len() == self.shape.flags, "a log row has other columns");
        let mut from = 0;
        while from < times.len() {
            let to = times.len().min(from + PAGE_ROWS - self.open.rows());
            self.open.times.extend_from_slice(&times[from..to]);
            self.open.keys.extend_from_slice(&keys[from..to]);
            for (column, new) in self.open.values.iter_mut().zip(values) {
                column.extend_from_slice(&new[from..to]);
            }
            for (column, new) in self.open.flags.iter_mut().zip(flags) {
                column.extend_from_slice(&new[from..to]);
            }
            if self.open.rows() == PAGE_ROWS {
                let mut full = std::mem::replace(&mut self.open, Page::new(self.shape));
                full.number = NEXT_PAGE.fetch_add(1, Relaxed);
                self.pages.push_back(Arc::new(full));
            }
            from = to;
        }
    }

    /// The first row at or after `from` whose time is above `time`; the end when there is none.
    pub fn first_above(&self, from: u64, time: i64) -> u64 {
        let mut at = from;
        while at < self.end() {
            let (page, row) = self.locate(at);
            let rest = &page.times[row..];
            match rest.last() {
                Some(&last) if last <= time => at += rest.len() as u64,
                _ => return at + rest.partition_point(|&other| other <= time) as u64,
            }
        }
        at
    }

    fn locate(&self, number: u64) -> (&Page, usize) {
        let at = (number - self.first) as usize;
        match self.pages.get(at / PAGE_ROWS) {
            Some(page) => (page, at % PAGE_ROWS),
            None => (&self.open, at - self.pages.len() * PAGE_ROWS),
        }
    }

    /// Calls for each piece of the rows `from .. to`: its page, and its first row and the row after its last one in it.
    pub fn for_pieces(&self, from: u64, to: u64, mut piece: impl FnMut(&Page, usize, usize)) {
        let mut at = from.max(self.start);
        while at < to {
            let (page, row) = self.locate(at);
            let rows = (page.rows() - row).min((to - at) as usize);
            piece(page, row, row + rows);
            at += rows as u64;
        }
    }

    /// Lets go of all rows before `to`, after showing them as [`Log::for_pieces`] does.
    pub fn drop_before(&mut self, to: u64, gone: impl FnMut(&Page, usize, usize)) {
        if to <= self.start {
            return;
        }
        self.for_pieces(self.start, to, gone);
        self.start = to;
        while !self.pages.is_empty() && self.first + PAGE_ROWS as u64 <= to {
            self.pages.pop_front();
            self.first += PAGE_ROWS as u64;
        }
    }

    /// The rows as they are now; copies less than a page.
    pub fn snapshot(&self) -> LogSnapshot {
        let open = Arc::new(self.open.clone());
        LogSnapshot { pages: self.pages.iter().cloned().chain([open]).collect(), first: self.first, start: self.start }
    }

    /// The bytes that all pages take.
    pub fn size(&self) -> usize {
        let row = 8 + 4 + 8 * self.shape.values + self.shape.flags;
        (self.pages.len() * PAGE_ROWS + self.open.times.capacity()) * row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(rows: i64) -> Log {
        let mut log = Log::new(Shape { values: 1, flags: 1 });
        for chunk in (0..rows).collect::<Vec<_>>().chunks(1000) {
            let keys: Vec<u32> = chunk.iter().map(|&time| time as u32 % 7).collect();
            let values = vec![chunk.iter().map(|&time| time as u64 * 2).collect()];
            let times: Vec<i64> = chunk.iter().map(|&time| time / 3).collect();
            log.append(&times, &keys, &values, &[vec![1; chunk.len()]]);
        }
        log
    }

    #[test]
    fn rows_are_found_by_time_across_pages() {
        let log = log(10_000);
        for time in [-1, 0, 1, 1364, 1365, 1366, 3332] {
            assert_eq!(log.first_above(0, time), ((time + 1) * 3) as u64, "{time}");
        }
        assert_eq!(log.first_above(0, 3333), 10_000);
        assert_eq!(log.first_above(9_000, 10), 9_000);
    }

    #[test]
    fn dropped_rows_are_shown_once_and_their_pages_go() {
        let mut log = log(10_000);
        let full = log.size();
        let mut gone = 0;
        for to in [10, 4096, 4097, 9_000, 10_000] {
            log.drop_before(to, |page, from, to| {
                for row in from..to {
                    assert_eq!(page.values[0][row], gone * 2);
                    gone += 1;
                }
            });
            assert_eq!(gone, to);
        }
        assert!(log.size() < full / 2);
        assert_eq!((log.start(), log.end()), (10_000, 10_000));
    }

    #[test]
    fn a_snapshot_stays_as_it_was() {
        let mut log = log(5_000);
        log.drop_before(4_500, |_, _, _| {});
        let snapshot = log.snapshot();
        log.append(&[9_000], &[1], &[vec![0]], &[vec![0]]);
        log.drop_before(5_001, |_, _, _| {});
        let mut seen = Vec::new();
        snapshot.for_each(0, 4_600, |page, row| seen.push(page.values[0][row] / 2));
        assert_eq!(seen, (4_500..4_600).collect::<Vec<u64>>());
    }
}
