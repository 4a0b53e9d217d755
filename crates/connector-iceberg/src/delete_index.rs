//! Which delete files apply to a data file, by Iceberg's rules.
//!
//! ```text
//! deletion vector      to the file that it names, and in place of position deletes
//! position deletes     to files of the same or a lower sequence number: the one that they name, or those of their partition
//! equality deletes     to files of a lower sequence number: those of their partition, or all if their spec has no fields
//! ```
//!
//! A partition is the same where the spec and all values are.

use crate::live_files::LiveFile;
use crate::widened::widest_of;
use dataflow::{Error, Result};
use iceberg::metadata_columns::RESERVED_FIELD_ID_DELETE_FILE_PATH;
use iceberg::spec::{DataContentType, DataFile, DataFileFormat, Datum, Literal, PrimitiveLiteral, PrimitiveType};
use std::collections::HashMap;
use xxhash_rust::xxh3::Xxh3;

/// The delete files of a snapshot, by what they apply to.
pub struct DeleteIndex {
    table: String,
    deletes: Vec<LiveFile>,
    // By the data file that they name.
    vectors: HashMap<String, usize>,
    of_file: HashMap<String, Vec<usize>>,
    of_partition: HashMap<Partition, Vec<usize>>,
    groups: Vec<EqualityGroup>,
    // Groups by their partition; those of `None` apply to all files.
    groups_of: HashMap<Option<Partition>, Vec<usize>>,
}

/// Equality deletes by the same columns, of files of the same partition or of all.
#[derive(Debug)]
pub struct EqualityGroup {
    /// The ids of the columns, sorted, each once.
    pub columns: Vec<i32>,
    /// The delete files.
    pub deletes: Vec<usize>,
    // The greatest of their sequence numbers.
    newest: i64,
}

/// The delete files that apply to one data file, by their places in the index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileDeletes {
    /// The sequence number of the data file.
    pub sequence: i64,
    /// The deletion vector.
    pub vector: Option<usize>,
    /// Position deletes. None where there is a deletion vector.
    pub positions: Vec<usize>,
    /// Groups of equality deletes, of which some may be older than the file.
    pub groups: Vec<usize>,
}

impl FileDeletes {
    /// Whether nothing deletes rows of the file.
    pub fn is_empty(&self) -> bool {
        self.vector.is_none() && self.positions.is_empty() && self.groups.is_empty()
    }
}

/// A partition spec and a value of each of its fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Partition {
    spec: i32,
    values: Vec<Option<Literal>>,
}

impl Partition {
    /// The partition of a file.
    fn of(file: &LiveFile) -> Partition {
        // A column may have been widened between two files of a partition.
        Partition { spec: file.spec, values: widest_of(file.file.partition()) }
    }
}

impl DeleteIndex {
    /// Sorts delete files by what they apply to. One that does not say what it deletes is an error. `is_partitioned` tells
    /// whether a partition spec has fields, if the table has the spec.
    pub fn new(
        table: String,
        is_partitioned: &dyn Fn(i32) -> Option<bool>,
        deletes: Vec<LiveFile>,
    ) -> Result<DeleteIndex> {
        let mut index = DeleteIndex {
            table,
            deletes: Vec::with_capacity(deletes.len()),
            vectors: HashMap::new(),
            of_file: HashMap::new(),
            of_partition: HashMap::new(),
            groups: Vec::new(),
            groups_of: HashMap::new(),
        };
        let mut group_at = HashMap::new();
        for delete in deletes {
            let at = index.deletes.len();
            match (delete.file.content_type(), delete.file.file_format()) {
                (DataContentType::EqualityDeletes, _) => {
                    let is_partitioned = is_partitioned(delete.spec).ok_or_else(|| {
                        let what = format!("is of partition spec {}, which the table does not have", delete.spec);
                        index.corrupt(&delete.file, &what)
                    })?;
                    let partition = is_partitioned.then(|| Partition::of(&delete));
                    index.add_equality(at, &delete, partition, &mut group_at)?;
                }
                (_, DataFileFormat::Puffin) => index.add_vector(at, &delete.file)?,
                _ => match delete.file.referenced_data_file() {
                    Some(path) => index.of_file.entry(path).or_default().push(at),
                    None => index.of_partition.entry(Partition::of(&delete)).or_default().push(at),
                },
            }
            index.deletes.push(delete);
        }
        Ok(index)
    }

    fn corrupt(&self, delete: &DataFile, what: &str) -> Error {
        Error::corrupt(format!("table \"{}\": delete file \"{}\" {what}", self.table, delete.file_path()))
    }

    fn add_vector(&mut self, at: usize, delete: &DataFile) -> Result<()> {
        let (Some(path), Some(_), Some(_)) =
            (delete.referenced_data_file(), delete.content_offset(), delete.content_size_in_bytes())
        else {
            return Err(
                self.corrupt(delete, "does not say of which data file it is, or where in it the deletion vector lies")
            );
        };
        let what = format!("is the second deletion vector of data file \"{path}\"");
        match self.vectors.insert(path, at) {
            None => Ok(()),
            Some(_) => Err(self.corrupt(delete, &what)),
        }
    }

    fn add_equality(
        &mut self,
        at: usize,
        delete: &LiveFile,
        partition: Option<Partition>,
        group_at: &mut HashMap<(Option<Partition>, Vec<i32>), usize>,
    ) -> Result<()> {
        let mut columns = delete.file.equality_ids().unwrap_or_default();
        columns.sort_unstable();
        columns.dedup();
        if columns.is_empty() {
            return Err(self.corrupt(&delete.file, "does not say by which columns it deletes"));
        }
        let next = self.groups.len();
        let group = *group_at.entry((partition.clone(), columns.clone())).or_insert(next);
        if group == next {
            self.groups.push(EqualityGroup { columns, deletes: Vec::new(), newest: i64::MIN });
            self.groups_of.entry(partition).or_default().push(group);
        }
        let group = &mut self.groups[group];
        group.deletes.push(at);
        group.newest = group.newest.max(delete.sequence);
        Ok(())
    }

    /// What applies to a data file.
    pub fn of(&self, data: &LiveFile) -> Result<FileDeletes> {
        let path = data.file.file_path();
        let mut applying = FileDeletes { sequence: data.sequence, ..FileDeletes::default() };
        if self.deletes.is_empty() {
            return Ok(applying);
        }
        let partition = Partition::of(data);
        let groups = [None, Some(partition.clone())].map(|partition| self.groups_of.get(&partition));
        let groups = groups.into_iter().flatten().flatten().copied();
        applying.groups = groups.filter(|&group| self.groups[group].newest > data.sequence).collect();
        applying.vector = self.vectors.get(path).copied();
        if let Some(vector) = applying.vector {
            let delete = &self.deletes[vector];
            if delete.sequence < data.sequence {
                return Err(self.corrupt(&delete.file, &format!("is older than data file \"{path}\", which it names")));
            }
            return Ok(applying);
        }
        let positions = [self.of_file.get(path), self.of_partition.get(&partition)];
        let positions = positions.into_iter().flatten().flatten().copied();
        let applies = |&delete: &usize| {
            let delete = &self.deletes[delete];
            delete.sequence >= data.sequence && may_name(&delete.file, path)
        };
        applying.positions = positions.filter(applies).collect();
        Ok(applying)
    }

    /// A delete file by its place.
    pub fn delete(&self, at: usize) -> &LiveFile {
        &self.deletes[at]
    }

    /// A group of equality deletes by its place.
    pub fn group(&self, at: usize) -> &EqualityGroup {
        &self.groups[at]
    }

    /// All groups of equality deletes.
    pub fn groups(&self) -> &[EqualityGroup] {
        &self.groups
    }

    /// A number that is another one where other rows of a data file are deleted; `None` where none are.
    pub fn digest(&self, applying: &FileDeletes) -> Option<u64> {
        if applying.is_empty() {
            return None;
        }
        let mut hash = Xxh3::new();
        let in_groups = applying.groups.iter().flat_map(|&group| &self.groups[group].deletes);
        for &at in applying.vector.iter().chain(&applying.positions).chain(in_groups) {
            let file = &self.deletes[at].file;
            hash.update(file.file_path().as_bytes());
            hash.update(&file.content_offset().unwrap_or_default().to_le_bytes());
        }
        Some(hash.digest())
    }
}

/// Whether a file of position deletes may name a data file, by the bounds of the paths in it.
fn may_name(delete: &DataFile, path: &str) -> bool {
    let text = |bound: Option<&Datum>| match bound.map(|bound| (bound.data_type(), bound.literal())) {
        Some((PrimitiveType::String, PrimitiveLiteral::String(text))) => Some(text.clone()),
        _ => None,
    };
    let least = text(delete.lower_bounds().get(&RESERVED_FIELD_ID_DELETE_FILE_PATH));
    let greatest = text(delete.upper_bounds().get(&RESERVED_FIELD_ID_DELETE_FILE_PATH));
    least.is_none_or(|least| least.as_str() <= path) && greatest.is_none_or(|greatest| path <= greatest.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use iceberg::spec::{DataFileBuilder, Struct};

    const DATA: &str = "file:///w/t/data/a.parquet";

    /// A file of a partition spec and of a day, under a sequence number.
    fn file(path: &str, content: DataContentType, (spec, day): (i32, Option<i32>), sequence: i64) -> LiveFile {
        let mut file = builder(path, content, day);
        if content == DataContentType::EqualityDeletes {
            file.equality_ids(Some(vec![2, 1, 2]));
        }
        LiveFile { file: file.build().unwrap(), spec, sequence }
    }

    fn builder(path: &str, content: DataContentType, day: Option<i32>) -> DataFileBuilder {
        let mut file = DataFileBuilder::default();
        let partition = day.map(|day| Some(Literal::int(day)));
        file.content(content)
            .file_path(path.to_owned())
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::from_iter(partition))
            .record_count(1)
            .file_size_in_bytes(1);
        file
    }

    fn data(day: Option<i32>, sequence: i64) -> LiveFile {
        file(DATA, DataContentType::Data, (i32::from(day.is_some()), day), sequence)
    }

    fn positions(day: Option<i32>, sequence: i64) -> LiveFile {
        file("p.parquet", DataContentType::PositionDeletes, (i32::from(day.is_some()), day), sequence)
    }

    fn equality(day: Option<i32>, sequence: i64) -> LiveFile {
        file("e.parquet", DataContentType::EqualityDeletes, (i32::from(day.is_some()), day), sequence)
    }

    fn vector(of: &str, sequence: i64) -> LiveFile {
        let mut file = builder("v.puffin", DataContentType::PositionDeletes, None);
        file.file_format(DataFileFormat::Puffin)
            .referenced_data_file(Some(of.to_owned()))
            .content_offset(Some(4))
            .content_size_in_bytes(Some(40));
        LiveFile { file: file.build().unwrap(), spec: 0, sequence }
    }

    /// Spec 0 has no fields, spec 1 the day, and there is no other.
    fn index(deletes: Vec<LiveFile>) -> Result<DeleteIndex> {
        DeleteIndex::new("lake.t".to_owned(), &|spec| (spec < 2).then_some(spec == 1), deletes)
    }

    /// How many position deletes and groups of equality deletes apply to a file.
    fn applying(deletes: Vec<LiveFile>, data: &LiveFile) -> (usize, usize) {
        let found = index(deletes).unwrap().of(data).unwrap();
        (found.positions.len() + usize::from(found.vector.is_some()), found.groups.len())
    }

    #[test]
    fn position_deletes_apply_to_files_of_their_number_and_of_lower_ones() {
        let deletes = vec![positions(None, 5)];
        let counts = [4, 5, 6].map(|sequence| applying(deletes.clone(), &data(None, sequence)).0);
        assert_eq!(counts, [1, 1, 0]);
    }

    #[test]
    fn equality_deletes_apply_to_files_of_lower_numbers_alone() {
        let deletes = vec![equality(None, 5)];
        let counts = [4, 5, 6].map(|sequence| applying(deletes.clone(), &data(None, sequence)).1);
        assert_eq!(counts, [1, 0, 0]);
    }

    #[test]
    fn a_deletion_vector_applies_to_the_file_that_it_names_in_place_of_position_deletes() {
        let deletes = vec![positions(None, 5), vector(DATA, 5), positions(None, 6)];
        let found = index(deletes.clone()).unwrap().of(&data(None, 5)).unwrap();
        assert_eq!(found, FileDeletes { sequence: 5, vector: Some(1), ..FileDeletes::default() });
        let mut other = data(None, 5);
        other.file = builder("other.parquet", DataContentType::Data, None).build().unwrap();
        assert_eq!(applying(deletes.clone(), &other), (2, 0));
        let error = index(deletes).unwrap().of(&data(None, 6)).unwrap_err().to_string();
        assert!(error.contains("\"v.puffin\" is older than data file") && error.contains(DATA), "{error}");
        let error = index(vec![vector(DATA, 5), vector(DATA, 6)]).err().unwrap().to_string();
        assert!(error.contains("is the second deletion vector of data file"), "{error}");
    }

    #[test]
    fn deletes_of_a_partition_apply_to_it_alone() {
        for (same, other, of) in [(Some(3), Some(4), 1), (None, Some(3), 0)] {
            assert_eq!(applying(vec![positions(same, 5)], &data(same, 4)).0, 1);
            assert_eq!(applying(vec![positions(same, 5)], &data(other, 4)).0, 0);
            assert_eq!(applying(vec![equality(same, 5)], &data(same, 4)).1, 1);
            // Without fields in the spec, they apply to all files, whatever their specs.
            assert_eq!(applying(vec![equality(same, 5)], &data(other, 4)).1, 1 - of);
        }
        let mut widened = data(Some(3), 4);
        let partition = Struct::from_iter([Some(Literal::long(3))]);
        widened.file = builder(DATA, DataContentType::Data, None).partition(partition).build().unwrap();
        assert_eq!(applying(vec![positions(Some(3), 5)], &widened).0, 1, "the column was widened");
    }

    #[test]
    fn position_deletes_that_name_a_file_apply_to_it_alone() {
        let naming = |path: &str| {
            let mut delete = builder("p.parquet", DataContentType::PositionDeletes, None);
            delete.referenced_data_file(Some(path.to_owned()));
            LiveFile { file: delete.build().unwrap(), spec: 0, sequence: 5 }
        };
        assert_eq!(applying(vec![naming(DATA)], &data(None, 5)).0, 1);
        assert_eq!(applying(vec![naming(DATA)], &data(None, 6)).0, 0);
        assert_eq!(applying(vec![naming("other.parquet")], &data(None, 5)).0, 0);
        let between = |least: &str, greatest: &str| {
            let mut delete = builder("p.parquet", DataContentType::PositionDeletes, None);
            let bound = |path: &str| HashMap::from([(RESERVED_FIELD_ID_DELETE_FILE_PATH, Datum::string(path))]);
            delete.lower_bounds(bound(least)).upper_bounds(bound(greatest));
            LiveFile { file: delete.build().unwrap(), spec: 0, sequence: 5 }
        };
        assert_eq!(applying(vec![between(DATA, DATA)], &data(None, 5)).0, 1);
        assert_eq!(applying(vec![between("file:///w/t/data/b", "file:///x")], &data(None, 5)).0, 0);
    }

    #[test]
    fn equality_deletes_by_the_same_columns_are_one_group() {
        let mut by_other = equality(Some(3), 6);
        by_other.file = builder("o.parquet", DataContentType::EqualityDeletes, Some(3))
            .equality_ids(Some(vec![1]))
            .build()
            .unwrap();
        let index = index(vec![equality(Some(3), 5), equality(Some(3), 7), by_other, equality(None, 7)]).unwrap();
        assert_eq!(
            index.groups().iter().map(|group| group.columns.as_slice()).collect::<Vec<_>>(),
            [[1, 2].as_slice(), &[1], &[1, 2]]
        );
        assert_eq!(index.of(&data(Some(3), 5)).unwrap().groups, [2, 0, 1]);
        assert_eq!(index.of(&data(Some(3), 6)).unwrap().groups, [2, 0]);
        assert!(index.of(&data(Some(3), 7)).unwrap().is_empty());
    }

    #[test]
    fn the_number_of_a_file_tells_what_deletes_its_rows() {
        let digest = |deletes: Vec<LiveFile>| {
            let index = index(deletes).unwrap();
            index.digest(&index.of(&data(None, 5)).unwrap())
        };
        assert_eq!(digest(vec![]), None);
        assert_eq!(digest(vec![positions(None, 4)]), None);
        let one = digest(vec![positions(None, 5)]);
        assert_eq!(digest(vec![positions(None, 5), positions(None, 4)]), one);
        let others = [vec![vector(DATA, 5)], vec![positions(None, 5), positions(None, 6)], vec![equality(None, 6)]];
        assert!(one.is_some() && others.into_iter().all(|deletes| ![None, one].contains(&digest(deletes))));
    }

    #[test]
    fn a_delete_file_that_does_not_say_what_it_deletes_is_corrupt() {
        let mut without = equality(None, 5);
        without.file = builder("e.parquet", DataContentType::EqualityDeletes, None).build().unwrap();
        let mut nowhere = vector(DATA, 5);
        nowhere.file = builder("v.puffin", DataContentType::PositionDeletes, None)
            .file_format(DataFileFormat::Puffin)
            .referenced_data_file(Some(DATA.to_owned()))
            .build()
            .unwrap();
        let mut unknown = equality(Some(3), 5);
        unknown.spec = 7;
        let told = [(without, "by which columns"), (nowhere, "where in it"), (unknown, "of partition spec 7")];
        for (delete, what) in told {
            let error = index(vec![delete]).err().unwrap().to_string();
            assert!(error.starts_with("table \"lake.t\": delete file \"") && error.contains(what), "{error}");
        }
    }
}
