//! Joins: the right side lies in memory under its keys, and left rows find their pairs there in their order; those
//! without one come after their batch. What does not fit is joined piece by piece: the left side is then put into a file and read again for each piece.

use crate::keys::{KeyTable, RowKeys};
use crate::simple::{passing, with_columns};
use crate::spill::{Run, Spill, bytes_of};
use crate::stop::BATCH_ROWS;
use crate::weight::{BATCH_BYTES, Weights};
use arrow::array::AsArray;
use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{Field, Schema, SchemaRef, UInt32Type};
use dataflow::{RecordBatches, Result, Scalar};
use std::sync::Arc;

/// Pieces of the right side have at most so many rows.
const PIECE_ROWS: usize = 1 << 30;

/// What is joined how.
pub(crate) struct Spec {
    pub left: SchemaRef,
    pub right: SchemaRef,
    pub output: SchemaRef,
    pub keys: Vec<(usize, usize)>,
    pub condition: Option<Arc<dyn Scalar>>,
    pub keeps_left: bool,
    pub keeps_right: bool,
    pub memory: usize,
    pub spill: Spill,
}

/// A part of the right side in memory.
struct Piece {
    rows: RecordBatch,
    weights: Weights,
    keys: KeyTable,
    /// By key the first of its rows, and by row the next of the same key; NONE ends.
    first: Vec<u32>,
    next: Vec<u32>,
    /// Which rows have a pair, where those without one come out.
    paired: Vec<bool>,
}

const NONE: u32 = u32::MAX;

/// The joined rows.
pub(crate) struct Joined {
    spec: Spec,
    right: RecordBatches,
    piece: Piece,
    is_last: bool,
    left: RecordBatches,
    /// The left side, where it is read more than once.
    file: Option<Run>,
    /// Which left rows have a pair, from the first on, where those without one come out and there are pieces.
    paired: Vec<bool>,
    /// How many left rows came before the current batch.
    before: usize,
    batch: Option<LeftBatch>,
    /// How many rows of the piece were looked at for whether they have a pair, after the last left row.
    looked_at: usize,
    ended: bool,
}

/// A batch of the left side, and how far its pairs are out.
struct LeftBatch {
    rows: RecordBatch,
    weights: Weights,
    /// By row the first row of the right side that may be its pair.
    firsts: Vec<u32>,
    row: usize,
    at: u32,
    paired: Vec<bool>,
}

/// Joins two sides.
pub(crate) fn join(spec: Spec, left: RecordBatches, mut right: RecordBatches) -> Result<RecordBatches> {
    let (piece, is_last) = Piece::read(&spec, &mut right)?;
    let mut joined = Joined {
        spec,
        right,
        piece,
        is_last,
        left: Box::new(std::iter::empty()),
        file: None,
        paired: Vec::new(),
        before: 0,
        batch: None,
        looked_at: 0,
        ended: false,
    };
    if is_last && joined.piece.rows.num_rows() == 0 && !joined.spec.keeps_left {
        // No row of the left side has a pair, and none is looked at.
        joined.ended = true;
    } else if is_last {
        joined.left = left;
    } else {
        let mut writer = joined.spec.spill.writer(&joined.spec.left)?;
        for rows in left {
            writer.write(&rows?)?;
        }
        let file = writer.finish()?;
        joined.left = file.read()?;
        joined.file = Some(file);
    }
    Ok(Box::new(joined))
}

impl Piece {
    /// As much of the right side as fits; whether it was the last of it.
    fn read(spec: &Spec, right: &mut RecordBatches) -> Result<(Piece, bool)> {
        let (mut batches, mut bytes, mut count, mut is_last) = (Vec::new(), 0, 0, false);
        while bytes <= spec.memory && count < PIECE_ROWS {
            let Some(rows) = right.next() else {
                is_last = true;
                break;
            };
            let rows = rows?;
            // The keys and their table take about as much again.
            bytes += 2 * bytes_of(&rows) + 24 * rows.num_rows();
            count += rows.num_rows();
            batches.push(rows);
        }
        let rows = concat_batches(&spec.right, &batches)?;
        let columns: Vec<usize> = spec.keys.iter().map(|(_, theirs)| *theirs).collect();
        let mut piece = Piece {
            weights: Weights::of(&rows),
            keys: KeyTable::default(),
            first: Vec::new(),
            next: vec![NONE; rows.num_rows()],
            paired: vec![false; if spec.keeps_right { rows.num_rows() } else { 0 }],
            rows,
        };
        // Rows of a key are linked from the first to the last.
        let mut last: Vec<u32> = Vec::new();
        for from in (0..piece.rows.num_rows()).step_by(BATCH_ROWS) {
            spec.spill.stop.look()?;
            let some = piece.rows.slice(from, BATCH_ROWS.min(piece.rows.num_rows() - from));
            piece.link(&some, from, &columns, &mut last)?;
        }
        Ok((piece, is_last))
    }

    /// Takes some of its rows, from a place on, under their keys; `last` is the last row of each key.
    fn link(&mut self, some: &RecordBatch, from: usize, columns: &[usize], last: &mut Vec<u32>) -> Result<()> {
        let keys = RowKeys::of(some, columns)?;
        for at in 0..some.num_rows() {
            if has_null(some, columns, at) {
                continue;
            }
            let row = (from + at) as u32;
            let (key, is_new) = self.keys.number(keys.hashes[at], keys.bytes(at));
            if is_new {
                self.first.push(row);
                last.push(row);
            } else {
                self.next[last[key as usize] as usize] = row;
                last[key as usize] = row;
            }
        }
        Ok(())
    }
}

fn has_null(rows: &RecordBatch, columns: &[usize], row: usize) -> bool {
    columns.iter().any(|&column| rows.column(column).is_null(row))
}

impl Iterator for Joined {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.step() {
                Ok(Some(rows)) if rows.num_rows() > 0 => return Some(Ok(rows)),
                Ok(_) => {}
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl Joined {
    /// Some pairs, or the next batch, or the next piece.
    fn step(&mut self) -> Result<Option<RecordBatch>> {
        self.spec.spill.stop.look()?;
        if let Some(batch) = &mut self.batch {
            let (left, right) = batch.pairs(&self.piece);
            if !left.is_empty() {
                return self.joined(left, right).map(Some);
            }
            return self.end_batch();
        }
        if let Some(rows) = self.left.next().transpose()? {
            let columns: Vec<usize> = self.spec.keys.iter().map(|(ours, _)| *ours).collect();
            self.batch = Some(LeftBatch::new(rows, &columns, &self.piece)?);
            return Ok(None);
        }
        self.end_piece()
    }

    /// The pairs on which the condition is true.
    fn joined(&mut self, left: Vec<u32>, right: Vec<u32>) -> Result<RecordBatch> {
        let Some(batch) = &mut self.batch else { return Ok(RecordBatch::new_empty(self.spec.output.clone())) };
        let (left, right) = (UInt32Array::from(left), UInt32Array::from(right));
        let columns = both(&batch.rows, &left, &self.piece.rows, &right)?;
        let rows = match &self.spec.condition {
            None => with_columns(&self.spec.output, columns, left.len())?,
            Some(condition) => {
                // The places of both go along, to see which rows have a pair.
                let places = ["left", "right"].map(|name| Field::new(name, arrow::datatypes::DataType::UInt32, false));
                let fields = self.spec.output.fields().iter().cloned().chain(places.map(Arc::new));
                let all: ArrayRef = Arc::new(left.clone());
                let columns = columns.into_iter().chain([all, Arc::new(right.clone()) as ArrayRef]).collect();
                let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
                passing(condition, &with_columns(&schema, columns, left.len())?)?
            }
        };
        let width = self.spec.output.fields().len();
        let place = |at: usize, all: &UInt32Array| match self.spec.condition {
            None => all.values().clone(),
            Some(_) => rows.column(width + at).as_primitive::<UInt32Type>().values().clone(),
        };
        let (left, right) = (place(0, &left), place(1, &right));
        if self.spec.keeps_left {
            left.iter().for_each(|&row| batch.paired[row as usize] = true);
        }
        if self.spec.keeps_right {
            right.iter().for_each(|&row| self.piece.paired[row as usize] = true);
        }
        with_columns(&self.spec.output, rows.columns()[..width].to_vec(), rows.num_rows())
    }

    /// The left rows of the batch without a pair, unless another piece may have one.
    fn end_batch(&mut self) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.batch.take() else { return Ok(None) };
        let (from, rows) = (self.before, batch.rows.num_rows());
        self.before += rows;
        if !self.spec.keeps_left {
            return Ok(None);
        }
        let mut paired = batch.paired;
        if self.file.is_some() {
            self.paired.resize(self.paired.len().max(from + rows), false);
            for (known, now) in self.paired[from..from + rows].iter_mut().zip(&paired) {
                *known |= now;
            }
            paired = self.paired[from..from + rows].to_vec();
        }
        if !self.is_last {
            return Ok(None);
        }
        let alone: UInt32Array = (0..rows as u32).filter(|&row| !paired[row as usize]).collect::<Vec<_>>().into();
        let nobody = UInt32Array::new_null(alone.len());
        let columns = both(&batch.rows, &alone, &self.piece.rows, &nobody)?;
        with_columns(&self.spec.output, columns, alone.len()).map(Some)
    }

    /// Some right rows of the piece without a pair; then the next piece, or the end.
    fn end_piece(&mut self) -> Result<Option<RecordBatch>> {
        let (mut alone, mut bytes) = (Vec::new(), 0);
        while self.looked_at < self.piece.paired.len() && alone.len() < BATCH_ROWS && bytes < BATCH_BYTES {
            if !self.piece.paired[self.looked_at] {
                bytes += self.piece.weights.row(self.looked_at);
                alone.push(self.looked_at as u32);
            }
            self.looked_at += 1;
        }
        if alone.is_empty() {
            self.next_piece()?;
            return Ok(None);
        }
        let alone = UInt32Array::from(alone);
        let nobody = UInt32Array::new_null(alone.len());
        let columns = both(&RecordBatch::new_empty(self.spec.left.clone()), &nobody, &self.piece.rows, &alone)?;
        with_columns(&self.spec.output, columns, alone.len()).map(Some)
    }

    fn next_piece(&mut self) -> Result<()> {
        match &self.file {
            Some(file) if !self.is_last => {
                // The piece before goes first: there is room for one.
                self.piece.rows = RecordBatch::new_empty(self.spec.right.clone());
                self.piece.weights = Weights::of(&self.piece.rows);
                self.piece.keys = KeyTable::default();
                (self.piece, self.is_last) = Piece::read(&self.spec, &mut self.right)?;
                self.left = file.read()?;
                (self.before, self.looked_at) = (0, 0);
            }
            _ => self.ended = true,
        }
        Ok(())
    }
}

/// Columns of both sides at some rows; where there is no row there is NULL.
fn both(left: &RecordBatch, at: &UInt32Array, right: &RecordBatch, there: &UInt32Array) -> Result<Vec<ArrayRef>> {
    let of = |rows: &RecordBatch, at: &UInt32Array| {
        rows.columns().iter().map(|column| Ok(take(column, at, None)?)).collect::<Result<Vec<_>>>()
    };
    Ok([of(left, at)?, of(right, there)?].concat())
}

impl LeftBatch {
    fn new(rows: RecordBatch, columns: &[usize], piece: &Piece) -> Result<LeftBatch> {
        let keys = RowKeys::of(&rows, columns)?;
        let first = |row: usize| {
            let found = piece.keys.find(keys.hashes[row], keys.bytes(row)).filter(|_| !has_null(&rows, columns, row));
            found.map_or(NONE, |key| piece.first[key as usize])
        };
        let firsts: Vec<u32> = (0..rows.num_rows()).map(first).collect();
        let at = firsts.first().copied().unwrap_or(NONE);
        let paired = vec![false; rows.num_rows()];
        Ok(LeftBatch { weights: Weights::of(&rows), rows, firsts, row: 0, at, paired })
    }

    /// The next places of left and right rows with equal keys.
    fn pairs(&mut self, piece: &Piece) -> (Vec<u32>, Vec<u32>) {
        let (mut left, mut right, mut bytes) = (Vec::new(), Vec::new(), 0);
        while self.row < self.firsts.len() && left.len() < BATCH_ROWS && bytes < BATCH_BYTES {
            if self.at == NONE {
                self.row += 1;
                self.at = self.firsts.get(self.row).copied().unwrap_or(NONE);
                continue;
            }
            left.push(self.row as u32);
            right.push(self.at);
            bytes += self.weights.row(self.row) + piece.weights.row(self.at as usize);
            self.at = piece.next[self.at as usize];
        }
        (left, right)
    }
}
