//! The rows of a sweep as they were at a barrier, and how they are taken up again.

use dataflow::{Error, EventTime, KeyGroups, Result, StateWriter};
use state::{GroupBlobs, KeyIndex, Keys, LogSnapshot, NO_KEY, Page, PageCodec, StoredColumn, StoredPage, Values};

/// The rows of a sweep as they were.
pub(crate) struct FrozenSweep {
    pub(super) log: LogSnapshot,
    pub(super) end: u64,
    pub(super) codec: PageCodec,
}

impl FrozenSweep {
    /// The keys of its rows.
    pub(crate) fn keys(&self) -> &Keys {
        &self.codec.keys
    }

    /// Writes full pages as pieces of their own, and every other row as a record with the sweep's tag.
    pub(crate) fn put(&self, blobs: &mut GroupBlobs, watermark: EventTime, out: &mut dyn StateWriter) -> Result<()> {
        let codec = &self.codec;
        let from = self.log.put_pages(self.end, codec, watermark, out)?;
        self.log.try_for_each(from, self.end, |page, row| {
            let record = blobs.record(codec.tag, &codec.keys, page.keys[row])?;
            record.i64(page.times[row]);
            page.flags.iter().for_each(|flags| record.u8(flags[row]));
            for (index, (values, there)) in codec.columns.iter().enumerate() {
                if page.flags[*there][row] != 0 {
                    values.put(page.values[index][row], record);
                }
            }
            Ok(())
        })
    }
}

/// Takes up the rows of a page that lie at or after `first` in it, as far as their keys are of the groups held. The columns
/// are those of the log, each with the flag that says where it has a value.
pub(super) fn stage_page(
    page: &StoredPage,
    first: u32,
    held: KeyGroups,
    keys: &mut KeyIndex,
    columns: Vec<(&mut Values, usize)>,
    flags: usize,
) -> Result<Page> {
    if (page.values.len(), page.flags.len()) != (columns.len(), flags) {
        return Err(Error::corrupt(format!(
            "a page of state has {} columns of values and {} of flags, expected {} and {}",
            page.values.len(),
            page.flags.len(),
            columns.len(),
            flags
        )));
    }
    let (mut taken, rows) = take_keys(page, first, held, keys)?;
    taken.flags = page.flags.iter().map(|stored| rows.iter().map(|&row| stored[row]).collect()).collect();
    for ((values, there), stored) in columns.into_iter().zip(&page.values) {
        taken.values.push(take_values(values, stored, page.flags[there], &rows)?);
    }
    Ok(taken)
}

/// Keys and times of the rows that are held, with one reference each, and the places of these rows.
pub(super) fn take_keys(
    page: &StoredPage,
    first: u32,
    held: KeyGroups,
    index: &mut KeyIndex,
) -> Result<(Page, Vec<usize>)> {
    let (mut known, mut taken, mut rows) = (Interned::new(page.keys.len()), Page::default(), Vec::new());
    for row in first.saturating_sub(page.first) as usize..page.times.len() {
        let number = page.key_numbers[row];
        if !held.contains(page.group(number)) {
            continue;
        }
        let id = match known.known(number) {
            Some(id) => {
                index.retain(id as u32);
                id as u32
            }
            None => index.intern_canonical(page.keys[number as usize])?,
        };
        if id == NO_KEY {
            return Err(Error::corrupt("a row of a page of state has a key that is in no frame"));
        }
        known.set(number, u64::from(id));
        taken.keys.push(id);
        taken.times.push(page.times[row]);
        rows.push(row);
    }
    match taken.times.is_sorted() {
        true => Ok((taken, rows)),
        false => Err(Error::corrupt("the rows of a page of state are not in order of time")),
    }
}

/// The bits of some rows of a column, 0 where there is no value, with one reference each.
pub(super) fn take_values(
    values: &mut Values,
    stored: &StoredColumn,
    there: &[u8],
    rows: &[usize],
) -> Result<Vec<u64>> {
    let (dictionary, numbers) = match stored {
        StoredColumn::Bits(_) if values.is_interned() => {
            return Err(Error::corrupt("a column of interned values has bare numbers in a page of state"));
        }
        StoredColumn::Bits(stored) => {
            return Ok(rows.iter().map(|&row| if there[row] != 0 { stored[row] } else { 0 }).collect());
        }
        StoredColumn::Interned(dictionary, numbers) => (dictionary, numbers),
    };
    let mut known = Interned::new(dictionary.len());
    let mut bits = Vec::with_capacity(rows.len());
    for &row in rows {
        bits.push(match numbers[row] {
            Some(number) if there[row] != 0 => {
                let value = match known.known(number) {
                    Some(value) => {
                        values.retain(value);
                        value
                    }
                    None => values.intern(dictionary[number as usize])?,
                };
                known.set(number, value);
                value
            }
            None if there[row] == 0 => 0,
            _ => return Err(Error::corrupt("a row of a page of state lacks a value that is there")),
        });
    }
    Ok(bits)
}

/// What the entries of a dictionary are called here, as far as they were needed.
struct Interned(Vec<Option<u64>>);

impl Interned {
    fn new(entries: usize) -> Interned {
        Interned(vec![None; entries])
    }

    fn known(&self, number: u32) -> Option<u64> {
        self.0[number as usize]
    }

    fn set(&mut self, number: u32, bits: u64) {
        self.0[number as usize] = Some(bits);
    }
}
