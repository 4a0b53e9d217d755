//! The files that a snapshot holds: those of rows, and those that delete rows of others.

use crate::failure;
use crate::name::TableName;
use crate::prune::{Entry, TableFilter, wanted_entries};
use crate::unknown_types::{is_made_known, manifest_made_known};
use dataflow::{Error, Result};
use futures::StreamExt;
use iceberg::spec::{
    DataContentType, DataFile, DataFileFormat, Manifest, ManifestEntry, ManifestFile, ManifestStatus, SnapshotRef,
};
use iceberg::table::Table;
use tokio::sync::Semaphore;

/// A file, with what its manifest says beside it.
#[derive(Clone, Debug)]
pub struct LiveFile {
    pub file: DataFile,
    // The id of the partition spec that its partition is of.
    pub spec: i32,
    /// Its data sequence number: what is deleted under a number is what has that one or a lower one.
    pub sequence: i64,
}

/// All files of one snapshot.
#[derive(Default)]
pub struct LiveFiles {
    pub data: Vec<LiveFile>,
    pub deletes: Vec<LiveFile>,
}

/// How many manifests are read at once, and how many bytes of them.
const MANIFESTS_AT_ONCE: usize = 8;
const MANIFEST_BYTES_AT_ONCE: i64 = 16 << 20;

impl LiveFiles {
    /// Reads the manifests of a snapshot. A file of a format that is not read is an error.
    pub async fn load(name: &TableName, table: &Table, snapshot: &SnapshotRef) -> Result<LiveFiles> {
        LiveFiles::load_where(name, table, snapshot, &TableFilter::everything()).await
    }

    /// Reads of the manifests of a snapshot those that may name files with wanted rows, and keeps the files which may have
    /// some, with what may delete some of them. Files come in the order of the manifests.
    pub async fn load_where(
        name: &TableName,
        table: &Table,
        snapshot: &SnapshotRef,
        filter: &TableFilter,
    ) -> Result<LiveFiles> {
        let wrong = |what: &str, error| failure::iceberg(format!("table \"{name}\": {what} cannot be read"), error);
        let list = table.manifest_list_reader(snapshot).load().await;
        let list = list.map_err(|error| wrong(&format!("manifest list \"{}\"", snapshot.manifest_list()), error))?;
        let reading = ManifestReading {
            table,
            filter,
            is_made_known: is_made_known(table.metadata()),
            bytes: Semaphore::new(kib_of(MANIFEST_BYTES_AT_ONCE) as usize),
        };
        let mut files = LiveFiles::default();
        let manifests = list.entries().iter().filter(|manifest| filter.may_be_in_manifest(manifest));
        let reads = manifests.map(|manifest| reading.files(name, manifest));
        let mut reads = futures::stream::iter(reads).buffered(MANIFESTS_AT_ONCE);
        while let Some(read) = reads.next().await {
            for file in read? {
                match file.file.content_type() {
                    DataContentType::Data => files.data.push(file),
                    _ => files.deletes.push(file),
                }
            }
        }
        Ok(files)
    }
}

/// How the manifests of a snapshot are read.
struct ManifestReading<'t> {
    table: &'t Table,
    filter: &'t TableFilter,
    // Whether the table has types or names that the library does not know.
    is_made_known: bool,
    // Permits for the KiB of manifests that are in memory at once.
    bytes: Semaphore,
}

impl ManifestReading<'_> {
    /// The files of a manifest that may have wanted rows, or delete some.
    async fn files(&self, name: &TableName, manifest: &ManifestFile) -> Result<Vec<LiveFile>> {
        let path = &manifest.manifest_path;
        let permits = kib_of(manifest.manifest_length.clamp(1, MANIFEST_BYTES_AT_ONCE));
        let _permit =
            self.bytes.acquire_many(permits).await.map_err(|_| Error::internal("manifests are read no more"))?;
        let read = self.load(manifest).await.map_err(|error| {
            failure::iceberg(format!("table \"{name}\": manifest \"{path}\" cannot be read"), error)
        })?;
        let entries = read.iter().flat_map(|read| read.entries()).filter(|entry| entry.is_alive());
        entries.map(|entry| live_file(name, manifest, entry)).collect()
    }

    /// Reads a manifest; `None` when nothing in it is wanted. One of a table with types or names that the library does not
    /// know says nothing of its own list.
    async fn load(&self, manifest: &ManifestFile) -> iceberg::Result<Option<Manifest>> {
        let file_io = self.table.file_io();
        let is_whole = self.filter.is_everything() && !self.is_made_known;
        if is_whole || manifest.key_metadata.is_some() {
            return manifest.load_manifest(file_io).await.map(Some);
        }
        let mut bytes = file_io.new_input(&manifest.manifest_path)?.read().await?;
        if !self.filter.is_everything() {
            let is_wanted = |entry: &Entry<'_>| self.filter.may_be_in_entry(manifest.partition_spec_id, entry);
            match wanted_entries(&bytes, &is_wanted) {
                Some(None) => return Ok(None),
                Some(Some(wanted)) => bytes = wanted.into(),
                None => {}
            }
        }
        let known = if self.is_made_known { manifest_made_known(&bytes) } else { None };
        Manifest::parse_avro(known.as_deref().unwrap_or(&bytes)).map(Some)
    }
}

fn kib_of(bytes: i64) -> u32 {
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}

fn live_file(name: &TableName, manifest: &ManifestFile, entry: &ManifestEntry) -> Result<LiveFile> {
    let (file, path) = (entry.data_file(), entry.file_path());
    let (kind, expected, also) = match file.content_type() {
        DataContentType::Data => ("data file", "parquet", None),
        DataContentType::EqualityDeletes => ("delete file", "parquet", None),
        DataContentType::PositionDeletes => ("delete file", "parquet or puffin", Some(DataFileFormat::Puffin)),
    };
    let format = file.file_format();
    if format != DataFileFormat::Parquet && Some(format) != also {
        return Err(Error::invalid(format!(
            "table \"{name}\": {kind} \"{path}\" has format {format}, expected {expected}"
        )));
    }
    let is_new = entry.status() == ManifestStatus::Added || manifest.sequence_number == 0;
    let sequence = entry.sequence_number().or(is_new.then_some(manifest.sequence_number)).ok_or_else(|| {
        Error::corrupt(format!(
            "table \"{name}\": manifest \"{}\" has no sequence number of {kind} \"{path}\"",
            manifest.manifest_path
        ))
    })?;
    Ok(LiveFile { file: file.clone(), spec: manifest.partition_spec_id, sequence })
}
