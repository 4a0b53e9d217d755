//! The answer of a query beside the columns of rows: one value, whether there is a row, or whether a value is among its
//! values. Rows stay in their order. Values that do not fit in memory are looked through piece by piece: the rows are
//! then put into a file and read again for each piece.

use crate::keys::{KeyTable, RowKeys};
use crate::plan::Answer;
use crate::simple::with_columns;
use crate::spill::{Spill, bytes_of};
use crate::weight::{BATCH_BYTES, bytes_at};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use dataflow::{Error, RecordBatches, Result};
use std::sync::Arc;

/// What is answered of which rows.
pub(crate) struct Spec {
    pub input: SchemaRef,
    pub output: SchemaRef,
    /// The columns of the query.
    pub values: SchemaRef,
    pub answer: Answer,
    pub memory: usize,
    pub spill: Spill,
}

/// The rows with their answers.
pub(crate) fn answered(spec: Spec, rows: RecordBatches, query: RecordBatches) -> Result<RecordBatches> {
    let Answer::In { key } = spec.answer else {
        let answer = match spec.answer {
            Answer::Value => value(&spec.values, query)?,
            _ => Arc::new(BooleanArray::from(vec![has_row(query)?])),
        };
        let output = spec.output;
        // The answer is there once for every row, however much it takes.
        let at_once = (BATCH_BYTES / bytes_at(&answer, 0).max(1)).max(1);
        return Ok(Box::new(rows.flat_map(move |rows| -> RecordBatches {
            let (answer, output) = (answer.clone(), output.clone());
            let rows = match rows {
                Ok(rows) => rows,
                error => return Box::new(std::iter::once(error)),
            };
            Box::new((0..rows.num_rows()).step_by(at_once).map(move |from| {
                let some = rows.slice(from, at_once.min(rows.num_rows() - from));
                let everywhere = UInt32Array::from(vec![0; some.num_rows()]);
                beside(&output, &some, take(&answer, &everywhere, None)?)
            }))
        })));
    };
    among(spec, key, rows, query)
}

/// The first value of the only row.
fn value(schema: &SchemaRef, query: RecordBatches) -> Result<ArrayRef> {
    let mut found = None;
    for rows in query {
        let rows = rows?;
        if rows.num_rows() > 1 || (rows.num_rows() == 1 && found.is_some()) {
            return Err(Error::invalid(
                "a subquery that stands for one value has several rows: add LIMIT 1, or write an aggregate such as max(..)",
            ));
        }
        if rows.num_rows() == 1 {
            found = Some(rows.column(0).clone());
        }
    }
    Ok(found.unwrap_or_else(|| new_null_array(schema.field(0).data_type(), 1)))
}

fn has_row(query: RecordBatches) -> Result<bool> {
    for rows in query {
        if rows?.num_rows() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn beside(output: &SchemaRef, rows: &RecordBatch, answer: ArrayRef) -> Result<RecordBatch> {
    let columns = rows.columns().iter().cloned().chain([answer]).collect();
    with_columns(output, columns, rows.num_rows())
}

/// Some of the values of a query, each once.
#[derive(Default)]
struct Values {
    keys: KeyTable,
    /// Whether there is any row, and whether one is NULL.
    any: bool,
    unknown: bool,
}

impl Values {
    /// As many more as fit; whether those were the last. What is known of all of them stays.
    fn read(&mut self, query: &mut RecordBatches, memory: usize) -> Result<bool> {
        self.keys = KeyTable::default();
        let mut bytes = 0;
        while bytes + self.keys.size() <= memory {
            let Some(rows) = query.next() else { return Ok(true) };
            let rows = rows?;
            bytes = 2 * bytes_of(&rows);
            self.any |= rows.num_rows() > 0;
            let keys = RowKeys::of(&rows, &[0])?;
            for row in 0..rows.num_rows() {
                match rows.column(0).is_null(row) {
                    true => self.unknown = true,
                    false => drop(self.keys.number(keys.hashes[row], keys.bytes(row))),
                }
            }
        }
        Ok(false)
    }

    /// Whether the value of each row is among these.
    fn have(&self, rows: &RecordBatch, key: usize) -> Result<Vec<bool>> {
        let keys = RowKeys::of(rows, &[key])?;
        let has =
            |row: usize| !rows.column(key).is_null(row) && self.keys.find(keys.hashes[row], keys.bytes(row)).is_some();
        Ok((0..rows.num_rows()).map(has).collect())
    }

    /// The answer of each row, once all values have been looked through: NULL where the value or one of those is unknown.
    fn answer(&self, rows: &RecordBatch, key: usize, found: &[bool]) -> ArrayRef {
        let of = |row: usize| match (found[row], self.any) {
            (_, false) => Some(false),
            (true, _) => Some(true),
            (false, _) => (!self.unknown && !rows.column(key).is_null(row)).then_some(false),
        };
        Arc::new((0..rows.num_rows()).map(of).collect::<BooleanArray>())
    }
}

fn among(spec: Spec, key: usize, rows: RecordBatches, mut query: RecordBatches) -> Result<RecordBatches> {
    let mut values = Values::default();
    let Spec { input, output, memory, spill, .. } = spec;
    if values.read(&mut query, memory)? {
        return Ok(Box::new(rows.map(move |rows| {
            let rows = rows?;
            beside(&output, &rows, values.answer(&rows, key, &values.have(&rows, key)?))
        })));
    }
    let mut found: Vec<bool> = Vec::new();
    let mut writer = spill.writer(&input)?;
    for rows in rows {
        let rows = rows?;
        found.extend(values.have(&rows, key)?);
        writer.write(&rows)?;
    }
    let file = writer.finish()?;
    loop {
        let is_last = values.read(&mut query, memory)?;
        let mut at = 0;
        for rows in file.read()? {
            for has in values.have(&rows?, key)? {
                found[at] |= has;
                at += 1;
            }
        }
        if is_last {
            break;
        }
    }
    let mut at = 0;
    let again = file.read()?;
    Ok(Box::new(again.map(move |rows| {
        let rows = rows?;
        let of_rows = &found[at..at + rows.num_rows()];
        at += rows.num_rows();
        beside(&output, &rows, values.answer(&rows, key, of_rows))
    })))
}
