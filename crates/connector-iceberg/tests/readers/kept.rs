//! Tables that others have set back, or that have lost the begin of their line, and what their job says.

use crate::environments::Environment;
use crate::rows::{append, create};
use crate::script;
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use connector_iceberg::{CompactOptions, ExpireOptions, TableHolds, TableOptions, Warehouse};
use dataflow::{Clock, ProcessingTime};
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

fn number(n: i64) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![n]));
    RecordBatch::try_from_iter_with_nullable([("n", column, true)]).unwrap()
}

/// Lets all snapshots go that nobody holds but the newest one; gives how many went.
fn expire(warehouse: &Warehouse) -> usize {
    let options = ExpireOptions { older_than: None, keep: Some(1), readers: Duration::ZERO };
    let gone = warehouse.expire("lake.t", options, &TableHolds::default(), LATER_MS, &mut |_, _| {});
    gone.unwrap().snapshots
}

/// A table with three commits of a job.
fn table(folder: &std::path::Path) -> Warehouse {
    let warehouse = Warehouse::open(folder).unwrap();
    create(&warehouse, "lake.t", &number(0).schema(), &TableOptions::default()).unwrap();
    (1..=3).for_each(|n| append(&warehouse, "lake.t", &[number(n)]).unwrap());
    warehouse
}

#[test]
fn a_table_that_was_set_back_is_noticed_after_its_snapshots_have_expired() {
    let python = Environment::pyiceberg();
    for others in ["0", "3"] {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = table(folder.path());
        python.run(&script("pyiceberg_kept.py"), &[warehouse.dir().to_str().unwrap(), "back", others]);
        expire(&warehouse);
        let error = append(&warehouse, "lake.t", &[number(4)]).unwrap_err().to_string();
        assert!(error.contains("was set back to before snapshot"), "{others}: {error}");
    }
}

#[test]
fn a_table_whose_line_has_lost_its_begin_was_not_set_back() {
    let python = Environment::pyiceberg();
    let folder = tempfile::tempdir().unwrap();
    let warehouse = table(folder.path());
    let run = |step: &str| python.run(&script("pyiceberg_kept.py"), &[warehouse.dir().to_str().unwrap(), step, "2"]);
    run("tag");
    warehouse.compact("lake.t", CompactOptions::default(), &Stands, &mut |_| true).unwrap();
    run("append");
    assert!(expire(&warehouse) > 0);
    append(&warehouse, "lake.t", &[number(4)]).unwrap();
    assert_eq!(warehouse.rows("lake.t").unwrap(), 6);
}

#[test]
fn statistics_go_with_their_snapshot() {
    let python = Environment::pyiceberg();
    let folder = tempfile::tempdir().unwrap();
    let warehouse = table(folder.path());
    let run = |step: &str| python.run(&script("pyiceberg_kept.py"), &[warehouse.dir().to_str().unwrap(), step, "0"]);
    run("statistics");
    let statistics = || {
        let files = std::fs::read_dir(folder.path().join("lake/t/metadata")).unwrap().map(|file| file.unwrap().path());
        files.filter(|file| file.to_str().unwrap().ends_with(".puffin")).count()
    };
    assert_eq!(statistics(), 2);
    assert_eq!(expire(&warehouse), 2);
    assert_eq!(statistics(), 1, "those of the snapshot that stays");
}
