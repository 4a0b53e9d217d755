//! What deletes rows of the data files of a snapshot: read when a data file is, and kept for the next one.

use crate::columns::FieldNames;
use crate::delete_index::{DeleteIndex, FileDeletes};
use crate::equality_deletes::{DeletedKeys, KeyColumn, key_columns};
use crate::live_files::LiveFile;
use crate::name::TableName;
use crate::position_deletes::DeletedPositions;
use crate::stored_file::StoredFiles;
use arrow::array::RecordBatch;
use dataflow::{Error, Result};
use iceberg::spec::TableMetadata;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// How many bytes what deletes rows of one table may take in memory. What is not in use goes before more is taken.
const DELETES_BYTES_MAX: usize = 512 << 20;

/// What deletes rows of a snapshot.
pub struct TableDeletes {
    table: String,
    index: DeleteIndex,
    of_files: Vec<FileDeletes>,
    // Of each data file that position deletes apply to how many rows it has.
    rows_of: HashMap<String, u64>,
    // Of each group of equality deletes the columns.
    columns: Vec<Vec<KeyColumn>>,
    bytes_max: usize,
    // What was read, the parts that were used last at the end.
    kept: Mutex<Vec<(Part, Arc<Deleted>)>>,
}

/// What is read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Vector(usize),
    Positions(usize),
    Keys(usize),
}

/// What a part deletes.
enum Deleted {
    Positions(DeletedPositions),
    Keys(DeletedKeys),
}

impl Deleted {
    fn bytes(&self) -> usize {
        match self {
            Deleted::Positions(positions) => positions.bytes(),
            Deleted::Keys(keys) => keys.bytes(),
        }
    }
}

impl TableDeletes {
    /// Finds out what applies to each data file; no delete file is opened. Deletes by columns that cannot be compared
    /// are an error.
    pub fn new(
        name: &TableName,
        metadata: &TableMetadata,
        data: &[LiveFile],
        deletes: Vec<LiveFile>,
    ) -> Result<TableDeletes> {
        let is_partitioned = |spec| Some(!metadata.partition_spec_by_id(spec)?.is_unpartitioned());
        let index = DeleteIndex::new(name.to_string(), &is_partitioned, deletes)?;
        let of_files = data.iter().map(|file| index.of(file)).collect::<Result<Vec<_>>>()?;
        let with_positions = data.iter().zip(&of_files).filter(|(_, deletes)| !deletes.positions.is_empty());
        let rows_of = with_positions.map(|(data, _)| (data.file.file_path().to_owned(), data.file.record_count()));
        let columns = index.groups().iter().map(|group| {
            let first = index.delete(group.deletes[0]);
            key_columns(name, metadata, &group.columns, first)
        });
        Ok(TableDeletes {
            table: name.to_string(),
            rows_of: rows_of.collect(),
            columns: columns.collect::<Result<_>>()?,
            index,
            of_files,
            bytes_max: DELETES_BYTES_MAX,
            kept: Mutex::default(),
        })
    }

    /// A number that is another one where other rows of a data file are deleted; `None` where none are.
    pub fn digest(&self, file: usize) -> Option<u64> {
        self.index.digest(&self.of_files[file])
    }

    /// Reads what deletes rows of a data file, given with its location; `None` where nothing does.
    pub fn of(
        &self,
        (file, location): (usize, &str),
        names: Option<&Arc<FieldNames>>,
        stores: &StoredFiles,
    ) -> Result<Option<RowDeletes>> {
        let applying = &self.of_files[file];
        if applying.is_empty() {
            return Ok(None);
        }
        let mut deletes = RowDeletes {
            location: location.to_owned(),
            sequence: applying.sequence,
            parts: Vec::new(),
            columns: Vec::new(),
        };
        let positions = applying.positions.iter().map(|&delete| Part::Positions(delete));
        for part in applying.vector.map(Part::Vector).into_iter().chain(positions) {
            deletes.parts.push((self.part(part, names, stores)?, 0..0));
        }
        for &group in &applying.groups {
            let begin = deletes.columns.len();
            deletes.columns.extend(self.columns[group].iter().cloned());
            let columns = begin..deletes.columns.len();
            deletes.parts.push((self.part(Part::Keys(group), names, stores)?, columns));
        }
        Ok(Some(deletes))
    }

    /// A part that was kept, or that is read now.
    fn part(&self, part: Part, names: Option<&Arc<FieldNames>>, stores: &StoredFiles) -> Result<Arc<Deleted>> {
        // Others wait meanwhile: most of them want the same part.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|(own, _)| *own == part) {
            let known = kept.remove(at);
            kept.push(known.clone());
            return Ok(known.1);
        }
        let read = Arc::new(self.read(part, names, stores)?);
        kept.push((part, read.clone()));
        let mut bytes: usize = kept.iter().map(|(_, deleted)| deleted.bytes()).sum();
        kept.retain(|(_, deleted)| {
            let stays = bytes <= self.bytes_max || Arc::strong_count(deleted) > 1;
            bytes -= if stays { 0 } else { deleted.bytes() };
            stays
        });
        if bytes > self.bytes_max {
            kept.retain(|(own, _)| *own != part);
        }
        self.check(bytes)?;
        Ok(read)
    }

    fn check(&self, bytes: usize) -> Result<()> {
        if bytes <= self.bytes_max {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "table \"{}\": what deletes its rows takes over {} MiB of memory; compact the table with the engine that wrote \
             it, so that it has fewer deletes",
            self.table,
            self.bytes_max >> 20
        )))
    }

    fn read(&self, part: Part, names: Option<&Arc<FieldNames>>, stores: &StoredFiles) -> Result<Deleted> {
        let delete = |at: usize| self.index.delete(at);
        match part {
            Part::Vector(at) => DeletedPositions::read_vector(&self.table, delete(at), stores).map(Deleted::Positions),
            Part::Positions(at) => {
                DeletedPositions::read(&self.table, delete(at), stores, &self.rows_of).map(Deleted::Positions)
            }
            Part::Keys(group) => {
                let columns = &self.columns[group];
                let mut keys = DeletedKeys::new(columns)?;
                for &at in &self.index.group(group).deletes {
                    let file = (self.table.as_str(), delete(at));
                    keys.read(file, (columns, names), stores, &|bytes| self.check(bytes))?;
                }
                Ok(Deleted::Keys(keys))
            }
        }
    }
}

/// What deletes rows of one data file.
pub struct RowDeletes {
    location: String,
    // The sequence number of the data file.
    sequence: i64,
    // With the places of their columns among `columns`.
    parts: Vec<(Arc<Deleted>, Range<usize>)>,
    columns: Vec<KeyColumn>,
}

impl RowDeletes {
    /// The columns that have to be read so that it can be told which rows are deleted.
    pub fn columns(&self) -> &[KeyColumn] {
        &self.columns
    }

    /// Of rows at some places of the file, with those columns, which are not deleted.
    pub fn kept(&self, places: &[Range<u64>], columns: &RecordBatch) -> Result<Vec<bool>> {
        let mut kept = vec![true; columns.num_rows()];
        for (deleted, own) in &self.parts {
            match &**deleted {
                Deleted::Keys(keys) => keys.take_out(&columns.columns()[own.clone()], self.sequence, &mut kept)?,
                Deleted::Positions(positions) => {
                    let mut begin = 0;
                    for rows in places {
                        let end = begin + (rows.end - rows.start) as usize;
                        positions.take_out(&self.location, rows.clone(), &mut kept[begin..end]);
                        begin = end;
                    }
                }
            }
        }
        Ok(kept)
    }
}
