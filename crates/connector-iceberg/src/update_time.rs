//! The time of a table's last change, which must not lie before those of the changes before it.
//!
//! Where the clocks of two machines differ it would: the library writes such a table, and then nobody can load it.

use iceberg::spec::TableMetadata;
use iceberg::{Error, ErrorKind, Result};
use serde_json::Value;

/// Lets the last change of a described table be no earlier than those before it; true if it was.
pub fn put_in_order(metadata: &mut Value) -> bool {
    let last = |log: &str| metadata[log].as_array()?.last()?["timestamp-ms"].as_i64();
    let latest = ["metadata-log", "snapshot-log"].into_iter().filter_map(last).max();
    match (latest, metadata["last-updated-ms"].as_i64()) {
        (Some(latest), Some(told)) if told < latest => {
            metadata["last-updated-ms"] = latest.into();
            true
        }
        _ => false,
    }
}

/// The same table, whose last change is no earlier than those before it.
pub fn in_order(metadata: TableMetadata) -> Result<TableMetadata> {
    let changes = metadata.metadata_log().iter().map(|entry| entry.timestamp_ms);
    let snapshots = metadata.history().iter().map(|entry| entry.timestamp_ms);
    if changes.chain(snapshots).all(|time| time <= metadata.last_updated_ms()) {
        return Ok(metadata);
    }
    let ordered = serde_json::to_value(&metadata).and_then(|mut told| {
        put_in_order(&mut told);
        serde_json::from_value(told)
    });
    ordered.map_err(|error| Error::new(ErrorKind::Unexpected, "a table cannot be described").with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_last_change_is_the_latest() {
        for (told, log, is) in
            [(5, json!([]), 5), (5, json!([{ "timestamp-ms": 3 }]), 5), (5, json!([{ "timestamp-ms": 9 }]), 9)]
        {
            let mut metadata = json!({ "last-updated-ms": told, "metadata-log": log, "snapshot-log": [] });
            assert_eq!(put_in_order(&mut metadata), told != is);
            assert_eq!(metadata["last-updated-ms"], is);
        }
    }
}
