//! Storage that fails, a catalog that is locked, and tables that other tools have left behind.

use super::*;
use crate::storage::DurableFiles;
use arrow::array::Int64Array;
use async_trait::async_trait;
use bytes::Bytes;
use dataflow::ErrorKind;
use futures::stream::BoxStream;
use iceberg::io::{FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig};
use iceberg::spec::{
    DataContentType, DataFileBuilder, DataFileFormat, ManifestListWriter, ManifestWriterBuilder, Operation, Snapshot,
    Struct, Summary,
};
use iceberg::transaction::{ApplyTransactionAction, Transaction};
use iceberg::{MetadataLocation, Result as IcebergResult};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};

/// Files on a disk that becomes full after a number of writes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct FullDisk {
    #[serde(skip)]
    writes_left: Arc<AtomicI64>,
}

impl FullDisk {
    fn take_room(&self) -> IcebergResult<()> {
        match self.writes_left.fetch_sub(1, Ordering::SeqCst) {
            left if left > 0 => Ok(()),
            _ => Err(failure::io_for_iceberg("cannot write".to_owned(), io::ErrorKind::StorageFull.into())),
        }
    }
}

#[typetag::serde]
impl StorageFactory for FullDisk {
    fn build(&self, _: &StorageConfig) -> IcebergResult<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
#[typetag::serde]
impl Storage for FullDisk {
    async fn exists(&self, path: &str) -> IcebergResult<bool> {
        DurableFiles.exists(path).await
    }
    async fn metadata(&self, path: &str) -> IcebergResult<FileMetadata> {
        DurableFiles.metadata(path).await
    }
    async fn read(&self, path: &str) -> IcebergResult<Bytes> {
        DurableFiles.read(path).await
    }
    async fn reader(&self, path: &str) -> IcebergResult<Box<dyn FileRead>> {
        DurableFiles.reader(path).await
    }
    async fn write(&self, path: &str, bytes: Bytes) -> IcebergResult<()> {
        self.take_room()?;
        DurableFiles.write(path, bytes).await
    }
    async fn writer(&self, path: &str) -> IcebergResult<Box<dyn FileWrite>> {
        self.take_room()?;
        DurableFiles.writer(path).await
    }
    async fn delete(&self, path: &str) -> IcebergResult<()> {
        DurableFiles.delete(path).await
    }
    async fn delete_prefix(&self, path: &str) -> IcebergResult<()> {
        DurableFiles.delete_prefix(path).await
    }
    async fn delete_stream(&self, paths: BoxStream<'static, String>) -> IcebergResult<()> {
        DurableFiles.delete_stream(paths).await
    }
    fn new_input(&self, path: &str) -> IcebergResult<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
    fn new_output(&self, path: &str) -> IcebergResult<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

fn numbers(numbers: std::ops::Range<i64>) -> RecordBatch {
    let column = Int64Array::from_iter_values(numbers);
    RecordBatch::try_from_iter_with_nullable([("n", Arc::new(column) as _, true)]).unwrap()
}

#[test]
fn a_disk_that_fills_at_any_write_of_a_commit_adds_nothing_and_the_commit_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FullDisk::default();
    disk.writes_left.store(i64::MAX, Ordering::SeqCst);
    let warehouse = Warehouse::open_with(folder.path(), Arc::new(disk.clone())).unwrap();
    warehouse.create("lake.t", &numbers(0..0).schema(), &TableOptions::default()).unwrap();
    let name = TableName::parse("lake.t").unwrap();
    let mut writer = warehouse.table_writer(&name, 0).unwrap();
    writer.write_rows(&numbers(0..10)).unwrap();
    let prepared = [writer.finish().unwrap().unwrap()];
    let mut failures = 0;
    for room in 0.. {
        disk.writes_left.store(room, Ordering::SeqCst);
        match warehouse.commit(&name, &prepared, &[]) {
            Ok(()) => break,
            Err(error) => {
                failures += 1;
                assert_eq!(error.kind(), ErrorKind::Unavailable);
                assert!(error.chain().contains("the disk is full"), "{}", error.chain());
                assert_eq!(warehouse.rows("lake.t").unwrap(), 0);
            }
        }
    }
    // The manifest, the manifest list and the metadata file.
    assert_eq!(failures, 3);
    assert_eq!(warehouse.rows("lake.t").unwrap(), 10);
    warehouse.commit(&name, &prepared, &[]).unwrap();
    assert_eq!(warehouse.rows("lake.t").unwrap(), 10);
}

#[test]
fn a_catalog_that_another_process_holds_is_an_error_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    warehouse.create("lake.t", &numbers(0..0).schema(), &TableOptions::default()).unwrap();
    let before = warehouse.metadata_file("lake.t").unwrap();
    warehouse.0.catalog.store().wait_at_most(1);
    let other = rusqlite::Connection::open(folder.path().join("catalog.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = warehouse.append("lake.t", &[numbers(0..10)], &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.chain().contains("locked by another process"), "{}", error.chain());
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(warehouse.metadata_file("lake.t").unwrap(), before);
    warehouse.append("lake.t", &[numbers(0..10)], &[]).unwrap();
    assert_eq!(warehouse.rows("lake.t").unwrap(), 10);
}

#[test]
fn a_table_with_delete_files_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    warehouse.create("lake.t", &numbers(0..0).schema(), &TableOptions::default()).unwrap();
    warehouse.append("lake.t", &[numbers(0..10)], &[]).unwrap();
    let name = TableName::parse("lake.t").unwrap();
    let table = warehouse.load(&name).unwrap();
    warehouse.0.runtime.block_on(add_delete_file(&warehouse, &name, &table));
    let error = warehouse.read("lake.t").err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("delete files, which are not supported yet"), "{error}");
    assert!(error.to_string().contains("deletes.parquet"), "{error}");
}

/// Commits a snapshot that has one file of deletes and no data, as a tool that deletes rows would.
async fn add_delete_file(warehouse: &Warehouse, name: &TableName, table: &Table) {
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
    list.add_manifests([manifest].into_iter()).unwrap();
    list.close().await.unwrap();
    let snapshot = Snapshot::builder()
        .with_snapshot_id(SNAPSHOT)
        .with_parent_snapshot_id(metadata.current_snapshot_id())
        .with_sequence_number(sequence)
        .with_timestamp_ms(metadata.last_updated_ms() + 1)
        .with_manifest_list(at("list.avro"))
        .with_summary(Summary { operation: Operation::Delete, additional_properties: HashMap::new() })
        .with_schema_id(metadata.current_schema_id())
        .build();
    let from = table.metadata_location().unwrap();
    let next = metadata.clone().into_builder(Some(from.to_owned())).set_branch_snapshot(snapshot, "main").unwrap();
    let to = MetadataLocation::from_str(from).unwrap().with_next_version();
    next.build().unwrap().metadata.write_to(file_io, &to).await.unwrap();
    warehouse.0.catalog.store().swap(name, from, &to.to_string()).unwrap();
}

#[test]
fn a_commit_is_known_after_its_snapshot_has_expired() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    warehouse.create("lake.t", &numbers(0..0).schema(), &TableOptions::default()).unwrap();
    let name = TableName::parse("lake.t").unwrap();
    let mut writer = warehouse.table_writer(&name, 0).unwrap();
    writer.write_rows(&numbers(0..10)).unwrap();
    let prepared = [writer.finish().unwrap().unwrap()];
    warehouse.commit(&name, &prepared, &[]).unwrap();
    warehouse.append("lake.t", &[numbers(10..11)], &[]).unwrap();
    let table = warehouse.load(&name).unwrap();
    let first = table.metadata().current_snapshot().unwrap().parent_snapshot_id().unwrap();
    let transaction = Transaction::new(&table);
    let expire = transaction.expire_snapshots().expire_snapshot_ids([first]);
    let transaction = expire.apply(transaction).unwrap();
    warehouse.0.runtime.block_on(transaction.commit(&warehouse.0.catalog)).unwrap();
    assert_eq!(warehouse.load(&name).unwrap().metadata().snapshots().len(), 1);
    warehouse.commit(&name, &prepared, &[]).unwrap();
    assert_eq!(warehouse.rows("lake.t").unwrap(), 11);
}

#[test]
fn old_metadata_files_go_and_the_newest_stay() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    warehouse.create("lake.t", &numbers(0..0).schema(), &TableOptions::default()).unwrap();
    for n in 0..25 {
        warehouse.append("lake.t", &[numbers(n..n + 1)], &[]).unwrap();
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
fn only_the_folder_of_its_own_is_deleted_with_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    warehouse.create("lake.t", &numbers(0..0).schema(), &TableOptions::default()).unwrap();
    warehouse.append("lake.t", &[numbers(0..10)], &[]).unwrap();
    // A second name for the same files, as a tool that registers tables makes it.
    let location = format!("file://{}", warehouse.metadata_file("lake.t").unwrap().display());
    warehouse.0.catalog.store().insert(&TableName::parse("other.u").unwrap(), &location).unwrap();
    warehouse.drop("other.u").unwrap();
    assert_eq!(warehouse.read("lake.t").unwrap().files().len(), 1);
    assert!(Path::new(&warehouse.read("lake.t").unwrap().files()[0].path).exists());
    warehouse.0.catalog.store().insert(&TableName::parse("other.u").unwrap(), &location).unwrap();
    warehouse.drop("lake.t").unwrap();
    assert!(Path::new(&warehouse.read("other.u").unwrap().files()[0].path).exists());
}
