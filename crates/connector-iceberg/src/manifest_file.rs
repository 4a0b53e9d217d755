//! Manifests, whatever the library does not know of what is in them.

use crate::unknown_types::{is_made_known, manifest_made_known};
use iceberg::spec::{Manifest, ManifestFile};
use iceberg::table::Table;

/// Reads a manifest. One of a table with types or names that the library does not know says nothing of its own list.
pub async fn read_manifest(table: &Table, file: &ManifestFile) -> iceberg::Result<Manifest> {
    if !is_made_known(table.metadata()) {
        return file.load_manifest(table.file_io()).await;
    }
    let bytes = table.file_io().new_input(&file.manifest_path)?.read().await?;
    Manifest::parse_avro(manifest_made_known(&bytes).as_deref().unwrap_or(&bytes))
}
