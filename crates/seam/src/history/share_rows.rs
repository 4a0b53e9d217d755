//! Rows of a history, each with the share that it is of.

use arrow::array::{AsArray, RecordBatch, UInt16Array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt16Type};
use dataflow::{Batch, Result, concat, interleave};
use std::sync::Arc;

/// The column of a stored batch that holds the shares.
const SHARE: &str = "_share";

/// Rows, each with the share that it is of. Slicing copies no rows.
#[derive(Clone, Debug)]
pub(crate) struct ShareRows {
    rows: Batch,
    shares: Shares,
}

#[derive(Clone, Debug)]
enum Shares {
    One(u16),
    // Invariant: as long as the rows.
    Each(ScalarBuffer<u16>),
}

impl ShareRows {
    /// Rows of one share.
    pub fn new(rows: Batch, share: u16) -> ShareRows {
        ShareRows { rows, shares: Shares::One(share) }
    }

    pub fn empty(schema: SchemaRef) -> ShareRows {
        ShareRows::new(Batch::empty(schema), 0)
    }

    pub fn rows(&self) -> &Batch {
        &self.rows
    }

    /// The share of a row.
    pub fn share(&self, row: usize) -> u16 {
        match &self.shares {
            Shares::One(share) => *share,
            Shares::Each(shares) => shares[row],
        }
    }

    /// The approximate size in bytes.
    pub fn bytes(&self) -> usize {
        let shares = if matches!(self.shares, Shares::Each(_)) { 2 * self.rows.rows() } else { 0 };
        self.rows.bytes() + shares
    }

    /// Rows `from .. from + rows`.
    pub fn slice(&self, from: usize, rows: usize) -> ShareRows {
        let shares = match &self.shares {
            Shares::One(share) => Shares::One(*share),
            Shares::Each(shares) => Shares::Each(shares.slice(from, rows)),
        };
        ShareRows { rows: self.rows.slice(from, rows), shares }
    }

    /// The rows of several in their sequence.
    pub fn concat(schema: &SchemaRef, pieces: &[ShareRows]) -> Result<ShareRows> {
        let batches: Vec<Batch> = pieces.iter().map(|piece| piece.rows.clone()).collect();
        let rows = if batches.is_empty() { Batch::empty(schema.clone()) } else { concat(schema, &batches)? };
        let shares = match common_share(pieces) {
            Some(share) => Shares::One(share),
            None => Shares::Each(pieces.iter().flat_map(ShareRows::shares).collect()),
        };
        Ok(ShareRows { rows, shares })
    }

    fn shares(&self) -> impl Iterator<Item = u16> + '_ {
        (0..self.rows.rows()).map(|row| self.share(row))
    }

    /// The rows in (`_time`, `_ord`) order, equal ones as they lie; `None` when they all lie in this order.
    pub fn sequence(&self) -> Option<Vec<u32>> {
        if self.rows.is_sorted() {
            return None;
        }
        let mut rows = rows_by_time(self.rows.times());
        for peers in rows.chunk_by_mut(|a, b| a.0 == b.0).filter(|peers| peers.len() > 1) {
            peers.sort_by_key(|&(_, row)| self.rows.order(row as usize));
        }
        Some(rows.into_iter().map(|(_, row)| row).collect())
    }

    /// The rows of several in the sequence of the places: one of the pieces, of which there is at least one, and a row of
    /// it. Each row is copied once.
    pub fn interleave(pieces: &[ShareRows], places: &[(usize, usize)]) -> Result<ShareRows> {
        let batches: Vec<Batch> = pieces.iter().map(|piece| piece.rows.clone()).collect();
        let shares = match common_share(pieces) {
            Some(share) => Shares::One(share),
            None => Shares::Each(places.iter().map(|&(piece, row)| pieces[piece].share(row)).collect()),
        };
        Ok(ShareRows { rows: interleave(&batches, places)?, shares })
    }

    /// The schema of what [`ShareRows::to_record_batch`] gives.
    pub fn stored_schema(schema: &SchemaRef) -> SchemaRef {
        let mut fields = Batch::stored_schema(schema).fields().to_vec();
        fields.push(Arc::new(Field::new(SHARE, DataType::UInt16, false)));
        Arc::new(Schema::new(fields))
    }

    /// Everything as one record batch, for what is spilled.
    pub fn to_record_batch(&self) -> Result<RecordBatch> {
        let mut columns = self.rows.to_record_batch()?.columns().to_vec();
        columns.push(Arc::new(UInt16Array::from_iter_values(self.shares())));
        Ok(RecordBatch::try_new(ShareRows::stored_schema(&self.rows.schema()), columns)?)
    }

    /// What [`ShareRows::to_record_batch`] was given.
    pub fn from_record_batch(schema: &SchemaRef, stored: &RecordBatch) -> Result<ShareRows> {
        let shares = stored.column(stored.num_columns() - 1).as_primitive::<UInt16Type>().values().clone();
        Ok(ShareRows { rows: Batch::from_record_batch(schema, stored)?, shares: Shares::Each(shares) })
    }
}

/// The share that all rows of the pieces are of, where that is known.
fn common_share(pieces: &[ShareRows]) -> Option<u16> {
    let share_of = |piece: &ShareRows| match piece.shares {
        Shares::One(share) => Some(share),
        Shares::Each(_) => None,
    };
    let Some(first) = pieces.first() else { return Some(0) };
    pieces.iter().all(|piece| share_of(piece) == share_of(first)).then(|| share_of(first)).flatten()
}

/// The times with their rows, in order. Most files are in order but for a few rows: only these are sorted, and then
/// merged with the others.
fn rows_by_time(times: &[i64]) -> Vec<(i64, u32)> {
    let (mut in_order, mut out_of_order, mut greatest) = (Vec::with_capacity(times.len()), Vec::new(), i64::MIN);
    for (&time, row) in times.iter().zip(0..) {
        if time >= greatest {
            greatest = time;
            in_order.push((time, row));
        } else {
            out_of_order.push((time, row));
        }
    }
    out_of_order.sort_unstable();
    let (mut merged, mut out_of_order) = (Vec::with_capacity(times.len()), out_of_order.into_iter().peekable());
    for entry in in_order {
        while let Some(earlier) = out_of_order.next_if(|other| *other < entry) {
            merged.push(earlier);
        }
        merged.push(entry);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_by_time_and_then_as_they_lie() {
        for seed in 0..300_i64 {
            // From in order to all over the place.
            let spread = [1, 2, 5, 40][seed as usize % 4];
            let times: Vec<i64> = (0..seed % 60).map(|row| row / 2 - (row * row * seed) % spread).collect();
            let mut expected: Vec<(i64, u32)> = times.iter().copied().zip(0..).collect();
            expected.sort_by_key(|&(time, _)| time);
            assert_eq!(rows_by_time(&times), expected);
        }
    }
}
