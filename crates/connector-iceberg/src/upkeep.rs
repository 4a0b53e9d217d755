//! Keeps what describes a table bounded, however many commits it gets: few manifests, few snapshots, no stray files.
//!
//! Every commit adds a manifest, a manifest list and a metadata file. Manifests are merged as part of a commit, old
//! snapshots leave in the same commit that makes them too many, and files that nothing names any more are deleted
//! once they are old. Data files are never touched.

use crate::failure;
use crate::frontier::{FRONTIER, TOKENS};
use crate::manifest_file::read_manifest;
use crate::storage::path_of;
use crate::widened::with_partition_of;
use iceberg::spec::{
    FormatVersion, MAIN_BRANCH, Manifest, ManifestContentType, ManifestFile, ManifestListWriter, ManifestWriterBuilder,
    Operation, Snapshot, SnapshotRef, TableMetadata,
};
use iceberg::table::Table;
use iceberg::{Error, ErrorKind, Result, TableUpdate};
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// The property that turns merging off; other tools know it.
const MERGE: &str = "commit.manifest-merge.enabled";
/// The property that says how many small manifests are merged into one; other tools know it.
const MERGE_COUNT_MIN: &str = "commit.manifest.min-count-to-merge";
const MERGE_COUNT_MIN_DEFAULT: usize = 100;
/// A manifest of this size stays as it is, and a merge begins another one there.
const MANIFEST_BYTES_MAX: i64 = 8 << 20;

/// The property with which a table wants metadata files deleted that have left its log.
pub const DELETE_OLD_METADATA: &str = "write.metadata.delete-after-commit.enabled";
/// The property that forbids to delete anything; other tools know it.
pub const COLLECT: &str = "gc.enabled";
/// The property that says how old a snapshot may become; other tools know it.
pub const AGE_MS_MAX: &str = "history.expire.max-snapshot-age-ms";
/// The property that says how many snapshots stay, however old they are; other tools know it.
pub const SNAPSHOTS_MIN: &str = "history.expire.min-snapshots-to-keep";
/// The property that says how many snapshots stay, however young they are.
pub const SNAPSHOTS_MAX: &str = "riverrun.history.max-snapshots";
pub const AGE_MS_MAX_DEFAULT: i64 = 5 * 24 * 3_600_000;
pub const SNAPSHOTS_MIN_DEFAULT: usize = 1;
/// Snapshots leave in groups, because finding the files that go with them reads the lists of all that stay.
const EXPIRE_COUNT_MIN: usize = 32;
/// A file without a name in the table stays so long, for readers that have an older state of the table.
pub const UNNAMED_MS_MIN: i64 = 3_600_000;
const UNNAMED_MIN: Duration = Duration::from_millis(UNNAMED_MS_MIN.unsigned_abs());

/// The snapshots that expire now by the settings of a table; none while they are too few to be worth it.
///
/// What a tag or another branch names stays, and so do the newest ones, and those that a query may be reading.
pub fn expired(metadata: &TableMetadata) -> Result<Vec<i64>> {
    let number = |key: &str| metadata.properties().get(key).and_then(|value| value.parse::<i64>().ok());
    let count = |key: &str| number(key).and_then(|count| usize::try_from(count).ok());
    let kept_all = keeps_all(metadata);
    let Some(current) = metadata.current_snapshot().filter(|_| !kept_all) else { return Ok(Vec::new()) };
    let keep = count(SNAPSHOTS_MIN).unwrap_or(SNAPSHOTS_MIN_DEFAULT).max(1);
    let line = ancestors(metadata, current.snapshot_id());
    let by_age = current.timestamp_ms().saturating_sub(number(AGE_MS_MAX).unwrap_or(AGE_MS_MAX_DEFAULT));
    let by_count = count(SNAPSHOTS_MAX).map_or(usize::MAX, |most| most.max(keep));
    let stays =
        |(at, snapshot): &(usize, &SnapshotRef)| *at < keep || (*at < by_count && snapshot.timestamp_ms() >= by_age);
    let stay: HashSet<i64> = line.iter().copied().enumerate().filter(stays).map(|(_, s)| s.snapshot_id()).collect();
    if line.len() < stay.len() + EXPIRE_COUNT_MIN {
        return Ok(Vec::new());
    }
    let mut named = named_by_references(metadata)?;
    named.extend(telling(metadata));
    named.extend(read_lately(metadata, current.timestamp_ms()));
    // Where the begin of the line has expired, older ones that stayed for a while were of it.
    let cut = line.last().filter(|oldest| oldest.parent_snapshot_id().is_some());
    let cut = cut.map_or(i64::MIN, |oldest| oldest.sequence_number());
    let in_line: HashSet<i64> = line.iter().map(|snapshot| snapshot.snapshot_id()).collect();
    let may_leave = |snapshot: &&SnapshotRef| {
        let id = snapshot.snapshot_id();
        let old = in_line.contains(&id) || snapshot.sequence_number() < cut || snapshot.timestamp_ms() < by_age;
        old && !stay.contains(&id) && !named.contains(&id)
    };
    Ok(metadata.snapshots().filter(may_leave).map(|snapshot| snapshot.snapshot_id()).collect())
}

/// The snapshots that somebody may still be reading and whose files no other names: for an hour those that something else
/// followed than a snapshot which only adds, and the one that was current an hour before. What follows each stays with it, and
/// says when that was.
///
/// Every file that was of the table within that hour is named by one of these, or by one of those that stay.
fn read_lately(metadata: &TableMetadata, now_ms: i64) -> HashSet<i64> {
    let since = now_ms.saturating_sub(UNNAMED_MS_MIN);
    let late = metadata.snapshots().filter(|snapshot| snapshot.timestamp_ms() > since);
    let pairs = late.filter_map(|next| Some((metadata.snapshot_by_id(next.parent_snapshot_id()?)?, next)));
    let is_read = |(was, next): &(&SnapshotRef, &SnapshotRef)| {
        next.summary().operation != Operation::Append || was.timestamp_ms() <= since
    };
    pairs.filter(is_read).flat_map(|(was, next)| [was.snapshot_id(), next.snapshot_id()]).collect()
}

/// What lets the statistics go of snapshots that are not there, or that go now: nothing else would, and their files were
/// named for ever.
pub fn statistics_of_gone(metadata: &TableMetadata, going: &[i64]) -> Vec<TableUpdate> {
    let is_gone = |id: &i64| going.contains(id) || metadata.snapshot_by_id(*id).is_none();
    let whole = metadata.statistics_iter().map(|file| file.snapshot_id).filter(is_gone);
    let whole: BTreeSet<i64> = whole.collect();
    let of_partitions = metadata.partition_statistics_iter().map(|file| file.snapshot_id).filter(is_gone);
    let of_partitions: BTreeSet<i64> = of_partitions.collect();
    let whole = whole.into_iter().map(|snapshot_id| TableUpdate::RemoveStatistics { snapshot_id });
    let of_partitions = of_partitions.into_iter();
    whole.chain(of_partitions.map(|snapshot_id| TableUpdate::RemovePartitionStatistics { snapshot_id })).collect()
}

/// Whether nothing of a table may be deleted. As other engines read the property, any text but true is no.
pub fn keeps_all(metadata: &TableMetadata) -> bool {
    metadata.properties().get(COLLECT).is_some_and(|value| !value.eq_ignore_ascii_case("true"))
}

/// A snapshot and those that it came from, the newest first.
pub fn ancestors(metadata: &TableMetadata, newest: i64) -> Vec<&SnapshotRef> {
    let parent = |snapshot: &&SnapshotRef| snapshot.parent_snapshot_id().and_then(|id| metadata.snapshot_by_id(id));
    std::iter::successors(metadata.snapshot_by_id(newest), parent).collect()
}

/// The snapshots without which nobody could tell any more that a table is not as its job left it: of its line the nearest
/// one that says up to where an archive holds its topic, and of every line that the table was set back from the newest one
/// that a job has committed, with those of its own line down to where that one left it.
pub fn telling(metadata: &TableMetadata) -> HashSet<i64> {
    let has = |snapshot: &SnapshotRef, key: &str| snapshot.summary().additional_properties.contains_key(key);
    let line = metadata.current_snapshot_id().map(|current| ancestors(metadata, current)).unwrap_or_default();
    let in_line: HashSet<i64> = line.iter().map(|snapshot| snapshot.snapshot_id()).collect();
    let frontier = line.iter().find(|snapshot| has(snapshot, FRONTIER)).map(|snapshot| snapshot.snapshot_id());
    // Where the begin of the line has expired, older ones were of it: a tag has held them.
    let cut = line.last().filter(|oldest| oldest.parent_snapshot_id().is_some());
    let since = cut.map_or(i64::MIN, |oldest| oldest.sequence_number());
    let is_left = |snapshot: &&SnapshotRef| {
        !in_line.contains(&snapshot.snapshot_id()) && snapshot.sequence_number() > since && has(snapshot, TOKENS)
    };
    let left: Vec<&SnapshotRef> = metadata.snapshots().filter(is_left).collect();
    let earlier: HashSet<i64> = left
        .iter()
        .flat_map(|snapshot| ancestors(metadata, snapshot.snapshot_id()).into_iter().skip(1))
        .map(|snapshot| snapshot.snapshot_id())
        .collect();
    let newest: Vec<i64> =
        left.iter().map(|snapshot| snapshot.snapshot_id()).filter(|id| !earlier.contains(id)).collect();
    let fork =
        |id: &i64| ancestors(metadata, *id).into_iter().find(|snapshot| in_line.contains(&snapshot.snapshot_id()));
    let forks = newest.iter().filter_map(fork).map(|fork| fork.sequence_number());
    let forked = forks.min().unwrap_or(i64::MAX);
    let of_line = line.iter().filter(|snapshot| snapshot.sequence_number() >= forked);
    let of_line = of_line.map(|snapshot| snapshot.snapshot_id()).collect::<Vec<_>>();
    newest.into_iter().chain(frontier).chain(of_line).collect()
}

/// A tag or a branch.
pub struct Reference {
    /// Its name.
    pub name: String,
    /// Its snapshot; of a branch the newest one.
    pub snapshot: i64,
    /// Whether it is a branch.
    pub is_branch: bool,
}

impl Reference {
    /// Whether it is the branch that is read when none is named.
    pub fn is_main(&self) -> bool {
        self.name == MAIN_BRANCH
    }
}

/// The tags and branches of a table.
pub fn references(metadata: &TableMetadata) -> Result<Vec<Reference>> {
    // The library gives references by name only, and the names to nobody.
    let written = serde_json::to_value(metadata).map_err(|error| {
        Error::new(ErrorKind::Unexpected, "the references of a table cannot be read").with_source(error)
    })?;
    let of = |(name, told): (&String, &serde_json::Value)| {
        let snapshot = told["snapshot-id"].as_i64()?;
        Some(Reference { name: name.clone(), snapshot, is_branch: told["type"] == "branch" })
    };
    Ok(written["refs"].as_object().into_iter().flatten().filter_map(of).collect())
}

/// The snapshots that a tag names, and those of a branch other than the main one.
fn named_by_references(metadata: &TableMetadata) -> Result<HashSet<i64>> {
    let mut named = HashSet::new();
    for reference in references(metadata)?.iter().filter(|reference| !reference.is_main()) {
        named.insert(reference.snapshot);
        if reference.is_branch {
            named.extend(ancestors(metadata, reference.snapshot).iter().map(|snapshot| snapshot.snapshot_id()));
        }
    }
    Ok(named)
}

/// Gives a snapshot that is about to be added a list in which small manifests of earlier commits are merged, where
/// there are many of them. What the snapshot adds stays in a manifest of its own, so that it can be told apart.
pub async fn merge_manifests(base: &Table, updates: Vec<TableUpdate>) -> Result<Vec<TableUpdate>> {
    let mut revised = Vec::with_capacity(updates.len());
    for update in updates {
        revised.push(match update {
            TableUpdate::AddSnapshot { snapshot } => {
                TableUpdate::AddSnapshot { snapshot: with_merged_manifests(base, snapshot).await? }
            }
            other => other,
        });
    }
    Ok(revised)
}

async fn with_merged_manifests(base: &Table, snapshot: Snapshot) -> Result<Snapshot> {
    let metadata = base.metadata();
    let property = |key: &str| metadata.properties().get(key);
    // Rows of the other formats have numbers that manifests carry, or lack sequence numbers.
    if metadata.format_version() != FormatVersion::V2
        || property(MERGE).is_some_and(|value| value.eq_ignore_ascii_case("false"))
    {
        return Ok(snapshot);
    }
    let count_min = property(MERGE_COUNT_MIN).and_then(|value| value.parse().ok()).unwrap_or(MERGE_COUNT_MIN_DEFAULT);
    let list = base.manifest_list_reader(&Arc::new(snapshot.clone())).load().await?;
    let small = |manifest: &&ManifestFile| {
        manifest.content == ManifestContentType::Data
            && manifest.partition_spec_id == metadata.default_partition_spec_id()
            && manifest.manifest_length < MANIFEST_BYTES_MAX
            && manifest.added_snapshot_id != snapshot.snapshot_id()
    };
    let small: Vec<&ManifestFile> = list.entries().iter().filter(small).collect();
    if small.len() < count_min.max(2) {
        return Ok(snapshot);
    }
    let mut merged = Merge::new(base, snapshot.snapshot_id());
    for &manifest in &small {
        merged.add(manifest, &read_manifest(base, manifest).await?).await?;
    }
    let mut merged = Some(merged.finish().await?);
    let names: HashSet<&str> = small.iter().map(|manifest| manifest.manifest_path.as_str()).collect();
    let mut manifests = Vec::new();
    for manifest in list.entries() {
        match names.contains(manifest.manifest_path.as_str()) {
            true => manifests.extend(merged.take().into_iter().flatten()),
            false => manifests.push(manifest.clone()),
        }
    }
    write_list(base, snapshot, manifests).await
}

/// The manifests that a merge writes.
struct Merge<'a> {
    base: &'a Table,
    snapshot: i64,
    bytes: i64,
    open: Option<iceberg::spec::ManifestWriter>,
    written: Vec<ManifestFile>,
}

impl<'a> Merge<'a> {
    fn new(base: &'a Table, snapshot: i64) -> Merge<'a> {
        Merge { base, snapshot, bytes: 0, open: None, written: Vec::new() }
    }

    /// Adds the files of a manifest that are in the table, with the numbers that they got when they came into it.
    async fn add(&mut self, from: &ManifestFile, manifest: &Manifest) -> Result<()> {
        if self.bytes + from.manifest_length > MANIFEST_BYTES_MAX {
            self.close().await?;
        }
        self.bytes += from.manifest_length;
        for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
            let writer = match &mut self.open {
                Some(writer) => writer,
                open => open.insert(new_manifest(self.base, self.snapshot)?),
            };
            writer.add_existing_file(
                with_partition_of(&entry.data_file, self.base.metadata().default_partition_type())?,
                entry.snapshot_id.unwrap_or(from.added_snapshot_id),
                entry.sequence_number.unwrap_or(from.sequence_number),
                Some(entry.file_sequence_number.unwrap_or(from.sequence_number)),
            )?;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        self.bytes = 0;
        if let Some(writer) = self.open.take() {
            self.written.push(writer.write_manifest_file().await?);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<ManifestFile>> {
        self.close().await?;
        Ok(self.written)
    }
}

fn new_manifest(base: &Table, snapshot: i64) -> Result<iceberg::spec::ManifestWriter> {
    let metadata = base.metadata();
    let output = base.file_io().new_output(format!("{}/metadata/{}-m0.avro", metadata.location(), Uuid::new_v4()))?;
    let (schema, spec) = (metadata.current_schema().clone(), metadata.default_partition_spec().as_ref().clone());
    Ok(ManifestWriterBuilder::new(output, Some(snapshot), schema, spec).build_v2_data())
}

/// The snapshot with a list of these manifests.
async fn write_list(base: &Table, snapshot: Snapshot, manifests: Vec<ManifestFile>) -> Result<Snapshot> {
    let id = snapshot.snapshot_id();
    let path = format!("{}/metadata/snap-{id}-1-{}.avro", base.metadata().location(), Uuid::new_v4());
    let output = base.file_io().new_output(&path)?.writer().await?;
    let mut list = ManifestListWriter::v2(output, id, snapshot.parent_snapshot_id(), snapshot.sequence_number());
    list.add_manifests(manifests.into_iter())?;
    list.close().await?;
    // Nobody knows of the list that the new one replaces, so one that stays costs space and nothing else.
    let _ = base.file_io().delete(snapshot.manifest_list()).await;
    Ok(Snapshot::builder()
        .with_snapshot_id(id)
        .with_parent_snapshot_id(snapshot.parent_snapshot_id())
        .with_sequence_number(snapshot.sequence_number())
        .with_timestamp_ms(snapshot.timestamp_ms())
        .with_manifest_list(path)
        .with_summary(snapshot.summary().clone())
        .with_schema_id(snapshot.schema_id().unwrap_or(base.metadata().current_schema_id()))
        .build())
}

/// Deletes files of a table's metadata folder that nothing names and that are old: manifests and lists of snapshots
/// that have left, and what commits left behind that did not happen.
///
/// `now` is a time at or before the swap that made `table` current, by the clock of the disk. A commit that is under way
/// elsewhere swaps a base that is not older than that swap, so that all files it has written are younger.
pub async fn sweep(table: &Table, now: SystemTime) -> dataflow::Result<()> {
    let wrong = |error| failure::iceberg("a snapshot of the table cannot be read", error);
    let metadata = table.metadata();
    let mut named = HashSet::new();
    for snapshot in metadata.snapshots() {
        named.insert(path_of(snapshot.manifest_list()));
        let list = table.manifest_list_reader(snapshot).load().await.map_err(wrong)?;
        named.extend(list.entries().iter().map(|manifest| path_of(&manifest.manifest_path)));
    }
    named.extend(table.metadata_location().map(path_of));
    named.extend(metadata.metadata_log().iter().map(|entry| path_of(&entry.metadata_file)));
    let old_metadata =
        metadata.properties().get(DELETE_OLD_METADATA).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let ends: &[&str] = if old_metadata { &[".avro", ".metadata.json"] } else { &[".avro"] };
    let folder = path_of(metadata.location()).join("metadata");
    let unnamed = unnamed_files(&folder, ends, &named, now.checked_sub(UNNAMED_MIN).unwrap_or(UNIX_EPOCH));
    let unnamed =
        unnamed.map_err(|error| failure::file(format!("cannot look through \"{}\"", folder.display()), error))?;
    // A file that stays costs space and nothing else, and the next sweep comes by it again.
    unnamed.iter().for_each(|path| drop(fs::remove_file(path)));
    Ok(())
}

/// The files of a folder with such an end that are not named and were last written before a time.
fn unnamed_files(
    folder: &Path,
    ends: &[&str],
    named: &HashSet<PathBuf>,
    before: SystemTime,
) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let ends_so = name.to_str().is_some_and(|name| ends.iter().any(|end| name.ends_with(end)));
        if ends_so && !named.contains(&path) && entry.metadata()?.modified()? < before {
            found.push(path);
        }
    }
    Ok(found)
}
