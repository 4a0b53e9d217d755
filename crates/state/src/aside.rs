//! Pieces of state of any length on disk, and which of them leave memory first.

use dataflow::{Error, Result, SpillFile, SpilledPiece, StateMemory};
use std::fmt;
use std::sync::Arc;

const CHECKSUM: usize = 4;
/// The lengths between which the slots of a file lie; a piece takes as many of them as it needs.
const SLOT_BYTES_MIN: usize = 8 * 1024;
const SLOT_BYTES_MAX: usize = 64 * 1024;

/// Puts pieces of state aside, into a file of its own that is made with the first of them.
#[derive(Clone)]
pub struct AsideFile {
    memory: Arc<StateMemory>,
    file: Option<Arc<dyn SpillFile>>,
    // The length of a slot, which the first piece decides.
    slot_bytes: usize,
}

/// A piece of state on disk.
pub struct AsideBytes {
    slots: Vec<Box<dyn SpilledPiece>>,
    length: usize,
}

impl AsideFile {
    /// A file for pieces that do not fit in a memory.
    pub fn new(memory: &Arc<StateMemory>) -> AsideFile {
        AsideFile { memory: memory.clone(), file: None, slot_bytes: 0 }
    }

    /// The memory in which they do not fit.
    pub fn memory(&self) -> &StateMemory {
        &self.memory
    }

    /// Writes a piece, with a checksum; `None` where the memory has no bound, and so no disk.
    pub fn write(&mut self, mut bytes: Vec<u8>) -> Result<Option<AsideBytes>> {
        if self.file.is_none() {
            self.file = self.memory.file().map(Arc::from);
            self.slot_bytes = (bytes.len() + CHECKSUM).next_power_of_two().clamp(SLOT_BYTES_MIN, SLOT_BYTES_MAX);
        }
        let Some(file) = &self.file else { return Ok(None) };
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let length = bytes.len();
        let mut slots = Vec::with_capacity(length.div_ceil(self.slot_bytes));
        for slot in bytes.chunks(self.slot_bytes) {
            let mut slot = slot.to_vec();
            slot.resize(self.slot_bytes, 0);
            slots.push(file.write(slot)?);
        }
        Ok(Some(AsideBytes { slots, length }))
    }
}

impl AsideBytes {
    /// What was written.
    pub fn read(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.length);
        for slot in &self.slots {
            bytes.extend_from_slice(&slot.read()?);
        }
        bytes.truncate(self.length);
        let checksum = bytes.split_off(self.length - CHECKSUM);
        match crc32c::crc32c(&bytes).to_le_bytes()[..] == checksum[..] {
            true => Ok(bytes),
            false => Err(Error::corrupt(
                "state that was put aside on disk has come back with other bytes; the disk is damaged, and a run that \
                 begins from the checkpoint needs none of them",
            )),
        }
    }

    /// It will be read soon.
    pub fn fetch(&self) {
        self.slots.iter().for_each(|slot| slot.fetch());
    }

    /// How many bytes it has.
    pub fn length(&self) -> usize {
        self.length
    }
}

impl fmt::Debug for AsideFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsideFile").field("slot_bytes", &self.slot_bytes).finish_non_exhaustive()
    }
}

impl fmt::Debug for AsideBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsideBytes").field("length", &self.length).finish_non_exhaustive()
    }
}

/// A piece of state that is in memory and could be put aside.
#[derive(Clone, Copy, Debug)]
pub struct Resident {
    /// Which one it is.
    pub piece: usize,
    /// For how many calls of [`fit`] nobody has used it.
    pub age: u32,
    /// The bytes that it takes.
    pub bytes: usize,
}

/// State of a step in pieces, which are put aside one by one and brought back when they are used.
pub trait Pieces {
    /// Tells of each piece that is in memory.
    fn residents(&self, tell: &mut dyn FnMut(Resident));
    /// Puts a piece aside that is in memory. Where the disk takes nothing, it stays.
    fn put_aside(&mut self, piece: usize) -> Result<()>;
    /// Everything that is in memory is older from now on; called after pieces were put aside, if any were.
    fn age(&mut self);
}

/// More than is needed is put aside, this part of the bound, so that it is not looked through all pieces at every batch.
const SPARE_PART: usize = 64;

/// Puts pieces aside while the job has more state in memory than it may, those first that were not used for longest. What
/// was used since the last call stays where the bound could not be met without it either.
pub fn fit(memory: &StateMemory, parts: &mut [&mut dyn Pieces]) -> Result<()> {
    let over = memory.over();
    let put_aside = if over > 0 { put_oldest_aside(memory.limit(), over, parts) } else { Ok(()) };
    parts.iter_mut().for_each(|part| part.age());
    put_aside
}

fn put_oldest_aside(limit: usize, over: usize, parts: &mut [&mut dyn Pieces]) -> Result<()> {
    let (mut found, mut all) = (Vec::new(), 0);
    for (at, part) in parts.iter().enumerate() {
        part.residents(&mut |resident| {
            all += resident.bytes;
            found.push((resident, at));
        });
    }
    if all < over && limit > 0 {
        found.retain(|(resident, _)| resident.age > 0);
    }
    // Of equal age those first that have been there for longest.
    found.sort_by_key(|(resident, at)| (std::cmp::Reverse(resident.age), resident.piece, *at));
    let mut wanted = over + limit / SPARE_PART;
    for (resident, at) in found {
        if wanted == 0 {
            break;
        }
        parts[at].put_aside(resident.piece)?;
        wanted = wanted.saturating_sub(resident.bytes);
    }
    Ok(())
}

/// The bytes of a part of a step's state, as the memory of its job was told of them.
#[derive(Debug, Default)]
pub struct Counted {
    memory: Option<Arc<StateMemory>>,
    bytes: usize,
    spilled: usize,
}

impl Counted {
    /// Shares a memory with other state. Only the first call has an effect.
    pub fn share(&mut self, memory: &Arc<StateMemory>) {
        self.memory.get_or_insert_with(|| memory.clone());
    }

    /// The memory; `None` before [`Counted::share`].
    pub fn memory(&self) -> Option<&Arc<StateMemory>> {
        self.memory.as_ref()
    }

    /// Tells of so many bytes in memory and on disk in place of those told of before.
    pub fn set(&mut self, bytes: usize, spilled: usize) {
        if let Some(memory) = &self.memory {
            memory.count(std::mem::replace(&mut self.bytes, bytes), bytes);
            memory.count_spilled(std::mem::replace(&mut self.spilled, spilled), spilled);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set(0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyIndex, Table};
    use arrow::datatypes::DataType;
    use dataflow::{ErrorKind, SpillInMemory, SpillStore};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, VecDeque};

    /// A memory of so many bytes, and chunks of two rows.
    fn memory(limit: usize) -> Arc<StateMemory> {
        StateMemory::with_pages_of(2, limit, Box::new(SpillInMemory))
    }

    type Rings = Table<VecDeque<(u64, u8)>>;

    fn keys(types: &[DataType], memory: &Arc<StateMemory>) -> KeyIndex {
        let mut keys = KeyIndex::new(types, true);
        keys.spill_to(memory);
        keys
    }

    fn bytes_of(key: u64, is_text: bool) -> Vec<u8> {
        match is_text {
            false => [&[1][..], &key.to_le_bytes()].concat(),
            true => format!("a key with the number {key}").into_bytes(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn tables_with_a_bound_hold_what_maps_hold_and_so_do_their_snapshots(
            steps in proptest::collection::vec((0u32..40, any::<u64>(), 0u8..8), 1..120),
            limit in prop_oneof![Just(0usize), 1usize..1_500],
        ) {
            let memory = memory(limit);
            let (mut numbers, mut rings) = (Table::<u64>::new(2, 7), Rings::new(1, VecDeque::new()));
            numbers.spill_to(&memory);
            rings.spill_to(&memory);
            let (mut map, mut frozen, mut counted) = (BTreeMap::<u32, Vec<u64>>::new(), Vec::new(), Counted::default());
            counted.share(&memory);
            for (key, value, what) in steps {
                match what {
                    0 => {
                        numbers.share();
                        rings.share();
                        frozen.push((numbers.clone(), rings.clone(), map.clone()));
                    }
                    1 => drop(frozen.pop()),
                    2 => {
                        counted.set(numbers.size() + rings.size(), 0);
                        fit(&memory, &mut [&mut numbers, &mut rings]).unwrap();
                        prop_assert!(limit > 0 || numbers.size() < 2_000, "{} bytes stay", numbers.size());
                    }
                    _ => {
                        let both = [key, 39 - key];
                        numbers.load(both.into_iter()).unwrap();
                        rings.load_one(key).unwrap();
                        numbers.row_mut(key).copy_from_slice(&[value, value]);
                        rings.row_mut(key)[0].push_back((value, 1));
                        map.entry(key).or_default().push(value);
                        let other = numbers.row(both[1]).map(<[u64]>::to_vec);
                        let wanted = map.get(&both[1]).and_then(|values| values.last()).map_or(7, |value| *value);
                        prop_assert_eq!(other.unwrap_or(vec![7, 7]), vec![wanted; 2]);
                    }
                }
            }
            frozen.push((numbers, rings, map));
            for (numbers, rings, map) in &frozen {
                for key in 0..44 {
                    let values = map.get(&key).cloned().unwrap_or_default();
                    let last = values.last().map_or(7, |value| *value);
                    numbers.look_row(key, |row| assert_eq!(row.unwrap_or(&[7, 7]), [last, last])).unwrap();
                    let ring = |row: Option<&[VecDeque<(u64, u8)>]>| row.map_or_else(VecDeque::new, |row| row[0].clone());
                    let ring: Vec<u64> = rings.look_row(key, ring).unwrap().into_iter().map(|(value, _)| value).collect();
                    prop_assert_eq!(ring, values);
                }
            }
        }

        #[test]
        fn keys_with_a_bound_get_the_ids_of_keys_without(
            steps in proptest::collection::vec((0u64..30, 0u8..8), 1..150),
            is_text in any::<bool>(), limit in prop_oneof![Just(0usize), 1usize..3_000],
        ) {
            let types = [if is_text { DataType::Utf8 } else { DataType::Int64 }];
            let memory = memory(limit);
            let (mut spilled, mut whole) = (keys(&types, &memory), KeyIndex::new(&types, true));
            let (mut held, mut counted) = (Vec::<u32>::new(), Counted::default());
            counted.share(&memory);
            let mut frozen = None;
            for (key, what) in steps {
                match what {
                    0 | 1 => {
                        counted.set(spilled.size(), spilled.spilled());
                        fit(&memory, &mut [&mut spilled]).unwrap();
                    }
                    2 => frozen = Some((spilled.snapshot(), whole.snapshot(), held.clone())),
                    3 | 4 if !held.is_empty() => {
                        let id = held.swap_remove(key as usize % held.len());
                        prop_assert_eq!(spilled.release(id).unwrap(), whole.release(id).unwrap());
                    }
                    _ => {
                        let bytes = bytes_of(key, is_text);
                        let id = spilled.intern_canonical(&bytes).unwrap();
                        prop_assert_eq!(id, whole.intern_canonical(&bytes).unwrap());
                        held.push(id);
                    }
                }
                prop_assert_eq!((spilled.len(), spilled.ids()), (whole.len(), whole.ids()));
            }
            frozen.get_or_insert_with(|| (spilled.snapshot(), whole.snapshot(), held));
            if let Some((spilled, whole, held)) = &frozen {
                prop_assert_eq!(spilled.bytes_of(held).unwrap(), whole.bytes_of(held).unwrap());
            }
        }
    }

    #[test]
    fn pieces_of_any_length_come_back_and_changed_bytes_are_noticed() {
        let mut file = AsideFile::new(&memory(0));
        for length in [0, 1, 100, 5_000, 70_000] {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let aside = file.write(bytes.clone()).unwrap().unwrap();
            assert_eq!(aside.read().unwrap(), bytes);
        }
        let wrong = AsideBytes { slots: vec![SpillInMemory.file().write(vec![1; 64]).unwrap()], length: 9 };
        assert_eq!(wrong.read().unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(AsideFile::new(&StateMemory::unbounded()).write(vec![1]).unwrap().is_none());
    }

    /// A disk that takes nothing.
    struct Full;

    impl SpillStore for Full {
        fn file(&self) -> Box<dyn SpillFile> {
            Box::new(Full)
        }
    }

    impl SpillFile for Full {
        fn write(&self, _: Vec<u8>) -> Result<Box<dyn SpilledPiece>> {
            Err(Error::unavailable("the disk is full"))
        }
    }

    #[test]
    fn what_a_full_disk_does_not_take_stays_in_memory() {
        let memory = StateMemory::with_pages_of(2, 0, Box::new(Full));
        memory.count(0, 1);
        let mut table = Table::<u64>::new(1, 0);
        table.spill_to(&memory);
        (0..10).for_each(|key| table.row_mut(key)[0] = u64::from(key) + 1);
        assert!(fit(&memory, &mut [&mut table]).unwrap_err().chain().contains("the disk is full"));
        (0..10).for_each(|key| assert_eq!(table.row(key), Some(&[u64::from(key) + 1][..])));
        assert_eq!(table.spilled(), 0);
    }

    #[test]
    fn those_that_were_not_used_for_longest_leave_first() {
        let memory = memory(1_000);
        let mut table = Table::<u64>::new(1, 0);
        table.spill_to(&memory);
        (0..20).for_each(|key| table.row_mut(key)[0] = 1);
        memory.count(0, 900);
        fit(&memory, &mut [&mut table]).unwrap();
        table.load([4, 9].into_iter()).unwrap();
        // Eight chunks of 16 bytes are to leave, of the eight that were not used.
        memory.count(900, 1_000 + 8 * 16 - 1_000 / SPARE_PART);
        fit(&memory, &mut [&mut table]).unwrap();
        let mut here = Vec::new();
        table.residents(&mut |resident| here.push(resident.piece));
        assert_eq!(here, [2, 4]);
    }
}
