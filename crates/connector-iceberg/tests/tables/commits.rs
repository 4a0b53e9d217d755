//! Commits: each committable once, none lost, nothing seen before.

use crate::rows::{batch, create, numbers, sorted_numbers};
use connector_iceberg::{ExpireOptions, TableClaim, TableHolds, TableOptions, Warehouse};
use dataflow::{Committable, OutputState, Sink};
use std::path::Path;
use std::time::Duration;

/// Later than all that happens here.
const LATER_MS: i64 = 4_000_000_000_000;

fn warehouse(folder: &Path) -> Warehouse {
    let warehouse = Warehouse::open(folder).unwrap();
    create(&warehouse, "lake.t", &numbers([]).schema(), &TableOptions::default()).unwrap();
    warehouse
}

fn claim(warehouse: &Warehouse) -> TableClaim {
    warehouse.claim("lake.t", "test").unwrap()
}

fn prepared(claim: &TableClaim, worker: usize, rows: std::ops::Range<i64>) -> Committable {
    let mut writer = claim.writer(worker).unwrap();
    writer.write(&batch(&numbers(rows))).unwrap();
    writer.prepare(1).unwrap().unwrap()
}

#[test]
fn rows_are_seen_when_they_are_committed_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let committable = prepared(&claim(&warehouse), 0, 0..10);
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [] as [i64; 0]);
    // The process that prepared it is gone; the committable was in its checkpoint.
    drop(warehouse);
    let warehouse = Warehouse::open(folder.path()).unwrap();
    assert_eq!(warehouse.rows("lake.t").unwrap(), 0);
    claim(&warehouse).committer().commit(vec![committable]).unwrap();
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..10).collect::<Vec<_>>());
}

#[test]
fn what_is_committed_again_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let first = claim(&warehouse);
    let (one, two) = (prepared(&first, 0, 0..10), prepared(&first, 1, 10..20));
    first.committer().commit(vec![one.clone(), two.clone()]).unwrap();
    first.committer().commit(vec![one.clone(), two.clone()]).unwrap();
    drop(first);
    let second = claim(&Warehouse::open(folder.path()).unwrap());
    second.committer().commit(vec![two.clone()]).unwrap();
    let three = prepared(&second, 0, 20..30);
    second.committer().commit(vec![three, one]).unwrap();
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..30).collect::<Vec<_>>());
}

#[test]
fn a_checkpoint_that_names_all_that_was_ever_committed_goes_on_with_the_last_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let claim = claim(&warehouse);
    let committables: Vec<Committable> = (1..=80)
        .map(|number| {
            let mut writer = claim.writer(0).unwrap();
            writer.write(&batch(&numbers([number as i64]))).unwrap();
            let committable = writer.prepare(number).unwrap().unwrap();
            claim.committer().commit(vec![committable.clone()]).unwrap();
            committable
        })
        .collect();
    let options = ExpireOptions { older_than: None, keep: Some(1), readers: Duration::ZERO };
    warehouse.expire("lake.t", options, &TableHolds::default(), LATER_MS, &mut |_, _| {}).unwrap();
    let state = OutputState { output: "t".to_owned(), position: None, pending: committables, known: 0 };
    let pending = claim.go_on(&numbers([]).schema(), &state).unwrap();
    assert_eq!(pending.len(), 1);
    claim.committer().commit(pending).unwrap();
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (1..=80).collect::<Vec<_>>());
}

#[test]
fn a_snapshot_says_which_checkpoint_of_which_run_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let told = || {
        let files = warehouse.read("lake.t").unwrap();
        (files.property("riverrun.checkpoint"), files.property("riverrun.epoch"))
    };
    // The first epoch made the table.
    let first = claim(&warehouse);
    let mut writer = first.writer(0).unwrap();
    let mut prepare = |checkpoint: u64| {
        writer.write(&batch(&numbers([checkpoint as i64]))).unwrap();
        writer.prepare(checkpoint).unwrap().unwrap()
    };
    let (three, four, five) = (prepare(3), prepare(4), prepare(5));
    first.committer().commit(vec![three.clone()]).unwrap();
    assert_eq!(told(), (Some("3".to_owned()), Some("2".to_owned())));
    // Its answer was lost, and the catalog was away: all that waits goes into one snapshot.
    first.committer().commit(vec![four, three, five.clone()]).unwrap();
    assert_eq!(told(), (Some("5".to_owned()), Some("2".to_owned())));
    drop(first);
    claim(&warehouse).committer().commit(vec![five]).unwrap();
    assert_eq!(told(), (Some("5".to_owned()), Some("2".to_owned())));
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [3, 4, 5]);
}

#[test]
fn a_writer_without_rows_has_nothing_to_commit() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let claim = claim(&warehouse);
    let mut writer = claim.writer(0).unwrap();
    assert_eq!(writer.prepare(1).unwrap(), None);
    writer.write(&batch(&numbers([]))).unwrap();
    assert_eq!(writer.prepare(1).unwrap(), None);
    writer.write(&batch(&numbers([1]))).unwrap();
    assert!(writer.prepare(1).unwrap().is_some());
    assert_eq!(writer.prepare(1).unwrap(), None);
    claim.committer().commit(vec![]).unwrap();
}

#[test]
fn commits_at_the_same_time_lose_nothing() {
    const THREADS: i64 = 4;
    const COMMITS: i64 = 6;
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let claim = claim(&warehouse);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let claim = claim.clone();
            scope.spawn(move || {
                for commit in 0..COMMITS {
                    let from = (thread * COMMITS + commit) * 10;
                    let rows = prepared(&claim, thread as usize, from..from + 10);
                    claim.committer().commit(vec![rows.clone()]).unwrap();
                    claim.committer().commit(vec![rows]).unwrap();
                }
            });
        }
    });
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..THREADS * COMMITS * 10).collect::<Vec<_>>());
    assert_eq!(warehouse.rows("lake.t").unwrap(), (THREADS * COMMITS * 10) as u64);
}

#[test]
fn the_same_committable_from_many_at_once_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let claim = claim(&warehouse);
    let rows = prepared(&claim, 0, 0..10);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| claim.committer().commit(vec![rows.clone()]).unwrap());
        }
    });
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..10).collect::<Vec<_>>());
}
