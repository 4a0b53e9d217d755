//! What tells one revision of a project from another.

use crate::load::Folder;
use xxhash_rust::xxh3::Xxh3;

/// The revision of a project's pipelines: 16 hex digits that change with any of their text.
pub fn revision(folder: &Folder) -> String {
    let mut hash = Xxh3::new();
    for file in &folder.pipelines {
        hash.update(&(file.text.len() as u64).to_le_bytes());
        hash.update(file.text.as_bytes());
    }
    format!("{:016x}", hash.digest())
}
