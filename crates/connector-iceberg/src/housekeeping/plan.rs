//! Which files of a table are worth being written anew, and which of them together.

use super::content::Content;
use crate::delete_index::{DeleteIndex, FileDeletes};
use crate::live_files::LiveFile;
use crate::name::TableName;
use crate::widened::widest_of;
use dataflow::Result;
use iceberg::spec::{Literal, TableMetadata};
use std::collections::{BTreeMap, HashMap};

/// The property that says how large files should be; other tools know it.
pub const TARGET_BYTES: &str = "write.target-file-size-bytes";
/// Files of this size are what a writer makes whose table says nothing.
const TARGET_BYTES_DEFAULT: u64 = 128 << 20;
/// A table that names a larger size wants no bound.
const TARGET_BYTES_MAX: u64 = 1 << 40;
/// The least target: smaller files are a cost for every reader.
const TARGET_BYTES_MIN: u64 = 64 << 10;

/// Files of one partition that become one, or few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Their places among the data files of the content, in the order in which their rows came.
    pub files: Vec<usize>,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows, those among them that are deleted.
    pub rows: u64,
    /// Whether rows of them are deleted.
    pub has_deletes: bool,
}

/// How large files of a table should be.
pub fn target_bytes(metadata: &TableMetadata) -> u64 {
    let told = metadata.properties().get(TARGET_BYTES).and_then(|text| text.parse::<u64>().ok());
    told.map_or(TARGET_BYTES_DEFAULT, |bytes| bytes.clamp(TARGET_BYTES_MIN, TARGET_BYTES_MAX))
}

/// Whether a file is much smaller than files should be.
pub fn is_small(bytes: u64, target: u64) -> bool {
    bytes < target / 4 * 3
}

/// What applies to the data files of a content.
pub fn delete_index(name: &TableName, metadata: &TableMetadata, deletes: Vec<LiveFile>) -> Result<DeleteIndex> {
    let is_partitioned = |spec| Some(!metadata.partition_spec_by_id(spec)?.is_unpartitioned());
    DeleteIndex::new(name.to_string(), &is_partitioned, deletes)
}

/// The groups that are worth it: small files of which at least so many come together, and files that have deleted rows.
///
/// Files are grouped within their partition spec and partition, in the order of their commits, so that rows which came
/// together stay together.
pub fn groups(content: &Content, index: &DeleteIndex, target: u64, files_min: usize) -> Result<Vec<Group>> {
    let mut order: Vec<usize> = (0..content.data.len()).collect();
    order.sort_by_key(|&at| (content.data[at].sequence, at));
    let mut open: HashMap<(i32, Vec<Option<Literal>>), Group> = HashMap::new();
    let mut done = Vec::new();
    for at in order {
        let live = &content.data[at];
        let (bytes, has_deletes) = (live.file.file_size_in_bytes(), !index.of(live)?.is_empty());
        if !has_deletes && !is_small(bytes, target) {
            continue;
        }
        let key = (live.spec, widest_of(live.file.partition()));
        if open.get(&key).is_some_and(|group| group.bytes + bytes > target) {
            done.extend(open.remove(&key));
        }
        let group = open.entry(key).or_insert(Group { files: Vec::new(), bytes: 0, rows: 0, has_deletes: false });
        group.files.push(at);
        group.bytes += bytes;
        group.rows += live.file.record_count();
        group.has_deletes |= has_deletes;
    }
    done.extend(open.into_values());
    done.retain(|group| group.has_deletes || group.files.len() >= files_min.max(2));
    // The order of a map is none: a plan that is made twice is the same.
    done.sort_by_key(|group| group.files.clone());
    Ok(done)
}

/// What identifies what deletes rows of a file, up to a sequence number for deletes by value: files of them that are newer
/// apply to what is written anew as they do to what it replaces.
pub fn applied(index: &DeleteIndex, file: &LiveFile, up_to: i64) -> Result<Vec<(String, i64)>> {
    let FileDeletes { sequence, vector, positions, groups } = index.of(file)?;
    let named = |at: usize| {
        let delete = &index.delete(at).file;
        (delete.file_path().to_owned(), delete.content_offset().unwrap_or_default())
    };
    let mut found: Vec<(String, i64)> = vector.into_iter().chain(positions).map(named).collect();
    let of_groups = groups.iter().flat_map(|&group| &index.group(group).deletes).copied();
    found.extend(of_groups.filter(|&at| (sequence + 1..=up_to).contains(&index.delete(at).sequence)).map(named));
    found.sort_unstable();
    Ok(found)
}

/// The places of the delete files that apply to none of some data files.
pub fn unneeded<'a>(
    index: &DeleteIndex,
    deletes: usize,
    data: impl Iterator<Item = &'a LiveFile>,
) -> Result<Vec<usize>> {
    let mut needed = BTreeMap::new();
    for file in data {
        let FileDeletes { sequence, vector, positions, groups } = index.of(file)?;
        let of_groups = groups.iter().flat_map(|&group| &index.group(group).deletes).copied();
        let of_groups = of_groups.filter(|&at| index.delete(at).sequence > sequence);
        needed.extend(vector.into_iter().chain(positions).chain(of_groups).map(|at| (at, ())));
    }
    Ok((0..deletes).filter(|at| !needed.contains_key(at)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat, Literal, Struct};

    fn file(path: &str, bytes: u64, sequence: i64, partition: i32) -> LiveFile {
        let mut file = DataFileBuilder::default();
        file.content(DataContentType::Data)
            .file_path(path.to_owned())
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::from_iter([Some(Literal::int(partition))]))
            .record_count(1)
            .file_size_in_bytes(bytes);
        LiveFile { file: file.build().unwrap(), spec: 0, sequence }
    }

    fn planned(data: Vec<LiveFile>, files_min: usize) -> Vec<Vec<usize>> {
        let index = DeleteIndex::new("t".to_owned(), &|_| Some(true), Vec::new()).unwrap();
        let content = Content { data, ..Content::default() };
        groups(&content, &index, 100, files_min).unwrap().into_iter().map(|group| group.files).collect()
    }

    #[test]
    fn small_files_of_one_partition_come_together_up_to_the_target() {
        let data = vec![file("a", 60, 3, 1), file("b", 30, 1, 1), file("c", 30, 2, 1), file("d", 30, 1, 2)];
        assert_eq!(planned(data, 2), [vec![1, 2]], "the third has no room, and one alone is not written anew");
        let data = vec![file("a", 76, 1, 1), file("b", 80, 2, 1), file("c", 1, 3, 1), file("d", 1, 4, 1)];
        assert_eq!(planned(data, 2), [vec![2, 3]], "large files stay");
        let data = (0..5).map(|at| file("a", 1, at, 1)).collect();
        assert_eq!(planned(data, 6), Vec::<Vec<usize>>::new(), "too few");
    }
}
