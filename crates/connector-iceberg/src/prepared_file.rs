//! Files that a checkpoint has prepared, looked at before a commit names them.

use crate::failure;
use crate::name::TableName;
use dataflow::{Error, Result};
use std::path::Path;

const RESTORE: &str = "restore the file, or start over with --fresh";

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
