//! The files that a snapshot holds: those of rows, and those that delete rows of others.

use crate::failure;
use crate::name::TableName;
use crate::unknown_types::{manifest_made_known, unknown_types};
use dataflow::{Error, Result};
use iceberg::spec::{
    DataContentType, DataFile, DataFileFormat, Manifest, ManifestEntry, ManifestFile, ManifestStatus, SnapshotRef,
};
use iceberg::table::Table;

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

impl LiveFiles {
    /// Reads the manifests of a snapshot. A file of a format that is not read is an error.
    pub async fn load(name: &TableName, table: &Table, snapshot: &SnapshotRef) -> Result<LiveFiles> {
        let wrong = |what: &str, error| failure::iceberg(format!("table \"{name}\": {what} cannot be read"), error);
        let list = table.manifest_list_reader(snapshot).load().await;
        let list = list.map_err(|error| wrong(&format!("manifest list \"{}\"", snapshot.manifest_list()), error))?;
        let has_unknown = !unknown_types(table.metadata()).is_empty();
        let mut files = LiveFiles::default();
        for manifest in list.entries() {
            let read = load(table, manifest, has_unknown).await;
            let read = read.map_err(|error| wrong(&format!("manifest \"{}\"", manifest.manifest_path), error))?;
            for entry in read.entries().iter().filter(|entry| entry.is_alive()) {
                let file = live_file(name, manifest, entry)?;
                match file.file.content_type() {
                    DataContentType::Data => files.data.push(file),
                    _ => files.deletes.push(file),
                }
            }
        }
        Ok(files)
    }
}

/// Reads a manifest. One of a table with types that the library does not know says nothing of its own list.
async fn load(table: &Table, manifest: &ManifestFile, has_unknown: bool) -> iceberg::Result<Manifest> {
    if !has_unknown {
        return manifest.load_manifest(table.file_io()).await;
    }
    let bytes = table.file_io().new_input(&manifest.manifest_path)?.read().await?;
    Manifest::parse_avro(manifest_made_known(&bytes).as_deref().unwrap_or(&bytes))
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
