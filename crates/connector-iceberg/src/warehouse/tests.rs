//! Storage that fails, a catalog that is locked, and tables that other tools have left behind.

mod full_disk;

use super::*;
use crate::claim::TableClaim;
use crate::commit::CommitWait;
use crate::prepared_files::PreparedFiles;
use crate::storage::{DurableFiles, disk_time};
use crate::upkeep;
use arrow::array::{Int64Array, RecordBatch};
use dataflow::ErrorKind;
use iceberg::io::{FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig};
use iceberg::spec::{
    DataContentType, DataFileBuilder, DataFileFormat, ManifestListWriter, ManifestWriterBuilder, Operation, Snapshot,
    Struct, Summary,
};
use iceberg::transaction::{ApplyTransactionAction, Transaction};
use iceberg::{MetadataLocation, Result as IcebergResult};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::SystemTime;
use std::{fs, io};

/// A claim that does not wait for what does not answer.
fn claim(warehouse: &Warehouse) -> TableClaim {
    patient(warehouse.claim("lake.t", "test").unwrap(), Duration::ZERO)
}

fn patient(mut claim: TableClaim, patience: Duration) -> TableClaim {
    claim.patience = patience;
    claim
}

fn create(warehouse: &Warehouse) {
    claim(warehouse).create(&numbers(0..0).schema(), &TableOptions::default()).unwrap();
}

fn prepared(claim: &TableClaim, rows: std::ops::Range<i64>) -> [PreparedFiles; 1] {
    let mut writer = claim.writer(0).unwrap();
    writer.write_rows(&numbers(rows)).unwrap();
    [writer.prepared_files(None).unwrap().unwrap()]
}

fn commit(claim: &TableClaim, prepared: &[PreparedFiles]) -> Result<()> {
    claim.commit_change(TableChange { prepared, ..TableChange::default() })
}

fn append(warehouse: &Warehouse, rows: std::ops::Range<i64>) {
    let claim = claim(warehouse);
    commit(&claim, &prepared(&claim, rows)).unwrap();
}

fn numbers(numbers: std::ops::Range<i64>) -> RecordBatch {
    let column = Int64Array::from_iter_values(numbers);
    RecordBatch::try_from_iter_with_nullable([("n", Arc::new(column) as _, true)]).unwrap()
}

#[test]
fn a_catalog_that_another_process_holds_is_an_error_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse);
    let claim = claim(&warehouse);
    let before = warehouse.metadata_file("lake.t").unwrap();
    warehouse.store().wait_at_most(1);
    let mut writer = claim.writer(0).unwrap();
    let other = rusqlite::Connection::open(folder.path().join("catalog.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    // The rows need no catalog.
    writer.write_rows(&numbers(0..10)).unwrap();
    let prepared = [writer.prepared_files(None).unwrap().unwrap()];
    let error = commit(&claim, &prepared).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.chain().contains("locked by another process"), "{}", error.chain());
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(warehouse.metadata_file("lake.t").unwrap(), before);
    commit(&claim, &prepared).unwrap();
    assert_eq!(warehouse.rows("lake.t").unwrap(), 10);
}

#[test]
fn no_row_is_given_of_a_file_whose_deletes_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse);
    append(&warehouse, 0..10);
    let name = TableName::parse("lake.t").unwrap();
    let table = warehouse.load(&name).unwrap();
    warehouse.0.runtime.block_on(add_delete_file(&warehouse, &name, &table, 1));
    let files = warehouse.read("lake.t").unwrap();
    let file = &files.files()[0];
    assert!(file.deletes.is_some() && file.groups.iter().all(|group| group.rows.is_none()), "{file:?}");
    let error = files.open(0, file.all_groups(), &[], 10).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let told = error.chain();
    assert!(told.starts_with("table \"lake.t\": delete file \"") && told.contains("deletes.parquet"), "{told}");
    assert!(told.contains("the file is missing"), "{told}");
    assert_eq!(warehouse.rows("lake.t").unwrap_err().chain(), told, "they are not counted either");
    append(&warehouse, 10..15);
    let files = warehouse.read("lake.t").unwrap();
    let later = files.files().iter().find(|file| file.deletes.is_none()).unwrap();
    assert_eq!((later.rows, later.groups[0].rows), (5, Some(5)));
}

/// A clock that was ahead when a table was committed to, and was set right since.
#[test]
fn a_commit_from_before_the_last_one_waits_and_names_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse);
    append(&warehouse, 0..10);
    let claim = claim(&warehouse);
    let prepared = prepared(&claim, 10..20);
    let name = TableName::parse("lake.t").unwrap();
    let table = warehouse.load(&name).unwrap();
    warehouse.0.runtime.block_on(add_delete_file(&warehouse, &name, &table, 3_600_000));
    let error = commit(&claim, &prepared).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain());
    assert!(error.chain().contains("the clock of this machine is over a minute before"), "{}", error.chain());
}

/// Commits a snapshot that adds one file of deletes and no data, as a tool that deletes rows would, so many milliseconds
/// after the last change.
async fn add_delete_file(warehouse: &Warehouse, name: &TableName, table: &Table, after_ms: i64) {
    const SNAPSHOT: i64 = 77;
    let (metadata, file_io) = (table.metadata(), table.file_io());
    let at = |file: &str| format!("{}/metadata/{file}", metadata.location());
    let sequence = metadata.next_sequence_number();
    let schema = metadata.current_schema().clone();
    let spec = metadata.default_partition_spec().as_ref().clone();
    let output = file_io.new_output(at("deletes.avro")).unwrap();
    let mut manifest = ManifestWriterBuilder::new(output, Some(SNAPSHOT), schema, spec).build_v2_deletes();
    let mut file = DataFileBuilder::default();
    file.content(DataContentType::EqualityDeletes)
        .equality_ids(Some(vec![1]))
        .file_path(at("deletes.parquet"))
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::empty())
        .record_count(1)
        .file_size_in_bytes(1);
    manifest.add_file(file.build().unwrap(), sequence).unwrap();
    let manifest = manifest.write_manifest_file().await.unwrap();
    let output = file_io.new_output(at("list.avro")).unwrap().writer().await.unwrap();
    let mut list = ManifestListWriter::v2(output, SNAPSHOT, metadata.current_snapshot_id(), sequence);
    let before = table.manifest_list_reader(metadata.current_snapshot().unwrap()).load().await.unwrap();
    list.add_manifests(before.entries().iter().cloned().chain([manifest])).unwrap();
    list.close().await.unwrap();
    let snapshot = Snapshot::builder()
        .with_snapshot_id(SNAPSHOT)
        .with_parent_snapshot_id(metadata.current_snapshot_id())
        .with_sequence_number(sequence)
        .with_timestamp_ms(metadata.last_updated_ms() + after_ms)
        .with_manifest_list(at("list.avro"))
        .with_summary(Summary { operation: Operation::Delete, additional_properties: HashMap::new() })
        .with_schema_id(metadata.current_schema_id())
        .build();
    let from = table.metadata_location().unwrap();
    let next = metadata.clone().into_builder(Some(from.to_owned())).set_branch_snapshot(snapshot, "main").unwrap();
    let to = MetadataLocation::from_str(from).unwrap().with_next_version();
    next.build().unwrap().metadata.write_to(file_io, &to).await.unwrap();
    warehouse.store().swap(name, from, &to.to_string()).unwrap();
}

#[test]
fn a_commit_is_known_after_its_snapshot_has_expired() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse);
    let claim = claim(&warehouse);
    let prepared = prepared(&claim, 0..10);
    commit(&claim, &prepared).unwrap();
    commit(&claim, &self::prepared(&claim, 10..11)).unwrap();
    let name = TableName::parse("lake.t").unwrap();
    let table = warehouse.load(&name).unwrap();
    let first = table.metadata().current_snapshot().unwrap().parent_snapshot_id().unwrap();
    let transaction = Transaction::new(&table);
    let expire = transaction.expire_snapshots().expire_snapshot_ids([first]);
    let transaction = expire.apply(transaction).unwrap();
    warehouse.0.runtime.block_on(transaction.commit(warehouse.0.catalog.as_catalog())).unwrap();
    assert_eq!(warehouse.load(&name).unwrap().metadata().snapshots().len(), 1);
    commit(&claim, &prepared).unwrap();
    assert_eq!(warehouse.rows("lake.t").unwrap(), 11);
}

#[test]
fn old_metadata_files_go_and_the_newest_stay() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse);
    for n in 0..25 {
        append(&warehouse, n..n + 1);
    }
    let newest = warehouse.metadata_file("lake.t").unwrap();
    let files = fs::read_dir(newest.parent().unwrap()).unwrap().map(|file| file.unwrap().path());
    let metadata: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    // The current one and the number of earlier ones that the table's property says.
    assert_eq!(metadata.len(), 11);
    assert!(metadata.contains(&newest));
    assert_eq!(warehouse.read("lake.t").unwrap().files().len(), 25);
}

#[test]
fn files_that_another_name_has_outlive_a_table_that_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse);
    append(&warehouse, 0..10);
    // A second name for the same files, as a tool that registers tables makes it.
    let location = format!("file://{}", warehouse.metadata_file("lake.t").unwrap().display());
    warehouse.store().insert(&TableName::parse("other.u").unwrap(), &location).unwrap();
    let replace = |claim: TableClaim| {
        claim.replace(&numbers(0..0).schema(), &TableOptions::default()).unwrap();
        TableClaim::take_places([&claim]).unwrap();
    };
    let files_of = |table: &str| warehouse.read(table).unwrap().files().to_vec();
    replace(warehouse.claim("other.u", "test").unwrap());
    assert_eq!((files_of("lake.t").len(), files_of("other.u").len()), (1, 0));
    let store = warehouse.store();
    let other = TableName::parse("other.u").unwrap();
    assert!(store.remove(&other, &store.location(&other).unwrap().unwrap()).unwrap());
    store.insert(&other, &format!("file://{}", warehouse.metadata_file("lake.t").unwrap().display())).unwrap();
    replace(claim(&warehouse));
    assert_eq!(files_of("lake.t").len(), 0);
    fs::File::open(folder.path().join("lake/t/replaced")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    drop(claim(&warehouse));
    assert!(Path::new(&files_of("other.u")[0].path).exists());
}

/// Files of a table's metadata folder with an end.
fn metadata_files(warehouse: &Warehouse, end: &str) -> Vec<PathBuf> {
    let newest = warehouse.metadata_file("lake.t").unwrap();
    let files = fs::read_dir(newest.parent().unwrap()).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.to_str().unwrap().ends_with(end)).collect()
}

/// What the table looks like: its snapshots, the manifests of the current one, and its files.
fn shape(warehouse: &Warehouse) -> (usize, usize, usize) {
    let table = warehouse.load(&TableName::parse("lake.t").unwrap()).unwrap();
    let snapshot = table.metadata().current_snapshot().unwrap();
    let list = warehouse.0.runtime.block_on(table.manifest_list_reader(snapshot).load()).unwrap();
    (table.metadata().snapshots().len(), list.entries().len(), warehouse.read("lake.t").unwrap().files().len())
}

fn create_with(warehouse: &Warehouse, properties: &[(&str, &str)]) -> TableClaim {
    let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let options = TableOptions { properties, ..TableOptions::default() };
    let claim = claim(warehouse);
    claim.create(&numbers(0..0).schema(), &options).unwrap();
    claim
}

#[test]
fn manifests_and_snapshots_stay_few_over_many_commits() {
    const COMMITS: i64 = 240;
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let claim = create_with(
        &warehouse,
        &[
            ("riverrun.history.max-snapshots", "40"),
            (upkeep::SNAPSHOTS_MIN, "1"),
            ("commit.manifest.min-count-to-merge", "20"),
        ],
    );
    for n in 0..COMMITS {
        commit(&claim, &prepared(&claim, n..n + 1)).unwrap();
        if n % 60 == 30 {
            // As if the files had been there for hours.
            let hours_ago = fs::metadata(folder.path().join("catalog.db")).unwrap().modified().unwrap();
            let hours_ago = hours_ago - Duration::from_secs(2 * 3600);
            for path in metadata_files(&warehouse, ".avro") {
                fs::File::options().append(true).open(path).unwrap().set_modified(hours_ago).unwrap();
            }
        }
    }
    let (snapshots, manifests, files) = shape(&warehouse);
    assert!((40..74).contains(&snapshots), "{snapshots} snapshots");
    assert!(manifests <= 21, "{manifests} manifests");
    assert_eq!(files, COMMITS as usize);
    assert_eq!(metadata_files(&warehouse, ".metadata.json").len(), 11);
    let avro = metadata_files(&warehouse, ".avro").len();
    assert!(avro < 250, "{avro} manifests and lists, of 480 that were written");
    assert_eq!(warehouse.rows("lake.t").unwrap(), COMMITS as u64);
    // Every snapshot that is left can be read.
    let table = warehouse.load(&TableName::parse("lake.t").unwrap()).unwrap();
    for snapshot in table.metadata().snapshots() {
        let list = warehouse.0.runtime.block_on(table.manifest_list_reader(snapshot).load()).unwrap();
        for manifest in list.entries() {
            warehouse.0.runtime.block_on(manifest.load_manifest(table.file_io())).unwrap();
        }
    }
}

#[test]
fn merged_manifests_keep_the_numbers_of_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let claim = create_with(&warehouse, &[("commit.manifest.min-count-to-merge", "4")]);
    let numbers_of_files = || {
        let table = warehouse.load(&TableName::parse("lake.t").unwrap()).unwrap();
        let snapshot = table.metadata().current_snapshot().unwrap();
        let list = warehouse.0.runtime.block_on(table.manifest_list_reader(snapshot).load()).unwrap();
        let mut files = Vec::new();
        for manifest in list.entries() {
            let manifest = warehouse.0.runtime.block_on(manifest.load_manifest(table.file_io())).unwrap();
            files.extend(manifest.entries().iter().map(|entry| {
                (entry.file_path().to_owned(), entry.snapshot_id, entry.sequence_number, entry.file_sequence_number)
            }));
        }
        files
    };
    let mut before = Vec::new();
    for n in 0..11 {
        commit(&claim, &prepared(&claim, n..n + 1)).unwrap();
        let now = numbers_of_files();
        assert_eq!(now[..before.len()], before, "commit {n}");
        assert_eq!(now.len(), n as usize + 1);
        assert_eq!(now.last().unwrap().2, Some(n + 1), "each has the sequence number of its commit");
        before = now;
    }
    assert!(shape(&warehouse).1 <= 4, "{} manifests", shape(&warehouse).1);
}

#[test]
fn tokens_and_the_frontier_outlive_their_snapshots() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let claim = create_with(&warehouse, &[("riverrun.history.max-snapshots", "1"), (upkeep::SNAPSHOTS_MIN, "1")]);
    let first = prepared(&claim, 0..1);
    let frontier = [("riverrun.frontier".to_owned(), "one".to_owned())];
    claim.commit_change(TableChange { prepared: &first, properties: &frontier, from_frontier: Some(None) }).unwrap();
    let keep = |n: i64| {
        let properties = [("riverrun.frontier".to_owned(), format!("at {n}"))];
        claim.commit_change(TableChange {
            prepared: &prepared(&claim, n..n + 1),
            properties: &properties,
            from_frontier: None,
        })
    };
    (1..50).for_each(|n| keep(n).unwrap());
    assert!(shape(&warehouse).0 < 34, "{} snapshots", shape(&warehouse).0);
    assert_eq!(warehouse.read("lake.t").unwrap().property("riverrun.frontier").unwrap(), "at 49");
    commit(&claim, &first).unwrap();
    assert_eq!(warehouse.rows("lake.t").unwrap(), 50);
}

#[test]
fn a_tag_and_young_files_without_a_name_stay() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let claim = create_with(&warehouse, &[("riverrun.history.max-snapshots", "1"), (upkeep::SNAPSHOTS_MIN, "1")]);
    commit(&claim, &prepared(&claim, 0..1)).unwrap();
    let name = TableName::parse("lake.t").unwrap();
    let table = warehouse.load(&name).unwrap();
    let tagged = table.metadata().current_snapshot_id().unwrap();
    let (from, retention) =
        (table.metadata_location().unwrap(), iceberg::spec::SnapshotRetention::Tag { max_ref_age_ms: None });
    let builder = table.metadata().clone().into_builder(Some(from.to_owned()));
    let builder = builder.set_ref("read", iceberg::spec::SnapshotReference::new(tagged, retention)).unwrap();
    let to = MetadataLocation::from_str(from).unwrap().with_next_version();
    warehouse.0.runtime.block_on(builder.build().unwrap().metadata.write_to(table.file_io(), &to)).unwrap();
    warehouse.store().swap(&name, from, &to.to_string()).unwrap();
    (1..40).for_each(|n| commit(&claim, &prepared(&claim, n..n + 1)).unwrap());
    let table = warehouse.load(&name).unwrap();
    assert!(table.metadata().snapshots().len() < 40, "some have left");
    assert!(table.metadata().snapshot_by_id(tagged).is_some());
    assert_eq!(metadata_files(&warehouse, ".avro").len(), 80, "all files are young");
}

/// Keeps what a commit says while it waits.
#[derive(Default)]
struct Waiting {
    lines: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl CommitWait for Waiting {
    fn tell(&self, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

#[test]
fn a_commit_that_nobody_waits_for_any_longer_ends() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse);
    let waiting = Arc::new(Waiting::default());
    let claim = patient(claim(&warehouse), Duration::from_secs(600)).attended_by(waiting.clone());
    let prepared = prepared(&claim, 0..10);
    warehouse.store().wait_at_most(10);
    let other = rusqlite::Connection::open(folder.path().join("catalog.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = std::thread::scope(|scope| {
        let commit = scope.spawn(|| commit(&claim, &prepared));
        while waiting.lines.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        waiting.is_over.store(true, Ordering::SeqCst);
        commit.join().unwrap().unwrap_err()
    });
    assert!(error.to_string().contains("its files are kept"), "{}", error.chain());
    other.execute_batch("ROLLBACK").unwrap();
    commit(&claim, &prepared).unwrap();
    assert_eq!(warehouse.rows("lake.t").unwrap(), 10);
}

#[test]
fn a_commit_waits_for_a_locked_catalog_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse);
    let waiting = Arc::new(Waiting::default());
    let claim = patient(claim(&warehouse), Duration::from_secs(600)).attended_by(waiting.clone());
    let prepared = prepared(&claim, 0..10);
    warehouse.store().wait_at_most(10);
    let other = rusqlite::Connection::open(folder.path().join("catalog.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    std::thread::scope(|scope| {
        let commit = scope.spawn(|| (commit(&claim, &prepared), commit(&claim, &prepared)));
        // Long enough to have been said twice.
        while waiting.lines.lock().unwrap().len() < 2 {
            std::thread::yield_now();
        }
        other.execute_batch("ROLLBACK").unwrap();
        let (first, again) = commit.join().unwrap();
        first.unwrap();
        again.unwrap();
    });
    assert_eq!(warehouse.rows("lake.t").unwrap(), 10);
    let told = waiting.lines.lock().unwrap();
    assert!(told[0].contains("\"lake.t\": waiting") && told[0].contains("locked by another process"), "{told:?}");
}

#[test]
fn a_commit_that_waited_too_long_says_that_its_files_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse);
    let claim = patient(claim(&warehouse), Duration::from_millis(500));
    let prepared = prepared(&claim, 0..10);
    warehouse.store().wait_at_most(1);
    let other = rusqlite::Connection::open(folder.path().join("catalog.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = commit(&claim, &prepared).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("its files are kept"), "{}", error.chain());
    other.execute_batch("ROLLBACK").unwrap();
    commit(&claim, &prepared).unwrap();
    assert_eq!(warehouse.rows("lake.t").unwrap(), 10);
}
