//! Rows of a history, each with the share that it is of.

use arrow::array::{AsArray, RecordBatch, UInt16Array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt16Type};
use dataflow::{Batch, Result, concat};
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
        let one = match pieces.first().map(|piece| &piece.shares) {
            None => Some(0),
            Some(Shares::One(first)) => {
                let same = |piece: &ShareRows| matches!(piece.shares, Shares::One(share) if share == *first);
                pieces.iter().all(same).then_some(*first)
            }
            Some(Shares::Each(_)) => None,
        };
        let shares = match one {
            Some(share) => Shares::One(share),
            None => Shares::Each(pieces.iter().flat_map(ShareRows::shares).collect()),
        };
        Ok(ShareRows { rows, shares })
    }

    fn shares(&self) -> impl Iterator<Item = u16> + '_ {
        (0..self.rows.rows()).map(|row| self.share(row))
    }

    /// The rows in (`_time`, `_ord`) order; free when they are in order already, and cheap when they are sorted in
    /// runs.
    pub fn sorted(self) -> Result<ShareRows> {
        let batch = &self.rows;
        if batch.is_sorted() {
            return Ok(self);
        }
        let mut rows: Vec<(i64, u32)> = batch.times().iter().copied().zip(0..).collect();
        rows.sort_by_key(|&(time, _)| time);
        for peers in rows.chunk_by_mut(|a, b| a.0 == b.0).filter(|peers| peers.len() > 1) {
            peers.sort_by_key(|&(_, row)| batch.order(row as usize));
        }
        let rows: Vec<u32> = rows.into_iter().map(|(_, row)| row).collect();
        let shares = match &self.shares {
            Shares::One(share) => Shares::One(*share),
            Shares::Each(shares) => Shares::Each(rows.iter().map(|&row| shares[row as usize]).collect()),
        };
        Ok(ShareRows { rows: batch.take(&rows)?, shares })
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
