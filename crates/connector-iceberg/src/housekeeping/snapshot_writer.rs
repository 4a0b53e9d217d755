//! Writes the manifests and the list of a snapshot in which files have taken the places of others.

use super::content::{Content, ReadManifest};
use crate::live_files::LiveFile;
use crate::upkeep::UNNAMED_MS_MIN;
use crate::widened::{built, copy_of, with_partition_of};
use dataflow::Clock;
use iceberg::spec::{
    DataContentType, DataFile, Datum, FormatVersion, ManifestContentType, ManifestFile, ManifestListWriter,
    ManifestWriter, ManifestWriterBuilder, PartitionSpec, SchemaRef, Snapshot, Summary,
};
use iceberg::table::Table;
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

/// A manifest is merged with others up to this size.
const MANIFEST_BYTES_MAX: i64 = 8 << 20;

/// What goes with a snapshot.
pub struct Removed<'a> {
    data: HashSet<&'a str>,
    deletes: HashSet<(String, i64)>,
}

impl<'a> Removed<'a> {
    /// Data files by their locations, and delete files.
    pub fn new(data: HashSet<&'a str>, deletes: &[&DataFile]) -> Removed<'a> {
        Removed { data, deletes: deletes.iter().map(|file| key_of(file)).collect() }
    }

    fn has(&self, file: &DataFile) -> bool {
        match file.content_type() {
            DataContentType::Data => self.data.contains(file.file_path()),
            _ => self.deletes.contains(&key_of(file)),
        }
    }

    /// Whether some of it is in a manifest.
    pub fn is_in(&self, manifest: &ReadManifest) -> bool {
        manifest.read.entries().iter().any(|entry| entry.is_alive() && self.has(entry.data_file()))
    }
}

/// Several deletion vectors may lie in one file.
fn key_of(delete: &DataFile) -> (String, i64) {
    (delete.file_path().to_owned(), delete.content_offset().unwrap_or_default())
}

/// Manifests that become one. Rows of version 3 have numbers that go by their manifests, so that each stays its own there.
/// Bounds of columns are stored in the types of a manifest's own schema, and cannot be read under another one.
pub fn batches<'m>(manifests: &[&'m ReadManifest], version: FormatVersion) -> Vec<Vec<&'m ReadManifest>> {
    let mut open: BTreeMap<(i32, String, bool), (i64, Vec<&ReadManifest>)> = BTreeMap::new();
    let mut done = Vec::new();
    for manifest in manifests {
        // Some writers leave out which schema it is, and all write the schema itself.
        let (spec, schema) = (manifest.file.partition_spec_id, manifest.read.metadata().schema().to_string());
        let key = (spec, schema, manifest.file.content == ManifestContentType::Data);
        let (bytes, batch) = open.entry(key).or_default();
        let is_full = version == FormatVersion::V3 || *bytes + manifest.file.manifest_length > MANIFEST_BYTES_MAX;
        if is_full && !batch.is_empty() {
            done.push(std::mem::take(batch));
            *bytes = 0;
        }
        *bytes += manifest.file.manifest_length;
        batch.push(manifest);
    }
    done.extend(open.into_values().map(|(_, batch)| batch));
    done
}

/// What was written to describe a snapshot. It has one number in all attempts, so that manifests of one that met another
/// commit are of use for the next.
#[derive(Default)]
pub struct DescribingFiles {
    snapshot: Option<i64>,
    // Manifests by what is in them.
    manifests: HashMap<String, ManifestFile>,
    // Those that the last attempt names.
    named: HashSet<String>,
    // When the first of the manifests was begun.
    since_ms: Option<i64>,
}

/// What nothing names is swept once it is old: an attempt that takes longer than this begins anew, and takes nothing of what
/// was written that long ago.
const UNNAMED_OURS_MS_MAX: i64 = UNNAMED_MS_MIN / 2;

impl DescribingFiles {
    /// The number of the snapshot; one that the table does not have when it is first asked for.
    pub fn snapshot(&mut self, base: &Table) -> i64 {
        *self.snapshot.get_or_insert_with(|| {
            let numbers = std::iter::repeat_with(|| {
                let (high, low) = Uuid::new_v4().as_u64_pair();
                ((high ^ low) & i64::MAX as u64) as i64
            });
            let is_free = |id: &i64| *id > 0 && base.metadata().snapshot_by_id(*id).is_none();
            numbers.take(100).find(is_free).unwrap_or(i64::MAX)
        })
    }

    /// Whether somebody may have swept what was written for the next snapshot by now.
    pub fn are_old(&self, now_ms: i64) -> bool {
        self.since_ms.is_some_and(|since| now_ms.saturating_sub(since) > UNNAMED_OURS_MS_MAX)
    }

    /// Deletes the manifests that are of no use; with a list those that it does not name, and else all.
    pub async fn discard(&mut self, base: &Table, list: Option<&str>) {
        for (_, manifest) in self.manifests.drain() {
            if list.is_none() || !self.named.contains(&manifest.manifest_path) {
                // Nobody knows of it, so one that stays costs space and nothing else.
                let _ = base.file_io().delete(&manifest.manifest_path).await;
            }
        }
    }
}

/// Writes what describes a snapshot.
pub struct SnapshotWriter<'a> {
    base: &'a Table,
    files: &'a mut DescribingFiles,
}

impl<'a> SnapshotWriter<'a> {
    /// Begins an attempt on a base.
    pub fn begin(base: &'a Table, files: &'a mut DescribingFiles, now_ms: i64) -> SnapshotWriter<'a> {
        files.named.clear();
        if files.are_old(now_ms) {
            // An attempt of which nobody knows what has become may name them.
            files.manifests.clear();
        }
        if files.manifests.is_empty() {
            files.since_ms = Some(now_ms);
        }
        SnapshotWriter { base, files }
    }

    fn manifest(
        &mut self,
        content: ManifestContentType,
        schema: SchemaRef,
        spec: PartitionSpec,
    ) -> iceberg::Result<ManifestWriter> {
        let path = format!("{}/metadata/{}-m0.avro", self.base.metadata().location(), Uuid::new_v4());
        let output = self.base.file_io().new_output(&path)?;
        let builder = ManifestWriterBuilder::new(output, Some(self.files.snapshot(self.base)), schema, spec);
        Ok(match (self.base.metadata().format_version(), content) {
            (FormatVersion::V3, ManifestContentType::Data) => builder.build_v3_data(),
            (FormatVersion::V3, ManifestContentType::Deletes) => builder.build_v3_deletes(),
            (_, ManifestContentType::Data) => builder.build_v2_data(),
            (_, ManifestContentType::Deletes) => builder.build_v2_deletes(),
        })
    }

    /// The manifests with files that are new, one for each partition spec.
    pub async fn added(
        &mut self,
        content: &Content,
        new: &[LiveFile],
        sequence: i64,
    ) -> iceberg::Result<Vec<ManifestFile>> {
        let mut by_spec: BTreeMap<i32, Vec<&LiveFile>> = BTreeMap::new();
        new.iter().for_each(|file| by_spec.entry(file.spec).or_default().push(file));
        let mut manifests = Vec::new();
        for (spec, files) in by_spec {
            let metadata = self.base.metadata();
            let current = metadata.current_schema();
            let of_table = metadata.partition_spec_by_id(spec).filter(|spec| spec.partition_type(current).is_ok());
            let of_spec = content.manifests.iter().rev().find(|manifest| {
                manifest.file.partition_spec_id == spec && manifest.file.content == ManifestContentType::Data
            });
            // Columns of an older spec may be gone by now: its manifests have a schema that has them.
            let (schema, spec) = match (of_table, of_spec.map(|manifest| manifest.read.metadata())) {
                (None, Some(own)) => (own.schema.clone(), own.partition_spec.clone()),
                (Some(spec), _) => (current.clone(), spec.as_ref().clone()),
                (None, None) => (current.clone(), metadata.default_partition_spec().as_ref().clone()),
            };
            let key = files.iter().fold("new".to_owned(), |key, file| key + "\n" + file.file.file_path());
            if let Some(written) = self.known(&key) {
                manifests.push(written);
                continue;
            }
            let partition = spec.partition_type(&schema)?;
            let mut writer = self.manifest(ManifestContentType::Data, schema.clone(), spec)?;
            for file in files {
                let file = with_partition_of(&file.file, &partition)?;
                writer.add_file(with_bounds_of(&file, &schema)?, sequence)?;
            }
            let written = writer.write_manifest_file().await?;
            manifests.push(self.keep(key, written));
        }
        Ok(manifests)
    }

    fn known(&mut self, key: &str) -> Option<ManifestFile> {
        let written = self.files.manifests.get(key).cloned()?;
        self.files.named.insert(written.manifest_path.clone());
        Some(written)
    }

    fn keep(&mut self, key: String, written: ManifestFile) -> ManifestFile {
        self.files.named.insert(written.manifest_path.clone());
        self.files.manifests.insert(key, written.clone());
        written
    }

    /// A manifest in the place of others, in which what is removed is noted as such.
    pub async fn without(
        &mut self,
        manifests: &[&ReadManifest],
        removed: &Removed<'_>,
    ) -> iceberg::Result<ManifestFile> {
        let mut key = Xxh3::new();
        for manifest in manifests {
            key.update(manifest.file.manifest_path.as_bytes());
            let gone =
                manifest.read.entries().iter().filter(|entry| entry.is_alive() && removed.has(entry.data_file()));
            for (path, offset) in gone.map(|entry| key_of(entry.data_file())) {
                key.update(path.as_bytes());
                key.update(&offset.to_le_bytes());
            }
        }
        let key = format!("old {:032x}", key.digest128());
        if let Some(written) = self.known(&key) {
            return Ok(written);
        }
        let (first, own) = (&manifests[0].file, manifests[0].read.metadata());
        let mut writer = self.manifest(first.content, own.schema.clone(), own.partition_spec.clone())?;
        for manifest in manifests {
            let (list, mut next_row_id) = (&manifest.file, manifest.file.first_row_id);
            for entry in manifest.read.entries().iter().filter(|entry| entry.is_alive()) {
                let file = with_row_id(entry.data_file(), &mut next_row_id)?;
                let sequence = entry.sequence_number.unwrap_or(list.sequence_number);
                let file_sequence = Some(entry.file_sequence_number.unwrap_or(list.sequence_number));
                match removed.has(&file) {
                    true => writer.add_delete_file(file, sequence, file_sequence)?,
                    false => {
                        let added_by = entry.snapshot_id.unwrap_or(list.added_snapshot_id);
                        writer.add_existing_file(file, added_by, sequence, file_sequence)?;
                    }
                }
            }
        }
        let mut written = writer.write_manifest_file().await?;
        // The rows in it have their numbers.
        written.first_row_id = first.first_row_id;
        Ok(self.keep(key, written))
    }

    /// Writes the list of the manifests; gives the snapshot.
    pub async fn finish(
        &mut self,
        manifests: Vec<ManifestFile>,
        summary: Summary,
        clock: &dyn Clock,
    ) -> iceberg::Result<Snapshot> {
        let metadata = self.base.metadata();
        let (parent, sequence) = (metadata.current_snapshot_id(), metadata.next_sequence_number());
        let id = self.files.snapshot(self.base);
        let path = format!("{}/metadata/snap-{id}-0-{}.avro", metadata.location(), Uuid::new_v4());
        let output = self.base.file_io().new_output(&path)?.writer().await?;
        let is_v3 = metadata.format_version() == FormatVersion::V3;
        let mut list = match is_v3 {
            true => ManifestListWriter::v3(output, id, parent, sequence, Some(metadata.next_row_id())),
            false => ManifestListWriter::v2(output, id, parent, sequence),
        };
        list.add_manifests(manifests.into_iter())?;
        let next_row_id = list.next_row_id();
        list.close().await?;
        let now_ms = clock.now().0 / 1000;
        let snapshot = Snapshot::builder()
            .with_snapshot_id(id)
            .with_parent_snapshot_id(parent)
            .with_sequence_number(sequence)
            .with_timestamp_ms(now_ms.max(metadata.last_updated_ms()))
            .with_manifest_list(path)
            .with_summary(summary)
            .with_schema_id(metadata.current_schema_id());
        Ok(match next_row_id.filter(|_| is_v3) {
            Some(next) => {
                let first = metadata.next_row_id();
                snapshot.with_row_range(first, next.saturating_sub(first)).build()
            }
            None => snapshot.build(),
        })
    }
}

/// The file with the bounds that are of the types of a schema; others could not be read under it.
fn with_bounds_of(file: &DataFile, schema: &SchemaRef) -> iceberg::Result<DataFile> {
    let is_of_type = |(id, bound): &(&i32, &Datum)| {
        let column = schema.field_by_id(**id).and_then(|field| field.field_type.as_primitive_type());
        column == Some(bound.data_type())
    };
    let of_type = |bounds: &HashMap<i32, Datum>| {
        bounds.iter().filter(is_of_type).map(|(id, bound)| (*id, bound.clone())).collect::<HashMap<_, _>>()
    };
    let (lower, upper) = (of_type(file.lower_bounds()), of_type(file.upper_bounds()));
    if lower.len() == file.lower_bounds().len() && upper.len() == file.upper_bounds().len() {
        return Ok(file.clone());
    }
    built(copy_of(file).lower_bounds(lower).upper_bounds(upper))
}

/// The file with the number of its first row, which it has of its place in its manifest unless it says so itself.
fn with_row_id(file: &DataFile, next: &mut Option<u64>) -> iceberg::Result<DataFile> {
    let is_data = file.content_type() == DataContentType::Data;
    let (Some(first), None, true) = (*next, file.first_row_id(), is_data) else { return Ok(file.clone()) };
    *next = Some(first + file.record_count());
    built(copy_of(file).first_row_id(i64::try_from(first).ok()))
}
