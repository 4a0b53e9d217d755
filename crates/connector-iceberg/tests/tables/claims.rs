//! Two writers of one table at once, with and without seeing each other's lock: no row twice, and an error by name.

use crate::rows::{numbers, sorted_numbers};
use connector_iceberg::{TableClaim, TableOptions, Warehouse};
use dataflow::{Committable, ErrorKind, Sink};
use std::path::{Path, PathBuf};

const FRONTIER: &str = "riverrun.frontier";

fn lock(folder: &Path) -> PathBuf {
    folder.join(".locks/lake/t.lock")
}

/// A claim of a process that sees no lock of the others.
fn blind_claim(folder: &Path, sink: &str) -> TableClaim {
    let warehouse = Warehouse::open(folder).unwrap();
    loop {
        let _ = std::fs::remove_file(lock(folder));
        match warehouse.claim("lake.t", sink) {
            Ok(claim) => return claim,
            // Another thread has made a lock in between.
            Err(error) => assert!(error.to_string().contains("is being written"), "{}", error.chain()),
        }
    }
}

fn make(claim: &TableClaim) -> bool {
    claim.create(&numbers([]).schema(), &TableOptions::default()).unwrap()
}

fn replace(claim: &TableClaim) {
    claim.replace(&numbers([]).schema(), &TableOptions::default()).unwrap();
}

fn prepared(claim: &TableClaim, rows: std::ops::Range<i64>) -> Committable {
    let mut writer = claim.writer(0).unwrap();
    writer.write_rows(&numbers(rows)).unwrap();
    writer.prepare(1).unwrap().unwrap()
}

#[test]
fn the_second_writer_is_refused_by_name_before_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let first = warehouse.claim("lake.t", "a.counts").unwrap();
    make(&first);
    let before = warehouse.metadata_file("lake.t").unwrap();
    for sink in ["a.counts", "b.counts"] {
        let other = Warehouse::open(folder.path()).unwrap();
        let error = other.claim("lake.t", sink).err().expect("the table is claimed");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let (told, holder) = (error.to_string(), format!("process {}, since 20", std::process::id()));
        for part in ["\"lake.t\" is being written", &holder, "t.lock", "stop it, or wait"] {
            assert!(told.contains(part), "{told}: {part}");
        }
    }
    assert_eq!(warehouse.metadata_file("lake.t").unwrap(), before, "nothing was written");
    // Clones hold it too: writers and committers live longer than what made them.
    let committer = first.committer();
    drop(first);
    assert!(warehouse.claim("lake.t", "a.counts").is_err());
    drop(committer);
    assert_eq!(warehouse.claim("lake.t", "a.counts").unwrap().epoch(), Some(2));
}

#[test]
fn without_the_lock_the_younger_fences_the_older_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let older = blind_claim(folder.path(), "a.counts");
    make(&older);
    older.committer().commit(vec![prepared(&older, 0..10)]).unwrap();
    let late = prepared(&older, 10..20);
    let younger = blind_claim(folder.path(), "a.counts");
    assert_eq!((older.epoch(), younger.epoch()), (Some(1), Some(2)));
    for _ in 0..2 {
        let error = older.committer().commit(vec![late.clone()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let told = error.to_string();
        assert!(told.contains("fenced: epoch 2 of sink \"a.counts\" has taken over table \"lake.t\""), "{told}");
    }
    replace(&older);
    let error = TableClaim::take_places([&older]).unwrap_err();
    assert!(error.to_string().contains("fenced"), "nor does it replace the table: {error}");
    younger.committer().commit(vec![prepared(&younger, 10..20)]).unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..20).collect::<Vec<_>>());
    assert_eq!(warehouse.properties("lake.t").unwrap()["riverrun.epoch.a.counts"], "2");
}

#[test]
fn a_commit_that_had_happened_is_no_error_after_the_fence() {
    let folder = tempfile::tempdir().unwrap();
    let older = blind_claim(folder.path(), "a.counts");
    make(&older);
    let rows = prepared(&older, 0..10);
    older.committer().commit(vec![rows.clone()]).unwrap();
    let _younger = blind_claim(folder.path(), "a.counts");
    older.committer().commit(vec![rows]).unwrap();
    assert_eq!(Warehouse::open(folder.path()).unwrap().rows("lake.t").unwrap(), 10);
}

#[test]
fn writers_that_take_over_from_each_other_while_they_commit_double_nothing() {
    const WRITERS: i64 = 4;
    let folder = tempfile::tempdir().unwrap();
    make(&blind_claim(folder.path(), "s"));
    // Each writes the same rows, as runs of one job do, as often as it is let.
    let committed: Vec<usize> = std::thread::scope(|scope| {
        let write = || {
            let claim = blind_claim(folder.path(), "s");
            let mut commits = 0;
            while commits < 20 {
                let from = claim.rows().unwrap() as i64;
                let rows = prepared(&claim, from..from + 10);
                match claim.committer().commit(vec![rows]) {
                    Ok(()) => commits += 1,
                    Err(error) => {
                        assert!(error.to_string().contains("fenced"), "{}", error.chain());
                        break;
                    }
                }
            }
            commits
        };
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(write)).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let commits = committed.iter().sum::<usize>();
    assert!(committed.contains(&20), "the youngest is never stopped: {committed:?}");
    let warehouse = Warehouse::open(folder.path()).unwrap();
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..commits as i64 * 10).collect::<Vec<_>>());
}

#[test]
fn a_table_that_was_replaced_refuses_who_wrote_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let older = blind_claim(folder.path(), "s");
    make(&older);
    let late = prepared(&older, 0..10);
    let younger = blind_claim(folder.path(), "s");
    younger.committer().commit(vec![prepared(&younger, 20..23)]).unwrap();
    replace(&younger);
    younger.committer().commit(vec![prepared(&younger, 0..10)]).unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    assert_eq!((warehouse.rows("lake.t").unwrap(), younger.epoch()), (3, Some(2)), "nobody sees the new one yet");
    TableClaim::take_places([&younger]).unwrap();
    assert_eq!(younger.epoch(), Some(3), "an epoch is used once, also over a replacement");
    let error = older.committer().commit(vec![late]).unwrap_err();
    assert!(error.to_string().contains("is another one by now"), "{}", error.chain());
    younger.committer().commit(vec![prepared(&younger, 10..15)]).unwrap();
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..15).collect::<Vec<_>>());
}

#[test]
fn a_table_that_someone_else_makes_meanwhile_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (blind_claim(folder.path(), "s"), blind_claim(folder.path(), "s"));
    assert!(make(&one));
    assert!(!make(&two), "it is there already");
    assert_eq!((one.epoch(), two.epoch()), (Some(1), Some(2)));
    let error = one.committer().commit(vec![prepared(&one, 0..10)]).unwrap_err();
    assert!(error.to_string().contains("fenced"), "{}", error.chain());
    two.committer().commit(vec![prepared(&two, 0..10)]).unwrap();
    assert_eq!(two.rows().unwrap(), 10);
}

#[test]
fn a_commit_goes_on_from_the_frontier_that_it_was_begun_at() {
    let folder = tempfile::tempdir().unwrap();
    let claim = blind_claim(folder.path(), "archive");
    make(&claim);
    let to = |frontier: &str| [(FRONTIER.to_owned(), frontier.to_owned())];
    claim.commit_archive(&[prepared(&claim, 0..10)], &to("one"), None).unwrap();
    let error = claim.commit_archive(&[prepared(&claim, 0..10)], &to("one"), None).unwrap_err();
    let told = error.to_string();
    assert!(told.contains("its frontier is one, and this commit goes on from none"), "{told}");
    claim.commit_archive(&[prepared(&claim, 10..20)], &to("two"), Some("one")).unwrap();
    // One that only moves the frontier may be made again by somebody who has not seen that it was made.
    claim.commit_archive(&[], &to("three"), Some("two")).unwrap();
    claim.commit_archive(&[], &to("three"), Some("two")).unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..20).collect::<Vec<_>>());
    assert_eq!(warehouse.read("lake.t").unwrap().property(FRONTIER).unwrap(), "three");
}
