//! Commits on a disk that fills, and those that slept while their files grew old.

use super::*;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

/// Files on a disk that becomes full after a number of writes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct FullDisk {
    #[serde(skip)]
    writes_left: Arc<AtomicI64>,
    // Whether what describes a commit is two hours old when its metadata file is written.
    #[serde(skip)]
    sleeps: Arc<AtomicBool>,
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
        if self.sleeps.swap(false, Ordering::SeqCst) {
            let folder = path_of(path).parent().unwrap().to_owned();
            for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let file = fs::File::options().write(true).open(file).unwrap();
                let written = file.metadata().unwrap().modified().unwrap();
                file.set_modified(written - Duration::from_secs(7200)).unwrap();
            }
        }
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

#[test]
fn a_disk_that_fills_at_any_write_of_a_commit_adds_nothing_and_the_commit_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FullDisk::default();
    disk.writes_left.store(i64::MAX, Ordering::SeqCst);
    let warehouse = Warehouse::open_with(folder.path(), Arc::new(disk.clone())).unwrap();
    create(&warehouse);
    let claim = claim(&warehouse);
    let prepared = prepared(&claim, 0..10);
    let mut failures = 0;
    for room in 0.. {
        disk.writes_left.store(room, Ordering::SeqCst);
        match commit(&claim, &prepared) {
            Ok(()) => break,
            Err(error) => {
                failures += 1;
                assert_eq!(error.kind(), ErrorKind::Refused);
                assert!(error.chain().contains("the disk is full"), "{}", error.chain());
                assert_eq!(warehouse.rows("lake.t").unwrap(), 0);
            }
        }
    }
    // The manifest, the manifest list and the metadata file.
    assert_eq!(failures, 3);
    assert_eq!(warehouse.rows("lake.t").unwrap(), 10);
    commit(&claim, &prepared).unwrap();
    assert_eq!(warehouse.rows("lake.t").unwrap(), 10);
}

#[test]
fn a_commit_that_slept_names_nothing_that_was_written_before() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FullDisk::default();
    disk.writes_left.store(i64::MAX, Ordering::SeqCst);
    let warehouse = Warehouse::open_with(folder.path(), Arc::new(disk.clone())).unwrap();
    create(&warehouse);
    let claim = claim(&warehouse);
    let (prepared, kept) = (prepared(&claim, 0..10), prepared(&claim, 10..20));
    let described = || {
        let files = fs::read_dir(folder.path().join("lake/t/metadata")).unwrap().map(|entry| entry.unwrap().path());
        let written = files.filter(|file| file.extension().is_some_and(|end| end == "avro"));
        written.collect::<std::collections::BTreeSet<PathBuf>>()
    };
    disk.sleeps.store(true, Ordering::SeqCst);
    commit(&claim, &prepared).unwrap();
    let all = described();
    assert_eq!(all.len(), 4, "the second attempt has written its own: {all:?}");
    let (now, old) = (disk_time(folder.path()).unwrap(), Duration::from_secs(3600));
    let is_old = |file: &PathBuf| now.duration_since(fs::metadata(file).unwrap().modified().unwrap()).unwrap() > old;
    // Somebody has taken them for orphans.
    all.iter().filter(|file| is_old(file)).for_each(|file| fs::remove_file(file).unwrap());
    assert_eq!((described().len(), warehouse.rows("lake.t").unwrap()), (2, 10));
    commit(&claim, &kept).unwrap();
    assert_eq!(warehouse.read("lake.t").unwrap().files().len(), 2);
}
