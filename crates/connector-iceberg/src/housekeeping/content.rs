//! What a snapshot holds, manifest by manifest: as much as has to be known to write some of it anew.

use crate::failure;
use crate::live_files::LiveFile;
use crate::manifest_file::read_manifest;
use crate::name::TableName;
use dataflow::{Error, Result};
use iceberg::spec::{DataContentType, Manifest, ManifestEntry, ManifestFile, ManifestStatus, SnapshotRef};
use iceberg::table::Table;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A snapshot's manifests, and the files in them that are alive, whatever their format.
#[derive(Default)]
pub struct Content {
    /// The manifests in the order of the list.
    pub manifests: Vec<ReadManifest>,
    /// The files of rows.
    pub data: Vec<LiveFile>,
    /// The files that delete rows.
    pub deletes: Vec<LiveFile>,
}

/// A manifest as its list has it, and what is in it.
pub struct ReadManifest {
    /// As the list has it.
    pub file: ManifestFile,
    /// As it was read; files never change.
    pub read: Arc<Manifest>,
}

/// Manifests that were read before, by their paths.
#[derive(Default)]
pub struct KnownManifests(HashMap<String, Arc<Manifest>>);

impl Content {
    /// Reads the manifests of a snapshot that are not known yet; those that it does not have are forgotten.
    pub async fn load(
        name: &TableName,
        table: &Table,
        snapshot: Option<&SnapshotRef>,
        known: &mut KnownManifests,
    ) -> Result<Content> {
        let Some(snapshot) = snapshot else { return Ok(Content::default()) };
        let wrong = |what: &str, error| failure::iceberg(format!("table \"{name}\": {what} cannot be read"), error);
        let list = table.manifest_list_reader(snapshot).load().await;
        let list = list.map_err(|error| wrong(&format!("manifest list \"{}\"", snapshot.manifest_list()), error))?;
        let mut content = Content::default();
        for file in list.entries() {
            let read = match known.0.get(&file.manifest_path) {
                Some(read) => read.clone(),
                None => {
                    let read = read_manifest(table, file).await;
                    let read = Arc::new(read.map_err(|e| wrong(&format!("manifest \"{}\"", file.manifest_path), e))?);
                    known.0.insert(file.manifest_path.clone(), read.clone());
                    read
                }
            };
            for entry in read.entries().iter().filter(|entry| entry.is_alive()) {
                let live = LiveFile {
                    file: entry.data_file().clone(),
                    spec: file.partition_spec_id,
                    sequence: sequence_of(name, file, entry)?,
                };
                match live.file.content_type() {
                    DataContentType::Data => content.data.push(live),
                    _ => content.deletes.push(live),
                }
            }
            content.manifests.push(ReadManifest { file: file.clone(), read });
        }
        let there: HashSet<&str> = list.entries().iter().map(|file| file.manifest_path.as_str()).collect();
        known.0.retain(|path, _| there.contains(path.as_str()));
        Ok(content)
    }
}

/// The data sequence number of an entry.
pub fn sequence_of(name: &TableName, file: &ManifestFile, entry: &ManifestEntry) -> Result<i64> {
    let is_new = entry.status() == ManifestStatus::Added || file.sequence_number == 0;
    entry.sequence_number().or(is_new.then_some(file.sequence_number)).ok_or_else(|| {
        Error::corrupt(format!(
            "table \"{name}\": manifest \"{}\" has no sequence number of file \"{}\"",
            file.manifest_path,
            entry.file_path()
        ))
    })
}
