//! Tables read by other tools: PyIceberg through the catalog, and DuckDB through the metadata file.
//!
//! The first run makes two Python environments under `~/.cache/riverrun` and needs a package index for it; later runs
//! need none.
#![allow(clippy::unwrap_used)]

mod environments;
mod evolved;
mod kept;
mod layouts;
mod names;
#[path = "../tables/rows.rs"]
#[allow(dead_code)]
mod rows;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use connector_iceberg::{TableOptions, Warehouse};
use environments::Environment;
use rows::{append, archive, create};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DAY: i64 = 86_400_000_000;
/// 2013-01-01.
const START: i64 = 1_356_998_400_000_000;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(name)
}

/// 40 rows over four days; every seventh is NULL in all columns but `n`.
fn forty() -> RecordBatch {
    let numbers = || (0..40i64).map(|n| (n % 7 != 6).then_some(n));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from_iter_values(0..40))),
        ("small", Arc::new(numbers().map(|n| n.map(|n| n as i32 - 20)).collect::<Int32Array>())),
        ("double", Arc::new(numbers().map(|n| n.map(|n| n as f64 / 8.0)).collect::<Float64Array>())),
        ("float", Arc::new(numbers().map(|n| n.map(|n| n as f32 / 8.0)).collect::<Float32Array>())),
        ("flag", Arc::new(numbers().map(|n| n.map(|n| n % 2 == 0)).collect::<BooleanArray>())),
        ("text", Arc::new(numbers().map(|n| n.map(|n| format!("ß{n:02}"))).collect::<StringArray>())),
        ("bytes", Arc::new(numbers().map(|n| n.map(|n| vec![n as u8, 0])).collect::<BinaryArray>())),
        ("date", Arc::new(numbers().map(|n| n.map(|n| 15_706 + n as i32)).collect::<Date32Array>())),
        ("at", Arc::new(numbers().map(|n| n.map(|n| START + n * DAY / 10 + 1)).collect::<TimestampMicrosecondArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// A warehouse with the same rows in a table that is cut by day and in one that is not, each in two commits.
fn warehouse(folder: &Path) -> Warehouse {
    let warehouse = Warehouse::open(folder).unwrap();
    let rows = forty();
    for (table, partition_day) in [("lake.plain", None), ("lake.cut", Some("at".to_owned()))] {
        let options = TableOptions { partition_day, ..TableOptions::default() };
        create(&warehouse, table, &rows.schema(), &options).unwrap();
        archive(&warehouse, table, &[rows.slice(0, 25)], &[("riverrun.note".into(), "first".into())]).unwrap();
        archive(&warehouse, table, &[rows.slice(25, 15)], &[("riverrun.note".into(), "second".into())]).unwrap();
    }
    warehouse
}

#[test]
fn pyiceberg_reads_rows_partitions_and_statistics() {
    let python = Environment::pyiceberg();
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let told = python.run(&script("pyiceberg_reads.py"), &[warehouse.dir().to_str().unwrap()]);
    assert_eq!(told.trim(), "lake.cut: 40 rows\nlake.plain: 40 rows");
}

#[test]
fn pyiceberg_and_we_append_to_one_table_at_the_same_time() {
    const COMMITS: usize = 12;
    let python = Environment::pyiceberg();
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let number = |n: usize| {
        let column = Int64Array::from(vec![n as i64]);
        RecordBatch::try_from_iter_with_nullable([("n", Arc::new(column) as ArrayRef, true)]).unwrap()
    };
    create(&warehouse, "lake.t", &number(0).schema(), &TableOptions::default()).unwrap();
    let count = COMMITS.to_string();
    let child = python.start(&script("pyiceberg_appends.py"), &[warehouse.dir().to_str().unwrap(), &count]);
    for n in 0..COMMITS {
        append(&warehouse, "lake.t", &[number(n)]).unwrap();
    }
    let told = environments::finished(child);
    assert_eq!(told.trim(), format!("{COMMITS} commits"));
    let files = warehouse.read("lake.t").unwrap();
    let mut found: Vec<i64> = Vec::new();
    for file in 0..files.files().len() {
        for batch in files.open(file, files.files()[file].all_groups(), &["n".to_owned()], 10).unwrap() {
            let batch = batch.unwrap();
            found.extend(batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values());
        }
    }
    found.sort_unstable();
    let expected: Vec<i64> = (0..COMMITS as i64).chain(1000..1000 + COMMITS as i64).collect();
    assert_eq!(found, expected);
}

#[test]
fn what_pyiceberg_changes_we_read() {
    let python = Environment::pyiceberg();
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let told = python.run(&script("pyiceberg_writes.py"), &[warehouse.dir().to_str().unwrap()]);
    assert_eq!(told.trim(), "written");
    let files = warehouse.read("made.by_python").unwrap();
    let columns = ["n", "late", "renamed", "instant"].map(str::to_owned);
    let mut rows = Vec::new();
    for file in 0..files.files().len() {
        for batch in files.open(file, files.files()[file].all_groups(), &columns, 100).unwrap() {
            let batch = batch.unwrap();
            assert_eq!(batch.schema(), files.schema().project(&[0, 3, 1, 2]).map(Arc::new).unwrap());
            rows.extend((0..batch.num_rows()).map(|row| {
                let value =
                    |column: usize| arrow::util::display::array_value_to_string(batch.column(column), row).unwrap();
                [value(0), value(1), value(2), value(3)]
            }));
        }
    }
    rows.sort();
    assert_eq!(
        rows,
        [
            ["1", "", "a", "2013-01-01T05:00:00"].map(str::to_owned),
            ["2", "", "b", "2013-01-01T05:00:01"].map(str::to_owned),
            ["3000000000", "0.5", "c", "2013-01-01T05:00:02"].map(str::to_owned),
        ]
    );
}

/// The rows of a table as text, sorted, in the sequence of some columns.
fn texts(warehouse: &Warehouse, table: &str, columns: &[&str]) -> Vec<String> {
    let files = warehouse.read(table).unwrap();
    let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
    let mut rows = Vec::new();
    for file in 0..files.files().len() {
        for batch in files.open(file, files.files()[file].all_groups(), &columns, 100).unwrap() {
            let batch = batch.unwrap();
            let text = |column: &ArrayRef, row| arrow::util::display::array_value_to_string(column, row).unwrap();
            let line = |row| batch.columns().iter().map(|column| text(column, row)).collect::<Vec<_>>().join(",");
            rows.extend((0..batch.num_rows()).map(line));
        }
    }
    rows.sort();
    rows
}

#[test]
fn what_data_files_lack_comes_from_the_table() {
    let python = Environment::pyiceberg();
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    python.run(&script("pyiceberg_adds.py"), &[warehouse.dir().to_str().unwrap()]);
    assert_eq!(texts(&warehouse, "made.added", &["n", "renamed", "later"]), ["1,a,", "2,b,", "3,c,7"]);
    assert_eq!(texts(&warehouse, "made.parted", &["day", "n", "city"]), ["5,1,Oslo", "5,2,Oslo", "6,3,"]);
}

#[test]
fn duckdb_reads_rows_and_types() {
    let python = Environment::duckdb();
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    for table in ["lake.plain", "lake.cut"] {
        let metadata = warehouse.metadata_file(table).unwrap();
        let told = python.run(&script("duckdb_reads.py"), &[metadata.to_str().unwrap()]);
        assert_eq!(told.trim(), "40 rows, 17 at 2013-01-02 or later and before 2013-01-04");
    }
}
