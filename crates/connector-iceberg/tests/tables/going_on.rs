//! Runs that go on from a checkpoint with the table of an earlier one: each row once, whatever became of the earlier
//! run, and an error by name where the table is not where the checkpoint left it.

mod killed;

use crate::rows::{numbers, read, sorted_numbers};
use arrow::datatypes::{DataType, Field, Schema};
use connector_iceberg::{SNAPSHOT, TableClaim, TableOptions, TableWriter, Warehouse};
use dataflow::{Committable, ErrorKind, OutputState, Result, Sink};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SINK: &str = "job.counts";

/// A run of a job with one output.
struct Run {
    claim: TableClaim,
    writer: TableWriter,
    number: u64,
    // Numbers from here on are written next.
    next: i64,
    pending: Vec<(u64, Committable)>,
    known: u64,
}

/// What a checkpoint holds.
#[derive(Clone)]
struct Kept {
    number: u64,
    next: i64,
    output: OutputState,
}

fn claim(warehouse: &Warehouse) -> TableClaim {
    warehouse.claim("lake.t", SINK).unwrap()
}

impl Run {
    fn begin(warehouse: &Warehouse, is_fresh: bool) -> Run {
        let claim = claim(warehouse);
        let (schema, options) = (numbers([]).schema(), TableOptions::default());
        match is_fresh {
            true => claim.replace(&schema, &options).unwrap(),
            false => drop(claim.create(&schema, &options).unwrap()),
        }
        Run { writer: claim.writer(0).unwrap(), claim, number: 0, next: 0, pending: Vec::new(), known: 0 }
    }

    fn go_on(warehouse: &Warehouse, kept: &Kept) -> Result<Run> {
        let claim = claim(warehouse);
        claim.go_on(&numbers([]).schema(), &kept.output)?;
        claim.committer().commit(kept.output.pending.clone())?;
        claim.collect_orphans(&[])?;
        let (writer, known) = (claim.writer(0)?, claim.checkpoint()?);
        Ok(Run { claim, writer, number: kept.number + 1, next: kept.next, pending: Vec::new(), known })
    }

    fn write(&mut self, rows: i64) {
        self.writer.write_rows(&numbers(self.next..self.next + rows)).unwrap();
        self.next += rows;
    }

    fn checkpoint(&mut self) -> Kept {
        self.number += 1;
        self.pending.extend(self.writer.prepare(self.number).unwrap().map(|prepared| (self.number, prepared)));
        let pending = self.pending.iter().map(|(_, prepared)| prepared.clone()).collect();
        let output =
            OutputState { output: "counts".to_owned(), position: self.writer.position(), pending, known: self.known };
        Kept { number: self.number, next: self.next, output }
    }

    /// Commits the oldest of what is pending; the answer may get lost.
    fn commit(&mut self, count: usize, is_heard: bool) {
        let some: Vec<Committable> = self.pending.iter().take(count).map(|(_, prepared)| prepared.clone()).collect();
        self.claim.committer().commit(some).unwrap();
        if let Some((number, _)) = self.pending.get(count.wrapping_sub(1)).filter(|_| is_heard) {
            self.known = *number;
            self.pending.drain(..count);
        }
    }

    /// Dies, as the system sees it: nothing is given up that was to be.
    fn die(self) {
        self.claim.keep_staged();
    }
}

fn open(folder: &Path) -> Warehouse {
    Warehouse::open(folder).unwrap()
}

fn refused(warehouse: &Warehouse, kept: &Kept) -> String {
    let error = Run::go_on(warehouse, kept).err().expect("it is refused");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{}", error.chain());
    error.chain()
}

/// The data files in the table's folder, below all of its generations.
fn data_files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut data_files(&path));
        } else if path.extension().is_some_and(|end| end == "parquet") {
            found.insert(path);
        }
    }
    found
}

#[test]
fn what_was_pending_is_committed_once() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    for is_committed in [false, true] {
        let before = warehouse.rows("lake.t").unwrap_or(0) as i64;
        let mut run = Run::begin(&warehouse, before > 0);
        run.write(10);
        let kept = run.checkpoint();
        if is_committed {
            run.commit(1, false);
            TableClaim::take_places([&run.claim]).unwrap();
        }
        run.write(5);
        run.checkpoint();
        run.die();
        let mut run = Run::go_on(&warehouse, &kept).unwrap();
        assert_eq!((run.next, run.known, run.claim.checkpoint().unwrap()), (10, 1, 1));
        TableClaim::take_places([&run.claim]).unwrap();
        assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..10).collect::<Vec<_>>());
        run.write(10);
        let kept = run.checkpoint();
        run.commit(1, true);
        drop(run);
        Run::go_on(&warehouse, &kept).unwrap();
        assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..20).collect::<Vec<_>>());
    }
}

#[test]
fn a_table_ahead_of_or_before_the_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let mut run = Run::begin(&warehouse, false);
    let first = run.checkpoint();
    run.write(10);
    let second = run.checkpoint();
    run.commit(1, true);
    run.write(10);
    let third = run.checkpoint();
    run.commit(1, true);
    let last = run.checkpoint();
    drop(run);
    for kept in [&first, &second] {
        let told = refused(&warehouse, kept);
        let knows = "it holds rows up to checkpoint 3, and no commit was made when that was taken";
        assert!(told.contains("is ahead of the checkpoint") && told.contains(knows), "{told}");
    }
    drop(Run::go_on(&warehouse, &third).unwrap());
    drop(Run::go_on(&warehouse, &last).unwrap());
    let ahead = Kept { output: OutputState { known: 5, ..last.output.clone() }, ..last.clone() };
    let told = refused(&warehouse, &ahead);
    assert!(told.contains("is before the checkpoint") && told.contains("--fresh"), "{told}");
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_table_that_was_made_again_or_dropped_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let mut run = Run::begin(&warehouse, false);
    run.write(1);
    let kept = run.checkpoint();
    run.commit(1, true);
    drop(run);
    let fresh = Run::begin(&warehouse, true);
    TableClaim::take_places([&fresh.claim]).unwrap();
    drop(fresh);
    let told = refused(&warehouse, &kept);
    assert!(told.contains("is another one than that which the checkpoint goes on with"), "{told}");
    let elsewhere = tempfile::tempdir().unwrap();
    let told = refused(&open(elsewhere.path()), &kept);
    assert!(told.contains("there is no table \"lake.t\" any more"), "{told}");
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let kept = Run::begin(&warehouse, false).checkpoint();
    let claim = claim(&warehouse);
    for (name, of, told) in [
        ("m", DataType::Int64, "column \"m\" is not there, and the job writes BIGINT"),
        ("n", DataType::Utf8, "column \"n\" is BIGINT, and the job writes TEXT"),
    ] {
        let schema = Arc::new(Schema::new(vec![Field::new(name, of, true)]));
        let error = claim.go_on(&schema, &kept.output).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[test]
fn the_files_of_a_new_table_that_was_in_place_and_that_somebody_drops_are_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let mut old = Run::begin(&warehouse, false);
    old.write(3);
    old.checkpoint();
    old.commit(1, true);
    drop(old);
    let mut fresh = Run::begin(&warehouse, true);
    fresh.write(7);
    fresh.checkpoint();
    fresh.commit(1, true);
    TableClaim::take_places([&fresh.claim]).unwrap();
    drop(fresh);
    let metadata = warehouse.metadata_file("lake.t").unwrap();
    let there = data_files(folder.path());
    // Another tool drops it here, and has registered it elsewhere.
    let connection = rusqlite::Connection::open(folder.path().join("catalog.db")).unwrap();
    assert_eq!(connection.execute("DELETE FROM iceberg_tables WHERE table_name = 't'", []).unwrap(), 1);
    drop(Run::begin(&warehouse, false));
    assert!(metadata.exists() && there.iter().all(|file| file.exists()), "it is whole");
}

#[test]
fn a_new_table_that_waits_for_its_place_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let mut old = Run::begin(&warehouse, false);
    old.write(3);
    old.checkpoint();
    old.commit(1, true);
    drop(old);
    let mut fresh = Run::begin(&warehouse, true);
    let begun = fresh.checkpoint();
    fresh.write(7);
    let kept = fresh.checkpoint();
    fresh.die();
    for kept in [begun, kept] {
        let claim = claim(&warehouse);
        claim.go_on(&numbers([]).schema(), &kept.output).unwrap();
        assert!(claim.is_replacing());
        claim.committer().commit(kept.output.pending).unwrap();
        assert_eq!(sorted_numbers(&warehouse, "lake.t"), [0, 1, 2], "nobody sees the new one yet");
    }
    let run = claim(&warehouse);
    assert_eq!(run.epoch(), Some(5));
    drop(run);
    let fresh = Kept {
        output: OutputState { known: 2, pending: Vec::new(), ..Run::begin(&warehouse, true).checkpoint().output },
        number: 2,
        next: 7,
    };
    assert!(refused(&warehouse, &fresh).contains("is another one"), "a new table that was given up");
}

#[test]
fn a_new_table_takes_its_place_also_where_somebody_has_dropped_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let mut old = Run::begin(&warehouse, false);
    old.write(3);
    old.checkpoint();
    old.commit(1, true);
    drop(old);
    let mut fresh = Run::begin(&warehouse, true);
    fresh.write(7);
    let kept = fresh.checkpoint();
    fresh.die();
    let connection = rusqlite::Connection::open(folder.path().join("catalog.db")).unwrap();
    let dropped = "DELETE FROM iceberg_tables WHERE catalog_name = 'riverrun' AND table_name = 't'";
    assert_eq!(connection.execute(dropped, []).unwrap(), 1);
    let claim = claim(&warehouse);
    claim.go_on(&numbers([]).schema(), &kept.output).unwrap();
    claim.committer().commit(kept.output.pending).unwrap();
    assert!(!warehouse.exists("lake.t").unwrap());
    TableClaim::take_places([&claim]).unwrap();
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..7).collect::<Vec<_>>());
    // Where another one was made meanwhile, that one stays.
    drop(claim);
    let mut fresh = Run::begin(&warehouse, true);
    fresh.write(9);
    let kept = fresh.checkpoint();
    fresh.die();
    connection.execute(dropped, []).unwrap();
    let run = warehouse.claim("lake.t", SINK).unwrap();
    run.go_on(&numbers([]).schema(), &kept.output).unwrap();
    let made = "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location) \
                SELECT 'riverrun', 'lake', 't', metadata_location FROM iceberg_tables WHERE table_name = 'u'";
    assert!(crate::rows::create(&warehouse, "lake.u", &numbers([]).schema(), &TableOptions::default()).unwrap());
    assert_eq!(connection.execute(made, []).unwrap(), 1);
    let refused = TableClaim::take_places([&run]).unwrap_err().to_string();
    assert!(refused.contains("is another one by now"), "{refused}");
}

#[test]
fn a_table_that_somebody_has_made_since_is_not_replaced_by_a_run_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let mut old = Run::begin(&warehouse, false);
    old.write(3);
    old.checkpoint();
    old.commit(1, true);
    drop(old);
    let mut fresh = Run::begin(&warehouse, true);
    fresh.write(7);
    let kept = fresh.checkpoint();
    fresh.die();
    let connection = rusqlite::Connection::open(folder.path().join("catalog.db")).unwrap();
    let dropped = "DELETE FROM iceberg_tables WHERE catalog_name = 'riverrun' AND table_name = 't'";
    assert_eq!(connection.execute(dropped, []).unwrap(), 1);
    crate::rows::create(&warehouse, "lake.t", &numbers([]).schema(), &TableOptions::default()).unwrap();
    crate::rows::append(&warehouse, "lake.t", &[numbers([777])]).unwrap();
    assert!(refused(&warehouse, &kept).contains("is another one than that which the checkpoint goes on with"));
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [777]);
}

#[test]
fn the_checkpoints_of_a_job_that_has_gone_on_elsewhere_do_not_go_with_its_table() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let mut run = Run::begin(&warehouse, false);
    let begun = run.checkpoint();
    run.write(3);
    let kept = run.checkpoint();
    let goes_with = |kept: &Kept| {
        let states = [(SINK.to_owned(), kept.output.clone()), (SINK.to_owned(), kept.output.clone())];
        warehouse.sinks_in_step("lake.t", &states).unwrap() == [SINK]
    };
    assert!(goes_with(&begun) && goes_with(&kept));
    run.commit(1, true);
    assert!(!goes_with(&begun), "it knows of no commit");
    assert!(goes_with(&kept), "it has pending what was committed");
    run.write(3);
    run.checkpoint();
    run.commit(1, true);
    assert!(!goes_with(&kept), "another run has committed since");
    drop(run);
    let fresh = Run::begin(&warehouse, true);
    TableClaim::take_places([&fresh.claim]).unwrap();
    assert!(!goes_with(&kept), "the table is another one");
}

#[test]
fn what_is_pending_awaits_a_commit_on_the_table_for_which_it_was_prepared() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let awaits = |kept: &Kept| warehouse.awaits_commit("lake.t", SINK, &kept.output).unwrap().is_some();
    let mut run = Run::begin(&warehouse, false);
    assert!(!awaits(&run.checkpoint()), "nothing is pending");
    run.write(3);
    let kept = run.checkpoint();
    assert!(awaits(&kept), "while another claim is held");
    run.commit(1, true);
    assert!(!awaits(&kept), "it was committed");
    run.write(3);
    let lost = run.checkpoint();
    drop(run);
    let mut fresh = Run::begin(&warehouse, true);
    fresh.write(2);
    let new = fresh.checkpoint();
    assert!(awaits(&lost) && awaits(&new));
    fresh.commit(1, true);
    assert!(awaits(&new), "the table is still to take its place");
    TableClaim::take_places([&fresh.claim]).unwrap();
    assert!(!awaits(&new));
    assert!(!awaits(&lost), "the table is another one");
}

#[test]
fn files_that_nobody_will_commit_are_collected_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let mut run = Run::begin(&warehouse, false);
    run.write(10);
    run.checkpoint();
    run.commit(1, true);
    run.write(10);
    let kept = run.checkpoint();
    let there = data_files(folder.path());
    run.write(10);
    run.checkpoint();
    let orphans: Vec<PathBuf> = data_files(folder.path()).difference(&there).cloned().collect();
    let data = orphans[0].parent().unwrap().to_owned();
    // Of another sink, of a younger epoch, and of another tool.
    let name = orphans[0].file_name().unwrap().to_str().unwrap().to_owned();
    let hash = name.split('-').nth(1).unwrap();
    let others = [name.replace(hash, "0000000000000000"), name.replace("e1-", "e9-"), "part-0.parquet".to_owned()];
    let others: Vec<PathBuf> = others.iter().map(|name| data.join(name)).collect();
    others.iter().for_each(|path| std::fs::write(path, "x").unwrap());
    run.die();
    let claim = claim(&warehouse);
    claim.go_on(&numbers([]).schema(), &kept.output).unwrap();
    assert_eq!(claim.collect_orphans(&kept.output.pending).unwrap(), 1);
    let left: BTreeSet<PathBuf> = there.iter().chain(&others).cloned().collect();
    assert_eq!(data_files(folder.path()), left);
    claim.committer().commit(kept.output.pending.clone()).unwrap();
    assert_eq!(claim.collect_orphans(&[]).unwrap(), 0);
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..20).collect::<Vec<_>>());
    assert!(orphans.iter().all(|path| !path.exists()));
}

#[test]
fn a_pending_file_that_is_gone_or_cut_is_named_before_anything_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let mut run = Run::begin(&warehouse, false);
    run.write(10);
    let kept = run.checkpoint();
    run.die();
    let file = data_files(folder.path()).pop_first().unwrap();
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    for told in ["bytes, expected", "cannot be looked at"] {
        let error = Run::go_on(&warehouse, &kept).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.chain().contains(told) && error.chain().contains(file.to_str().unwrap()), "{}", error.chain());
        let _ = std::fs::remove_file(&file);
    }
    std::fs::write(&file, &whole).unwrap();
    drop(Run::go_on(&warehouse, &kept).unwrap());
    assert_eq!(warehouse.rows("lake.t").unwrap(), 10);
}

#[test]
fn a_snapshot_that_is_held_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let claim = claim(&warehouse);
    let properties = [("riverrun.history.max-snapshots", "1"), ("history.expire.min-snapshots-to-keep", "1")];
    let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    claim.create(&numbers([]).schema(), &TableOptions { properties, ..TableOptions::default() }).unwrap();
    let append = |n: i64| {
        let mut writer = claim.writer(0).unwrap();
        writer.write_rows(&numbers([n])).unwrap();
        claim.committer().commit(vec![writer.prepare(1).unwrap().unwrap()]).unwrap();
        warehouse.read("lake.t").unwrap().property(SNAPSHOT).unwrap().parse::<i64>().unwrap()
    };
    let (first, second) = (append(0), append(1));
    warehouse.hold("lake.t", "job.t", first).unwrap();
    warehouse.hold("lake.t", "job.t", second).unwrap();
    warehouse.hold("lake.t", "job.t", second).unwrap();
    for n in 2..80 {
        append(n);
    }
    let rows =
        |snapshot: i64| warehouse.read_at("lake.t", snapshot).map(|files| read(files.as_ref(), &["n"]).num_rows());
    assert_eq!(rows(second).unwrap(), 2);
    assert_eq!(warehouse.read_at("lake.t", second).unwrap().property(SNAPSHOT), Some(second.to_string()));
    let error = rows(first).unwrap_err();
    assert!(error.to_string().contains(&format!("has no snapshot {first} any more")), "{error}");
    assert!(warehouse.hold("lake.t", "job.t", first).unwrap_err().to_string().contains("it has expired"));
    warehouse.release("lake.t", "job.t").unwrap();
    warehouse.release("lake.t", "job.t").unwrap();
    warehouse.release("lake.nothing", "job.t").unwrap();
    let metadata = std::fs::read_to_string(warehouse.metadata_file("lake.t").unwrap()).unwrap();
    assert!(metadata.contains("\"main\"") && !metadata.contains("job.t"), "{metadata}");
    assert_eq!(warehouse.rows("lake.t").unwrap(), 80);
}
