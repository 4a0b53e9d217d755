//! The time-ordered log: rows of all keys in one sequence, in columns, in pages that never change once they are full.
//!
//! ```text
//!   first          start                              end
//!     | page | page | ~~~~ | ~~~~ | page | page | open |       ~~~~ is put aside: no cursor needs it soon
//!                   ^cursor of the longest frame   ^cursor of "now"
//! ```
//!
//! Rows are numbered from the first ever appended. A cursor is such a number, kept by whoever sweeps. What every cursor
//! has passed is dropped, page by page. A snapshot shares all full pages.

use crate::page::{FullPage, Page, Shape};
use dataflow::{Result, SpillFile, StateMemory};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// How many pages after that of a cursor stay in memory, or are fetched before the cursor comes to them.
const PAGES_AHEAD: u64 = 2;

/// Rows of all keys in order of time.
///
/// Bounded by what its owner's cursors have not passed; [`Log::drop_before`] lets go of the rest. Where the memory of
/// the job has a bound, pages that no cursor needs soon are put aside.
#[derive(Debug)]
pub struct Log {
    shape: Shape,
    // Invariant: each holds `page_rows` rows.
    pages: VecDeque<Arc<FullPage>>,
    open: Page,
    // The number of the first row of the first page.
    first: u64,
    // The first row that was not dropped.
    start: u64,
    page_rows: usize,
    // By the number of its first row, in pages: which are in memory, and which were asked for.
    resident: BTreeSet<u64>,
    fetched: BTreeSet<u64>,
    aside: Aside,
    // The bytes in memory and put aside that the job's memory was told of.
    counted: (usize, usize),
}

/// Where pages go that are put aside.
#[derive(Default)]
struct Aside {
    memory: Option<Arc<StateMemory>>,
    // Made when the first page is put aside.
    file: Option<Box<dyn SpillFile>>,
}

impl std::fmt::Debug for Aside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aside").field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// The rows of a log as they were; shares its full pages.
#[derive(Clone, Debug)]
pub struct LogSnapshot {
    pub(crate) pages: Vec<Arc<FullPage>>,
    open: Arc<Page>,
    pub(crate) first: u64,
    pub(crate) start: u64,
}

impl LogSnapshot {
    /// Calls for each row `from .. end` with its page and its place in it, in order.
    pub fn for_each(&self, from: u64, end: u64, mut row: impl FnMut(&Page, usize)) -> Result<()> {
        self.try_for_each(from, end, |page, at| {
            row(page, at);
            Ok(())
        })
    }

    /// As [`LogSnapshot::for_each`], until a call fails.
    pub fn try_for_each(&self, from: u64, end: u64, mut row: impl FnMut(&Page, usize) -> Result<()>) -> Result<()> {
        let (mut number, start) = (self.first, self.start.max(from));
        let mut of_page = |page: &Page, first: u64| {
            let rows = page.rows() as u64;
            let (from, to) = (start.clamp(first, first + rows), end.clamp(first, first + rows));
            (from..to).try_for_each(|number| row(page, (number - first) as usize))
        };
        for page in &self.pages {
            let next = number + page.rows() as u64;
            if next > start && number < end {
                of_page(&*page.look()?, number)?;
            }
            number = next;
        }
        of_page(&self.open, number)
    }
}

impl Log {
    /// A log without rows.
    pub fn new(shape: Shape) -> Log {
        Log {
            shape,
            pages: VecDeque::new(),
            open: Page::new(shape),
            first: 0,
            start: 0,
            page_rows: StateMemory::unbounded().page_rows(),
            resident: BTreeSet::new(),
            fetched: BTreeSet::new(),
            aside: Aside::default(),
            counted: (0, 0),
        }
    }

    /// Shares a memory with other logs. Only the first call has an effect, and only before the first row; without one,
    /// all rows stay in memory.
    pub fn share(&mut self, memory: &Arc<StateMemory>) {
        if self.aside.memory.is_none() && self.end() == 0 {
            self.page_rows = memory.page_rows();
            self.aside.memory = Some(memory.clone());
        }
    }

    /// The number of the first row that is still here.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The number that the next row gets.
    pub fn end(&self) -> u64 {
        self.first + (self.pages.len() * self.page_rows + self.open.rows()) as u64
    }

    /// The time of the last row that was appended and is still in a page.
    pub fn last_time(&self) -> Option<i64> {
        self.open.times.last().copied().or_else(|| self.pages.back().map(|page| page.last_time))
    }

    /// Appends rows; their times are at or after that of the last row, and all columns are as long as `times`.
    pub fn append(&mut self, times: &[i64], keys: &[u32], values: &[Vec<u64>], flags: &[Vec<u8>]) {
        self.append_range((times, keys, values, flags), 0, times.len());
    }

    /// Appends the rows `from .. to` of a page, as [`Log::append`] does.
    pub fn append_piece(&mut self, page: &Page, from: usize, to: usize) {
        self.append_range((&page.times, &page.keys, &page.values, &page.flags), from, to);
    }

    fn append_range(
        &mut self,
        (times, keys, values, flags): (&[i64], &[u32], &[Vec<u64>], &[Vec<u8>]),
        mut from: usize,
        end: usize,
    ) {
        assert!(values.len() == self.shape.values && flags.len() == self.shape.flags, "a log row has other columns");
        while from < end {
            let to = end.min(from + self.page_rows - self.open.rows());
            self.open.times.extend_from_slice(&times[from..to]);
            self.open.keys.extend_from_slice(&keys[from..to]);
            for (column, new) in self.open.values.iter_mut().zip(values) {
                column.extend_from_slice(&new[from..to]);
            }
            for (column, new) in self.open.flags.iter_mut().zip(flags) {
                column.extend_from_slice(&new[from..to]);
            }
            if self.open.rows() == self.page_rows {
                let full = std::mem::replace(&mut self.open, Page::new(self.shape));
                self.resident.insert(self.page_of(self.open_first()));
                self.pages.push_back(Arc::new(FullPage::new(full, self.shape)));
            }
            from = to;
        }
    }

    /// The first row at or after `from` whose time is above `time`; the end when there is none.
    pub fn first_above(&mut self, from: u64, time: i64) -> Result<u64> {
        let mut at = from;
        while let Some(page) = self.full_page(at) {
            if page.last_time > time {
                let (page, row) = (self.load(at)?, self.row_in_page(at));
                return Ok(at + page.times[row..].partition_point(|&other| other <= time) as u64);
            }
            at += (self.page_rows - self.row_in_page(at)) as u64;
        }
        let rest = &self.open.times[(at - self.open_first()) as usize..];
        Ok(at + rest.partition_point(|&other| other <= time) as u64)
    }

    /// The time of the last row of the page that lies so many pages after that of a row; `None` where no full page does.
    pub fn time_ahead(&self, row: u64, pages: usize) -> Option<i64> {
        self.full_page(row + (pages * self.page_rows) as u64).map(|page| page.last_time)
    }

    fn open_first(&self) -> u64 {
        self.first + (self.pages.len() * self.page_rows) as u64
    }

    /// The number of the page of a row.
    fn page_of(&self, row: u64) -> u64 {
        row / self.page_rows as u64
    }

    fn row_in_page(&self, row: u64) -> usize {
        (row % self.page_rows as u64) as usize
    }

    fn full_page(&self, row: u64) -> Option<&Arc<FullPage>> {
        self.pages.get(row.saturating_sub(self.first) as usize / self.page_rows)
    }

    /// The full page of a row, in memory.
    fn load(&mut self, row: u64) -> Result<Arc<Page>> {
        let number = self.page_of(row);
        let page = self.pages[(number - self.page_of(self.first)) as usize].clone();
        if self.resident.insert(number) {
            self.fetched.remove(&number);
        }
        page.bring_back()
    }

    /// Calls for each piece of the rows `from .. to`: its page, and its first row and the row after its last one in it.
    pub fn for_pieces(&mut self, from: u64, to: u64, mut piece: impl FnMut(&Page, usize, usize)) -> Result<()> {
        let mut at = from.max(self.start);
        while at < to {
            let loaded = if at < self.open_first() { Some(self.load(at)?) } else { None };
            let row = self.row_in_page(at);
            let page = loaded.as_deref().unwrap_or(&self.open);
            let rows = (page.rows() - row).min((to - at) as usize);
            piece(page, row, row + rows);
            at += rows as u64;
        }
        Ok(())
    }

    /// Lets go of all rows before `to`, after showing them as [`Log::for_pieces`] does.
    pub fn drop_before(&mut self, to: u64, gone: impl FnMut(&Page, usize, usize)) -> Result<()> {
        if to <= self.start {
            return Ok(());
        }
        self.for_pieces(self.start, to, gone)?;
        self.start = to;
        while !self.pages.is_empty() && self.first + self.page_rows as u64 <= to {
            let number = self.page_of(self.first);
            self.resident.remove(&number);
            self.fetched.remove(&number);
            self.pages.pop_front();
            self.first += self.page_rows as u64;
        }
        Ok(())
    }

    /// Puts pages aside while the job has more state in memory than it may: those first that a cursor comes to last. What
    /// lies just after a cursor is fetched. Returns whether anything has moved.
    ///
    /// Cursors are the rows at which somebody goes on reading, the first row of the log among them.
    pub fn fit(&mut self, cursors: impl Iterator<Item = u64>) -> Result<bool> {
        let Some(memory) = self.aside.memory.clone() else { return Ok(false) };
        self.count(&memory);
        let over = memory.over();
        if over == 0 && self.resident.len() == self.pages.len() {
            return Ok(false);
        }
        let (first, open) = (self.page_of(self.first), self.page_of(self.open_first()));
        let mut cursors: Vec<u64> = cursors.map(|row| self.page_of(row).clamp(first, open)).collect();
        cursors.push(first);
        cursors.sort_unstable();
        cursors.dedup();
        let is_put_aside = self.put_aside(&cursors, open, over, &memory)?;
        self.fetch_ahead(&cursors, open);
        self.count(&memory);
        Ok(is_put_aside)
    }

    fn count(&mut self, memory: &StateMemory) {
        let now = (self.size(), self.spilled());
        let before = std::mem::replace(&mut self.counted, now);
        memory.count(before.0, now.0);
        memory.count_spilled(before.1, now.1);
    }

    /// Puts at least so many bytes aside, if so many can be. The open page is `open`.
    fn put_aside(&mut self, cursors: &[u64], open: u64, bytes: usize, memory: &StateMemory) -> Result<bool> {
        let mut wanted = bytes.div_ceil(self.page_bytes());
        let before = self.resident.len();
        // What lies between a cursor and the next one, but for what the first of them needs soon.
        let ends = cursors[1..].iter().copied().chain([open]);
        let mut gaps: Vec<(u64, u64)> =
            cursors.iter().zip(ends).map(|(&cursor, end)| (cursor, end)).filter(|(from, to)| from < to).collect();
        while wanted > 0 {
            let last = |&(from, to): &(u64, u64)| {
                let page = self.resident.range(from..to).next_back().copied();
                page.filter(|page| page - from > PAGES_AHEAD).map(|page| (page - from, page))
            };
            let candidates = gaps.iter().enumerate().filter_map(|(gap, range)| Some((last(range)?, gap)));
            let Some(((_, page), gap)) = candidates.max() else { break };
            gaps[gap].1 = page;
            self.put_page_aside(page, memory)?;
            wanted -= 1;
        }
        Ok(self.resident.len() < before)
    }

    fn put_page_aside(&mut self, number: u64, memory: &StateMemory) -> Result<()> {
        if self.aside.file.is_none() {
            self.aside.file = memory.file();
        }
        let Some(file) = &self.aside.file else { return Ok(()) };
        self.pages[(number - self.page_of(self.first)) as usize].put_aside(file.as_ref())?;
        self.resident.remove(&number);
        Ok(())
    }

    fn fetch_ahead(&mut self, cursors: &[u64], open: u64) {
        let first = self.page_of(self.first);
        for &cursor in cursors {
            for page in cursor..open.min(cursor + 1 + PAGES_AHEAD) {
                if !self.resident.contains(&page) && self.fetched.insert(page) {
                    self.pages[(page - first) as usize].fetch();
                }
            }
        }
    }

    /// The rows as they are now; copies less than a page.
    pub fn snapshot(&self) -> LogSnapshot {
        LogSnapshot {
            pages: self.pages.iter().cloned().collect(),
            open: Arc::new(self.open.clone()),
            first: self.first,
            start: self.start,
        }
    }

    fn page_bytes(&self) -> usize {
        self.page_rows * self.shape.row_bytes()
    }

    /// The bytes that all pages take in memory, those among them that are on their way there.
    pub fn size(&self) -> usize {
        let pages = self.resident.len() + self.fetched.len();
        pages * self.page_bytes() + self.open.times.capacity() * self.shape.row_bytes()
    }

    /// The bytes of the pages that are put aside.
    pub fn spilled(&self) -> usize {
        (self.pages.len() - self.resident.len()) * self.page_bytes()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(memory) = &self.aside.memory {
            memory.count(self.counted.0, 0);
            memory.count_spilled(self.counted.1, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::SpillInMemory;
    use proptest::prelude::*;

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
        let mut log = log(10_000);
        for time in [-1, 0, 1, 1364, 1365, 1366, 3332] {
            assert_eq!(log.first_above(0, time).unwrap(), ((time + 1) * 3) as u64, "{time}");
        }
        assert_eq!(log.first_above(0, 3333).unwrap(), 10_000);
        assert_eq!(log.first_above(9_000, 10).unwrap(), 9_000);
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
            })
            .unwrap();
            assert_eq!(gone, to);
        }
        assert!(log.size() < full / 2);
        assert_eq!((log.start(), log.end()), (10_000, 10_000));
    }

    #[test]
    fn a_snapshot_stays_as_it_was() {
        let mut log = log(5_000);
        log.drop_before(4_500, |_, _, _| {}).unwrap();
        let snapshot = log.snapshot();
        log.append(&[9_000], &[1], &[vec![0]], &[vec![0]]);
        log.drop_before(5_001, |_, _, _| {}).unwrap();
        let mut seen = Vec::new();
        snapshot.for_each(0, 4_600, |page, row| seen.push(page.values[0][row] / 2)).unwrap();
        assert_eq!(seen, (4_500..4_600).collect::<Vec<u64>>());
    }

    /// A log of pages of four rows, of which none need stay in memory, and one that keeps all.
    fn twins(memory: &Arc<StateMemory>) -> (Log, Log) {
        let log = |memory: &Arc<StateMemory>| {
            let mut log = Log::new(Shape { values: 1, flags: 1 });
            log.share(memory);
            log
        };
        (log(memory), log(&StateMemory::with_pages_of(4, usize::MAX, Box::new(SpillInMemory))))
    }

    fn rows_of(snapshot: &LogSnapshot) -> Vec<(i64, u32, u64, u8)> {
        let mut rows = Vec::new();
        let row =
            |page: &Page, at: usize| rows.push((page.times[at], page.keys[at], page.values[0][at], page.flags[0][at]));
        snapshot.for_each(0, u64::MAX, row).unwrap();
        rows
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_log_whose_pages_are_put_aside_gives_what_one_in_memory_gives(
            steps in proptest::collection::vec((0usize..12, 0i64..9, 0u64..20, 0u64..9), 1..60),
            limit in 0usize..400,
        ) {
            let memory = StateMemory::with_pages_of(4, limit, Box::new(SpillInMemory));
            let (mut spilled, mut whole) = twins(&memory);
            let (mut cursors, mut time, mut frozen) = ([0u64; 2], 0i64, None);
            for (rows, pause, pass, drop) in steps {
                let times: Vec<i64> = (0..rows as i64).map(|row| time + row / 3).collect();
                time = times.last().map_or(time, |last| last + pause);
                let keys: Vec<u32> = (0..rows as u32).collect();
                let values = vec![times.iter().map(|&time| time as u64 * 5).collect()];
                for log in [&mut spilled, &mut whole] {
                    log.append(&times, &keys, &values, &[vec![1; rows]]);
                }
                spilled.fit(cursors.into_iter()).unwrap();
                for (cursor, by) in cursors.iter_mut().zip([pass, pass / 2]) {
                    let to = (*cursor + by).min(whole.end());
                    let mut passed = [Vec::new(), Vec::new()];
                    for (log, passed) in [&mut spilled, &mut whole].into_iter().zip(&mut passed) {
                        log.for_pieces(*cursor, to, |page, from, to| passed.extend_from_slice(&page.times[from..to])).unwrap();
                    }
                    prop_assert_eq!(&passed[0], &passed[1]);
                    *cursor = to;
                    prop_assert_eq!(spilled.first_above(to, time - 4).unwrap(), whole.first_above(to, time - 4).unwrap());
                }
                let to = (whole.start() + drop).min(cursors[1]);
                spilled.drop_before(to, |_, _, _| {}).unwrap();
                whole.drop_before(to, |_, _, _| {}).unwrap();
                prop_assert_eq!((spilled.start(), spilled.end()), (whole.start(), whole.end()));
                prop_assert_eq!(spilled.last_time(), whole.last_time());
                prop_assert_eq!(rows_of(&spilled.snapshot()), rows_of(&whole.snapshot()));
                if drop == 0 {
                    frozen = Some((spilled.snapshot(), rows_of(&whole.snapshot())));
                }
            }
            // What was frozen stays as it was, wherever its pages went since.
            if let Some((snapshot, rows)) = frozen {
                prop_assert_eq!(rows_of(&snapshot), rows);
            }
            drop(spilled);
            prop_assert_eq!((memory.used(), memory.spilled()), (0, 0));
        }
    }

    #[test]
    fn memory_stays_within_its_bound_but_for_what_cursors_need() {
        let memory = StateMemory::with_pages_of(4, 1_000, Box::new(SpillInMemory));
        let (mut log, _) = twins(&memory);
        let page = log.page_bytes();
        let mut most = 0;
        for time in 0..4_000 {
            log.append(&[time], &[0], &[vec![0]], &[vec![1]]);
            let cursors = [time as u64 / 2, time as u64 - time as u64 / 10];
            for cursor in cursors {
                log.for_pieces(cursor, cursor + 1, |_, _, _| {}).unwrap();
            }
            log.fit(cursors.into_iter()).unwrap();
            most = most.max(memory.used());
        }
        // Three cursors with what lies ahead of each, and the page that is open.
        assert!(most <= 1_000 + 10 * page, "{most} bytes in memory with a bound of 1000 and pages of {page}");
        assert!(memory.spilled() > 3_000 * page / 4 - 1_000, "{} bytes are put aside", memory.spilled());
    }
}
