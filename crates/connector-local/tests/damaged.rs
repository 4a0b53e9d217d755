//! Parquet files with one bit changed: each is read, or refused by an error that names it.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use connector_local::{Files, write_parquet};
use dataflow::{ErrorKind, Result, TimedFiles};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use values::Encoding;

/// Reads all rows of a file as one of which nothing is declared.
fn read(folder: &Path) -> Result<usize> {
    let schema = Files::inferred_schema("a.parquet", folder, Encoding::Unicode)?;
    let column = |field: &Arc<arrow::datatypes::Field>| (vec![field.name().clone()], field.data_type().clone());
    let columns: Vec<_> = schema.fields().iter().map(column).collect();
    let files = Files::open("a.parquet", folder, &columns, Encoding::Unicode)?;
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let mut rows = 0;
    for batch in files.open(0, files.files()[0].all_groups(), &names, 8)? {
        rows += batch?.num_rows();
    }
    Ok(rows)
}

#[test]
fn a_parquet_file_with_one_bit_changed_is_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..20));
    let texts: ArrayRef =
        Arc::new(StringArray::from_iter((0..20).map(|n| (n % 3 > 0).then(|| format!("word{}", n % 4)))));
    let rows = RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("text", texts, true)]).unwrap();
    write_parquet(&path, rows.schema(), Box::new(std::iter::once(Ok(rows)))).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let (mut read_all, mut reasons) = (0, BTreeSet::new());
    for bit in (0..whole.len() * 8).step_by(3) {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &damaged).unwrap();
        match read(folder.path()) {
            Ok(_) => read_all += 1,
            Err(error) => {
                let told = error.chain();
                assert!(error.kind() != ErrorKind::Internal && told.contains("a.parquet"), "bit {bit}: {told}");
                reasons.insert(told.rsplit(": ").next().unwrap_or_default().to_owned());
            }
        }
    }
    assert!(read_all > 100 && reasons.len() > 20, "{read_all} were read, the others refused for {reasons:?}");
    // Where the library panics.
    assert!(reasons.contains("offset + len out of bounds"), "{reasons:?}");
}
