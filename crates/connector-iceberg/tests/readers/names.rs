//! Tables of others whose partitions have names that Avro does not take, or are of a column that has become wider since.

use crate::environments::Environment;
use crate::rows::append;
use crate::script;
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use connector_iceberg::{CompactOptions, ExpireOptions, TableHolds, Warehouse};
use dataflow::{Clock, ProcessingTime};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Later than all that happens here.
const LATER_MS: i64 = 4_000_000_000_000;

/// A clock that stands: a snapshot is never older than the state of the table that it is made of.
struct Stands;

impl Clock for Stands {
    fn now(&self) -> ProcessingTime {
        ProcessingTime(0)
    }
}

fn step(python: &Environment, folder: &Path, step: &str, name: &str) -> String {
    python.run(&script("pyiceberg_names.py"), &[folder.to_str().unwrap(), step, name])
}

/// Compacts a table and lets all snapshots but the newest go; gives how many files there were and are.
fn tidied(warehouse: &Warehouse, table: &str) -> (usize, usize) {
    let done = warehouse.compact(table, CompactOptions::default(), &Stands, &mut |_| true).unwrap();
    let options = ExpireOptions { older_than: None, keep: Some(1), readers: Duration::ZERO };
    warehouse.expire(table, options, &TableHolds::default(), LATER_MS, &mut |_, _| {}).unwrap();
    (done.files_before, done.files_after)
}

#[test]
fn partitions_of_any_name_are_read_written_and_compacted() {
    let python = Environment::pyiceberg();
    for name in ["ü", "a.b", "my col", "1st", "a-b", "größe", "数"] {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = Warehouse::open(folder.path()).unwrap();
        let folder = warehouse.dir().to_owned();
        step(&python, &folder, "make", name);
        assert_eq!(warehouse.rows("lake.t").unwrap(), 3, "{name}");
        let (n, own) = (Arc::new(Int64Array::from(vec![1, 3])), Arc::new(Int32Array::from(vec![1, 3])));
        let columns: [(&str, ArrayRef, bool); 2] = [("n", n, true), (name, own, true)];
        append(&warehouse, "lake.t", &[RecordBatch::try_from_iter_with_nullable(columns).unwrap()]).unwrap();
        let told = step(&python, &folder, "read", name);
        assert_eq!(told.trim(), format!("{name} [1, 1, 1, 2, 3] [1, 1, 1]"));
        assert_eq!(tidied(&warehouse, "lake.t"), (3, 1), "{name}");
        assert_eq!(step(&python, &folder, "read", name), told, "the table has its own name");
        assert_eq!(crate::rows::read(&*warehouse.read("lake.t").unwrap(), &["n"]).num_rows(), 5);
    }
}

#[test]
fn partitions_of_a_column_that_is_wider_by_now_are_compacted_together() {
    let python = Environment::pyiceberg();
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let folder = warehouse.dir().to_owned();
    step(&python, &folder, "widen", "x");
    let told = step(&python, &folder, "read", "x");
    assert_eq!(tidied(&warehouse, "lake.t"), (6, 2));
    assert_eq!(step(&python, &folder, "read", "x"), told);
    assert_eq!(crate::rows::read(&*warehouse.read("lake.t").unwrap(), &["n"]).num_rows(), 6);
}
