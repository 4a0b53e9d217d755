//! Rows of a log that come from several blobs, until all have been read.

use dataflow::{Result, StateMemory};
use state::{Log, Page, Shape};
use std::sync::Arc;

/// Rows of stored state, to be put in order of time when all of it has been read. Rows of one key come in their order.
///
/// Rows of pages come in order of time, and are put aside where memory is short; those of records come in any order.
#[derive(Debug, Default)]
pub(crate) struct RestoredRows {
    shape: Shape,
    memory: Option<Arc<StateMemory>>,
    // The rows of pages, each in order of time.
    runs: Vec<Log>,
    /// Rows of records.
    pub(crate) records: Page,
}

impl RestoredRows {
    pub(crate) fn new(shape: Shape) -> RestoredRows {
        RestoredRows { shape, records: empty(shape), ..RestoredRows::default() }
    }

    /// Shares a memory with other logs.
    pub(crate) fn share(&mut self, memory: &Arc<StateMemory>) {
        self.memory.get_or_insert_with(|| memory.clone());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.records.times.is_empty()
    }

    /// Takes rows of a stored page.
    pub(crate) fn add(&mut self, page: &Page) -> Result<()> {
        let Some(first) = page.times.first() else { return Ok(()) };
        if self.runs.last().is_none_or(|run| run.last_time().is_some_and(|last| last > *first)) {
            self.runs.push(self.new_log());
        }
        if let Some(run) = self.runs.last_mut() {
            run.append_piece(page, 0, page.times.len());
            run.fit(std::iter::empty())?;
        }
        Ok(())
    }

    fn new_log(&self) -> Log {
        let mut log = Log::new(self.shape);
        if let Some(memory) = &self.memory {
            log.share(memory);
        }
        log
    }

    /// Makes a log of the rows, in order of time, in place of one without rows, and forgets them.
    pub(crate) fn append_to(&mut self, log: &mut Log) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        if !self.records.times.is_empty() {
            let records = std::mem::replace(&mut self.records, empty(self.shape));
            let mut run = self.new_log();
            append_sorted(records, &mut run);
            self.runs.push(run);
        }
        let mut runs = std::mem::take(&mut self.runs);
        match (runs.pop(), runs.is_empty() && log.end() == 0) {
            (Some(only), true) => *log = only,
            (Some(last), false) => {
                runs.push(last);
                merge(runs, log)?;
            }
            (None, _) => {}
        }
        Ok(())
    }
}

fn empty(shape: Shape) -> Page {
    Page { values: vec![Vec::new(); shape.values], flags: vec![Vec::new(); shape.flags], ..Page::default() }
}

fn append_sorted(rows: Page, log: &mut Log) {
    let mut order: Vec<u32> = (0..rows.times.len() as u32).collect();
    order.sort_by_key(|&row| rows.times[row as usize]);
    let values: Vec<_> = rows.values.iter().map(|column| pick(column, &order)).collect();
    let flags: Vec<_> = rows.flags.iter().map(|column| pick(column, &order)).collect();
    log.append(&pick(&rows.times, &order), &pick(&rows.keys, &order), &values, &flags);
}

fn pick<T: Copy>(column: &[T], order: &[u32]) -> Vec<T> {
    order.iter().map(|&row| column[row as usize]).collect()
}

/// Appends the rows of all runs in order of time; of equal times, those of earlier runs come first.
fn merge(mut runs: Vec<Log>, log: &mut Log) -> Result<()> {
    loop {
        let mut heads = Vec::with_capacity(runs.len());
        for (at, run) in runs.iter_mut().enumerate() {
            heads.extend(first_time(run)?.map(|time| (time, at)));
        }
        heads.sort_unstable();
        let Some(&(_, least)) = heads.first() else { return Ok(()) };
        let run = &mut runs[least];
        let end = match heads.get(1) {
            Some(&(time, other)) => run.first_above(run.start(), if least < other { time } else { time - 1 })?,
            None => run.end(),
        };
        take(run, end, log)?;
    }
}

/// The time of the first row of a run that is left.
fn first_time(run: &mut Log) -> Result<Option<i64>> {
    let (start, mut first) = (run.start(), None);
    run.for_pieces(start, run.end().min(start + 1), |page, row, _| first = Some(page.times[row]))?;
    Ok(first)
}

/// Moves the rows of a run before one to the end of a log, so few at a time that none of them fills memory.
fn take(run: &mut Log, end: u64, log: &mut Log) -> Result<()> {
    while run.start() < end {
        let to = end.min(run.start() + ROWS_AT_ONCE);
        run.drop_before(to, |page, from, to| log.append_piece(page, from, to))?;
        log.fit(std::iter::empty())?;
        run.fit(std::iter::empty())?;
    }
    Ok(())
}

/// How many rows are moved before it is looked whether memory is short.
const ROWS_AT_ONCE: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::SpillInMemory;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rows_come_in_order_of_time_and_of_pages_whether_there_is_memory_or_not(
            pages in proptest::collection::vec(proptest::collection::vec(0i64..30, 0..9), 0..12),
            records in proptest::collection::vec(0i64..30, 0..9),
            limit in prop_oneof![Just(0usize), Just(usize::MAX)],
        ) {
            let memory = StateMemory::with_pages_of(3, limit, Box::new(SpillInMemory));
            let mut restored = RestoredRows::new(Shape::default());
            restored.share(&memory);
            let (mut wanted, mut key) = (Vec::new(), 0);
            for mut times in pages {
                times.sort_unstable();
                let keys: Vec<u32> = (key..).take(times.len()).collect();
                key += times.len() as u32;
                wanted.extend(times.iter().copied().zip(keys.iter().copied()));
                restored.add(&Page { times, keys, ..Page::default() }).unwrap();
            }
            for time in records {
                restored.records.times.push(time);
                restored.records.keys.push(key);
                wanted.push((time, key));
                key += 1;
            }
            wanted.sort_by_key(|(time, _)| *time);
            let mut log = Log::new(Shape::default());
            log.share(&memory);
            restored.append_to(&mut log).unwrap();
            prop_assert!(restored.is_empty());
            let mut found = Vec::new();
            let end = log.end();
            log.for_pieces(0, end, |page, from, to| {
                found.extend((from..to).map(|row| (page.times[row], page.keys[row])));
            })
            .unwrap();
            prop_assert_eq!(found, wanted);
        }
    }
}
