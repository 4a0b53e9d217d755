//! Whether a table can have the properties that a statement says.

use crate::diagnostic::{Fault, Outcome};
use crate::nearest::{distance, nearest};
use crate::statement::Property;
use arrow::datatypes::Schema;

/// What values a property has.
#[derive(Clone, Copy)]
enum Kind {
    /// A whole number above 0.
    Count,
    Flag,
    /// A number between 0 and 1.
    Share,
    Metrics,
    Place,
    /// One of some words.
    Word(&'static [&'static str]),
    Text,
}

/// What Parquet files are compressed with.
const CODECS: [&str; 6] = ["zstd", "snappy", "gzip", "lz4", "brotli", "uncompressed"];
/// So many letters are wrong in a name that is a slip; others may be of an Iceberg that is younger than this list.
const SLIP_MAX: usize = 3;
/// What describes a table and is no property of it.
const RESERVED: [&str; 9] = [
    "format-version",
    "uuid",
    "snapshot-count",
    "current-snapshot-summary",
    "current-snapshot-id",
    "current-snapshot-timestamp-ms",
    "current-schema",
    "default-partition-spec",
    "default-sort-order",
];
/// The names that begin so are Iceberg's own.
const OWN: [&str; 6] = ["write.", "read.", "commit.", "history.", "gc.", "schema."];
/// What other engines and other formats of files go by.
const OF_OTHERS: [&str; 12] = [
    "write.spark.",
    "write.orc.",
    "write.avro.",
    "write.delete.parquet.",
    "write.delete.orc.",
    "write.delete.avro.",
    "read.orc.",
    "write.parquet.row-group-check-",
    "write.parquet.stats-enabled.column.",
    "write.object-storage.path",
    "write.folder-storage.",
    "write.manifest-lists.",
];
/// Properties of columns, which have the column's name at their end.
const OF_COLUMNS: [(&str, Kind); 3] = [
    ("write.metadata.metrics.column.", Kind::Metrics),
    ("write.parquet.bloom-filter-enabled.column.", Kind::Flag),
    ("write.parquet.bloom-filter-fpp.column.", Kind::Share),
];
/// The properties that tables have, by Iceberg's names: first those that are gone by here, then those of other engines.
const KNOWN: [(&str, Kind); 60] = [
    ("write.target-file-size-bytes", Kind::Count),
    ("write.parquet.row-group-size-bytes", Kind::Count),
    ("write.parquet.row-group-limit", Kind::Count),
    ("write.metadata.metrics.default", Kind::Metrics),
    ("write.metadata.delete-after-commit.enabled", Kind::Flag),
    ("write.metadata.previous-versions-max", Kind::Count),
    ("write.metadata.compression-codec", Kind::Word(&["none", "gzip"])),
    ("write.data.path", Kind::Place),
    ("commit.manifest-merge.enabled", Kind::Flag),
    ("commit.manifest.min-count-to-merge", Kind::Count),
    ("history.expire.max-snapshot-age-ms", Kind::Count),
    ("history.expire.min-snapshots-to-keep", Kind::Count),
    ("gc.enabled", Kind::Flag),
    ("schema.name-mapping.default", Kind::Text),
    ("history.expire.max-ref-age-ms", Kind::Count),
    ("commit.manifest.target-size-bytes", Kind::Count),
    ("commit.retry.num-retries", Kind::Text),
    ("commit.retry.min-wait-ms", Kind::Text),
    ("commit.retry.max-wait-ms", Kind::Text),
    ("commit.retry.total-timeout-ms", Kind::Text),
    ("commit.status-check.num-retries", Kind::Text),
    ("commit.status-check.min-wait-ms", Kind::Text),
    ("commit.status-check.max-wait-ms", Kind::Text),
    ("commit.status-check.total-timeout-ms", Kind::Text),
    ("read.split.target-size", Kind::Count),
    ("read.split.metadata-target-size", Kind::Count),
    ("read.split.planning-lookback", Kind::Count),
    ("read.split.open-file-cost", Kind::Text),
    ("read.split.adaptive-size.enabled", Kind::Flag),
    ("read.parquet.vectorization.enabled", Kind::Flag),
    ("read.parquet.vectorization.batch-size", Kind::Count),
    ("write.delete.target-file-size-bytes", Kind::Count),
    ("write.format.default", Kind::Word(&["parquet"])),
    ("write.delete.format.default", Kind::Text),
    ("write.parquet.page-size-bytes", Kind::Count),
    ("write.parquet.page-row-limit", Kind::Count),
    ("write.parquet.dict-size-bytes", Kind::Count),
    ("write.parquet.compression-codec", Kind::Word(&CODECS)),
    ("write.parquet.compression-level", Kind::Text),
    ("write.parquet.bloom-filter-max-bytes", Kind::Count),
    ("write.metadata.metrics.max-inferred-column-defaults", Kind::Text),
    ("write.location-provider.impl", Kind::Text),
    ("write.object-storage.enabled", Kind::Flag),
    ("write.object-storage.partitioned-paths", Kind::Flag),
    ("write.distribution-mode", Kind::Text),
    ("write.delete.distribution-mode", Kind::Text),
    ("write.update.distribution-mode", Kind::Text),
    ("write.merge.distribution-mode", Kind::Text),
    ("write.delete.mode", Kind::Text),
    ("write.update.mode", Kind::Text),
    ("write.merge.mode", Kind::Text),
    ("write.delete.isolation-level", Kind::Text),
    ("write.wap.enabled", Kind::Flag),
    ("write.summary.partition-limit", Kind::Text),
    ("write.upsert.enabled", Kind::Flag),
    ("write.update.isolation-level", Kind::Text),
    ("write.merge.isolation-level", Kind::Text),
    ("write.delete.granularity", Kind::Text),
    ("read.delete-planning-mode", Kind::Text),
    ("read.data-planning-mode", Kind::Text),
];

/// Refuses a property that jobs keep themselves, what is no property, a name that is nearly one of Iceberg's, and a value that
/// one cannot have. Other names are those of whoever gives them, or of a younger Iceberg.
pub(super) fn check(property: &Property, schema: &Schema) -> Outcome<()> {
    let (name, span) = (property.name.text.as_str(), property.name.span);
    if name.starts_with("riverrun.") {
        return Fault::new(span, "properties that begin with riverrun. are kept by jobs themselves").err();
    }
    if RESERVED.contains(&name) {
        let fault = Fault::new(span, format!("\"{name}\" is no property of tables, which say it themselves"));
        return fault.hint("leave it out; tables that are made here have version 2 of the format").err();
    }
    if name == "write.metadata.path" {
        let fault = Fault::new(span, "what describes a table lies in metadata below its location, and nowhere else");
        return fault.hint("leave the property out").err();
    }
    let of_column = OF_COLUMNS.iter().find_map(|(prefix, kind)| Some((name.strip_prefix(prefix)?, *kind)));
    if let Some((column, kind)) = of_column {
        let names = || schema.fields().iter().map(|field| field.name().as_str());
        let outer = column.split('.').next().unwrap_or_default();
        if !names().any(|field| field == column || field == outer) {
            let fault = Fault::new(span, format!("\"{name}\" is of a column that is not among those that are written"));
            return fault.found(column).offer(column, names()).err();
        }
        return value(property, kind);
    }
    match KNOWN.iter().find(|(known, _)| *known == name) {
        Some((_, kind)) => value(property, *kind),
        None if OWN.iter().any(|begin| name.starts_with(begin))
            && !OF_OTHERS.iter().any(|begin| name.starts_with(begin)) =>
        {
            let near = nearest(name, KNOWN.iter().map(|(known, _)| *known));
            let is_slip = |near: &&str| near.starts_with(name) || distance(name, near) <= SLIP_MAX;
            let Some(near) = near.filter(is_slip) else { return Ok(()) };
            let fault = Fault::new(span, format!("tables have no property \"{name}\""));
            fault.hint(format!("did you mean \"{near}\"?")).err()
        }
        None => Ok(()),
    }
}

fn value(property: &Property, kind: Kind) -> Outcome<()> {
    let text = property.value.as_str();
    let (is_one, expected) = match kind {
        Kind::Count => (text.parse::<u64>().is_ok_and(|count| count > 0), "a whole number above 0"),
        Kind::Flag => (["true", "false"].iter().any(|flag| text.eq_ignore_ascii_case(flag)), "true or false"),
        Kind::Share => (text.parse::<f64>().is_ok_and(|share| share > 0.0 && share < 1.0), "a number between 0 and 1"),
        Kind::Metrics => (is_metrics(text), "none, counts, truncate(N) or full"),
        Kind::Place => {
            (text.starts_with('/') || text.contains("://"), "a path that begins with /, or a location in a store")
        }
        Kind::Word(words) => {
            let expected = words.join(", ");
            let is_one = words.iter().any(|word| text.eq_ignore_ascii_case(word));
            return if is_one { Ok(()) } else { not_one_of(property, &expected) };
        }
        Kind::Text => (true, ""),
    };
    if is_one { Ok(()) } else { not_one_of(property, expected) }
}

fn not_one_of(property: &Property, expected: &str) -> Outcome<()> {
    let fault = Fault::new(property.name.span, format!("\"{}\" cannot be \"{}\"", property.name.text, property.value));
    fault.found(property.value.as_str()).expected(expected).err()
}

fn is_metrics(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let length = text.strip_prefix("truncate(").and_then(|rest| rest.strip_suffix(')'));
    ["none", "counts", "full"].contains(&text.as_str())
        || length.is_some_and(|length| length.trim().parse::<usize>().is_ok_and(|length| length > 0))
}
