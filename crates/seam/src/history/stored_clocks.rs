//! The clocks of the rows of a history, in a file that is kept for the next run.
//!
//! ```text
//! magic | block | block | .. | what the clocks are of | its length | its checksum
//!         4,096 clocks and their checksum
//! ```

use dataflow::{Bounds, Error, Result};
use serde_json::{Value, json};
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use xxhash_rust::xxh3::xxh3_64;

/// The first bytes of the file, with the version of its form.
const MAGIC: &[u8; 8] = b"rrclock1";
const BLOCK_CLOCKS: usize = 4_096;
const NUMBER_BYTES: usize = size_of::<u64>();
const BLOCK_BYTES: u64 = ((BLOCK_CLOCKS + 1) * NUMBER_BYTES) as u64;
/// The length and the checksum of what the clocks are of.
const END_BYTES: usize = 2 * NUMBER_BYTES;
/// The most bytes that are taken for what the clocks are of: of about 10 million row groups.
const CONTENTS_BYTES_MAX: u64 = 1 << 30;

/// In the place of a clock: no row had moved it yet, or the row has no arrival.
pub(crate) const NO_CLOCK: i64 = i64::MIN;

/// The rows of a row group among those of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupClocks {
    pub file: usize,
    pub group: usize,
    /// How many rows come before its own.
    pub first: u64,
    pub rows: u64,
    /// Of its clocks, if it has any.
    pub bounds: Option<Bounds>,
}

/// The clocks of all rows, in a file.
pub(crate) struct StoredClocks {
    path: PathBuf,
    file: File,
    rows: u64,
    groups: Vec<GroupClocks>,
}

impl StoredClocks {
    /// Those that were kept under a key; `None` where there are none, where they are of something else, or where the
    /// file is damaged: they can be had again.
    pub fn open(path: &Path, key: &str) -> Option<StoredClocks> {
        let file = File::open(path).ok()?;
        let bytes = file.metadata().ok()?.len();
        let (mut magic, mut end) = ([0; MAGIC.len()], [0; END_BYTES]);
        file.read_exact_at(&mut magic, 0).ok()?;
        file.read_exact_at(&mut end, bytes.checked_sub(END_BYTES as u64)?).ok()?;
        let (length, checksum) = end.split_at(NUMBER_BYTES);
        let (length, checksum) = (number(length)?, number(checksum)?);
        let mut contents = vec![0; usize::try_from(length).ok().filter(|_| length <= CONTENTS_BYTES_MAX.min(bytes))?];
        let at = bytes.checked_sub(END_BYTES as u64)?.checked_sub(length)?;
        file.read_exact_at(&mut contents, at).ok()?;
        if &magic != MAGIC || xxh3_64(&contents) != checksum {
            return None;
        }
        let contents: Value = serde_json::from_slice(&contents).ok()?;
        if contents["key"].as_str() != Some(key) {
            return None;
        }
        let groups = contents["groups"].as_array()?.iter().map(group_of).collect::<Option<Vec<_>>>()?;
        let rows = contents["rows"].as_u64()?;
        Some(StoredClocks { path: path.to_owned(), file, rows, groups })
    }

    /// The row groups, in the sequence of their rows.
    pub fn groups(&self) -> &[GroupClocks] {
        &self.groups
    }

    /// The block that has the clock of a row, from that row on.
    pub fn from_row(&self, row: u64) -> Result<Vec<i64>> {
        let (block, within) = (row / BLOCK_CLOCKS as u64, (row % BLOCK_CLOCKS as u64) as usize);
        let clocks = self.rows.saturating_sub(block * BLOCK_CLOCKS as u64).min(BLOCK_CLOCKS as u64) as usize;
        let mut bytes = vec![0; (clocks + 1) * NUMBER_BYTES];
        let damaged = || {
            Error::corrupt(format!(
                "the clocks in \"{}\" cannot be read; remove the file, and the next run makes it anew",
                self.path.display()
            ))
        };
        let read = self.file.read_exact_at(&mut bytes, MAGIC.len() as u64 + block * BLOCK_BYTES);
        read.map_err(|error| damaged().with_source(error))?;
        let (clocks, checksum) = bytes.split_at(clocks * NUMBER_BYTES);
        if number(checksum) != Some(xxh3_64(clocks)) {
            return Err(damaged());
        }
        let (clocks, _) = clocks.as_chunks::<NUMBER_BYTES>();
        Ok(clocks.iter().skip(within).map(|bytes| i64::from_le_bytes(*bytes)).collect())
    }
}

/// What is wrong when the clocks cannot be written to a folder, and what to do.
fn cannot_keep(dir: &Path, error: io::Error) -> Error {
    Error::of_file(format!("the clocks of a history cannot be written to \"{}\"", dir.display()), error)
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn group_of(value: &Value) -> Option<GroupClocks> {
    let whole = |at: usize| value.get(at)?.as_u64();
    let bound = |at: usize| value.get(at)?.as_i64();
    let nulls = whole(4)?;
    let bounds = bound(5).zip(bound(6)).map(|(min, max)| Bounds { min, max, nulls });
    let (file, group) = (usize::try_from(whole(0)?).ok()?, usize::try_from(whole(1)?).ok()?);
    Some(GroupClocks { file, group, first: whole(2)?, rows: whole(3)?, bounds })
}

/// Clocks being written, in the sequence of the rows. The file is there as a whole or not at all.
pub(crate) struct ClocksWriter {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
    block: Vec<u8>,
    rows: u64,
}

impl ClocksWriter {
    /// A file that gets its name when it is finished. Its folder is made when it is not there.
    pub fn create(path: &Path) -> Result<ClocksWriter> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let open = || {
            std::fs::create_dir_all(dir)?;
            // Others who read the warehouse may read it, as the system's mask allows.
            tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(dir)
        };
        let mut file = BufWriter::new(open().map_err(|error| cannot_keep(dir, error))?);
        file.write_all(MAGIC).map_err(|error| cannot_keep(dir, error))?;
        Ok(ClocksWriter { file, path: path.to_owned(), block: Vec::new(), rows: 0 })
    }

    /// How many clocks it has.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes the clock of the next row.
    pub fn push(&mut self, clock: i64) -> Result<()> {
        self.block.extend(clock.to_le_bytes());
        self.rows += 1;
        if self.block.len() == BLOCK_CLOCKS * NUMBER_BYTES { self.write_block() } else { Ok(()) }
    }

    /// Ends the file, and gives it for reading.
    pub fn finish(mut self, key: &str, groups: Vec<GroupClocks>) -> Result<StoredClocks> {
        self.write_block()?;
        let listed: Vec<Value> = groups
            .iter()
            .map(|group| {
                let (nulls, min, max) = group
                    .bounds
                    .map_or((group.rows, None, None), |bounds| (bounds.nulls, Some(bounds.min), Some(bounds.max)));
                json!([group.file, group.group, group.first, group.rows, nulls, min, max])
            })
            .collect();
        let contents = json!({ "key": key, "rows": self.rows, "groups": listed }).to_string();
        self.write(contents.as_bytes())?;
        self.write(&(contents.len() as u64).to_le_bytes())?;
        self.write(&xxh3_64(contents.as_bytes()).to_le_bytes())?;
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let file = self.file.into_inner().map_err(|error| cannot_keep(dir, error.into_error()))?;
        let file = file.persist(&self.path).map_err(|error| cannot_keep(dir, error.error))?;
        Ok(StoredClocks { path: self.path, file, rows: self.rows, groups })
    }

    fn write_block(&mut self) -> Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::take(&mut self.block);
        self.write(&block)?;
        self.write(&xxh3_64(&block).to_le_bytes())?;
        self.block = block;
        self.block.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        self.file.write_all(bytes).map_err(|error| cannot_keep(dir, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::ErrorKind;

    fn groups(rows: u64) -> Vec<GroupClocks> {
        let bounds = Some(Bounds { min: -5, max: rows as i64, nulls: 1 });
        vec![
            GroupClocks { file: 1, group: 0, first: 0, rows: 1, bounds: None },
            GroupClocks { file: 0, group: 2, first: 1, rows: rows - 1, bounds },
        ]
    }

    fn write(path: &Path, rows: u64) -> StoredClocks {
        let mut writer = ClocksWriter::create(path).unwrap();
        writer.push(NO_CLOCK).unwrap();
        (1..rows as i64).for_each(|clock| writer.push(clock).unwrap());
        writer.finish("a key", groups(rows)).unwrap()
    }

    fn read(clocks: &StoredClocks, rows: u64) -> Result<Vec<i64>> {
        let mut all = Vec::new();
        while (all.len() as u64) < rows {
            all.append(&mut clocks.from_row(all.len() as u64)?);
        }
        Ok(all)
    }

    #[test]
    fn clocks_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/clocks");
        for rows in [2, 4_095, 4_096, 4_097, 10_000] {
            let written = write(&path, rows);
            let kept = StoredClocks::open(&path, "a key").unwrap();
            for clocks in [written, kept] {
                assert_eq!(clocks.groups(), groups(rows));
                let expected: Vec<i64> = std::iter::once(NO_CLOCK).chain(1..rows as i64).collect();
                assert_eq!(read(&clocks, rows).unwrap(), expected);
                assert_eq!(clocks.from_row(1).unwrap()[0], 1);
            }
            assert!(StoredClocks::open(&path, "another key").is_none());
        }
        assert!(StoredClocks::open(&dir.path().join("nothing"), "a key").is_none());
    }

    #[test]
    fn what_is_damaged_is_made_anew_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clocks");
        write(&path, 5_000);
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(997).chain(whole.len() - 200..whole.len()) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, &damaged).unwrap();
            let Some(clocks) = StoredClocks::open(&path, "a key") else { continue };
            let error = read(&clocks, 5_000).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}");
            assert!(error.to_string().contains("remove the file"), "{error}");
        }
        for bytes in [0, 7, 8, 20, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..bytes]).unwrap();
            assert!(StoredClocks::open(&path, "a key").is_none(), "{bytes} bytes");
        }
    }
}
