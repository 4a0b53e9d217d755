//! Whole rows in state: held batches, with everything that lies beside their columns.

use crate::{Decoder, Encoder, GroupBlobs};
use arrow::array::RecordBatch;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use dataflow::{Batch, Error, Result, RowOrder, key_group};
use std::io::Cursor;

/// Writes rows.
pub fn put_rows(out: &mut Encoder, batch: &Batch) -> Result<()> {
    out.u64(batch.rows() as u64);
    for row in 0..batch.rows() {
        out.i64(batch.time(row).0);
        let order = batch.order(row).0;
        out.u64((order >> 64) as u64);
        out.u64(order as u64);
        out.u8(u8::from(batch.is_late(row)));
    }
    out.u8(u8::from(batch.key_hashes().is_some()));
    if let Some((columns, hashes)) = batch.key_hashes() {
        out.u32(columns.len() as u32);
        columns.iter().for_each(|&column| out.u32(column as u32));
        hashes.iter().for_each(|&hash| out.u64(hash));
    }
    let mut stream = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    stream.write(batch.columns())?;
    out.sized(&stream.into_inner()?);
    Ok(())
}

/// Reads rows that [`put_rows`] wrote; they must have the columns given.
pub fn get_rows(state: &mut Decoder, schema: &SchemaRef) -> Result<Batch> {
    let rows = state.u64()?;
    let (mut times, mut orders, mut late) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        times.push(state.i64()?);
        orders.push(RowOrder((u128::from(state.u64()?) << 64) | u128::from(state.u64()?)));
        late.push(state.u8()? != 0);
    }
    let (mut keys, mut hashes) = (Vec::new(), Vec::new());
    let is_hashed = state.u8()? != 0;
    if is_hashed {
        for _ in 0..state.u32()? {
            keys.push(state.u32()? as usize);
        }
        for _ in 0..rows {
            hashes.push(state.u64()?);
        }
    }
    let columns = get_columns(state.sized()?, schema)?;
    let broken = |error: Error| Error::corrupt("held rows in state do not fit together").with_source(error);
    let mut batch = Batch::new(columns, times, orders).map_err(broken)?;
    if late.contains(&true) {
        batch = batch.with_late(BooleanBuffer::from(late))?;
    }
    if is_hashed { batch.with_key_hashes(&keys, hashes) } else { Ok(batch) }
}

fn get_columns(bytes: &[u8], schema: &SchemaRef) -> Result<RecordBatch> {
    let corrupt = |error| Error::corrupt("held rows in state cannot be read").with_source(error);
    let mut stream = StreamReader::try_new(Cursor::new(bytes), None).map_err(corrupt)?;
    let columns = match stream.next() {
        Some(columns) => columns.map_err(corrupt)?,
        None => return Err(Error::corrupt("held rows in state are missing")),
    };
    if columns.num_columns() != schema.fields().len() {
        return Err(Error::corrupt(format!(
            "held rows in state have {} columns, expected {}",
            columns.num_columns(),
            schema.fields().len()
        )));
    }
    if columns.num_columns() == 0 {
        return Ok(columns);
    }
    RecordBatch::try_new(schema.clone(), columns.columns().to_vec()).map_err(corrupt)
}

/// Writes rows into the blobs of their keys' groups, each after a tag.
pub fn put_rows_by_group(blobs: &mut GroupBlobs, tag: u8, batch: &Batch, hashes: &[u64]) -> Result<()> {
    let mut by_group = std::collections::BTreeMap::<_, Vec<u32>>::new();
    for (row, &hash) in hashes.iter().enumerate() {
        by_group.entry(key_group(hash)).or_default().push(row as u32);
    }
    for (group, rows) in by_group {
        let out = blobs.group(group);
        out.u8(tag);
        put_rows(out, &batch.take(&rows)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn rows_come_back_whole() {
        let columns = RecordBatch::try_from_iter([
            ("number", Arc::new(Int64Array::from(vec![Some(1), None])) as _),
            ("text", Arc::new(StringArray::from(vec!["a", "b"])) as _),
        ])
        .unwrap();
        let batch = Batch::new(columns, vec![-5, 5], vec![RowOrder(u128::MAX), RowOrder(1)])
            .unwrap()
            .with_late(BooleanBuffer::from(vec![false, true]))
            .unwrap()
            .with_key_hashes(&[0], vec![u64::MAX, 3])
            .unwrap();
        let mut out = Encoder::default();
        put_rows(&mut out, &batch).unwrap();
        let back = get_rows(&mut Decoder::new(out.bytes()), &batch.schema()).unwrap();
        assert_eq!(back.columns(), batch.columns());
        assert_eq!(back.times(), batch.times());
        assert_eq!(back.orders(), batch.orders());
        assert_eq!(back.late(), batch.late());
        assert_eq!(back.key_hashes(), batch.key_hashes());
    }
}
