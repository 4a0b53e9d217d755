//! Keys to dense ids and back.

use crate::arena::Arena;
use crate::key_columns::{absent_rows, arrays, integers};
use crate::keys::{Keys, Kind, number_of};
use crate::number_table::NO_KEY;
use crate::number_table::NumberTable;
use crate::{Pieces, Resident, Table, prefetch};
use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use dataflow::{Batch, Error, Result, StateMemory, key_bytes};
use hashbrown::HashTable;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Gives each key a dense id for as long as something refers to it.
///
/// References are counted by the caller's words: [`KeyIndex::intern`] adds one per row, [`KeyIndex::retain`] one, and
/// with the last [`KeyIndex::release`] the key is forgotten and its id goes to the next new key. So ids, and the tables
/// that they index, stay as many as the most keys held at one time. A caller resets its entries of an id before it
/// releases it for the last time.
///
/// A key of one integer column is kept as its number; others as their canonical bytes.
#[derive(Debug)]
pub struct KeyIndex {
    keys: Keys,
    find: Find,
    references: Vec<u32>,
    free: Vec<u32>,
    nulls_match: bool,
}

#[derive(Debug)]
enum Find {
    Integers(NumberTable),
    // By id its hash.
    Bytes(HashTable<u32>, Vec<u64>),
}

/// How many rows before it is needed an entry is asked for.
const AHEAD: usize = 24;

impl KeyIndex {
    /// An index of keys of columns of these types. A key with a NULL is a key like any other where `nulls_match`, else
    /// it is [`NO_KEY`].
    pub fn new(types: &[DataType], nulls_match: bool) -> KeyIndex {
        let fits = |data_type: &DataType| data_type.is_integer() && *data_type != DataType::UInt64;
        let (keys, find) = match types {
            [one] if fits(one) => {
                (Kind::Integers { numbers: Table::new(1, 0), null: None }, Find::Integers(NumberTable::default()))
            }
            _ => (Kind::Bytes(Arena::default()), Find::Bytes(HashTable::new(), Vec::new())),
        };
        KeyIndex { keys: Keys(keys), find, references: Vec::new(), free: Vec::new(), nulls_match }
    }

    /// Appends the id of each row's key in some columns, new ones included, and counts one reference for each row. Hashes
    /// of these columns that the batch carries are not worked out again.
    pub fn intern(&mut self, batch: &Batch, columns: &[usize], ids: &mut Vec<u32>) -> Result<()> {
        let (rows, hashes) = (batch.rows(), batch.key_hashes_of(columns));
        let columns = &arrays(batch, columns);
        ids.reserve(rows);
        if let Find::Integers(_) = self.find {
            let column = integers(columns)?;
            return self.intern_integers(&column.as_primitive::<Int64Type>().slice(0, rows), ids);
        }
        let (bytes, offsets) = key_bytes(columns, rows)?;
        let absent = absent_rows(columns, rows, self.nulls_match);
        for row in 0..rows {
            if absent.as_ref().is_some_and(|absent| absent[row]) {
                ids.push(NO_KEY);
                continue;
            }
            let key = &bytes[offsets[row] as usize..offsets[row + 1] as usize];
            let hash = hashes.map_or_else(|| xxh3_64(key), |hashes| hashes[row]);
            ids.push(self.intern_bytes(key, hash)?);
        }
        Ok(())
    }

    /// Appends the id of each row's key in some columns, [`NO_KEY`] for one that is not there.
    pub fn find(&mut self, batch: &Batch, columns: &[usize], ids: &mut Vec<u32>) -> Result<()> {
        let (rows, hashes) = (batch.rows(), batch.key_hashes_of(columns));
        let columns = &arrays(batch, columns);
        ids.reserve(rows);
        match (&mut self.find, &self.keys.0) {
            (Find::Integers(table), Kind::Integers { null, .. }) => {
                let column = integers(columns)?;
                let column = column.as_primitive::<Int64Type>();
                let absent = if self.nulls_match { null.unwrap_or(NO_KEY) } else { NO_KEY };
                let numbers = column.values();
                for (row, &number) in numbers[..rows].iter().enumerate() {
                    if let Some(&soon) = numbers.get(row + AHEAD) {
                        table.prefetch(soon);
                    }
                    ids.push(if column.is_null(row) { absent } else { table.get(number).unwrap_or(NO_KEY) });
                }
            }
            (Find::Bytes(..), Kind::Bytes(_)) => {
                let (bytes, offsets) = key_bytes(columns, rows)?;
                let absent = absent_rows(columns, rows, self.nulls_match);
                for row in 0..rows {
                    if absent.as_ref().is_some_and(|absent| absent[row]) {
                        ids.push(NO_KEY);
                        continue;
                    }
                    let key = &bytes[offsets[row] as usize..offsets[row + 1] as usize];
                    let hash = hashes.map_or_else(|| xxh3_64(key), |hashes| hashes[row]);
                    ids.push(self.find_bytes(key, hash)?.unwrap_or(NO_KEY));
                }
            }
            _ => return Err(Error::internal("a key index mixes integers and bytes")),
        }
        Ok(())
    }

    /// The id of a key by its canonical bytes, new or not, with one reference more. Bytes that are no key of this
    /// index are [`dataflow::ErrorKind::Corrupt`].
    pub fn intern_canonical(&mut self, bytes: &[u8]) -> Result<u32> {
        match self.find {
            Find::Bytes(..) => self.intern_bytes(bytes, xxh3_64(bytes)),
            Find::Integers(_) => match bytes {
                [0] => self.intern_integer(None),
                [1, number @ ..] => {
                    let number = number.try_into().map_err(|_| {
                        Error::corrupt(format!("an integer key has {} bytes, expected 8", number.len()))
                    })?;
                    self.intern_integer(Some(i64::from_le_bytes(number)))
                }
                _ => Err(Error::corrupt("a key is not an integer, expected one")),
            },
        }
    }

    /// The ids first, then their references: each loop goes over one table, and asks for its entries ahead of time.
    fn intern_integers(&mut self, column: &Int64Array, ids: &mut Vec<u32>) -> Result<()> {
        let (numbers, from) = (column.values(), ids.len());
        for (row, &number) in numbers.iter().enumerate() {
            if let (Some(&soon), Find::Integers(table)) = (numbers.get(row + AHEAD), &self.find) {
                table.prefetch(soon);
            }
            ids.push(self.place_integer(column.is_valid(row).then_some(number))?);
        }
        let ids = &ids[from..];
        for (row, &id) in ids.iter().enumerate() {
            if let Some(&soon) = ids.get(row + AHEAD) {
                prefetch(&self.references, soon as usize);
            }
            if id != NO_KEY {
                self.references[id as usize] += 1;
            }
        }
        Ok(())
    }

    fn intern_integer(&mut self, number: Option<i64>) -> Result<u32> {
        let id = self.place_integer(number)?;
        if id != NO_KEY {
            self.references[id as usize] += 1;
        }
        Ok(id)
    }

    /// The id of a number, new or not, without a reference more; the caller adds one.
    #[inline]
    fn place_integer(&mut self, number: Option<i64>) -> Result<u32> {
        let (Find::Integers(table), Kind::Integers { numbers, null }) = (&mut self.find, &mut self.keys.0) else {
            return Ok(NO_KEY);
        };
        let found = match number {
            Some(number) => table.get(number),
            None if !self.nulls_match => return Ok(NO_KEY),
            None => *null,
        };
        if let Some(id) = found {
            return Ok(id);
        }
        // Where its number is to stand may be on disk: then nothing has changed if that cannot be read.
        numbers.load_one(next_id(&self.free, &self.references))?;
        let id = take_id(&mut self.free, &mut self.references);
        match number {
            Some(number) => {
                numbers.touch(id);
                numbers.row_mut(id)[0] = number;
                table.insert(number, id);
            }
            None => *null = Some(id),
        }
        Ok(id)
    }

    /// The id of a key by its bytes. Those of another key of the same hash are compared, too, and so are brought back to
    /// memory.
    fn find_bytes(&mut self, key: &[u8], hash: u64) -> Result<Option<u32>> {
        loop {
            let (Find::Bytes(table, hashes), Kind::Bytes(arena)) = (&self.find, &mut self.keys.0) else {
                return Err(Error::internal("an index of integers was asked for bytes"));
            };
            let mut aside = None;
            let mut is_same = |id: u32| {
                if hashes[id as usize] != hash {
                    return false;
                }
                if arena.is_aside(id) {
                    aside = Some(id);
                    return false;
                }
                arena.get(id) == key
            };
            let found = table.find(hash, |&id| is_same(id)).copied();
            match (found, aside) {
                (Some(id), _) => {
                    if arena.is_watched() {
                        arena.touch(id);
                    }
                    return Ok(Some(id));
                }
                (None, Some(id)) => arena.load(id)?,
                (None, None) => return Ok(None),
            }
        }
    }

    fn intern_bytes(&mut self, key: &[u8], hash: u64) -> Result<u32> {
        debug_assert_eq!(hash, xxh3_64(key), "a batch carries the hashes of other columns");
        if u32::try_from(key.len()).is_err() {
            return Err(Error::data(format!("a key has {} bytes, expected less than 4 GiB", key.len())));
        }
        if let Some(id) = self.find_bytes(key, hash)? {
            self.references[id as usize] += 1;
            return Ok(id);
        }
        self.keys.load(next_id(&self.free, &self.references))?;
        let (Find::Bytes(table, hashes), Kind::Bytes(arena)) = (&mut self.find, &mut self.keys.0) else {
            return Err(Error::internal("an index of integers was asked for bytes"));
        };
        let id = take_id(&mut self.free, &mut self.references);
        self.references[id as usize] = 1;
        if id as usize == hashes.len() {
            hashes.push(0);
        }
        hashes[id as usize] = hash;
        arena.set(id, key);
        table.insert_unique(hash, id, |&id| hashes[id as usize]);
        Ok(id)
    }

    /// Counts one reference more.
    #[inline]
    pub fn retain(&mut self, id: u32) {
        self.references[id as usize] += 1;
    }

    /// Counts one reference less; true when it was the last and the key is forgotten.
    #[inline]
    pub fn release(&mut self, id: u32) -> Result<bool> {
        let references = &mut self.references[id as usize];
        *references -= 1;
        if *references > 0 {
            return Ok(false);
        }
        self.forget(id)?;
        Ok(true)
    }

    /// Counts one reference less for each of the ids.
    pub fn release_all(&mut self, ids: &[u32]) -> Result<()> {
        let mut unheld = Vec::new();
        self.unreference(ids, &mut unheld);
        unheld.into_iter().try_for_each(|id| self.forget(id))
    }

    /// Counts one reference less for each of the ids, and appends those of which none is left. They have to be forgotten
    /// ([`KeyIndex::forget_last`]) before a key is added or looked for.
    pub fn unreference(&mut self, ids: &[u32], unheld: &mut Vec<u32>) {
        for (row, &id) in ids.iter().enumerate() {
            if let Some(&soon) = ids.get(row + AHEAD) {
                prefetch(&self.references, soon as usize);
            }
            let references = &mut self.references[id as usize];
            *references -= 1;
            if *references == 0 {
                unheld.push(id);
            }
        }
    }

    /// Forgets the last of some ids, which are sorted, and those that lie in one chunk with it: so that each chunk that is on
    /// disk is read once, and the caller may put state aside before the next one.
    pub fn forget_last(&mut self, unheld: &mut Vec<u32>) -> Result<()> {
        let Some(&last) = unheld.last() else { return Ok(()) };
        let first = last - last % self.keys.chunk_rows();
        while let Some(id) = unheld.pop_if(|id| *id >= first) {
            self.forget(id)?;
        }
        Ok(())
    }

    fn forget(&mut self, id: u32) -> Result<()> {
        self.keys.load(id)?;
        self.free.push(id);
        match (&mut self.find, &mut self.keys.0) {
            (Find::Integers(_), Kind::Integers { null, .. }) if *null == Some(id) => *null = None,
            (Find::Integers(table), Kind::Integers { numbers, .. }) => {
                table.remove(number_of(numbers, id));
            }
            (Find::Bytes(table, hashes), Kind::Bytes(arena)) => {
                if let Ok(entry) = table.find_entry(hashes[id as usize], |&other| other == id) {
                    entry.remove();
                }
                arena.remove(id);
            }
            _ => {}
        }
        Ok(())
    }

    /// Shares a memory with other state. Only the first call has an effect, and only before the first key; without one, all
    /// of it stays in memory.
    ///
    /// What finds a key stays there: of an integer 16 bytes in a table that is between a third and two thirds full, of other
    /// keys a hash and a place in a table; and 4 bytes that count references.
    pub fn spill_to(&mut self, memory: &Arc<StateMemory>) {
        match &mut self.keys.0 {
            Kind::Integers { numbers, .. } => numbers.spill_to(memory),
            Kind::Bytes(arena) => arena.spill_to(memory),
        }
    }

    /// The bytes on disk alone.
    pub fn spilled(&self) -> usize {
        match &self.keys.0 {
            Kind::Integers { numbers, .. } => numbers.spilled(),
            Kind::Bytes(arena) => arena.spilled(),
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.references.len() - self.free.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more than the greatest id ever given out.
    pub fn ids(&self) -> usize {
        self.references.len()
    }

    /// The keys by id as they are now; shares them until they change.
    pub fn snapshot(&mut self) -> Keys {
        match &mut self.keys.0 {
            Kind::Integers { numbers, .. } => numbers.share(),
            Kind::Bytes(arena) => arena.share(),
        }
        self.keys.clone()
    }

    /// The canonical bytes of a key of an index over bytes; empty for one over integers.
    pub(crate) fn raw(&self, id: u32) -> &[u8] {
        self.keys.raw(id)
    }

    /// Adds bytes that are no canonical key: values of columns.
    pub(crate) fn intern_raw(&mut self, bytes: &[u8]) -> Result<u32> {
        self.intern_bytes(bytes, xxh3_64(bytes))
    }

    /// The bytes that everything takes.
    pub fn size(&self) -> usize {
        let find = match &self.find {
            Find::Integers(table) => table.size(),
            Find::Bytes(table, hashes) => table.allocation_size() + hashes.capacity() * 8,
        };
        self.keys.size() + find + (self.references.capacity() + self.free.capacity()) * 4
    }
}

impl Pieces for KeyIndex {
    fn residents(&self, tell: &mut dyn FnMut(Resident)) {
        match &self.keys.0 {
            Kind::Integers { numbers, .. } => numbers.residents(tell),
            Kind::Bytes(arena) => arena.residents(tell),
        }
    }

    fn put_aside(&mut self, piece: usize) -> Result<()> {
        match &mut self.keys.0 {
            Kind::Integers { numbers, .. } => numbers.put_aside(piece),
            Kind::Bytes(arena) => arena.put_aside(piece),
        }
    }

    fn age(&mut self) {
        match &mut self.keys.0 {
            Kind::Integers { numbers, .. } => numbers.age(),
            Kind::Bytes(arena) => arena.age(),
        }
    }
}

/// The id that [`take_id`] gives next.
fn next_id(free: &[u32], references: &[u32]) -> u32 {
    free.last().copied().unwrap_or(references.len() as u32)
}

/// A free id, or the next one, without a reference.
fn take_id(free: &mut Vec<u32>, references: &mut Vec<u32>) -> u32 {
    if let Some(id) = free.pop() {
        return id;
    }
    let id = references.len() as u32;
    assert!(id != NO_KEY, "more than {NO_KEY} keys in one worker");
    references.push(0);
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
    use dataflow::{RowOrder, key_group, key_hashes};

    fn batch(column: ArrayRef) -> Batch {
        let rows = column.len();
        let columns = RecordBatch::try_from_iter_with_nullable([("key", column, true)]).unwrap();
        Batch::new(columns, vec![0; rows], vec![RowOrder(0); rows]).unwrap()
    }

    fn intern(index: &mut KeyIndex, column: ArrayRef) -> Vec<u32> {
        let mut ids = Vec::new();
        index.intern(&batch(column), &[0], &mut ids).unwrap();
        ids
    }

    #[test]
    fn equal_keys_share_an_id_and_ids_are_used_again() {
        let columns: [ArrayRef; 2] = [
            Arc::new(Int64Array::from(vec![Some(5), None, Some(5), Some(-7), None])),
            Arc::new(StringArray::from(vec![Some("a"), None, Some("a"), Some(""), None])),
        ];
        for column in columns {
            let mut index = KeyIndex::new(&[column.data_type().clone()], true);
            assert_eq!(intern(&mut index, column.clone()), [0, 1, 0, 2, 1]);
            assert!(!index.release(0).unwrap());
            assert!(index.release(0).unwrap());
            assert_eq!(index.len(), 2);
            let mut found = Vec::new();
            index.find(&batch(column.clone()), &[0], &mut found).unwrap();
            assert_eq!(found, [NO_KEY, 1, NO_KEY, 2, 1]);
            assert_eq!(intern(&mut index, column.slice(0, 1)), [0]);
            assert_eq!(index.ids(), 3);
        }
    }

    #[test]
    fn groups_are_those_of_the_exchange_and_canonical_bytes_lead_back() {
        let columns: [ArrayRef; 2] = [
            Arc::new(Int32Array::from(vec![Some(5), None, Some(i32::MIN)])),
            Arc::new(StringArray::from(vec![Some("a"), None, Some("long enough to be no number")])),
        ];
        for column in columns {
            let mut index = KeyIndex::new(&[column.data_type().clone()], true);
            let ids = intern(&mut index, column.clone());
            let hashes = key_hashes(&[column], 3).unwrap();
            for (&id, hash) in ids.iter().zip(hashes) {
                assert_eq!(index.snapshot().group(id).unwrap(), key_group(hash));
                let bytes = index.snapshot().bytes(id).unwrap();
                assert_eq!(index.intern_canonical(&bytes).unwrap(), id);
            }
        }
    }

    #[test]
    fn a_null_meets_nothing_where_nulls_do_not_match() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1)]));
        let mut index = KeyIndex::new(&[DataType::Int64], false);
        assert_eq!(intern(&mut index, column), [NO_KEY, 0]);
        let text: ArrayRef = Arc::new(StringArray::from(vec![None, Some("x")]));
        let mut index = KeyIndex::new(&[DataType::Utf8], false);
        assert_eq!(intern(&mut index, text), [NO_KEY, 0]);
    }

    #[test]
    fn bytes_that_are_no_key_are_corrupt() {
        let mut index = KeyIndex::new(&[DataType::Int64], true);
        for bytes in [&[][..], &[1, 2, 3], &[4, 0, 0, 0, 0]] {
            assert_eq!(index.intern_canonical(bytes).unwrap_err().kind(), dataflow::ErrorKind::Corrupt);
        }
    }
}
