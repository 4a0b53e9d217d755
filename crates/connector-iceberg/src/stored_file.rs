//! Data files as the Parquet reader wants them, wherever they lie.

use crate::failure;
use crate::object_files::is_local;
use bytes::{Buf, Bytes};
use dataflow::Result;
use futures::future::try_join_all;
use iceberg::io::{FileIO, FileRead};
use parquet::arrow::ProjectionMask;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;

/// So much of the end of a file is read at once: most footers are in it.
const TAIL_BYTES: u64 = 64 << 10;
/// Ranges that lie this close are read as one.
const GAP_BYTES: u64 = 256 << 10;
/// How many row groups are held at once: columns of a batch that crosses from one to the next are read one by one.
const GROUPS_HELD: usize = 2;

/// Where the files of a table are opened.
pub struct StoredFiles {
    file_io: FileIO,
    // That of the warehouse.
    runtime: Handle,
}

impl StoredFiles {
    /// Files that the library opens; called where the runtime of the warehouse runs.
    pub fn of(file_io: &FileIO) -> StoredFiles {
        StoredFiles { file_io: file_io.clone(), runtime: Handle::current() }
    }

    /// Opens a file. Of one in a store nothing is read yet but its end.
    pub fn open(&self, path: &str, bytes: u64, doing: &dyn Fn() -> String) -> Result<StoredFile> {
        if is_local(path) {
            let file = File::open(path).map_err(|error| failure::file(doing(), error))?;
            return Ok(StoredFile::Disk(Arc::new(file)));
        }
        let tail = bytes.saturating_sub(TAIL_BYTES)..bytes;
        let open = async {
            let file = self.file_io.new_input(path)?.reader().await?;
            let read = file.read(tail.clone()).await?;
            Ok::<_, iceberg::Error>((file, read))
        };
        let (file, read) = self.runtime.block_on(open).map_err(|error| failure::iceberg(doing(), error))?;
        Ok(StoredFile::Store(Arc::new(FileOfStore {
            file,
            bytes,
            tail: (tail.start, read),
            runtime: self.runtime.clone(),
            groups: Mutex::default(),
            failure: Mutex::default(),
        })))
    }
}

/// A file on a disk of this machine or in a store.
#[derive(Clone)]
pub enum StoredFile {
    /// On a disk.
    Disk(Arc<File>),
    /// In a store.
    Store(Arc<FileOfStore>),
}

/// A file in a store: what a reader is going to want is read by row group.
pub struct FileOfStore {
    file: Box<dyn FileRead>,
    bytes: u64,
    tail: (u64, Bytes),
    runtime: Handle,
    groups: Mutex<Groups>,
    // What the Parquet reader was told last of the store: it keeps the text alone.
    failure: Mutex<Option<dataflow::Error>>,
}

#[derive(Default)]
struct Groups {
    // What is wanted of each row group, in the sequence of the file.
    planned: Vec<Vec<Range<u64>>>,
    // What was read of the last ones.
    held: Vec<(usize, Vec<(u64, Bytes)>)>,
}

impl StoredFile {
    /// How many bytes it has; as many as were expected where only reading would tell.
    pub fn size(&self) -> io::Result<u64> {
        match self {
            StoredFile::Disk(file) => Ok(file.metadata()?.len()),
            StoredFile::Store(file) => Ok(file.bytes),
        }
    }

    /// Why the store has not given what a reader wanted last, if it has not.
    pub fn take_failure(&self) -> Option<dataflow::Error> {
        match self {
            StoredFile::Disk(_) => None,
            StoredFile::Store(file) => file.failure.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }

    /// Says which columns of which row groups will be read.
    pub fn plan(&self, footer: &ParquetMetaData, mask: &ProjectionMask, groups: &[usize]) {
        let StoredFile::Store(file) = self else { return };
        let of_group = |&group: &usize| {
            let columns = footer.row_group(group).columns().iter().enumerate();
            let wanted = columns.filter(|(leaf, _)| mask.leaf_included(*leaf));
            merged(wanted.map(|(_, column)| {
                let (start, length) = column.byte_range();
                start..start + length
            }))
        };
        let planned = groups.iter().map(of_group).collect();
        *file.lock() = Groups { planned, held: Vec::new() };
    }
}

/// Ranges in the sequence of the file, those that lie close as one.
fn merged(ranges: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = ranges.collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end + GAP_BYTES => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

impl FileOfStore {
    fn lock(&self) -> std::sync::MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes from a place on, up to the end of what was read with it, `least` of them at the least.
    fn from(&self, start: u64, least: u64) -> ParquetResult<Bytes> {
        let end = start.saturating_add(least);
        if end > self.bytes {
            return Err(ParquetError::EOF(format!("the file ends at {} and not at {end} or later", self.bytes)));
        }
        let within = |block: &(u64, Bytes)| {
            let (from, bytes) = block;
            let (from, to) = (*from, from + bytes.len() as u64);
            (from <= start && end <= to && start < to).then(|| bytes.slice((start - from) as usize..))
        };
        if let Some(found) = within(&self.tail) {
            return Ok(found);
        }
        let mut groups = self.lock();
        if let Some(found) = groups.held.iter().flat_map(|(_, blocks)| blocks).find_map(within) {
            return Ok(found);
        }
        let covers = |range: &Range<u64>| range.start <= start && end <= range.end && start < range.end;
        let Some(group) = groups.planned.iter().position(|ranges| ranges.iter().any(covers)) else {
            drop(groups);
            return Ok(self.read(&[start..end.max(start + TAIL_BYTES).min(self.bytes)])?.remove(0).1);
        };
        let blocks = self.read(&groups.planned[group])?;
        let found = blocks.iter().find_map(within);
        groups.held.truncate(GROUPS_HELD - 1);
        groups.held.insert(0, (group, blocks));
        found.ok_or_else(|| ParquetError::EOF("the store gave less of the file than it was asked for".to_owned()))
    }

    fn read(&self, ranges: &[Range<u64>]) -> ParquetResult<Vec<(u64, Bytes)>> {
        let reads = ranges.iter().map(|range| async {
            let bytes = self.file.read(range.clone()).await?;
            Ok::<_, iceberg::Error>((range.start, bytes))
        });
        let read = self.runtime.block_on(try_join_all(reads));
        let read = read.map_err(|error| {
            let error = failure::iceberg("the store does not give the file", error);
            let told = ParquetError::General(error.chain());
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            told
        })?;
        let is_whole = read.iter().zip(ranges).all(|((_, bytes), range)| bytes.len() as u64 == range.end - range.start);
        if is_whole { Ok(read) } else { Err(ParquetError::EOF("the file is shorter than the table says".to_owned())) }
    }
}

impl Length for StoredFile {
    fn len(&self) -> u64 {
        match self {
            StoredFile::Disk(file) => Length::len(&**file),
            StoredFile::Store(file) => file.bytes,
        }
    }
}

impl ChunkReader for StoredFile {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> ParquetResult<Box<dyn Read>> {
        match self {
            StoredFile::Disk(file) => Ok(Box::new(file.get_read(start)?)),
            StoredFile::Store(file) => Ok(Box::new(file.from(start, 0)?.reader())),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        match self {
            StoredFile::Disk(file) => file.get_bytes(start, length),
            StoredFile::Store(file) => Ok(file.from(start, length as u64)?.slice(..length)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_lie_close_are_read_as_one() {
        let gap = GAP_BYTES;
        let ranges = [10..20, 0..5, 20 + gap..30 + gap, 31 + 2 * gap..40 + 2 * gap];
        assert_eq!(merged(ranges.into_iter()), [0..30 + gap, 31 + 2 * gap..40 + 2 * gap]);
        assert!(merged(std::iter::empty()).is_empty());
    }

    #[test]
    fn every_byte_of_a_file_in_a_store_is_read_as_it_is() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let file_io = FileIO::new_with_memory();
        let bytes: Vec<u8> = (0..400_000u32).map(|at| (at % 251) as u8).collect();
        let written = async { file_io.new_output("memory://a/b")?.write(bytes.clone().into()).await };
        runtime.block_on(written).unwrap();
        let files = StoredFiles { file_io, runtime: runtime.handle().clone() };
        let opened = files.open("memory://a/b", bytes.len() as u64, &|| "opening".to_owned()).unwrap();
        let StoredFile::Store(file) = &opened else { panic!("it lies in a store") };
        file.lock().planned = vec![vec![4..50_000, 60_000..90_000], vec![100_000..200_000]];
        for (start, length) in [(0, 10), (4, 49_996), (49_000, 2_000), (70_000, 1), (150_000, 50_000), (399_999, 1)] {
            let read = opened.get_bytes(start, length).unwrap();
            assert_eq!(read, bytes[start as usize..start as usize + length], "{start} {length}");
            let mut begun = vec![0; length.min(100)];
            opened.get_read(start).unwrap().read_exact(&mut begun).unwrap();
            assert_eq!(begun, bytes[start as usize..start as usize + begun.len()], "{start}");
        }
        assert!(opened.get_bytes(399_990, 11).is_err());
    }
}
