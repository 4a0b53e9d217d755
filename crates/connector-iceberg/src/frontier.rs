//! Up to where an archive holds its topic, as its snapshots tell.

use crate::name::TableName;
use dataflow::{Error, Result};
use iceberg::spec::{Operation, SnapshotRef, TableMetadata};

/// The property that says up to where an archive holds its topic.
pub const FRONTIER: &str = "riverrun.frontier";
/// The summary of a snapshot that adds and removes no rows has this key.
pub const MARK: &str = "riverrun.mark";
/// The tokens that a commit adds, in the summary of its snapshot.
pub const TOKENS: &str = "riverrun.tokens";

/// Up to where an archive holds its topic; `None` when the table is not an archive.
pub fn frontier_of(name: &TableName, metadata: &TableMetadata) -> Result<Option<String>> {
    frontier_at(name, metadata, metadata.current_snapshot())
}

/// Up to where an archive holds its topic in a snapshot, or in a table that has none.
pub fn frontier_at(
    name: &TableName,
    metadata: &TableMetadata,
    snapshot: Option<&SnapshotRef>,
) -> Result<Option<String>> {
    match snapshot {
        Some(snapshot) => frontier(name, metadata, snapshot),
        // An archive of an empty topic says so when it is made.
        None => Ok(metadata.properties().get(FRONTIER).cloned()),
    }
}

/// The frontier of the nearest snapshot that has one, if every later snapshot keeps the rows as they are.
///
/// `None` when the table is not an archive. Rows that something else than the archive has added or removed are an
/// error, because the frontier does not speak for them.
fn frontier(name: &TableName, metadata: &TableMetadata, current: &SnapshotRef) -> Result<Option<String>> {
    let mut next = Some(current.clone());
    let mut foreign = None;
    while let Some(snapshot) = next {
        if let Some(frontier) = snapshot.summary().additional_properties.get(FRONTIER) {
            let Some((id, operation)) = foreign else { return Ok(Some(frontier.clone())) };
            return Err(Error::invalid(format!(
                "table \"{name}\" is an archive, and snapshot {id} ({operation}) was not written by the archive job; \
                 roll the table back to snapshot {}",
                snapshot.snapshot_id()
            )));
        }
        let is_mark = snapshot.summary().additional_properties.contains_key(MARK);
        if snapshot.summary().operation != Operation::Replace && !is_mark && foreign.is_none() {
            foreign = Some((snapshot.snapshot_id(), snapshot.summary().operation.as_str().to_owned()));
        }
        next = snapshot.parent_snapshot_id().and_then(|id| metadata.snapshot_by_id(id)).cloned();
    }
    // The snapshot with the frontier has expired: the property alone cannot say whether rows came after it.
    match (metadata.properties().get(FRONTIER), foreign) {
        (Some(frontier), None) => Ok(Some(frontier.clone())),
        (Some(_), Some((id, operation))) => Err(Error::invalid(format!(
            "table \"{name}\" is an archive, and no snapshot before {id} ({operation}) holds its frontier; archive \
             the topic into a new table"
        ))),
        (None, _) => Ok(None),
    }
}
