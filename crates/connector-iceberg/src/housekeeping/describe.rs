//! What a table is and what lies in it, as it says so itself.

use super::compact::check_compactable;
use super::content::{Content, KnownManifests};
use super::holds::TableHolds;
use super::plan::{delete_index, groups, is_small, target_bytes};
use crate::failure;
use crate::frontier::FRONTIER;
use crate::name::TableName;
use crate::partition_names::PARTITION_NAMES;
use crate::unknown_types::{UNKNOWN_TYPES, unknown_type_in, unknown_types};
use crate::upkeep::references;
use crate::warehouse::Warehouse;
use dataflow::Result;
use iceberg::spec::{
    DataContentType, DataFileFormat, FormatVersion, NestedFieldRef, NullOrder, PartitionSpec, SnapshotRef,
    SortDirection, TableMetadata, Type,
};
use std::collections::BTreeMap;

/// A table.
#[derive(Clone, Debug, Default)]
pub struct TableDescription {
    /// `namespace.name`.
    pub name: String,
    /// The version of the table format.
    pub format_version: u8,
    /// The number that no other table has.
    pub uuid: String,
    /// Where its files lie.
    pub location: String,
    /// The metadata file that is current now.
    pub metadata_file: String,
    /// Its columns.
    pub columns: Vec<ColumnDescription>,
    /// By what new files are partitioned: `day(at)`.
    pub partition: Vec<String>,
    /// By what files of earlier partition specs are, one text for each spec.
    pub earlier_partitions: Vec<String>,
    /// The order of rows within new files: `at`, `size desc nulls last`.
    pub order: Vec<String>,
    /// How many snapshots there are.
    pub snapshots: usize,
    /// The oldest and the current one.
    pub oldest: Option<SnapshotDescription>,
    pub current: Option<SnapshotDescription>,
    /// Who has committed the snapshots that are there, and how many of them.
    pub writers: Vec<(String, usize)>,
    /// Tags and branches beside the main one.
    pub references: Vec<ReferenceDescription>,
    /// Snapshots that checkpoints and savepoints read as history, each with which of them that is.
    pub held: Vec<(i64, String)>,
    /// What lies in the current snapshot.
    pub files: FileCounts,
    /// Why nothing of it is compacted here, if it is not.
    pub not_compacted: Option<String>,
    /// Up to where an archive holds its topic, as the archive wrote it.
    pub frontier: Option<String>,
    /// The properties of the table.
    pub properties: BTreeMap<String, String>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDescription {
    /// Its name and its number.
    pub name: String,
    pub id: i32,
    /// Its type, as Iceberg calls it.
    pub data_type: String,
    /// Whether it may be NULL.
    pub is_required: bool,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotDescription {
    /// Its number.
    pub id: i64,
    /// When it was made, in milliseconds since 1970.
    pub at_ms: i64,
    /// What kind of change it is: append, replace, overwrite, delete.
    pub operation: String,
    /// Who has committed it.
    pub writer: String,
}

/// A tag or a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceDescription {
    /// Its name.
    pub name: String,
    /// Whether it is a branch.
    pub is_branch: bool,
    /// Its snapshot, and when that was made in milliseconds since 1970, if the table has it.
    pub snapshot: i64,
    pub at_ms: Option<i64>,
}

/// What lies in a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCounts {
    /// Data files, their bytes, and their rows with those that are deleted.
    pub data_files: usize,
    pub bytes: u64,
    pub rows: u64,
    /// How many partitions they are of.
    pub partitions: usize,
    /// The manifests that name them.
    pub manifests: usize,
    /// Delete files by position, deletion vectors, and delete files by the values of columns.
    pub position_deletes: usize,
    pub vectors: usize,
    pub equality_deletes: usize,
    /// Their bytes, all of which whoever reads the files has to read as well.
    pub delete_bytes: u64,
    /// How many data files have deletes that may apply to them.
    pub files_with_deletes: usize,
    /// How large files should be, and how many are much smaller.
    pub target_bytes: u64,
    pub small_files: usize,
    /// How many files a compaction would write anew, and about how many they would become.
    pub compactable: usize,
    pub compacted: usize,
}

impl Warehouse {
    /// Describes a table, also one that others write and of which not everything can be read.
    pub fn describe(&self, table: &str, holds: &TableHolds) -> Result<TableDescription> {
        let name = TableName::parse(table)?;
        let table = self.load(&name)?;
        let metadata = table.metadata();
        let mut known = KnownManifests::default();
        let content = Content::load(&name, &table, metadata.current_snapshot(), &mut known);
        let content = self.runtime().block_on(content)?;
        let mut snapshots: Vec<&SnapshotRef> = metadata.snapshots().collect();
        snapshots.sort_by_key(|snapshot| (snapshot.timestamp_ms(), snapshot.sequence_number()));
        let mut writers: BTreeMap<String, usize> = BTreeMap::new();
        snapshots.iter().for_each(|snapshot| *writers.entry(writer_of(snapshot)).or_default() += 1);
        let references = references(metadata)
            .map_err(|error| failure::iceberg(format!("table \"{name}\" cannot be described"), error))?;
        let described = |reference: crate::upkeep::Reference| ReferenceDescription {
            at_ms: metadata.snapshot_by_id(reference.snapshot).map(|snapshot| snapshot.timestamp_ms()),
            name: reference.name,
            is_branch: reference.is_branch,
            snapshot: reference.snapshot,
        };
        let frontier = metadata
            .current_snapshot()
            .and_then(|snapshot| snapshot.summary().additional_properties.get(FRONTIER).cloned());
        Ok(TableDescription {
            name: name.to_string(),
            format_version: match metadata.format_version() {
                FormatVersion::V1 => 1,
                FormatVersion::V2 => 2,
                FormatVersion::V3 => 3,
            },
            uuid: metadata.uuid().to_string(),
            location: metadata.location().to_owned(),
            metadata_file: table.metadata_location().unwrap_or_default().to_owned(),
            columns: columns(metadata),
            partition: partition(metadata, metadata.default_partition_spec()),
            earlier_partitions: earlier_partitions(metadata),
            order: order(metadata),
            snapshots: snapshots.len(),
            oldest: snapshots.first().map(|snapshot| snapshot_of(snapshot)),
            current: metadata.current_snapshot().map(snapshot_of),
            writers: writers.into_iter().collect(),
            references: references.into_iter().filter(|one| !one.is_main()).map(described).collect(),
            held: holds.snapshots.iter().filter(|(id, _)| metadata.snapshot_by_id(*id).is_some()).cloned().collect(),
            files: counts(&name, metadata, &content)?,
            not_compacted: check_compactable(&name, metadata).err().map(|error| error.chain()),
            frontier: frontier.or_else(|| metadata.properties().get(FRONTIER).cloned()),
            properties: metadata
                .properties()
                .iter()
                .filter(|(key, _)| *key != UNKNOWN_TYPES && *key != PARTITION_NAMES)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        })
    }
}

fn columns(metadata: &TableMetadata) -> Vec<ColumnDescription> {
    let unknown = unknown_types(metadata);
    let fields = metadata.current_schema().as_struct().fields().iter();
    let described = fields.map(|field| {
        let data_type = match (unknown.get(&field.id), unknown_type_in(field, &unknown)) {
            (Some(own), _) => own.clone(),
            (None, Some(within)) => format!("{} with {within} in it", type_text(&field.field_type)),
            (None, None) => type_text(&field.field_type),
        };
        ColumnDescription { name: field.name.clone(), id: field.id, data_type, is_required: field.required }
    });
    described.collect()
}

/// A type with the types that are in it.
fn type_text(of: &Type) -> String {
    match of {
        Type::Primitive(primitive) => primitive.to_string(),
        Type::Struct(fields) => {
            let field = |field: &NestedFieldRef| format!("{}: {}", field.name, type_text(&field.field_type));
            format!("struct<{}>", fields.fields().iter().map(field).collect::<Vec<_>>().join(", "))
        }
        Type::List(list) => format!("list<{}>", type_text(&list.element_field.field_type)),
        Type::Map(map) => {
            format!("map<{}, {}>", type_text(&map.key_field.field_type), type_text(&map.value_field.field_type))
        }
    }
}

/// The name of a column by its number; one that is gone has its number for a name.
fn column(metadata: &TableMetadata, id: i32) -> String {
    let schemas = std::iter::once(metadata.current_schema()).chain(metadata.schemas_iter());
    let name = schemas.filter_map(|schema| schema.name_by_field_id(id)).next();
    name.map_or_else(|| format!("#{id}"), str::to_owned)
}

fn partition(metadata: &TableMetadata, spec: &PartitionSpec) -> Vec<String> {
    let of = |field: &iceberg::spec::PartitionField| {
        let column = column(metadata, field.source_id);
        match field.transform {
            iceberg::spec::Transform::Identity => column,
            transform => format!("{transform}({column})"),
        }
    };
    spec.fields().iter().map(of).collect()
}

fn earlier_partitions(metadata: &TableMetadata) -> Vec<String> {
    let mut specs: Vec<_> = metadata.partition_specs_iter().collect();
    specs.sort_by_key(|spec| spec.spec_id());
    let earlier = specs.into_iter().filter(|spec| spec.spec_id() != metadata.default_partition_spec_id());
    earlier.map(|spec| partition(metadata, spec).join(", ")).collect()
}

fn order(metadata: &TableMetadata) -> Vec<String> {
    let of = |field: &iceberg::spec::SortField| {
        let column = column(metadata, field.source_id);
        let what = match field.transform {
            iceberg::spec::Transform::Identity => column,
            transform => format!("{transform}({column})"),
        };
        let direction = if field.direction == SortDirection::Descending { " desc" } else { "" };
        let is_usual = (field.direction == SortDirection::Ascending) == (field.null_order == NullOrder::First);
        let nulls = match (is_usual, field.null_order) {
            (true, _) => "",
            (false, NullOrder::First) => " nulls first",
            (false, NullOrder::Last) => " nulls last",
        };
        format!("{what}{direction}{nulls}")
    };
    metadata.default_sort_order().fields.iter().map(of).collect()
}

fn snapshot_of(snapshot: &SnapshotRef) -> SnapshotDescription {
    SnapshotDescription {
        id: snapshot.snapshot_id(),
        at_ms: snapshot.timestamp_ms(),
        operation: snapshot.summary().operation.as_str().to_owned(),
        writer: writer_of(snapshot),
    }
}

/// Who has committed a snapshot, as far as its summary tells.
fn writer_of(snapshot: &SnapshotRef) -> String {
    let summary = &snapshot.summary().additional_properties;
    let get = |key: &str| summary.get(key).map(String::as_str);
    if summary.keys().any(|key| key.starts_with("riverrun.")) {
        return match get("riverrun.compact") {
            Some(_) => "riverrun table compact".to_owned(),
            None => "riverrun".to_owned(),
        };
    }
    match (get("engine-name"), get("engine-version")) {
        (Some(name), Some(version)) => format!("{name} {version}"),
        (Some(name), None) => name.to_owned(),
        (None, _) if get("flink.job-id").is_some() => "flink".to_owned(),
        (None, _) if get("spark.app.id").is_some() => "spark".to_owned(),
        (None, _) if get("trino_query_id").is_some() => "trino".to_owned(),
        (None, _) => get("iceberg-version").unwrap_or("another engine").to_owned(),
    }
}

fn counts(name: &TableName, metadata: &TableMetadata, content: &Content) -> Result<FileCounts> {
    let target = target_bytes(metadata);
    let mut counts = FileCounts {
        data_files: content.data.len(),
        manifests: content.manifests.len(),
        target_bytes: target,
        ..FileCounts::default()
    };
    let index = delete_index(name, metadata, content.deletes.clone())?;
    let mut partitions = std::collections::HashSet::new();
    for live in &content.data {
        let bytes = live.file.file_size_in_bytes();
        counts.bytes += bytes;
        counts.rows += live.file.record_count();
        counts.small_files += usize::from(is_small(bytes, target));
        counts.files_with_deletes += usize::from(!index.of(live)?.is_empty());
        partitions.insert((live.spec, live.file.partition()));
    }
    counts.partitions = partitions.len();
    for live in &content.deletes {
        let file = &live.file;
        match (file.content_type(), file.file_format()) {
            (DataContentType::EqualityDeletes, _) => counts.equality_deletes += 1,
            (_, DataFileFormat::Puffin) => counts.vectors += 1,
            _ => counts.position_deletes += 1,
        }
        let of_vector = file.content_size_in_bytes().and_then(|bytes| u64::try_from(bytes).ok());
        counts.delete_bytes += of_vector.unwrap_or(file.file_size_in_bytes());
    }
    for group in groups(content, &index, target, 2)? {
        counts.compactable += group.files.len();
        counts.compacted += usize::try_from(group.bytes.div_ceil(target / 4 * 5)).unwrap_or(1);
    }
    Ok(counts)
}
