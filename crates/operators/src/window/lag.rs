//! `lag`: the value of the row so many rows before, per key in order of time.

use crate::columns;
use arrow::array::{ArrayRef, DynComparator, make_comparator};
use arrow::compute::{SortOptions, concat};
use arrow::datatypes::SchemaRef;
use dataflow::{Batch, Error, Result};
use state::{Decoder, GroupBlobs, Keys, Values, ValuesSnapshot};
use std::cmp::Ordering;

/// The last values of every key, and the columns that order rows of equal time.
#[derive(Debug)]
pub(super) struct Lag {
    argument: usize,
    order: Vec<usize>,
    offset: usize,
    values: Values,
    // Per key `offset` entries, of which the one at `heads` is the oldest.
    bits: Vec<u64>,
    seen: Vec<u8>,
    heads: Vec<u32>,
}

/// What an entry holds: no row yet, a NULL, or a value.
const NOTHING: u8 = 0;
const NULL: u8 = 1;
const VALUE: u8 = 2;

impl Lag {
    pub(super) fn new(input: &SchemaRef, argument: usize, offset: usize, order: Vec<usize>) -> Result<Lag> {
        let field = columns::field(input, argument, "an argument")?;
        let values = Values::new(field.data_type())?;
        Ok(Lag { argument, order, offset, values, bits: Vec::new(), seen: Vec::new(), heads: Vec::new() })
    }

    /// The values for rows in order of time, no moment of which is cut, and remembers the rows.
    pub(super) fn compute(&mut self, batches: &[Batch], times: &[i64], keys: &[u32]) -> Result<ArrayRef> {
        let (mut bits, mut there) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
        for batch in batches {
            self.values.encode(batch.column(self.argument), &mut bits, &mut there)?;
        }
        self.grow(keys);
        let sequence = self.sequence(batches, times, keys)?;
        let (mut out, mut out_there) = (vec![0; keys.len()], vec![0; keys.len()]);
        let mut gone = Vec::new();
        let is_interned = self.values.is_interned();
        let mut step = |row: usize| {
            let (old, seen) = self.swap(keys[row], bits[row], if there[row] != 0 { VALUE } else { NULL });
            if seen == VALUE {
                (out[row], out_there[row]) = (old, 1);
                if is_interned {
                    gone.push(old);
                }
            }
        };
        match sequence {
            None => (0..keys.len()).for_each(&mut step),
            Some(sequence) => sequence.into_iter().for_each(&mut step),
        }
        let column = self.values.decode(&out, &out_there);
        gone.into_iter().for_each(|bits| self.values.release(bits));
        column
    }

    /// The sequence of rows where it is not the one in which they come: rows of equal time by the order columns.
    fn sequence(&self, batches: &[Batch], times: &[i64], keys: &[u32]) -> Result<Option<Vec<usize>>> {
        let has_ties = times.windows(2).any(|pair| pair[0] == pair[1]);
        if self.order.is_empty() || !has_ties {
            return Ok(None);
        }
        let options = SortOptions { descending: false, nulls_first: false };
        let mut comparators: Vec<DynComparator> = Vec::with_capacity(self.order.len());
        for &column in &self.order {
            let pieces: Vec<_> = batches.iter().map(|batch| batch.column(column).as_ref()).collect();
            let whole = concat(&pieces)?;
            comparators.push(make_comparator(&whole, &whole, options)?);
        }
        let mut sequence: Vec<usize> = (0..times.len()).collect();
        sequence.sort_by(|&left, &right| {
            let ties = || comparators.iter().map(|compare| compare(left, right)).find(|order| order.is_ne());
            let by_time = times[left].cmp(&times[right]);
            by_time.then_with(|| keys[left].cmp(&keys[right])).then_with(|| ties().unwrap_or(Ordering::Equal))
        });
        Ok(Some(sequence))
    }

    /// Puts a value in and gives the one that it pushes out.
    #[inline]
    fn swap(&mut self, key: u32, bits: u64, seen: u8) -> (u64, u8) {
        let key = key as usize;
        let head = match self.offset {
            1 => 0,
            _ => {
                let head = self.heads[key];
                self.heads[key] = (head + 1) % self.offset as u32;
                head as usize
            }
        };
        let at = key * self.offset + head;
        (std::mem::replace(&mut self.bits[at], bits), std::mem::replace(&mut self.seen[at], seen))
    }

    fn grow(&mut self, keys: &[u32]) {
        let ids = keys.iter().max().map_or(0, |&key| key as usize + 1);
        if self.seen.len() < ids * self.offset {
            self.bits.resize(ids * self.offset, 0);
            self.seen.resize(ids * self.offset, NOTHING);
            if self.offset > 1 {
                self.heads.resize(ids, 0);
            }
        }
    }

    pub(super) fn size(&self) -> usize {
        self.bits.capacity() * 8 + self.seen.capacity() + self.heads.capacity() * 4 + self.values.size()
    }

    pub(super) fn freeze(&self) -> FrozenLag {
        FrozenLag {
            offset: self.offset,
            bits: self.bits.clone(),
            seen: self.seen.clone(),
            heads: self.heads.clone(),
            values: self.values.snapshot(),
        }
    }
}

/// The last values of every key as they were.
pub(super) struct FrozenLag {
    offset: usize,
    bits: Vec<u64>,
    seen: Vec<u8>,
    heads: Vec<u32>,
    values: ValuesSnapshot,
}

impl FrozenLag {
    /// Writes the values of each key, oldest first, as records of the function `index`.
    pub(super) fn put(&self, blobs: &mut GroupBlobs, tag: u8, keys: &Keys, index: u32) {
        for (key, seen) in self.seen.chunks(self.offset).enumerate() {
            let head = self.heads.get(key).copied().unwrap_or(0) as usize;
            if seen.iter().all(|&seen| seen == NOTHING) {
                continue;
            }
            let record = blobs.record(tag, keys, key as u32);
            record.u32(index);
            for slot in (0..self.offset).map(|slot| (head + slot) % self.offset) {
                record.u8(seen[slot]);
                if seen[slot] == VALUE {
                    self.values.put(self.bits[key * self.offset + slot], record);
                }
            }
        }
    }
}

/// Reads the values of a key behind its number.
pub(super) fn restore(lags: &mut [Lag], key: u32, blob: &mut Decoder) -> Result<()> {
    let (index, count) = (blob.u32()? as usize, lags.len());
    let lag = lags.get_mut(index).ok_or_else(|| {
        Error::corrupt(format!("a record in the state of a window is of lag {index}, but there are {count}"))
    })?;
    lag.grow(&[key]);
    for _ in 0..lag.offset {
        let seen = blob.u8()?;
        let bits = match seen {
            VALUE => lag.values.get(blob)?,
            NOTHING | NULL => 0,
            other => return Err(Error::corrupt(format!("a value of lag in state has the unknown mark {other}"))),
        };
        lag.swap(key, bits, seen);
    }
    Ok(())
}
