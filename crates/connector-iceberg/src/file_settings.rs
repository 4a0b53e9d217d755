//! What the properties of a table say of its files: how large they are, and what is told of their columns. The names are
//! Iceberg's, so that other tools that write to the table go by the same.

use crate::compression::{compression, default_compression};
use crate::name::TableName;
use crate::object_files::is_local;
use dataflow::{Error, Result};
use iceberg::spec::TableMetadata;
use parquet::basic::Compression;
use std::collections::{BTreeMap, HashMap};

/// Where data files lie, if not in the folder of that name below the table's location.
pub const DATA_PATH: &str = "write.data.path";
/// The size at which a file is closed.
const FILE_BYTES: &str = "write.target-file-size-bytes";
const FILE_BYTES_DEFAULT: usize = 128 << 20;
/// A table that names a larger size wants no bound.
const FILE_BYTES_MAX: usize = 1 << 40;
/// The size at which a row group ends, beside its number of rows.
const GROUP_BYTES: &str = "write.parquet.row-group-size-bytes";
const GROUP_ROWS: &str = "write.parquet.row-group-limit";
/// The rows of a row group: what a reader takes in at once.
const GROUP_ROWS_DEFAULT: usize = 128 << 10;
/// What the files that describe a table are compressed with.
const METADATA_CODEC: &str = "write.metadata.compression-codec";
/// What is told of columns: none, counts, truncate(N) or full.
const METRICS: &str = "write.metadata.metrics.default";
const METRICS_OF: &str = "write.metadata.metrics.column.";
/// Bounds of text and bytes are cut to this length where nothing is said; they stay bounds.
const BOUND_LENGTH_DEFAULT: usize = 32;
/// Columns with a Bloom filter, and how often one may be wrong.
const BLOOM_OF: &str = "write.parquet.bloom-filter-enabled.column.";
const BLOOM_FPP_OF: &str = "write.parquet.bloom-filter-fpp.column.";
const BLOOM_FPP_DEFAULT: f64 = 0.01;

/// What is told of a column of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    Nothing,
    /// How many values it has, and how many of them are NULL.
    Counts,
    /// Bounds too, those of text and bytes cut to so many characters or bytes.
    Truncated(usize),
    /// Bounds whole.
    Full,
}

/// How the files of a table are written.
#[derive(Clone, Debug)]
pub struct FileSettings {
    pub file_bytes: usize,
    pub group_bytes: Option<usize>,
    pub group_rows: usize,
    /// Of columns with a Bloom filter how often it may be wrong.
    pub bloom: BTreeMap<String, f64>,
    /// What pages are compressed with.
    pub compression: Compression,
    metrics: HashMap<String, Metrics>,
    metrics_default: Metrics,
}

impl FileSettings {
    /// Those of a table. A property whose value is none is an error.
    pub fn of(table: &TableName, properties: &HashMap<String, String>) -> Result<FileSettings> {
        let reader = Properties { table, properties };
        let metrics_default =
            reader.value(METRICS, METRICS_EXPECTED, metrics)?.unwrap_or(Metrics::Truncated(BOUND_LENGTH_DEFAULT));
        let mut settings = FileSettings {
            file_bytes: reader
                .value(FILE_BYTES, COUNT_EXPECTED, count)?
                .unwrap_or(FILE_BYTES_DEFAULT)
                .min(FILE_BYTES_MAX),
            group_bytes: reader.value(GROUP_BYTES, COUNT_EXPECTED, count)?,
            group_rows: reader.value(GROUP_ROWS, COUNT_EXPECTED, count)?.unwrap_or(GROUP_ROWS_DEFAULT),
            bloom: BTreeMap::new(),
            compression: compression(properties).unwrap_or_else(|_| default_compression()),
            metrics: HashMap::new(),
            metrics_default,
        };
        let metadata_codec =
            |text: &str| ["none", "gzip", ""].iter().any(|known| text.eq_ignore_ascii_case(known)).then_some(());
        reader.value(METADATA_CODEC, "none or gzip", metadata_codec)?;
        for key in properties.keys() {
            if let Some(column) = key.strip_prefix(METRICS_OF) {
                let of_column = reader.value(key, METRICS_EXPECTED, metrics)?;
                settings.metrics.extend(of_column.map(|metrics| (column.to_owned(), metrics)));
            }
            if let Some(column) = key.strip_prefix(BLOOM_OF)
                && reader.value(key, "true or false", flag)? == Some(true)
            {
                let fpp = reader.value(&format!("{BLOOM_FPP_OF}{column}"), "a number between 0 and 1", share)?;
                settings.bloom.insert(column.to_owned(), fpp.unwrap_or(BLOOM_FPP_DEFAULT));
            }
        }
        Ok(settings)
    }

    /// The columns that are named, each with the property that does it.
    pub fn named_columns(properties: &HashMap<String, String>) -> Vec<(&str, &str)> {
        let prefixes = [METRICS_OF, BLOOM_OF, BLOOM_FPP_OF];
        let mut named: Vec<(&str, &str)> = properties
            .keys()
            .flat_map(|key| prefixes.iter().filter_map(|prefix| Some((key.as_str(), key.strip_prefix(prefix)?))))
            .collect();
        named.sort_unstable();
        named
    }

    /// What is told of a column, by its name with those of the columns that it lies in.
    pub fn metrics(&self, column: &str) -> Metrics {
        self.metrics.get(column).copied().unwrap_or(self.metrics_default)
    }

    /// The length to which a file itself cuts bounds; `None` where those of a column are told whole.
    pub fn bound_length(&self) -> Option<usize> {
        let all = self.metrics.values().chain([&self.metrics_default]);
        let length = |metrics: &Metrics| match metrics {
            Metrics::Full => None,
            Metrics::Truncated(length) => length.checked_mul(4),
            Metrics::Nothing | Metrics::Counts => Some(BOUND_LENGTH_DEFAULT),
        };
        // A character takes four bytes at most.
        all.map(length).try_fold(BOUND_LENGTH_DEFAULT, |most, length| length.map(|length| most.max(length)))
    }
}

const COUNT_EXPECTED: &str = "a whole number above 0";
const METRICS_EXPECTED: &str = "none, counts, truncate(N) or full";

struct Properties<'p> {
    table: &'p TableName,
    properties: &'p HashMap<String, String>,
}

impl Properties<'_> {
    fn value<T>(&self, key: &str, expected: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
        let Some(text) = self.properties.get(key) else { return Ok(None) };
        let value = read(text.trim()).ok_or_else(|| {
            Error::invalid(format!("table \"{}\": its property {key} is \"{text}\", expected {expected}", self.table))
        });
        value.map(Some)
    }
}

fn count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|&count| count > 0)
}

fn flag(text: &str) -> Option<bool> {
    text.to_ascii_lowercase().parse().ok()
}

fn share(text: &str) -> Option<f64> {
    text.parse().ok().filter(|share| *share > 0.0 && *share < 1.0)
}

fn metrics(text: &str) -> Option<Metrics> {
    let text = text.to_ascii_lowercase();
    Some(match text.as_str() {
        "none" => Metrics::Nothing,
        "counts" => Metrics::Counts,
        "full" => Metrics::Full,
        other => Metrics::Truncated(count(other.strip_prefix("truncate(")?.strip_suffix(')')?.trim())?),
    })
}

/// Where the data files of a table lie, without a slash at the end. One on a disk of a table in a store, or the other way
/// round, is an error.
pub fn data_location(table: &TableName, metadata: &TableMetadata) -> Result<String> {
    let location = metadata.location().trim_end_matches('/');
    let Some(own) = metadata.properties().get(DATA_PATH) else { return Ok(format!("{location}/data")) };
    check_data_place(table, location, own)?;
    Ok(own.trim_end_matches('/').to_owned())
}

/// Refuses data files on a disk of a table whose location is in a store, or the other way round.
pub fn check_data_place(table: &TableName, location: &str, data_path: &str) -> Result<()> {
    if is_local(data_path) == is_local(location) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "table \"{table}\" has {DATA_PATH} = {data_path}, and lies at \"{location}\": expected both on a disk, or both in a \
         store; change the property"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(properties: &[(&str, &str)]) -> Result<FileSettings> {
        let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        FileSettings::of(&TableName::parse("lake.t").unwrap(), &properties)
    }

    #[test]
    fn properties_of_a_table_are_read_as_other_tools_have_them() {
        let found = settings(&[
            ("write.target-file-size-bytes", "1000"),
            ("write.metadata.metrics.default", "Counts"),
            ("write.metadata.metrics.column.a", "truncate(16)"),
            ("write.metadata.metrics.column.b.c", "full"),
            ("write.parquet.bloom-filter-enabled.column.a", "true"),
            ("write.parquet.bloom-filter-enabled.column.b", "false"),
            ("write.parquet.bloom-filter-fpp.column.a", "0.05"),
        ])
        .unwrap();
        assert_eq!((found.file_bytes, found.group_bytes, found.group_rows), (1000, None, GROUP_ROWS_DEFAULT));
        assert_eq!(found.metrics("a"), Metrics::Truncated(16));
        assert_eq!((found.metrics("b.c"), found.metrics("d")), (Metrics::Full, Metrics::Counts));
        assert_eq!(found.bloom, BTreeMap::from([("a".to_owned(), 0.05)]));
        assert_eq!(found.bound_length(), None);
        assert_eq!(settings(&[]).unwrap().bound_length(), Some(4 * BOUND_LENGTH_DEFAULT));
    }

    #[test]
    fn a_value_that_is_none_is_named() {
        for (key, value) in [
            ("write.target-file-size-bytes", "0"),
            ("write.parquet.row-group-size-bytes", "large"),
            ("write.metadata.metrics.column.a", "truncate(0)"),
            ("write.parquet.bloom-filter-enabled.column.a", "yes"),
        ] {
            let error = settings(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(&format!("its property {key} is \"{value}\", expected ")), "{error}");
        }
    }
}
