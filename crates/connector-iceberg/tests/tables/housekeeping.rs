//! Tables that are kept in order: rows stay as they are, whoever writes and reads meanwhile.

use crate::rows::{DAY, all_types, append, archive, create, numbers, read, sorted_numbers};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use connector_iceberg::{
    CompactOptions, ExpireOptions, OrphanOptions, SNAPSHOT, TableClaim, TableHolds, TableOptions, Warehouse,
};
use dataflow::{Clock, ProcessingTime, Sink};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TABLE: &str = "lake.t";

/// The clock of this machine: the iceberg library stamps snapshots by it, and refuses those that are much older.
struct MachineClock;

impl Clock for MachineClock {
    #[expect(clippy::disallowed_methods, reason = "snapshots of the library have the time of the machine")]
    fn now(&self) -> ProcessingTime {
        ProcessingTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64)
    }
}

fn now_ms() -> i64 {
    MachineClock.now().0 / 1000
}

fn compact(warehouse: &Warehouse) -> (usize, usize) {
    let done = warehouse.compact(TABLE, CompactOptions::default(), &MachineClock, &mut |_| true).unwrap();
    assert_eq!(done.rows_before, done.rows_after, "nothing is deleted from it");
    (done.files_before, done.files_after)
}

/// All but the newest snapshot, whoever may be reading.
fn newest_alone() -> ExpireOptions {
    ExpireOptions { keep: Some(1), ..ExpireOptions::default() }
}

fn warehouse_of(appends: i64) -> (tempfile::TempDir, Warehouse) {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse, TABLE, &numbers([]).schema(), &TableOptions::default()).unwrap();
    for number in 0..appends {
        append(&warehouse, TABLE, &[numbers(number * 10..number * 10 + 10)]).unwrap();
    }
    (folder, warehouse)
}

fn files_below(folder: &Path, end: &str) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.append(&mut files_below(&path, end)),
            false if path.to_str().unwrap().ends_with(end) => drop(found.insert(path)),
            false => {}
        }
    }
    found
}

#[test]
fn small_files_become_one_and_the_files_before_go_with_their_snapshots() {
    let (folder, warehouse) = warehouse_of(12);
    let plan = warehouse.plan_compaction(TABLE, CompactOptions::default()).unwrap();
    assert_eq!((plan.files, plan.files_total, plan.files_after, plan.groups), (12, 12, 1, 1));
    assert_eq!(warehouse.read(TABLE).unwrap().files().len(), 12, "a plan changes nothing");
    assert_eq!(compact(&warehouse), (12, 1));
    assert_eq!(sorted_numbers(&warehouse, TABLE), (0..120).collect::<Vec<_>>());
    assert_eq!((warehouse.read(TABLE).unwrap().files().len(), warehouse.rows(TABLE).unwrap()), (1, 120));
    assert_eq!(compact(&warehouse), (0, 0), "there is nothing more to do");
    let described = warehouse.describe(TABLE, &TableHolds::default()).unwrap();
    assert_eq!((described.files.data_files, described.files.rows, described.snapshots), (1, 120, 13));
    assert_eq!(described.current.unwrap().writer, "riverrun table compact");
    assert_eq!(described.writers.iter().map(|(_, snapshots)| snapshots).sum::<usize>(), 13);

    let holds = TableHolds::default();
    let plan = warehouse.plan_expiry(TABLE, newest_alone(), &holds, now_ms()).unwrap();
    assert_eq!((plan.snapshots.len(), plan.snapshots_total, plan.data_files.len()), (12, 13, 12));
    let within_an_hour = ExpireOptions { readers: Duration::from_secs(3600), ..newest_alone() };
    let plan = warehouse.plan_expiry(TABLE, within_an_hour, &holds, now_ms()).unwrap();
    assert!(plan.snapshots.is_empty(), "queries may be reading them");
    let by_properties = warehouse.plan_expiry(TABLE, ExpireOptions::default(), &holds, now_ms()).unwrap();
    assert!(by_properties.snapshots.is_empty(), "100 stay, however old they are");
    let done = warehouse.expire(TABLE, newest_alone(), &holds, now_ms(), &mut |_, _| {}).unwrap();
    assert_eq!((done.snapshots, done.files_left), (12, 0));
    assert_eq!(files_below(&folder.path().join("lake/t/data"), ".parquet").len(), 1);
    assert_eq!(files_below(&folder.path().join("lake/t/metadata"), ".avro").len(), 3, "a list, and two manifests");
    assert_eq!(sorted_numbers(&warehouse, TABLE), (0..120).collect::<Vec<_>>());
    append(&warehouse, TABLE, &[numbers(120..130)]).unwrap();
    assert_eq!(sorted_numbers(&warehouse, TABLE), (0..130).collect::<Vec<_>>());
}

#[test]
fn what_a_tag_a_checkpoint_or_a_reader_holds_stays_as_it_was() {
    let (_folder, warehouse) = warehouse_of(4);
    let tagged: i64 = warehouse.read(TABLE).unwrap().property(SNAPSHOT).unwrap().parse().unwrap();
    warehouse.hold(TABLE, "riverrun-p-job", tagged).unwrap();
    append(&warehouse, TABLE, &[numbers(40..50)]).unwrap();
    let in_checkpoint: i64 = warehouse.read(TABLE).unwrap().property(SNAPSHOT).unwrap().parse().unwrap();
    append(&warehouse, TABLE, &[numbers(50..60)]).unwrap();
    let open = warehouse.read_at(TABLE, tagged).unwrap();
    compact(&warehouse);
    let holds = TableHolds { snapshots: vec![(in_checkpoint, "checkpoint 7".to_owned())], ..TableHolds::default() };
    let plan = warehouse.plan_expiry(TABLE, newest_alone(), &holds, now_ms()).unwrap();
    let held: Vec<&str> = plan.held.iter().map(|(_, who)| who.as_str()).collect();
    assert_eq!(held, ["tag riverrun-p-job", "checkpoint 7"]);
    warehouse.expire(TABLE, newest_alone(), &holds, now_ms(), &mut |_, _| {}).unwrap();
    for (snapshot, rows) in [(tagged, 40), (in_checkpoint, 50)] {
        assert_eq!(read(&*warehouse.read_at(TABLE, snapshot).unwrap(), &["n"]).num_rows(), rows);
    }
    assert_eq!(read(&*open, &["n"]).num_rows(), 40, "whoever reads goes on");
    let described = warehouse.describe(TABLE, &TableHolds::default()).unwrap();
    assert_eq!(described.references.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["riverrun-p-job"]);
    warehouse.release(TABLE, "riverrun-p-job").unwrap();
    warehouse.expire(TABLE, newest_alone(), &TableHolds::default(), now_ms(), &mut |_, _| {}).unwrap();
    assert!(warehouse.read_at(TABLE, tagged).is_err());
    assert_eq!(sorted_numbers(&warehouse, TABLE), (0..60).collect::<Vec<_>>());
}

#[test]
fn a_job_commits_while_its_table_is_compacted_and_expires() {
    let (_folder, warehouse) = warehouse_of(1);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..150 {
                append(&warehouse, TABLE, &[numbers(number * 10..number * 10 + 10)]).unwrap();
            }
            is_over.store(true, Ordering::SeqCst);
        });
        let mut compacted = 0;
        while !is_over.load(Ordering::SeqCst) || compacted == 0 {
            compacted += compact(&warehouse).0;
            warehouse.expire(TABLE, newest_alone(), &TableHolds::default(), now_ms(), &mut |_, _| {}).unwrap();
            let numbers = sorted_numbers(&warehouse, TABLE);
            assert_eq!(numbers, (0..numbers.len() as i64).collect::<Vec<_>>(), "none is missing, none is there twice");
        }
    });
    assert_eq!(sorted_numbers(&warehouse, TABLE), (0..1500).collect::<Vec<_>>());
}

#[test]
fn a_run_goes_on_with_a_table_that_was_compacted_and_has_expired() {
    let (_folder, warehouse) = warehouse_of(0);
    let claim = warehouse.claim(TABLE, "job.counts").unwrap();
    claim.create(&numbers([]).schema(), &TableOptions::default()).unwrap();
    let mut writer = claim.writer(0).unwrap();
    let mut prepare = |number: u64, rows| {
        writer.write_rows(&numbers(rows)).unwrap();
        writer.prepare(number).unwrap().unwrap()
    };
    let committed: Vec<_> = (1..6).map(|number| prepare(number, number as i64 * 10..number as i64 * 10 + 10)).collect();
    let pending = prepare(6, 60..70);
    for one in &committed {
        claim.committer().commit(vec![one.clone()]).unwrap();
    }
    let state = dataflow::OutputState {
        output: "counts".to_owned(),
        position: Some(writer.position().unwrap()),
        pending: vec![committed[4].clone(), pending],
        known: 4,
    };
    drop((writer, claim));
    compact(&warehouse);
    let holds = TableHolds {
        prepared: TableClaim::pending_locations(TABLE, &state.pending).unwrap().into_iter().collect(),
        ..TableHolds::default()
    };
    warehouse.expire(TABLE, newest_alone(), &holds, now_ms(), &mut |_, _| {}).unwrap();
    let again = warehouse.claim(TABLE, "job.counts").unwrap();
    again.go_on(&numbers([]).schema(), &state).unwrap();
    again.committer().commit(state.pending.clone()).unwrap();
    again.committer().commit(state.pending).unwrap();
    assert_eq!(sorted_numbers(&warehouse, TABLE), (10..70).collect::<Vec<_>>());
}

#[test]
fn an_archive_keeps_its_frontier_and_its_rows_come_in_the_order_of_their_arrival() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let options = TableOptions { partition_day: Some("at".to_owned()), ..TableOptions::default() };
    let rows =
        |numbers: std::ops::Range<i64>| all_types(&numbers.map(|n| (n % 7 != 0).then_some(n)).collect::<Vec<_>>());
    create(&warehouse, TABLE, &rows(0..1).schema(), &options).unwrap();
    for part in 0..6 {
        let frontier = [("riverrun.frontier".to_owned(), format!("{part}"))];
        // Later parts hold earlier days as well.
        archive(&warehouse, TABLE, &[rows(part * 3..part * 3 + 30)], &frontier).unwrap();
    }
    let columns = ["long", "int", "double", "float", "flag", "text", "at", "bytes", "date"];
    let before = sorted_lines(&read(&*warehouse.read(TABLE).unwrap(), &columns));
    let files_before = warehouse.read(TABLE).unwrap().files().len();
    let (compacted, into) = compact(&warehouse);
    assert!(compacted > into && files_before > warehouse.read(TABLE).unwrap().files().len());
    let files = warehouse.read(TABLE).unwrap();
    assert_eq!(files.property("riverrun.frontier").as_deref(), Some("5"));
    assert_eq!(sorted_lines(&read(&*files, &columns)), before);
    for (at, file) in files.files().iter().enumerate() {
        let rows = files.open(at, file.all_groups(), &["at".to_owned()], 1000).unwrap().map(Result::unwrap);
        let times: Vec<Option<i64>> = rows
            .flat_map(|rows| rows.column(0).as_primitive::<TimestampMicrosecondType>().iter().collect::<Vec<_>>())
            .collect();
        assert!(times.is_sorted(), "{}", file.path);
        let days: BTreeSet<_> = times.iter().map(|at| at.map(|at| at.div_euclid(DAY))).collect();
        assert_eq!(days.len(), 1, "{}", file.path);
    }
    archive(&warehouse, TABLE, &[rows(50..60)], &[("riverrun.frontier".to_owned(), "6".to_owned())]).unwrap();
    let described = warehouse.describe(TABLE, &TableHolds::default()).unwrap();
    assert_eq!((described.partition, described.order), (vec!["day(at)".to_owned()], vec!["at".to_owned()]));
    assert_eq!(described.frontier.as_deref(), Some("6"));
}

fn sorted_lines(rows: &RecordBatch) -> Vec<String> {
    let text = |column: &arrow::array::ArrayRef, row| arrow::util::display::array_value_to_string(column, row).unwrap();
    let line = |row| rows.columns().iter().map(|column| text(column, row)).collect::<Vec<_>>().join("|");
    let mut lines: Vec<String> = (0..rows.num_rows()).map(line).collect();
    lines.sort_unstable();
    lines
}

/// Makes a file that was last written some time ago.
fn stray(path: &Path, hours: u64) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "stray").unwrap();
    age(path, hours);
}

fn age(path: &Path, hours: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_millis(now_ms() as u64) - Duration::from_secs(hours * 3600)).unwrap();
}

#[test]
fn files_that_nothing_names_go_once_they_are_old_and_nobody_has_prepared_them() {
    let (folder, warehouse) = warehouse_of(3);
    let data = folder.path().join("lake/t/data");
    for file in files_below(&data, ".parquet") {
        age(&file, 1000);
    }
    // What the sink `test` has prepared and not committed, and one of a job that nobody knows here.
    let claim = warehouse.claim(TABLE, "test").unwrap();
    let mut prepared = Vec::new();
    for rows in [30..40, 40..50] {
        let before = files_below(&data, ".parquet");
        let mut writer = claim.writer(0).unwrap();
        writer.write_rows(&numbers(rows)).unwrap();
        let committable = writer.prepare(1).unwrap().unwrap();
        let new = files_below(&data, ".parquet").difference(&before).next().unwrap().clone();
        age(&new, 1000);
        prepared.push((committable, new));
    }
    let of_stranger = warehouse.claim("lake.other", "stranger").unwrap();
    drop(of_stranger);
    let name = prepared[0].1.file_name().unwrap().to_str().unwrap();
    let (epoch, rest) = name.split_once('-').unwrap();
    let strange = data.join(format!("{epoch}-0123456789abcdef{}", &rest[16..]));
    stray(&strange, 1000);
    stray(&data.join("part-0.parquet"), 1000);
    stray(&data.join("at_day=2026-01-01/part-1.parquet"), 100);
    stray(&data.join("part-young.parquet"), 1);
    stray(&data.join("compact-5c0e6d3a-00000.parquet"), 20);
    stray(&folder.path().join("lake/t/metadata/old.avro"), 100);
    stray(&folder.path().join("_riverrun/sorting/a.arrow"), 100);
    stray(&folder.path().join("_riverrun/sorting/b.arrow"), 1);
    let holds = TableHolds {
        prepared: TableClaim::pending_locations(TABLE, &[prepared[0].0.clone()]).unwrap().into_iter().collect(),
        sinks: vec!["test".to_owned()],
        ..TableHolds::default()
    };
    let options = OrphanOptions { older_than: Duration::from_secs(10 * 3600) };
    let plan = warehouse.plan_orphans(TABLE, options, &holds, now_ms()).unwrap();
    let named = |files: &[(String, u64)]| -> BTreeSet<String> {
        files.iter().map(|(file, _)| file.rsplit('/').next().unwrap().to_owned()).collect()
    };
    let gone = prepared[1].1.file_name().unwrap().to_str().unwrap();
    let expected = ["part-0.parquet", "part-1.parquet", "old.avro", gone].map(str::to_owned);
    assert_eq!(named(&plan.files), BTreeSet::from(expected));
    assert_eq!(named(&plan.beside), BTreeSet::from(["a.arrow".to_owned()]));
    assert_eq!((plan.prepared, plan.unknown_jobs, plan.young), (1, 1, 2));
    // Without such a file in a checkpoint here, those of the epoch that writes now may be in one elsewhere.
    let elsewhere = TableHolds { prepared: Default::default(), ..holds.clone() };
    let of_elsewhere = warehouse.plan_orphans(TABLE, options, &elsewhere, now_ms()).unwrap();
    assert_eq!((of_elsewhere.prepared, of_elsewhere.unknown_jobs), (0, 3));
    assert!(!named(&of_elsewhere.files).contains(gone));
    let done = warehouse.delete_orphans(TABLE, &plan, &mut |_, _| {}).unwrap();
    assert_eq!((done.files, done.files_left), (5, 0));
    assert!(strange.exists() && !data.join("part-0.parquet").exists());
    claim.committer().commit(vec![prepared[0].0.clone()]).unwrap();
    assert_eq!(sorted_numbers(&warehouse, TABLE), (0..40).collect::<Vec<_>>());
    let plan = warehouse.plan_orphans(TABLE, options, &holds, now_ms()).unwrap();
    assert!(plan.files.is_empty() && plan.beside.is_empty(), "what is committed is named");
}

#[test]
fn a_place_of_two_tables_is_swept_for_neither() {
    let (folder, warehouse) = warehouse_of(1);
    let options = OrphanOptions { older_than: Duration::ZERO };
    // Another name for the same metadata, as a tool may have registered it.
    let catalog = folder.path().join("catalog.db");
    drop(warehouse);
    let connection = rusqlite::Connection::open(&catalog).unwrap();
    connection
        .execute(
            "INSERT INTO iceberg_tables SELECT catalog_name, table_namespace, 'copy', metadata_location,
             previous_metadata_location, iceberg_type FROM iceberg_tables",
            [],
        )
        .unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let refused = warehouse.plan_orphans(TABLE, options, &TableHolds::default(), now_ms()).unwrap_err();
    assert!(refused.to_string().contains("table \"lake.copy\" at"), "{refused}");
}
