//! The stored form of a full page of a log. It means something alone: its keys and interned values are in dictionaries of
//! its own, in the order of first appearance.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | magic `RRPG` |
//! | 2 | format version, 1 |
//! | 8 | fingerprint of the operator |
//! | 1 | which of its logs |
//! | 4, 4 | the first row of the page that is here, and how many there are |
//! | .. | keys: how many, and each with its length; then the number of each row's key |
//! | .. | times |
//! | .. | how many columns of flags there are, and each |
//! | .. | how many columns of values there are, and each: 0 and its bits; or 1, a dictionary as that of keys, and numbers |
//! | 4 | crc32c of everything before |
//!
//! Numbers are little endian.

use crate::{Decoder, Encoder, Keys, LogSnapshot, Page, ValuesSnapshot};
use dataflow::{Error, EventTime, KeyGroup, KeyGroups, PageAt, Result, StateWriter, key_group};
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// What a page of a log begins with.
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"RRPG");
const VERSION: u16 = 1;
const CHECKSUM: usize = 4;
/// The bits of the column are stored as they are.
const BITS: u8 = 0;
/// The bits of the column are numbers in a dictionary.
const INTERNED: u8 = 1;
/// The number of a value that is not there.
const NOT_THERE: u32 = u32::MAX;

/// What is needed to write the pages of a log later.
#[derive(Debug)]
pub struct PageCodec {
    /// The keys of its rows.
    pub keys: Keys,
    /// Its columns of values, and the flag that says where each is there.
    pub columns: Vec<(ValuesSnapshot, usize)>,
    /// Which log of the operator it is.
    pub tag: u8,
    /// The fingerprint of the operator.
    pub fingerprint: u64,
}

/// Numbers of things in the order of first appearance.
#[derive(Default)]
struct Numbers {
    by_id: HashMap<u32, u32>,
    ids: Vec<u32>,
}

impl Numbers {
    fn of(&mut self, id: u32) -> u32 {
        *self.by_id.entry(id).or_insert_with(|| {
            self.ids.push(id);
            self.ids.len() as u32 - 1
        })
    }
}

impl LogSnapshot {
    /// Writes the full pages of rows below `end`, and gives the number of the first row after them.
    pub fn put_pages(
        &self,
        end: u64,
        codec: &PageCodec,
        watermark: EventTime,
        out: &mut dyn StateWriter,
    ) -> Result<u64> {
        let mut next = self.first;
        for page in &self.pages {
            let first = self.start.saturating_sub(next) as u32;
            if next + page.rows() as u64 > end {
                break;
            }
            next += page.rows() as u64;
            if (first as usize) < page.rows() {
                let at = PageAt { number: page.number, first, watermark };
                out.put_page(&at, &|| encode(&*page.look()?, first as usize, codec))?;
            }
        }
        Ok(next)
    }
}

/// The stored form of the rows of a page from one on, and the groups between which their keys lie.
fn encode(page: &Page, first: usize, codec: &PageCodec) -> Result<(KeyGroups, Vec<u8>)> {
    let rows = page.times.len() - first;
    let mut out = Encoder::default();
    out.u32(MAGIC);
    VERSION.to_le_bytes().into_iter().for_each(|byte| out.u8(byte));
    out.u64(codec.fingerprint);
    out.u8(codec.tag);
    out.u32(first as u32);
    out.u32(rows as u32);
    let mut keys = Numbers::default();
    let numbers: Vec<u32> = page.keys[first..].iter().map(|&id| keys.of(id)).collect();
    let dictionary = codec.keys.bytes_of(&keys.ids)?;
    let groups: Vec<u16> = dictionary.iter().map(|key| key_group(xxh3_64(key)).0).collect();
    put_dictionary(&mut out, dictionary.into_iter());
    numbers.into_iter().for_each(|number| out.u32(number));
    page.times[first..].iter().for_each(|&time| out.i64(time));
    out.u32(page.flags.len() as u32);
    page.flags.iter().for_each(|flags| flags[first..].iter().for_each(|&flag| out.u8(flag)));
    out.u32(page.values.len() as u32);
    for (values, (snapshot, there)) in page.values.iter().zip(&codec.columns) {
        put_values(&mut out, &values[first..], &page.flags[*there][first..], snapshot);
    }
    let checksum = crc32c::crc32c(out.bytes());
    out.u32(checksum);
    let (from, to) = (groups.iter().min().map_or(0, |&from| from), groups.iter().max().map_or(0, |to| to + 1));
    Ok((KeyGroups { from, to }, out.into_bytes()))
}

fn put_dictionary(out: &mut Encoder, entries: impl ExactSizeIterator<Item = Vec<u8>>) {
    out.u32(entries.len() as u32);
    entries.for_each(|bytes| out.sized(&bytes));
}

fn put_values(out: &mut Encoder, values: &[u64], there: &[u8], snapshot: &ValuesSnapshot) {
    if !snapshot.is_interned() {
        out.u8(BITS);
        return values.iter().for_each(|&bits| out.u64(bits));
    }
    let mut numbers = Numbers::default();
    let number = |(&bits, &there): (&u64, &u8)| if there != 0 { numbers.of(bits as u32) } else { NOT_THERE };
    let column: Vec<u32> = values.iter().zip(there).map(number).collect();
    out.u8(INTERNED);
    put_dictionary(out, numbers.ids.iter().map(|&id| snapshot.bytes(id)));
    column.into_iter().for_each(|number| out.u32(number));
}

/// A page that was read.
#[derive(Debug)]
pub struct StoredPage<'a> {
    /// Which log of the operator it is of.
    pub tag: u8,
    /// The number in its page of the first row that is here.
    pub first: u32,
    /// The canonical bytes of keys.
    pub keys: Vec<&'a [u8]>,
    /// Of each row the place of its key among them.
    pub key_numbers: Vec<u32>,
    /// Of each row its time in microseconds.
    pub times: Vec<i64>,
    /// Columns of flags.
    pub flags: Vec<&'a [u8]>,
    /// Columns of values.
    pub values: Vec<StoredColumn<'a>>,
}

/// A column of a page that was read.
#[derive(Debug)]
pub enum StoredColumn<'a> {
    /// The bits of the values.
    Bits(Vec<u64>),
    /// The bytes of interned values, and of each row the place of its value among them where it is there.
    Interned(Vec<&'a [u8]>, Vec<Option<u32>>),
}

impl<'a> StoredPage<'a> {
    /// Reads a page; [`dataflow::ErrorKind::Corrupt`] when the bytes are none, or of another operator.
    pub fn read(bytes: &'a [u8], fingerprint: u64) -> Result<StoredPage<'a>> {
        let Some((body, checksum)) = bytes.split_last_chunk::<CHECKSUM>() else {
            return Err(Error::corrupt(format!("a page of state has {} bytes, which is too short", bytes.len())));
        };
        let mut from = Decoder::new(body);
        if from.u32()? != MAGIC {
            return Err(Error::corrupt(
                "a page of state does not begin with \"RRPG\": it was not written by this program",
            ));
        }
        if crc32c::crc32c(body).to_le_bytes() != *checksum {
            return Err(Error::corrupt("the checksum of a page of state does not match its bytes"));
        }
        let version = u16::from_le_bytes([from.u8()?, from.u8()?]);
        if version != VERSION {
            return Err(Error::corrupt(format!("a page of state has format version {version}, expected {VERSION}")));
        }
        let written_by = from.u64()?;
        if written_by != fingerprint {
            return Err(Error::corrupt(format!(
                "a page of state belongs to an operator with fingerprint {written_by:016x}, expected {fingerprint:016x}: \
                 its SQL or its columns have changed"
            )));
        }
        let (tag, first, rows) = (from.u8()?, from.u32()?, from.u32()? as usize);
        if rows == 0 {
            // Columns of nothing could be as many as their count says.
            return Err(Error::corrupt("a page of state has no rows"));
        }
        let keys = dictionary(&mut from)?;
        let key_numbers = numbers(&mut from, rows)?;
        if key_numbers.iter().any(|&number| number as usize >= keys.len()) {
            return Err(Error::corrupt("a row of a page of state has no key"));
        }
        let times = many(rows, || from.i64())?;
        let flags = (0..from.u32()?).map(|_| from.take(rows as u64)).collect::<Result<_>>()?;
        let values = (0..from.u32()?).map(|_| column(&mut from, rows)).collect::<Result<_>>()?;
        match from.is_empty() {
            true => Ok(StoredPage { tag, first, keys, key_numbers, times, flags, values }),
            false => Err(Error::corrupt("a page of state goes on after its end")),
        }
    }

    /// The group of a key.
    pub fn group(&self, key: u32) -> KeyGroup {
        key_group(xxh3_64(self.keys[key as usize]))
    }
}

/// Reads so many of something; the bytes decide how many there can be, never the number alone.
fn many<T>(count: usize, mut one: impl FnMut() -> Result<T>) -> Result<Vec<T>> {
    (0..count).map(|_| one()).collect()
}

fn numbers(from: &mut Decoder, rows: usize) -> Result<Vec<u32>> {
    many(rows, || from.u32())
}

fn dictionary<'a>(from: &mut Decoder<'a>) -> Result<Vec<&'a [u8]>> {
    let count = from.u32()? as usize;
    many(count, || from.sized())
}

fn column<'a>(from: &mut Decoder<'a>, rows: usize) -> Result<StoredColumn<'a>> {
    match from.u8()? {
        BITS => Ok(StoredColumn::Bits(many(rows, || from.u64())?)),
        INTERNED => {
            let values = dictionary(from)?;
            let number = |number: u32| match number {
                NOT_THERE => Ok(None),
                number if (number as usize) < values.len() => Ok(Some(number)),
                _ => Err(Error::corrupt("a row of a page of state has a value that is not in its dictionary")),
            };
            let numbers = numbers(from, rows)?.into_iter().map(number).collect::<Result<_>>()?;
            Ok(StoredColumn::Interned(values, numbers))
        }
        other => Err(Error::corrupt(format!("a column of a page of state is of the unknown kind {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyIndex, Log, Shape, Stored, Values, read_stored};
    use arrow::array::{ArrayRef, StringArray};
    use arrow::datatypes::DataType;
    use dataflow::{ErrorKind, Scope, Snapshot, StateReader};
    use std::sync::Arc;

    const ROWS: usize = 10_000;

    fn text(row: usize) -> Option<String> {
        (!row.is_multiple_of(5)).then(|| format!("text {}", row % 40))
    }

    /// A log of rows of 300 keys with a number, and a text that is not always there; the first rows have gone.
    fn pages(dropped: u64, end: u64) -> (Snapshot, u64) {
        let (mut keys, mut texts) = (KeyIndex::new(&[DataType::Int64], true), Values::new(&DataType::Utf8).unwrap());
        let mut log = Log::new(Shape { values: 2, flags: 2 });
        let ids: Vec<u32> = (0..ROWS)
            .map(|row| keys.intern_canonical(&[&[1][..], &(row as i64 % 300).to_le_bytes()].concat()).unwrap())
            .collect();
        let (mut bits, mut there) = (Vec::new(), Vec::new());
        let column: ArrayRef = Arc::new((0..ROWS).map(text).collect::<StringArray>());
        texts.encode(&column, &mut bits, &mut there).unwrap();
        let times: Vec<i64> = (0..ROWS as i64).collect();
        log.append(&times, &ids, &[(0..ROWS as u64).collect(), bits], &[vec![1; ROWS], there]);
        log.drop_before(dropped, |page, from, to| keys.release_all(&page.keys[from..to]).unwrap()).unwrap();
        let numbers = Values::new(&DataType::Int64).unwrap().snapshot();
        let columns = vec![(numbers, 0), (texts.snapshot(), 1)];
        let codec = PageCodec { keys: keys.snapshot(), columns, tag: 3, fingerprint: 9 };
        let mut stored = Snapshot::default();
        let next = log.snapshot().put_pages(end, &codec, EventTime(77), &mut stored).unwrap();
        (stored, next)
    }

    /// The number of each row that is read from its columns, which have to be right.
    fn rows(mut stored: Snapshot) -> Vec<usize> {
        let (mut found, mut watermark) = (Vec::new(), None);
        read_stored(&mut stored, KeyGroups::ALL, 9, &mut watermark, |stored| {
            let Stored::Page(page, first) = stored else { panic!("only pages were written") };
            assert_eq!(page.tag, 3);
            for row in first.saturating_sub(page.first) as usize..page.times.len() {
                let number = page.times[row] as usize;
                let key = page.keys[page.key_numbers[row] as usize];
                assert_eq!(key[1..], (number as i64 % 300).to_le_bytes());
                assert_eq!(page.group(page.key_numbers[row]), key_group(xxh3_64(key)));
                let [StoredColumn::Bits(bits), StoredColumn::Interned(texts, of)] = &page.values[..] else {
                    panic!("a number and a text")
                };
                assert_eq!(bits[row], number as u64);
                assert_eq!(of[row].map(|at| String::from_utf8_lossy(texts[at as usize]).into_owned()), text(number));
                assert_eq!((page.flags[0][row], page.flags[1][row]), (1, u8::from(text(number).is_some())));
                found.push(number);
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(watermark, Some(EventTime(77)));
        found
    }

    #[test]
    fn rows_of_full_pages_come_back_but_for_those_that_have_gone() {
        for (dropped, end, from, to) in
            [(0, u64::MAX, 0, 8192), (5000, u64::MAX, 5000, 8192), (100, 8191, 100, 4096), (4096, 8192, 4096, 8192)]
        {
            let (stored, next) = pages(dropped, end);
            assert_eq!(next, to as u64);
            assert_eq!(rows(stored), (from..to).collect::<Vec<usize>>());
        }
    }

    #[test]
    fn flipped_bits_and_cuts_are_corrupt() {
        let Some((Scope::Page(scope), bytes)) = pages(0, 4096).0.next().unwrap() else { panic!("a page was written") };
        assert_eq!((scope.groups, scope.first), (KeyGroups { from: 0, to: scope.groups.to }, 0));
        for bit in (0..bytes.len() * 8).step_by(977) {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(StoredPage::read(&wrong, 9).unwrap_err().kind(), ErrorKind::Corrupt, "bit {bit}");
        }
        for length in (0..bytes.len()).step_by(997) {
            assert_eq!(StoredPage::read(&bytes[..length], 9).unwrap_err().kind(), ErrorKind::Corrupt, "{length} bytes");
        }
        assert!(StoredPage::read(&bytes, 8).unwrap_err().to_string().contains("fingerprint"));
    }

    #[test]
    fn bytes_with_a_right_checksum_never_panic() {
        let Some((_, bytes)) = pages(0, 4096).0.next().unwrap() else { panic!("a page was written") };
        let body = bytes.len() - CHECKSUM;
        // Beginnings hold every count of the format.
        for at in (4..60).chain((60..body).step_by(509)) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut wrong = bytes.clone();
                wrong[at] = value;
                let checksum = crc32c::crc32c(&wrong[..body]).to_le_bytes();
                wrong[body..].copy_from_slice(&checksum);
                let _ = StoredPage::read(&wrong, 9);
            }
        }
    }
}
