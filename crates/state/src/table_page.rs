//! The stored form of a chunk of a table. It means something alone: each entry has the bytes of its key and of its values.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | magic `RRTC` |
//! | 2 | format version, 1 |
//! | 8 | fingerprint of the operator |
//! | 1 | tag of its entries |
//! | 4 | how many entries there are |
//! | .. | each: 4 bytes with the length of its key, the key, 4 bytes with the length of what follows, and that |
//! | 4 | crc32c of everything before |
//!
//! Numbers are little endian. An entry after its key is what a record of the same tag has after the number of its key.

use crate::{Decoder, Encoder, Entry, Keys, Table};
use dataflow::{Error, EventTime, KeyGroups, PageAt, Result, StateWriter, key_group};
use xxhash_rust::xxh3::xxh3_64;

/// What a page of stored state begins with that holds entries of a table.
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"RRTC");
const VERSION: u16 = 1;
const CHECKSUM: usize = 4;

/// Whose entries a page has.
#[derive(Clone, Copy, Debug)]
pub struct TablePage {
    /// The tag of records of such entries.
    pub tag: u8,
    /// The fingerprint of the operator.
    pub fingerprint: u64,
}

impl<T: Entry> Table<T> {
    /// Writes the chunks of a table that was shared, each as a page of its own, which later checkpoints only name as long as
    /// it does not change. `record` writes what is to be kept of a row and says whether there is anything.
    pub fn put(
        &self,
        keys: &Keys,
        page: TablePage,
        watermark: EventTime,
        record: &dyn Fn(&[T], &mut Encoder) -> bool,
        out: &mut dyn StateWriter,
    ) -> Result<()> {
        for (chunk, number) in self.numbers() {
            let encode = || encode(keys, page, self.look(chunk)?.iter(), record);
            out.put_page(&PageAt { number, first: 0, watermark }, &encode)?;
        }
        Ok(())
    }
}

/// The groups between which the keys of rows lie, and the stored form of those rows that have something to keep.
fn encode<'a, T: 'a>(
    keys: &Keys,
    page: TablePage,
    rows: impl Iterator<Item = (u32, &'a [T])>,
    record: &dyn Fn(&[T], &mut Encoder) -> bool,
) -> Result<(KeyGroups, Vec<u8>)> {
    let (mut ids, mut all_kept) = (Vec::new(), Vec::new());
    for (key, row) in rows {
        let mut kept = Encoder::default();
        if record(row, &mut kept) {
            ids.push(key);
            all_kept.push(kept);
        }
    }
    let mut entries = Encoder::default();
    let (mut from, mut to) = (u16::MAX, 0);
    for (key, kept) in keys.bytes_of(&ids)?.iter().zip(&all_kept) {
        let group = key_group(xxh3_64(key)).0;
        (from, to) = (from.min(group), to.max(group + 1));
        entries.short(key);
        entries.short(kept.bytes());
    }
    let mut out = Encoder::default();
    out.u32(MAGIC);
    VERSION.to_le_bytes().into_iter().for_each(|byte| out.u8(byte));
    out.u64(page.fingerprint);
    out.u8(page.tag);
    out.u32(ids.len() as u32);
    out.put(entries.bytes());
    let checksum = crc32c::crc32c(out.bytes());
    out.u32(checksum);
    Ok((KeyGroups { from: from.min(to.saturating_sub(1)), to: to.max(1) }, out.into_bytes()))
}

/// The entries of a page: each its key and its rest.
pub(crate) type Entries<'a> = Vec<(&'a [u8], &'a [u8])>;

/// Reads a page: the tag of its entries, and each with its key. [`dataflow::ErrorKind::Corrupt`] when the bytes are none,
/// or of another operator.
pub(crate) fn read(bytes: &[u8], fingerprint: u64) -> Result<(u8, Entries<'_>)> {
    let Some((body, checksum)) = bytes.split_last_chunk::<CHECKSUM>() else {
        return Err(Error::corrupt(format!("a chunk of state has {} bytes, which is too short", bytes.len())));
    };
    let mut from = Decoder::new(body);
    if from.u32()? != MAGIC {
        return Err(Error::corrupt(
            "a chunk of state does not begin with \"RRTC\": it was not written by this program",
        ));
    }
    if crc32c::crc32c(body).to_le_bytes() != *checksum {
        return Err(Error::corrupt("the checksum of a chunk of state does not match its bytes"));
    }
    let version = u16::from_le_bytes([from.u8()?, from.u8()?]);
    if version != VERSION {
        return Err(Error::corrupt(format!("a chunk of state has format version {version}, expected {VERSION}")));
    }
    let written_by = from.u64()?;
    if written_by != fingerprint {
        return Err(Error::corrupt(format!(
            "a chunk of state belongs to an operator with fingerprint {written_by:016x}, expected {fingerprint:016x}: \
             its SQL or its columns have changed"
        )));
    }
    let (tag, count) = (from.u8()?, from.u32()?);
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push((from.short()?, from.short()?));
    }
    match from.is_empty() {
        true => Ok((tag, entries)),
        false => Err(Error::corrupt("a chunk of state goes on after its end")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyIndex, read_blobs};
    use arrow::datatypes::DataType;
    use dataflow::{ErrorKind, EventTime, KEY_GROUPS, Scope, Snapshot, StateReader};
    use std::collections::BTreeMap;

    const PAGE: TablePage = TablePage { tag: 5, fingerprint: 9 };

    /// Two numbers for each of so many keys, but for every third.
    fn stored(keys: i64) -> Snapshot {
        let (mut index, mut table) = (KeyIndex::new(&[DataType::Int64], true), Table::<u64>::new(2, 0));
        for key in 0..keys {
            let id = index.intern_canonical(&[&[1][..], &key.to_le_bytes()].concat()).unwrap();
            let row = table.row_mut(id);
            if key % 3 != 0 {
                row.copy_from_slice(&[1, key as u64 * 10]);
            }
        }
        table.share();
        let mut out = Snapshot::default();
        let record = |row: &[u64], out: &mut Encoder| {
            out.u64(row[1]);
            row[0] == 1
        };
        table.put(&index.snapshot(), PAGE, EventTime(4), &record, &mut out).unwrap();
        out
    }

    fn entries(state: &Snapshot, held: KeyGroups) -> BTreeMap<i64, u64> {
        let (mut found, mut watermark) = (BTreeMap::new(), None);
        read_blobs(&mut state.clone(), held, 9, &mut watermark, |tag, keys, rest| {
            assert_eq!(tag, 5);
            let key = keys.get(rest)?[1..].try_into().unwrap();
            found.insert(i64::from_le_bytes(key), rest.u64()?);
            Ok(())
        })
        .unwrap();
        assert_eq!(watermark, Some(EventTime(4)));
        found
    }

    #[test]
    fn every_entry_goes_to_who_has_the_group_of_its_key() {
        let state = stored(50);
        let all: BTreeMap<i64, u64> = (0..50).filter(|key| key % 3 != 0).map(|key| (key, key as u64 * 10)).collect();
        assert_eq!(entries(&state, KeyGroups::ALL), all);
        let half = KEY_GROUPS / 2;
        let mut halves = entries(&state, KeyGroups { from: 0, to: half });
        let count = halves.len();
        halves.extend(entries(&state, KeyGroups { from: half, to: KEY_GROUPS }));
        assert!(count > 0 && count < all.len());
        assert_eq!(halves, all);
    }

    #[test]
    fn flipped_bits_and_cuts_are_corrupt_and_never_panic() {
        let Some((Scope::Page(scope), bytes)) = stored(3).next().unwrap() else { panic!("a chunk was written") };
        assert!(scope.groups.from < scope.groups.to);
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&wrong, 9).unwrap_err().kind(), ErrorKind::Corrupt, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length], 9).unwrap_err().kind(), ErrorKind::Corrupt, "{length} bytes");
        }
        let body = bytes.len() - CHECKSUM;
        for at in 4..body {
            for value in [0, 1, 0x7f, 0xff] {
                let mut wrong = bytes.clone();
                wrong[at] = value;
                let checksum = crc32c::crc32c(&wrong[..body]).to_le_bytes();
                wrong[body..].copy_from_slice(&checksum);
                let _ = read(&wrong, 9);
            }
        }
        assert!(read(&bytes, 8).unwrap_err().to_string().contains("fingerprint"));
    }

    #[test]
    fn a_table_without_entries_is_read() {
        assert_eq!(entries(&stored(1), KeyGroups::ALL), BTreeMap::new());
    }

    /// A sample of each version is read for as long as checkpoints of that version are.
    #[test]
    fn the_stored_sample_of_format_1_is_read_and_is_what_is_written() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/compat/state-table-1");
        let Some((_, bytes)) = stored(4).next().unwrap() else { panic!("a chunk was written") };
        if std::env::var_os("RIVERRUN_REWRITE").is_some() && !std::path::Path::new(path).exists() {
            std::fs::write(path, &bytes).unwrap();
        }
        let sample = std::fs::read(path).unwrap();
        let (tag, entries) = read(&sample, 9).unwrap();
        let entry = |key: i64| ([&[1][..], &key.to_le_bytes()].concat(), (key as u64 * 10).to_le_bytes());
        let wanted = [entry(1), entry(2)];
        let wanted: Vec<_> = wanted.iter().map(|(key, rest)| (&key[..], &rest[..])).collect();
        assert_eq!((tag, entries), (5, wanted));
        assert_eq!(sample, bytes);
    }
}
