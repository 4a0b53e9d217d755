//! Rows of a stored log that has other columns than the one that takes them up.

use super::cells::LogColumns;
use super::{Column, Sweep, frozen};
use crate::restored_rows::RestoredRows;
use dataflow::{Error, KeyGroups, Result, Span};
use state::{BlobKeys, Decoder, Page, Shape, StoredPage};

/// Which columns of a stored log those of the log are.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogMap {
    /// Per column of values of the log the stored one; nothing where it is not stored.
    pub(crate) values: Vec<Option<usize>>,
    /// The same of flags.
    pub(crate) flags: Vec<Option<usize>>,
    /// Per stored column of values whether values are interned, and the stored flag that says where they are.
    pub(crate) stored: Vec<(bool, usize)>,
    /// How many columns of flags are stored.
    pub(crate) stored_flags: usize,
}

/// What stands for values of which only is stored that they are there; no frame that needs them reaches these rows.
fn unknown(column: &mut Column, there: &[u8]) -> Result<Vec<u64>> {
    if !column.values.is_interned() {
        return Ok(vec![0; there.len()]);
    }
    // Each row that says that a value is there lets go of one when it leaves.
    there.iter().map(|&there| if there == 0 { Ok(0) } else { column.values.intern(&[]) }).collect()
}

impl Sweep {
    /// The columns of values of the log, each with its input column, whether values are interned, and its flag; and the
    /// columns of flags, each with the argument and the filter of which it tells.
    pub(crate) fn log_columns(
        &self,
    ) -> (impl Iterator<Item = (usize, bool, usize)>, impl Iterator<Item = (Option<usize>, Option<usize>)>) {
        let columns = self.columns.iter().map(|column| (column.input, column.values.is_interned(), column.there));
        (columns, self.flags.iter().map(|flag| (flag.argument, flag.filter)))
    }

    /// How far before a row that asks each column of values, and each of flags, is needed.
    pub(crate) fn column_reaches(&self) -> (Vec<Span>, Vec<Span>) {
        let (mut values, mut flags) = (vec![Span(0); self.columns.len()], vec![Span(0); self.flags.len()]);
        for accumulator in &self.accumulators {
            let limit = self.bounds[self.frames[accumulator.frame].leave].limit;
            let reaches = Span(limit.saturating_add(1).saturating_neg());
            let LogColumns { value, flag } = accumulator.columns;
            let of_value = value.map(|column| self.columns[column].there);
            value.iter().for_each(|&column| values[column] = values[column].max(reaches));
            flag.iter().chain(&of_value).for_each(|&column| flags[column] = flags[column].max(reaches));
        }
        (values, flags)
    }

    /// How many columns the log has.
    pub(crate) fn shape(&self) -> Shape {
        Shape { values: self.columns.len(), flags: self.flags.len() }
    }

    /// How far before a row that asks the rows lie that the log keeps; nothing where nothing is computed.
    pub(crate) fn reaches(&self) -> Option<Span> {
        let limits = self.frames.iter().map(|frame| self.bounds[frame.leave].limit.saturating_add(1));
        limits.min().map(|from| Span(from.saturating_neg()))
    }

    /// A place for rows of a stored log.
    pub(crate) fn restored_rows(&self) -> RestoredRows {
        RestoredRows::new(self.shape())
    }

    /// Takes up the rows of a stored page, columns that are not stored as if nothing was there.
    pub(crate) fn take_page(
        &mut self,
        page: &StoredPage,
        first: u32,
        map: &LogMap,
        into: &mut RestoredRows,
    ) -> Result<()> {
        if (page.values.len(), page.flags.len()) != (map.stored.len(), map.stored_flags) {
            return Err(Error::corrupt(format!(
                "a page of state has {} columns of values and {} of flags, expected {} and {}",
                page.values.len(),
                page.flags.len(),
                map.stored.len(),
                map.stored_flags
            )));
        }
        let (mut taken, rows) = frozen::take_keys(page, first, KeyGroups::ALL, &mut self.keys)?;
        let flag = |stored: &Option<usize>| match stored {
            Some(stored) => rows.iter().map(|&row| page.flags[*stored][row]).collect(),
            None => vec![0; rows.len()],
        };
        taken.flags = map.flags.iter().map(flag).collect();
        for (column, stored) in self.columns.iter_mut().zip(&map.values) {
            taken.values.push(match *stored {
                Some(at) => {
                    let there = page.flags[map.stored[at].1];
                    frozen::take_values(&mut column.values, &page.values[at], there, &rows)?
                }
                None => unknown(column, &taken.flags[column.there])?,
            });
        }
        into.add(&taken)
    }

    /// Takes up a row of a stored record in the same way.
    pub(crate) fn take_record(
        &mut self,
        keys: &BlobKeys,
        blob: &mut Decoder,
        map: &LogMap,
        into: &mut RestoredRows,
    ) -> Result<()> {
        let rows = &mut into.records;
        rows.keys.push(self.keys.intern_canonical(keys.get(blob)?)?);
        rows.times.push(blob.i64()?);
        let stored_flags = (0..map.stored_flags).map(|_| blob.u8()).collect::<Result<Vec<u8>>>()?;
        for (flags, stored) in rows.flags.iter_mut().zip(&map.flags) {
            flags.push(stored.map_or(0, |stored| stored_flags[stored]));
        }
        rows.values.iter_mut().for_each(|bits| bits.push(0));
        for (at, (is_interned, there)) in map.stored.iter().enumerate() {
            if stored_flags[*there] == 0 {
                continue;
            }
            let mut columns = self.columns.iter_mut().zip(&mut rows.values).zip(&map.values);
            match columns.find(|(_, stored)| **stored == Some(at)) {
                Some(((column, bits), _)) => {
                    let value = column.values.get(blob)?;
                    bits.iter_mut().last().into_iter().for_each(|last| *last = value);
                }
                None if *is_interned => drop(blob.sized()?),
                None => drop(blob.u64()?),
            }
        }
        let columns = self.columns.iter_mut().zip(&mut rows.values).zip(&map.values);
        for ((column, bits), _) in columns.filter(|(_, stored)| stored.is_none()) {
            let there = rows.flags[column.there].last().copied();
            if let Some(last) = bits.last_mut() {
                *last = unknown(column, &[there.unwrap_or(0)])?[0];
            }
        }
        Ok(())
    }

    /// Lets go of what rows refer to that are not taken up after all.
    pub(crate) fn release_rows(&mut self, rows: &Page) -> Result<()> {
        self.keys.release_all(&rows.keys)?;
        for (at, Column { values, there, .. }) in self.columns.iter_mut().enumerate() {
            if values.is_interned() {
                let held = rows.values[at].iter().zip(&rows.flags[*there]).filter(|(_, there)| **there != 0);
                held.for_each(|(&bits, _)| values.release(bits));
            }
        }
        Ok(())
    }

    /// Appends rows that were taken up, in order of time after all rows before.
    pub(crate) fn append_taken(&mut self, rows: &Page) -> Result<()> {
        self.log.append(&rows.times, &rows.keys, &rows.values, &rows.flags);
        self.fit(u64::MAX, &mut [])
    }
}
