//! Files that are durable and no part of a table yet, as a checkpoint keeps them until a commit names them.

use crate::failure;
use crate::name::TableName;
use crate::object_files::is_local;
use crate::required::WrittenFields;
use crate::storage::path_of;
use dataflow::{Committable, Error, Result};
use iceberg::spec::{
    DataFile, FormatVersion, TableMetadata, deserialize_data_file_from_json, serialize_data_file_to_json,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The path of a file, in the description of it.
const PATH: &str = "file_path";
/// The version of the byte form of [`PreparedFiles`].
const VERSION: u32 = 2;
const RESTORE: &str = "restore the file, or start over with --fresh";

/// Files that are durable and not yet part of a table. The token shows later whether they have become part of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PreparedFiles {
    version: u32,
    table_uuid: Uuid,
    partition_spec: i32,
    token: String,
    // That of the writer's job, for people and for the summary of the snapshot. Version 1 has none, as an archive has none.
    #[serde(default)]
    checkpoint: Option<u64>,
    // Of those that were written before this was noted it is not known.
    #[serde(default)]
    fields: Option<WrittenFields>,
    // One description per file, in Iceberg's own JSON form.
    files: Vec<String>,
}

impl PreparedFiles {
    /// Files for a table with rows that have such fields, under a new token.
    pub fn new(
        metadata: &TableMetadata,
        (files, fields): (Vec<DataFile>, Option<WrittenFields>),
        checkpoint: Option<u64>,
    ) -> Result<PreparedFiles> {
        let told = |file| serialize_data_file_to_json(file, metadata.default_partition_type(), FormatVersion::V2);
        let files = files.into_iter().map(told).collect::<iceberg::Result<Vec<_>>>();
        Ok(PreparedFiles {
            version: VERSION,
            table_uuid: metadata.uuid(),
            partition_spec: metadata.default_partition_spec_id(),
            token: Uuid::new_v4().to_string(),
            checkpoint,
            fields,
            files: files.map_err(|error| failure::iceberg("a data file cannot be described", error))?,
        })
    }

    /// The bytes that go into a checkpoint.
    pub fn to_committable(&self) -> Result<Committable> {
        let bytes = serde_json::to_vec(self);
        bytes.map(Committable).map_err(|error| Error::internal("a committable cannot be written").with_source(error))
    }

    pub fn from_committable(table: &TableName, committable: &Committable) -> Result<PreparedFiles> {
        let wrong = |what: String| Error::corrupt(format!("table \"{table}\": a committable {what}"));
        let prepared: PreparedFiles = serde_json::from_slice(&committable.0)
            .map_err(|error| wrong("cannot be read".to_owned()).with_source(error))?;
        match prepared.version {
            1 | VERSION => Ok(prepared),
            version => Err(wrong(format!("has version {version}, expected 1 or {VERSION}"))),
        }
    }

    /// The table that they were written for.
    pub fn table_uuid(&self) -> Uuid {
        self.table_uuid
    }

    /// The number of the partition spec that they are of.
    pub fn partition_spec(&self) -> i32 {
        self.partition_spec
    }

    /// What shows whether they have become part of it.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Where those of the files lie that are on a disk of this machine.
    pub fn paths(&self, table: &TableName) -> Result<Vec<PathBuf>> {
        let locations = self.locations(table)?;
        Ok(locations.iter().filter(|location| is_local(location)).map(|location| path_of(location)).collect())
    }

    /// Where the files lie.
    pub fn locations(&self, table: &TableName) -> Result<Vec<String>> {
        self.files.iter().map(|file| location(table, &parsed(table, file)?)).collect()
    }

    /// The same files at other places, under the same token.
    pub fn at(&self, table: &TableName, place: &mut dyn FnMut(&str) -> Result<String>) -> Result<PreparedFiles> {
        let mut moved = self.clone();
        for file in &mut moved.files {
            let mut description = parsed(table, file)?;
            description[PATH] = place(&location(table, &description)?)?.into();
            *file = description.to_string();
        }
        Ok(moved)
    }

    /// The checkpoint of the job that has prepared them, if it was one.
    pub fn checkpoint(&self) -> Option<u64> {
        self.checkpoint
    }

    /// The fields that their rows have, if that is known.
    pub fn fields(&self) -> Option<&WrittenFields> {
        self.fields.as_ref()
    }

    /// The files, if the table is the one that they were written for.
    pub fn data_files(&self, table: &TableName, metadata: &TableMetadata) -> Result<Vec<DataFile>> {
        if self.table_uuid != metadata.uuid() {
            return Err(made_again(table));
        }
        let spec = metadata.partition_spec_by_id(self.partition_spec).ok_or_else(|| {
            Error::corrupt(format!("table \"{table}\" has no partition spec {}", self.partition_spec))
        })?;
        let wrong = |error| failure::iceberg(format!("table \"{table}\": a prepared file cannot be read"), error);
        let partition = spec.partition_type(metadata.current_schema()).map_err(wrong)?;
        let read = |file: &String| {
            deserialize_data_file_from_json(file, self.partition_spec, &partition, metadata.current_schema())
        };
        self.files.iter().map(read).collect::<iceberg::Result<Vec<_>>>().map_err(wrong)
    }
}

/// The description of a file, in Iceberg's own JSON form.
fn parsed(table: &TableName, file: &str) -> Result<serde_json::Value> {
    let wrong = || Error::corrupt(format!("table \"{table}\": a committable describes a file in no JSON"));
    serde_json::from_str(file).map_err(|error| wrong().with_source(error))
}

fn location(table: &TableName, description: &serde_json::Value) -> Result<String> {
    let wrong = || Error::corrupt(format!("table \"{table}\": a committable describes a file without a path"));
    description[PATH].as_str().map(str::to_owned).ok_or_else(wrong)
}

/// A table that is another one than that of a writer.
pub fn made_again(table: &TableName) -> Error {
    Error::invalid(format!(
        "table \"{table}\" is another one by now than that for which rows were prepared: a run with --fresh has taken its \
         place, or somebody has made it again; nothing of this commit was written. Stop the other run, and start this \
         one with --fresh"
    ))
}

/// Refuses a file that is not as it was prepared: a commit would make the table unreadable.
pub fn check_whole(table: &TableName, path: &Path, expected: u64) -> Result<()> {
    let path_shown = path.display().to_string();
    let bytes = std::fs::metadata(path).map_err(|error| failure::file(not_looked_at(table, &path_shown), error))?.len();
    check_size(table, &path_shown, bytes, expected)
}

/// What is said of a prepared file that cannot be looked at.
pub fn not_looked_at(table: &TableName, path: &str) -> String {
    format!("{} cannot be looked at; {RESTORE}", prepared_file(table, path))
}

fn prepared_file(table: &TableName, path: &str) -> String {
    format!("table \"{table}\": data file \"{path}\", which the checkpoint has prepared,")
}

/// Refuses a prepared file of another size than it had.
pub fn check_size(table: &TableName, path: &str, bytes: u64, expected: u64) -> Result<()> {
    if bytes == expected {
        return Ok(());
    }
    let file = prepared_file(table, path);
    Err(Error::corrupt(format!("{file} has {bytes} bytes, expected {expected}; {RESTORE}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{TableOptions, creation};
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    use iceberg::spec::TableMetadataBuilder;

    /// The table that the samples were prepared for.
    fn metadata(uuid: Uuid) -> TableMetadata {
        let types = [
            ("long", DataType::Int64),
            ("int", DataType::Int32),
            ("double", DataType::Float64),
            ("float", DataType::Float32),
            ("flag", DataType::Boolean),
            ("text", DataType::Utf8),
            ("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
            ("bytes", DataType::Binary),
            ("date", DataType::Date32),
        ];
        let fields: Vec<Field> = types.into_iter().map(|(name, of)| Field::new(name, of, true)).collect();
        let options = TableOptions { partition_day: Some("at".to_owned()), ..TableOptions::default() };
        let name = TableName::parse("lake.t").unwrap();
        let creation =
            creation(&name, Some("file:///warehouse/lake/t".to_owned()), &Schema::new(fields), &options).unwrap();
        TableMetadataBuilder::from_table_creation(creation).unwrap().assign_uuid(uuid).build().unwrap().metadata
    }

    #[test]
    fn committables_of_every_version_are_read() {
        read_sample(include_bytes!("../tests/samples/committable-1.json"), None);
        read_sample(include_bytes!("../tests/samples/committable-2.json"), Some(7));
    }

    fn read_sample(sample: &[u8], checkpoint: Option<u64>) {
        let name = TableName::parse("lake.t").unwrap();
        let prepared = PreparedFiles::from_committable(&name, &Committable(sample.to_vec())).unwrap();
        assert_eq!(prepared.checkpoint, checkpoint);
        let metadata = metadata(prepared.table_uuid);
        let files = prepared.data_files(&name, &metadata).unwrap();
        assert_eq!(files.iter().map(DataFile::record_count).collect::<Vec<_>>(), [1, 2]);
        assert!(files.iter().all(|file| file.file_path().starts_with("file:///warehouse/lake/t/data/at_day=")));
        assert_eq!(files[1].upper_bounds()[&1], iceberg::spec::Datum::long(2));
        let moved = prepared.at(&name, &mut |path| Ok(path.replace("/data/", "/data/copied-"))).unwrap();
        let (paths, moved_paths) = (prepared.paths(&name).unwrap(), moved.paths(&name).unwrap());
        for (file, (path, moved)) in files.iter().zip(paths.iter().zip(&moved_paths)) {
            assert_eq!(path_of(file.file_path()), *path);
            assert_eq!(path.to_str().unwrap().replace("/data/", "/data/copied-"), moved.to_str().unwrap());
        }
        let moved_files = moved.data_files(&name, &metadata).unwrap();
        assert_eq!((moved.token(), moved_files[1].upper_bounds()), (prepared.token(), files[1].upper_bounds()));
        let again = PreparedFiles::new(&metadata, (files.clone(), None), checkpoint).unwrap();
        assert_eq!(again.data_files(&name, &metadata).unwrap(), files);
    }
}
