//! Sorts more numbers than fit in memory.

use super::spill::{cannot_read, cannot_write};
use dataflow::Result;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How many runs are read at once at most: each has a file open and a buffer.
const RUNS_MAX: usize = 64;

/// Entries of some numbers, which come out in ascending order. What does not fit in memory lies in sorted runs, in
/// files without names that vanish with their last users.
pub(crate) struct Sorter<const N: usize> {
    dir: PathBuf,
    entries_max: usize,
    // In descending order, so that the least is the last one, unless entries were pushed since.
    memory: Vec<[i64; N]>,
    is_sorted: bool,
    runs: Vec<Run>,
    // The least entry of each run that has one left, with the run.
    heads: BinaryHeap<Reverse<([i64; N], usize)>>,
}

/// Entries in ascending order that are still to be read.
struct Run {
    file: BufReader<File>,
    left: u64,
}

impl<const N: usize> Sorter<N> {
    /// Keeps so many bytes of entries in memory, and has a folder for the others.
    pub fn new(dir: &Path, memory_bytes: usize) -> Sorter<N> {
        let entries_max = (memory_bytes / (N * size_of::<i64>())).max(1);
        let (memory, runs, heads) = (Vec::new(), Vec::new(), BinaryHeap::new());
        Sorter { dir: dir.to_owned(), entries_max, memory, is_sorted: true, runs, heads }
    }

    /// Takes an entry.
    pub fn push(&mut self, entry: [i64; N]) -> Result<()> {
        if self.memory.len() == self.entries_max {
            self.spill()?;
        }
        self.memory.push(entry);
        self.is_sorted = false;
        Ok(())
    }

    /// The least entry, if it is one that is wanted. Costs least where many are taken after many were pushed.
    pub fn next_if(&mut self, is_wanted: impl Fn(&[i64; N]) -> bool) -> Result<Option<[i64; N]>> {
        self.sort();
        let (in_memory, in_runs) = (self.memory.last().copied(), self.heads.peek().map(|Reverse((head, _))| *head));
        let Some(least) = in_memory.into_iter().chain(in_runs).min().filter(is_wanted) else { return Ok(None) };
        if in_memory == Some(least) {
            self.memory.pop();
        } else {
            self.next_of_runs()?;
        }
        Ok(Some(least))
    }

    fn sort(&mut self) {
        if !self.is_sorted {
            // What was left lies in order, and so does most of what comes: a stable sort makes use of that.
            self.memory.sort_by(|a, b| b.cmp(a));
            self.is_sorted = true;
        }
    }

    /// The least entry of the runs.
    fn next_of_runs(&mut self) -> Result<Option<[i64; N]>> {
        let Some(Reverse((entry, run))) = self.heads.pop() else { return Ok(None) };
        if let Some(next) = self.runs[run].next(&self.dir)? {
            self.heads.push(Reverse((next, run)));
        }
        Ok(Some(entry))
    }

    /// Moves what is in memory to a run; all runs become one before they are too many.
    fn spill(&mut self) -> Result<()> {
        if self.runs.len() == RUNS_MAX {
            let mut all = RunWriter::create(&self.dir)?;
            while let Some(entry) = self.next_of_runs()? {
                all.write(&self.dir, &entry)?;
            }
            self.runs.clear();
            self.take_run(all)?;
        }
        self.sort();
        let mut run = RunWriter::create(&self.dir)?;
        while let Some(entry) = self.memory.pop() {
            run.write(&self.dir, &entry)?;
        }
        self.take_run(run)
    }

    fn take_run(&mut self, written: RunWriter) -> Result<()> {
        let mut run = written.finish(&self.dir)?;
        if let Some(first) = run.next(&self.dir)? {
            self.heads.push(Reverse((first, self.runs.len())));
            self.runs.push(run);
        }
        Ok(())
    }
}

impl Run {
    fn next<const N: usize>(&mut self, dir: &Path) -> Result<Option<[i64; N]>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut entry = [0; N];
        for number in &mut entry {
            let mut bytes = [0; size_of::<i64>()];
            self.file.read_exact(&mut bytes).map_err(|error| cannot_read(dir, error))?;
            *number = i64::from_le_bytes(bytes);
        }
        Ok(Some(entry))
    }
}

/// A run being written.
struct RunWriter {
    file: BufWriter<File>,
    entries: u64,
}

impl RunWriter {
    fn create(dir: &Path) -> Result<RunWriter> {
        let file = std::fs::create_dir_all(dir).and_then(|()| tempfile::tempfile_in(dir));
        let file = BufWriter::new(file.map_err(|error| cannot_write(dir, error))?);
        Ok(RunWriter { file, entries: 0 })
    }

    fn write<const N: usize>(&mut self, dir: &Path, entry: &[i64; N]) -> Result<()> {
        self.entries += 1;
        entry
            .iter()
            .try_for_each(|number| self.file.write_all(&number.to_le_bytes()))
            .map_err(|error| cannot_write(dir, error))
    }

    fn finish(self, dir: &Path) -> Result<Run> {
        let mut file = self.file.into_inner().map_err(|error| cannot_write(dir, error.into_error()))?;
        file.seek(SeekFrom::Start(0)).map_err(|error| cannot_read(dir, error))?;
        Ok(Run { file: BufReader::new(file), left: self.entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in no order.
    fn scattered(count: i64) -> impl Iterator<Item = i64> {
        (0..count).map(move |number| number * 7_919 % count)
    }

    #[test]
    fn entries_come_out_in_order_however_many_fit_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        for memory_bytes in [1, 64, 1_000, 1 << 20] {
            let mut sorter = Sorter::<2>::new(dir.path(), memory_bytes);
            for number in scattered(2_003) {
                sorter.push([number, -number]).unwrap();
            }
            let mut sorted = Vec::new();
            while let Some(entry) = sorter.next_if(|_| true).unwrap() {
                sorted.push(entry);
            }
            let expected: Vec<[i64; 2]> = (0..2_003).map(|number| [number, -number]).collect();
            assert_eq!(sorted, expected, "{memory_bytes} bytes");
            assert!(sorter.runs.len() <= RUNS_MAX + 1);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn entries_leave_while_others_come() {
        let dir = tempfile::tempdir().unwrap();
        for memory_bytes in [64, 1 << 20] {
            let mut sorter = Sorter::<1>::new(dir.path(), memory_bytes);
            let mut sorted = Vec::new();
            for hundred in 0..20 {
                for number in scattered(101) {
                    sorter.push([hundred * 50 + number]).unwrap();
                }
                while let Some([number]) = sorter.next_if(|entry| entry[0] < (hundred + 1) * 50).unwrap() {
                    sorted.push(number);
                }
            }
            assert!(sorted.is_sorted() && sorted.len() > 1_500, "{}", sorted.len());
            while let Some([number]) = sorter.next_if(|_| true).unwrap() {
                sorted.push(number);
            }
            assert!(sorted.is_sorted());
            assert_eq!(sorted.len(), 20 * 101);
        }
    }
}
