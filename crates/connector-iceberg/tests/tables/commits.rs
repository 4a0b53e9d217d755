//! Commits: each committable once, none lost, nothing seen before.

use crate::rows::{batch, numbers, sorted_numbers};
use connector_iceberg::{TableOptions, Warehouse};
use dataflow::Committable;
use std::path::Path;

fn warehouse(folder: &Path) -> Warehouse {
    let warehouse = Warehouse::open(folder).unwrap();
    warehouse.create("lake.t", &numbers([]).schema(), &TableOptions::default()).unwrap();
    warehouse
}

fn prepared(warehouse: &Warehouse, worker: usize, rows: std::ops::Range<i64>) -> Committable {
    let mut writer = warehouse.writer("lake.t", worker).unwrap();
    writer.write(&batch(&numbers(rows))).unwrap();
    writer.prepare().unwrap().unwrap()
}

#[test]
fn rows_are_seen_when_they_are_committed_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let committable = prepared(&warehouse, 0, 0..10);
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [] as [i64; 0]);
    // The process that prepared it is gone; the committable was in its checkpoint.
    drop(warehouse);
    let warehouse = Warehouse::open(folder.path()).unwrap();
    assert_eq!(warehouse.rows("lake.t").unwrap(), 0);
    warehouse.committer("lake.t").unwrap().commit(vec![committable]).unwrap();
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..10).collect::<Vec<_>>());
}

#[test]
fn what_is_committed_again_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let one = prepared(&warehouse, 0, 0..10);
    let two = prepared(&warehouse, 1, 10..20);
    let mut committer = warehouse.committer("lake.t").unwrap();
    committer.commit(vec![one.clone(), two.clone()]).unwrap();
    committer.commit(vec![one.clone(), two.clone()]).unwrap();
    Warehouse::open(folder.path()).unwrap().committer("lake.t").unwrap().commit(vec![two.clone()]).unwrap();
    let three = prepared(&warehouse, 0, 20..30);
    committer.commit(vec![three, one]).unwrap();
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..30).collect::<Vec<_>>());
}

#[test]
fn a_writer_without_rows_has_nothing_to_commit() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let mut writer = warehouse.writer("lake.t", 0).unwrap();
    assert_eq!(writer.prepare().unwrap(), None);
    writer.write(&batch(&numbers([]))).unwrap();
    assert_eq!(writer.prepare().unwrap(), None);
    writer.write(&batch(&numbers([1]))).unwrap();
    assert!(writer.prepare().unwrap().is_some());
    assert_eq!(writer.prepare().unwrap(), None);
    warehouse.committer("lake.t").unwrap().commit(vec![]).unwrap();
}

#[test]
fn committers_at_the_same_time_lose_nothing() {
    const COMMITTERS: i64 = 4;
    const COMMITS: i64 = 6;
    let folder = tempfile::tempdir().unwrap();
    let first = warehouse(folder.path());
    std::thread::scope(|scope| {
        for committer in 0..COMMITTERS {
            // Every other one has its own handle, as another process has: they meet in the catalog file only.
            let shared = first.clone();
            let folder = folder.path();
            scope.spawn(move || {
                let warehouse = if committer % 2 == 0 { shared } else { Warehouse::open(folder).unwrap() };
                for commit in 0..COMMITS {
                    let from = (committer * COMMITS + commit) * 10;
                    let rows = prepared(&warehouse, committer as usize, from..from + 10);
                    warehouse.committer("lake.t").unwrap().commit(vec![rows.clone()]).unwrap();
                    warehouse.committer("lake.t").unwrap().commit(vec![rows]).unwrap();
                }
            });
        }
    });
    assert_eq!(sorted_numbers(&first, "lake.t"), (0..COMMITTERS * COMMITS * 10).collect::<Vec<_>>());
    assert_eq!(first.rows("lake.t").unwrap(), (COMMITTERS * COMMITS * 10) as u64);
}

#[test]
fn the_same_committable_from_many_at_once_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = warehouse(folder.path());
    let rows = prepared(&first, 0, 0..10);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let warehouse = Warehouse::open(folder.path()).unwrap();
                warehouse.committer("lake.t").unwrap().commit(vec![rows.clone()]).unwrap();
            });
        }
    });
    assert_eq!(sorted_numbers(&first, "lake.t"), (0..10).collect::<Vec<_>>());
}
