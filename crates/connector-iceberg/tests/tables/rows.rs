//! Rows for the tests.

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use connector_iceberg::{TableClaim, TableOptions, Warehouse};
use dataflow::{Batch, Committable, Result, RowOrder, Sink, TimedFiles};
use std::sync::Arc;

pub const DAY: i64 = 86_400_000_000;

/// One row per number, NULL in every column for `None`.
pub fn all_types(numbers: &[Option<i64>]) -> RecordBatch {
    let of = |numbers: &[Option<i64>]| numbers.to_vec();
    let map = of(numbers);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("long", Arc::new(Int64Array::from(of(numbers)))),
        ("int", Arc::new(map.iter().map(|n| n.map(|n| n as i32 - 7)).collect::<Int32Array>())),
        ("double", Arc::new(map.iter().map(|n| n.map(|n| n as f64 / 4.0)).collect::<Float64Array>())),
        ("float", Arc::new(map.iter().map(|n| n.map(|n| n as f32 * 0.5)).collect::<Float32Array>())),
        ("flag", Arc::new(map.iter().map(|n| n.map(|n| n % 2 == 0)).collect::<BooleanArray>())),
        ("text", Arc::new(map.iter().map(|n| n.map(|n| format!("größe {n}"))).collect::<StringArray>())),
        ("at", Arc::new(map.iter().map(|n| n.map(|n| n * DAY / 3)).collect::<TimestampMicrosecondArray>())),
        ("bytes", Arc::new(map.iter().map(|n| n.map(|n| n.to_be_bytes().to_vec())).collect::<BinaryArray>())),
        ("date", Arc::new(map.iter().map(|n| n.map(|n| n as i32 * 11)).collect::<Date32Array>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// Rows with one column `n`.
pub fn numbers(numbers: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column = Int64Array::from(numbers.into_iter().collect::<Vec<_>>());
    RecordBatch::try_from_iter_with_nullable([("n", Arc::new(column) as ArrayRef, true)]).unwrap()
}

/// Makes a table as a job does.
pub fn create(warehouse: &Warehouse, table: &str, schema: &SchemaRef, options: &TableOptions) -> Result<bool> {
    warehouse.claim(table, "test")?.create(schema, options)
}

/// Writes rows and commits them, in a job of their own.
pub fn append(warehouse: &Warehouse, table: &str, batches: &[RecordBatch]) -> Result<()> {
    let claim = warehouse.claim(table, "test")?;
    let prepared = prepared(&claim, batches)?;
    claim.committer().commit(prepared.into_iter().collect())
}

/// Writes rows and commits them with properties, as an archive does.
pub fn archive(
    warehouse: &Warehouse,
    table: &str,
    batches: &[RecordBatch],
    properties: &[(String, String)],
) -> Result<()> {
    let claim = warehouse.claim(table, "archive")?;
    let prepared: Vec<Committable> = prepared(&claim, batches)?.into_iter().collect();
    let frontier = warehouse.read(table)?.property("riverrun.frontier");
    claim.commit_archive(&prepared, properties, frontier.as_deref())
}

fn prepared(claim: &TableClaim, batches: &[RecordBatch]) -> Result<Option<Committable>> {
    let mut writer = claim.writer(0)?;
    batches.iter().try_for_each(|batch| writer.write_rows(batch))?;
    writer.prepare(1)
}

/// The rows as a job hands them to a sink.
pub fn batch(rows: &RecordBatch) -> Batch {
    let orders = (0..rows.num_rows() as u128).map(RowOrder).collect();
    Batch::new(rows.clone(), vec![0; rows.num_rows()], orders).unwrap()
}

/// All rows of a table, file by file.
pub fn read(files: &dyn TimedFiles, columns: &[&str]) -> RecordBatch {
    let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
    let mut batches = Vec::new();
    for file in 0..files.files().len() {
        batches.extend(files.open(file, files.files()[file].all_groups(), &columns, 1000).unwrap().map(Result::unwrap));
    }
    let fields: Vec<usize> = columns.iter().map(|column| files.schema().index_of(column).unwrap()).collect();
    concat_batches(&Arc::new(files.schema().project(&fields).unwrap()), &batches).unwrap()
}

/// The values of column `n` of a table, sorted.
pub fn sorted_numbers(warehouse: &Warehouse, table: &str) -> Vec<i64> {
    let rows = read(&*warehouse.read(table).unwrap(), &["n"]);
    let column = rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
    let mut numbers: Vec<i64> = column.values().to_vec();
    numbers.sort_unstable();
    numbers
}
