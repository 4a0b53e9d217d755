//! The columns of a batch: its own, or rows of columns that several batches share, which are gathered when they are
//! looked at.

use crate::Result;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute;
use arrow::datatypes::SchemaRef;
use std::sync::{Arc, OnceLock};

/// The declared columns of a batch. Cloning copies no rows.
#[derive(Clone, Debug)]
pub(crate) enum Columns {
    Whole(RecordBatch),
    Picked(Arc<Picked>),
}

/// Some rows of columns, each at most once.
#[derive(Debug)]
pub(crate) struct Picked {
    source: RecordBatch,
    rows: UInt32Array,
    gathered: OnceLock<RecordBatch>,
}

impl Columns {
    /// Rows of columns, each named at most once; they are gathered when they are looked at, or go straight to where they
    /// are interleaved with others.
    pub fn pick(&self, rows: &[u32]) -> Result<Columns> {
        let (source, of_source) = self.source();
        // What cannot be gathered is told here and not later.
        take(source, &UInt32Array::from(Vec::<u32>::new()))?;
        let rows = match of_source {
            Some(picked) => rows.iter().map(|&row| picked.value(row as usize)).collect::<Vec<_>>().into(),
            None => UInt32Array::from(rows.to_vec()),
        };
        Ok(Columns::Picked(Arc::new(Picked { source: source.clone(), rows, gathered: OnceLock::new() })))
    }

    /// The columns with their rows in place.
    pub fn whole(&self) -> &RecordBatch {
        match self {
            Columns::Whole(columns) => columns,
            Columns::Picked(picked) => picked.gathered.get_or_init(|| {
                take(&picked.source, &picked.rows).expect("rows that are picked once fit where their source fits")
            }),
        }
    }

    /// Lets go of the columns that it was picked from: its rows get columns of their own.
    pub fn detach(&mut self) {
        if let Columns::Picked(_) = self {
            *self = Columns::Whole(self.whole().clone());
        }
    }

    /// The columns as they lie, and which of their rows are meant; `None`: all of them, in their sequence.
    pub fn source(&self) -> (&RecordBatch, Option<&UInt32Array>) {
        match self {
            Columns::Picked(picked) if picked.gathered.get().is_none() => (&picked.source, Some(&picked.rows)),
            _ => (self.whole(), None),
        }
    }

    pub fn rows(&self) -> usize {
        match self {
            Columns::Whole(columns) => columns.num_rows(),
            Columns::Picked(picked) => picked.rows.len(),
        }
    }

    pub fn schema(&self) -> SchemaRef {
        match self {
            Columns::Whole(columns) => columns.schema(),
            Columns::Picked(picked) => picked.source.schema(),
        }
    }

    /// The approximate size in bytes; of columns that are shared the part of the rows that are meant.
    pub fn bytes(&self) -> usize {
        let (source, picked) = self.source();
        let bytes: usize = source.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum();
        picked.map_or(bytes, |rows| bytes * rows.len() / source.num_rows().max(1))
    }

    pub fn slice(&self, from: usize, rows: usize) -> Columns {
        match self.source() {
            (source, Some(picked)) => Columns::Picked(Arc::new(Picked {
                source: source.clone(),
                rows: picked.slice(from, rows),
                gathered: OnceLock::new(),
            })),
            (whole, None) => Columns::Whole(whole.slice(from, rows)),
        }
    }
}

/// The rows at the indexes.
pub(crate) fn take(columns: &RecordBatch, rows: &UInt32Array) -> Result<RecordBatch> {
    if columns.num_columns() == 0 {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        return Ok(RecordBatch::try_new_with_options(columns.schema(), vec![], &options)?);
    }
    Ok(compute::take_record_batch(columns, rows)?)
}

/// Rows of several columns in the sequence of the places: which of the columns, and which row of them. There is at
/// least one; all have the same schema. Each row is copied once.
pub(crate) fn interleave(all: &[&Columns], places: &[(usize, usize)]) -> Result<RecordBatch> {
    let sources: Vec<_> = all.iter().map(|columns| columns.source()).collect();
    let records: Vec<&RecordBatch> = sources.iter().map(|(source, _)| *source).collect();
    if records[0].num_columns() == 0 {
        return take(records[0], &UInt32Array::from(vec![0; places.len()]));
    }
    if sources.iter().all(|(_, picked)| picked.is_none()) {
        return interleave_rows(&records, places);
    }
    let at = |&(index, row): &(usize, usize)| (index, sources[index].1.map_or(row, |rows| rows.value(row) as usize));
    interleave_rows(&records, &places.iter().map(at).collect::<Vec<_>>())
}

fn interleave_rows(records: &[&RecordBatch], places: &[(usize, usize)]) -> Result<RecordBatch> {
    let column = |index: usize| {
        let of_all: Vec<&dyn Array> = records.iter().map(|record| record.column(index).as_ref()).collect();
        match of_all.iter().map(|column| column.as_boolean_opt()).collect::<Option<Vec<_>>>() {
            Some(booleans) => Ok(interleave_booleans(&booleans, places)),
            None => Ok(compute::interleave(&of_all, places)?),
        }
    };
    let columns = (0..records[0].num_columns()).map(column).collect::<Result<Vec<ArrayRef>>>()?;
    Ok(RecordBatch::try_new(records[0].schema(), columns)?)
}

/// The kernel of the library extends run by run, which costs several times as much where runs are short.
fn interleave_booleans(columns: &[&BooleanArray], places: &[(usize, usize)]) -> ArrayRef {
    let values: Vec<&BooleanBuffer> = columns.iter().map(|column| column.values()).collect();
    let gathered = BooleanBuffer::collect_bool(places.len(), |at| values[places[at].0].value(places[at].1));
    let nulls = columns
        .iter()
        .any(|column| column.null_count() > 0)
        .then(|| BooleanBuffer::collect_bool(places.len(), |at| columns[places[at].0].is_valid(places[at].1)).into());
    Arc::new(BooleanArray::new(gathered, nulls))
}
