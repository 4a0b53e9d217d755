//! What others may still be reading or about to name stays for a while, although nothing names it.

use crate::rows::{append, create, numbers, read, sorted_numbers};
use connector_iceberg::{CompactOptions, ExpireOptions, OrphanOptions, SNAPSHOT, TableHolds, TableOptions, Warehouse};
use dataflow::{Clock, ProcessingTime};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HOUR_MS: i64 = 3_600_000;

/// A clock that has stood still for two hours when it is asked a third time.
#[derive(Default)]
struct Asleep(AtomicUsize);

impl Clock for Asleep {
    #[expect(clippy::disallowed_methods, reason = "snapshots of the library have the time of the machine")]
    fn now(&self) -> ProcessingTime {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
        let asked = self.0.fetch_add(1, Ordering::SeqCst);
        ProcessingTime(if asked < 2 { now - 2 * HOUR_MS * 1000 } else { now })
    }
}

fn now_ms() -> i64 {
    let clock = Asleep(AtomicUsize::new(2));
    clock.now().0 / 1000
}

/// Makes a file older by an hour.
fn set_back(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.set_modified(written - Duration::from_millis(HOUR_MS as u64)).unwrap();
}

/// A clock of a machine that is two hours ahead of that of the disk.
struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> ProcessingTime {
        ProcessingTime((now_ms() + 2 * HOUR_MS) * 1000)
    }
}

/// A table of so many commits that the next one lets snapshots go.
fn many_commits(folder: &Path) -> Warehouse {
    let warehouse = Warehouse::open(folder).unwrap();
    let properties = [("riverrun.history.max-snapshots", "1"), ("history.expire.min-snapshots-to-keep", "1")];
    let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let options = TableOptions { properties, ..TableOptions::default() };
    create(&warehouse, "lake.t", &numbers([]).schema(), &options).unwrap();
    (0..33).for_each(|n| append(&warehouse, "lake.t", &[numbers([n])]).unwrap());
    warehouse
}

#[test]
fn the_age_of_files_is_told_by_the_clock_of_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = many_commits(folder.path());
    // Another machine is about to name them.
    let young = ["metadata/young-m0.avro", "data/young.parquet"].map(|name| folder.path().join("lake/t").join(name));
    young.iter().for_each(|file| fs::write(file, b"of another").unwrap());
    let before = fs::read_dir(folder.path().join("lake/t/metadata")).unwrap().count();
    warehouse.compact("lake.t", CompactOptions::default(), &Ahead, &mut |_| true).unwrap();
    assert!(young[0].exists(), "a commit that lets snapshots go deletes what is an hour old");
    assert!(fs::read_dir(folder.path().join("lake/t/metadata")).unwrap().count() >= before);
    let options = OrphanOptions { older_than: Duration::from_secs(3600) };
    let plan = warehouse.plan_orphans("lake.t", options, &TableHolds::default(), now_ms() + 48 * HOUR_MS).unwrap();
    assert!(plan.files.is_empty() && plan.young >= 2, "{:?}", plan.files);
    young.iter().for_each(|file| set_back(file));
    let plan = warehouse.plan_orphans("lake.t", options, &TableHolds::default(), now_ms() + 48 * HOUR_MS).unwrap();
    assert_eq!(plan.files.len(), 2, "{:?}", plan.files);
}

#[test]
fn the_statistics_of_snapshots_that_commits_let_go_are_orphans() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = many_commits(folder.path());
    let read =
        || -> Value { serde_json::from_slice(&fs::read(warehouse.metadata_file("lake.t").unwrap()).unwrap()).unwrap() };
    let mut metadata = read();
    let ids = [metadata["snapshots"][0]["snapshot-id"].clone(), metadata["current-snapshot-id"].clone(), 5.into()];
    let location = metadata["location"].as_str().unwrap().to_owned();
    let file = |at: usize, kind: &str| {
        let path = format!("{location}/metadata/{kind}-{at}.puffin");
        let name = path.rsplit('/').next().unwrap();
        let on_disk = folder.path().join("lake/t/metadata").join(name);
        fs::write(&on_disk, b"statistics").unwrap();
        set_back(&on_disk);
        (path, ids[at].clone())
    };
    let whole = |at: usize| {
        let (path, id) = file(at, "whole");
        json!({ "snapshot-id": id, "statistics-path": path, "file-size-in-bytes": 10, "file-footer-size-in-bytes": 5,
                "blob-metadata": [] })
    };
    let of_partitions = |at: usize| {
        let (path, id) = file(at, "parts");
        json!({ "snapshot-id": id, "statistics-path": path, "file-size-in-bytes": 10 })
    };
    metadata["statistics"] = (0..3).map(whole).collect();
    metadata["partition-statistics"] = (0..3).map(of_partitions).collect();
    fs::write(warehouse.metadata_file("lake.t").unwrap(), metadata.to_string()).unwrap();
    append(&warehouse, "lake.t", &[numbers([33])]).unwrap();
    let metadata = read();
    for kind in ["statistics", "partition-statistics"] {
        let left: Vec<&Value> = metadata[kind].as_array().unwrap().iter().map(|one| &one["snapshot-id"]).collect();
        assert_eq!(left, [&ids[1]], "{kind}");
    }
    let options = OrphanOptions { older_than: Duration::ZERO };
    let plan = warehouse.plan_orphans("lake.t", options, &TableHolds::default(), now_ms()).unwrap();
    assert_eq!(plan.files.iter().filter(|(file, _)| file.ends_with(".puffin")).count(), 4, "{:?}", plan.files);
}

#[test]
fn a_file_that_a_commit_let_go_stays_for_those_who_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let properties = [("riverrun.history.max-snapshots", "1"), ("history.expire.min-snapshots-to-keep", "1")];
    let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    create(&warehouse, "lake.t", &numbers([]).schema(), &TableOptions { properties, ..TableOptions::default() })
        .unwrap();
    (0..3).for_each(|n| append(&warehouse, "lake.t", &[numbers([n])]).unwrap());
    let reader = warehouse.read("lake.t").unwrap();
    let snapshot: i64 = reader.property(SNAPSHOT).unwrap().parse().unwrap();
    warehouse.compact("lake.t", CompactOptions::default(), &Asleep(AtomicUsize::new(2)), &mut |_| true).unwrap();
    (3..40).for_each(|n| append(&warehouse, "lake.t", &[numbers([n])]).unwrap());
    assert!(warehouse.read_at("lake.t", snapshot).is_ok(), "commits do not let it go within the hour");
    // The next run of the job begins, and somebody looks for orphans.
    let claim = warehouse.claim("lake.t", "test").unwrap();
    assert_eq!(claim.collect_orphans(&[]).unwrap(), 0);
    let holds = TableHolds { sinks: vec!["test".to_owned()], ..TableHolds::default() };
    let options = OrphanOptions { older_than: Duration::ZERO };
    let data_files = |now_ms| {
        let plan = warehouse.plan_orphans("lake.t", options, &holds, now_ms).unwrap();
        plan.files.iter().filter(|(file, _)| file.ends_with(".parquet")).count()
    };
    assert_eq!(data_files(now_ms()), 0);
    assert_eq!(read(&*reader, &["n"]).num_rows(), 3, "the query has its rows");
    // What nobody names is found all the same, however often commits let snapshots go.
    let left = folder.path().join("lake/t/data/left.parquet");
    fs::write(&left, b"of another").unwrap();
    set_back(&left);
    assert_eq!(data_files(now_ms()), 1);
    let options = ExpireOptions { older_than: None, keep: Some(1), readers: Duration::from_secs(3600) };
    warehouse.expire("lake.t", options, &holds, now_ms() + 2 * HOUR_MS, &mut |_, _| {}).unwrap();
    assert!(warehouse.read_at("lake.t", snapshot).is_err(), "nobody reads it any more");
    assert!(reader.files().iter().all(|file| !Path::new(&file.path).exists()));
    // What was never committed goes at once.
    let mut writer = claim.writer(0).unwrap();
    writer.write_rows(&numbers([99])).unwrap();
    dataflow::Sink::prepare(&mut writer, 1).unwrap();
    drop((writer, claim));
    assert_eq!(warehouse.claim("lake.t", "test").unwrap().collect_orphans(&[]).unwrap(), 1);
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..40).collect::<Vec<_>>());
}

#[test]
fn a_compaction_that_slept_names_nothing_that_was_written_before() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse, "lake.t", &numbers([]).schema(), &TableOptions::default()).unwrap();
    (0..3).for_each(|n| append(&warehouse, "lake.t", &[numbers([n])]).unwrap());
    let done = warehouse.compact("lake.t", CompactOptions::default(), &Asleep::default(), &mut |_| true).unwrap();
    assert_eq!((done.files_before, done.snapshots), (3, 1));
    let options = OrphanOptions { older_than: Duration::ZERO };
    fs::read_dir(folder.path().join("lake/t/metadata")).unwrap().for_each(|entry| set_back(&entry.unwrap().path()));
    let plan = warehouse.plan_orphans("lake.t", options, &TableHolds::default(), now_ms()).unwrap();
    let manifests = plan.files.iter().filter(|(file, _)| file.ends_with("-m0.avro")).count();
    assert!(manifests >= 2, "those of the first attempt are not of the table: {:?}", plan.files);
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [0, 1, 2]);
}
