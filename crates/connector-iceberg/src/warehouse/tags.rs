//! Tags on snapshots that a job reads, so that they stay until it has read them.

use super::{Warehouse, gone};
use crate::failure;
use crate::name::TableName;
use crate::store::Swap;
use dataflow::{Error, Result};

/// How often a tag is tried to be set when others change the table at the same time.
const ATTEMPTS_MAX: u32 = 40;
/// How often it is tried again when nobody knows whether it was set.
const UNKNOWN_MAX: u32 = 3;

impl Warehouse {
    /// Sets a tag on a snapshot of a table: neither the upkeep of commits nor another tool lets it expire until the tag
    /// is released, or is set on another one.
    pub fn hold(&self, table: &str, tag: &str, snapshot: i64) -> Result<()> {
        let name = TableName::parse(table)?;
        self.set_tag(&name, tag, Some(snapshot))
    }

    /// Removes a tag from a table, if there are such.
    pub fn release(&self, table: &str, tag: &str) -> Result<()> {
        let name = TableName::parse(table)?;
        if !self.exists(table)? {
            return Ok(());
        }
        self.set_tag(&name, tag, None)
    }

    fn set_tag(&self, table: &TableName, tag: &str, snapshot: Option<i64>) -> Result<()> {
        let failed = |error| failure::iceberg(format!("tag \"{tag}\" of table \"{table}\" cannot be set"), error);
        let mut unknown = 0;
        for _ in 0..ATTEMPTS_MAX {
            let base = self.load(table)?;
            if let Some(snapshot) = snapshot.filter(|&snapshot| base.metadata().snapshot_by_id(snapshot).is_none()) {
                return Err(gone(table, snapshot));
            }
            let tagged = base.metadata().snapshot_for_ref(tag).map(|snapshot| snapshot.snapshot_id());
            if tagged == snapshot {
                return Ok(());
            }
            match self.0.runtime.block_on(self.0.catalog.set_tag(&base, tag, snapshot)) {
                Ok(Swap::Done) => return Ok(()),
                Ok(Swap::Conflict) => {}
                // The next attempt goes by what is found then.
                Err(error) if unknown < UNKNOWN_MAX && failure::is_unavailable(&error) => unknown += 1,
                Err(error) => return Err(failed(error)),
            }
        }
        Err(Error::unavailable(format!(
            "table \"{table}\": {ATTEMPTS_MAX} attempts to set tag \"{tag}\" met changes by others; stop some of them"
        )))
    }
}
