//! `lag`: the value of the row so many rows before, per key in order of time.

use crate::columns;
use arrow::array::{ArrayRef, DynComparator, make_comparator};
use arrow::compute::{SortOptions, concat};
use arrow::datatypes::SchemaRef;
use dataflow::{Batch, Error, EventTime, Result, StateMemory, StateWriter};
use state::{Decoder, Encoder, Keys, Pieces, Table, TablePage, Values, ValuesSnapshot};
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// The last values of every key, and the columns that order rows of equal time.
#[derive(Debug)]
pub(super) struct Lag {
    argument: usize,
    order: Vec<usize>,
    offset: usize,
    values: Values,
    last: LastValues,
}

/// The last values of every key, with what each is. They grow with the rows that come, whatever the offset.
#[derive(Clone, Debug)]
enum LastValues {
    /// The value of the row before, by key: its bits, and what it is.
    One(Table<u64>),
    /// The values of so many rows before, oldest first, by key.
    Several { rings: Table<VecDeque<(u64, u8)>>, held: usize },
}

/// What an entry holds: no row yet, a NULL, or a value.
const NOTHING: u8 = 0;
const NULL: u8 = 1;
const VALUE: u8 = 2;

/// How many rows before it is needed an entry is asked for.
const AHEAD: usize = 16;

impl LastValues {
    /// The values of a key are needed soon.
    #[inline]
    fn prefetch(&self, key: u32) {
        match self {
            LastValues::One(values) => values.prefetch(key),
            LastValues::Several { rings, .. } => rings.prefetch(key),
        }
    }
}

impl Lag {
    /// Shares a memory with other state; called before anything else.
    pub(super) fn spill_to(&mut self, memory: &Arc<StateMemory>) {
        match &mut self.last {
            LastValues::One(values) => values.spill_to(memory),
            LastValues::Several { rings, .. } => rings.spill_to(memory),
        }
    }

    /// What can be put aside.
    pub(super) fn pieces(&mut self) -> &mut dyn Pieces {
        match &mut self.last {
            LastValues::One(values) => values,
            LastValues::Several { rings, .. } => rings,
        }
    }

    /// The bytes on disk alone.
    pub(super) fn spilled(&self) -> usize {
        match &self.last {
            LastValues::One(values) => values.spilled(),
            LastValues::Several { rings, .. } => rings.spilled(),
        }
    }

    fn load(&mut self, keys: &[u32]) -> Result<()> {
        match &mut self.last {
            LastValues::One(values) => values.load(keys.iter().copied()),
            LastValues::Several { rings, .. } => rings.load(keys.iter().copied()),
        }
    }

    pub(super) fn new(input: &SchemaRef, argument: usize, offset: usize, order: Vec<usize>) -> Result<Lag> {
        let field = columns::field(input, argument, "an argument")?;
        let values = Values::new(field.data_type())?;
        let last = match offset {
            1 => LastValues::One(Table::new(2, 0)),
            _ => LastValues::Several { rings: Table::new(1, VecDeque::new()), held: 0 },
        };
        Ok(Lag { argument, order, offset, values, last })
    }

    /// The values for rows in order of time, no moment of which is cut, and remembers the rows.
    pub(super) fn compute(&mut self, batches: &[Batch], times: &[i64], keys: &[u32]) -> Result<ArrayRef> {
        self.load(keys)?;
        let (mut bits, mut there) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
        for batch in batches {
            self.values.encode(batch.column(self.argument), &mut bits, &mut there)?;
        }
        let sequence = self.sequence(batches, times, keys)?;
        let (mut out, mut out_there) = (vec![0; keys.len()], vec![0; keys.len()]);
        let mut gone = Vec::new();
        let is_interned = self.values.is_interned();
        let mut step = |row: usize| {
            if let Some(&soon) = keys.get(row + AHEAD) {
                self.last.prefetch(soon);
            }
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

    /// The sequence of rows where it is not the one in which they come: rows of one moment and key by the order columns.
    fn sequence(&self, batches: &[Batch], times: &[i64], keys: &[u32]) -> Result<Option<Vec<usize>>> {
        if self.order.is_empty() {
            return Ok(None);
        }
        let tied = tied_moments(times, keys);
        if tied.is_empty() {
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
        for moment in tied {
            sequence[moment].sort_by(|&left, &right| {
                let ties = || comparators.iter().map(|compare| compare(left, right)).find(|order| order.is_ne());
                keys[left].cmp(&keys[right]).then_with(|| ties().unwrap_or(Ordering::Equal))
            });
        }
        Ok(Some(sequence))
    }

    /// Puts a value in and gives the one that it pushes out.
    #[inline]
    fn swap(&mut self, key: u32, value: u64, kind: u8) -> (u64, u8) {
        match &mut self.last {
            LastValues::One(values) => {
                let row = values.row_mut(key);
                let before = (row[0], row[1] as u8);
                row.copy_from_slice(&[value, u64::from(kind)]);
                before
            }
            LastValues::Several { rings, held } => {
                let ring = &mut rings.row_mut(key)[0];
                ring.push_back((value, kind));
                *held += 1;
                if ring.len() <= self.offset {
                    return (0, NOTHING);
                }
                *held -= 1;
                ring.pop_front().unwrap_or((0, NOTHING))
            }
        }
    }

    pub(super) fn is_interned(&self) -> bool {
        self.values.is_interned()
    }

    pub(super) fn size(&self) -> usize {
        let last = match &self.last {
            LastValues::One(values) => values.size(),
            LastValues::Several { rings, held } => rings.size() + held * size_of::<(u64, u8)>() - rings.heap_aside(),
        };
        last + self.values.size()
    }

    pub(super) fn freeze(&mut self) -> FrozenLag {
        match &mut self.last {
            LastValues::One(values) => values.share(),
            LastValues::Several { rings, .. } => rings.share(),
        }
        FrozenLag { last: self.last.clone(), values: self.values.snapshot() }
    }
}

/// The moments in which a key has more than one row; others need no order.
fn tied_moments(times: &[i64], keys: &[u32]) -> Vec<Range<usize>> {
    let (mut tied, mut sorted, mut from) = (Vec::new(), Vec::new(), 0);
    for moment in times.chunk_by(|left, right| left == right) {
        let rows = from..from + moment.len();
        from = rows.end;
        if moment.len() > 1 {
            sorted.clear();
            sorted.extend_from_slice(&keys[rows.clone()]);
            sorted.sort_unstable();
            if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
                tied.push(rows);
            }
        }
    }
    tied
}

/// The last values of every key as they were.
pub(super) struct FrozenLag {
    last: LastValues,
    values: ValuesSnapshot,
}

impl FrozenLag {
    /// Writes the values of each key, oldest first, as entries of the function `index`.
    pub(super) fn put(
        &self,
        keys: &Keys,
        page: TablePage,
        index: u32,
        watermark: EventTime,
        out: &mut dyn StateWriter,
    ) -> Result<()> {
        match &self.last {
            LastValues::One(values) => {
                let record = |row: &[u64], out: &mut Encoder| {
                    self.put_key(out, index, &[(row[0], row[1] as u8)]);
                    row[1] != u64::from(NOTHING)
                };
                values.put(keys, page, watermark, &record, out)
            }
            LastValues::Several { rings, .. } => {
                let record = |row: &[VecDeque<(u64, u8)>], out: &mut Encoder| {
                    let values: Vec<(u64, u8)> = row[0].iter().copied().collect();
                    self.put_key(out, index, &values);
                    !values.is_empty()
                };
                rings.put(keys, page, watermark, &record, out)
            }
        }
    }

    fn put_key(&self, record: &mut Encoder, index: u32, values: &[(u64, u8)]) {
        record.u32(index);
        record.u32(values.len() as u32);
        for &(bits, seen) in values {
            record.u8(seen);
            if seen == VALUE {
                self.values.put(bits, record);
            }
        }
    }
}

/// Reads the values of a key after its number.
pub(super) fn restore(lags: &mut [Lag], key: u32, blob: &mut Decoder) -> Result<()> {
    let (index, count) = (blob.u32()? as usize, lags.len());
    let lag = lags.get_mut(index).ok_or_else(|| no_lag(index, count))?;
    restore_values(lag, key, blob)
}

/// The same where the stored functions are others: of each the place of the one that takes its values, and whether these are
/// interned.
pub(super) fn restore_mapped(
    lags: &mut [Lag],
    key: u32,
    blob: &mut Decoder,
    map: &[(Option<usize>, bool)],
) -> Result<()> {
    let index = blob.u32()? as usize;
    let (place, is_interned) = map.get(index).ok_or_else(|| no_lag(index, map.len()))?;
    if let Some(lag) = place.and_then(|place| lags.get_mut(place)) {
        return restore_values(lag, key, blob);
    }
    for _ in 0..blob.u32()? {
        match (blob.u8()?, is_interned) {
            (VALUE, true) => drop(blob.sized()?),
            (VALUE, false) => drop(blob.u64()?),
            _ => {}
        }
    }
    Ok(())
}

fn no_lag(index: usize, count: usize) -> Error {
    Error::corrupt(format!("a record in the state of a window is of lag {index}, but there are {count}"))
}

fn restore_values(lag: &mut Lag, key: u32, blob: &mut Decoder) -> Result<()> {
    let count = blob.u32()? as usize;
    if count > lag.offset {
        return Err(Error::corrupt(format!(
            "state of lag has {count} values of a key, expected at most {}",
            lag.offset
        )));
    }
    lag.load(&[key])?;
    for _ in 0..count {
        let seen = blob.u8()?;
        let bits = match seen {
            VALUE => lag.values.get(blob)?,
            NULL => 0,
            other => return Err(Error::corrupt(format!("a value of lag in state has the unknown mark {other}"))),
        };
        lag.swap(key, bits, seen);
    }
    Ok(())
}
