//! The files that a table names, told apart however their paths are written.

use crate::failure;
use crate::manifest_file::read_manifest;
use crate::name::TableName;
use crate::plain_location::plain;
use dataflow::Result;
use iceberg::spec::{SnapshotRef, TableMetadata};
use iceberg::table::Table;
use std::collections::HashSet;
use xxhash_rust::xxh3::xxh3_128;

/// A set of files. A path is in it if it names one of them in any of the ways in which engines write paths.
#[derive(Default)]
pub struct NamedFiles(HashSet<u128>);

impl NamedFiles {
    /// Adds a file.
    pub fn add(&mut self, location: &str) {
        self.0.extend(forms(location));
    }

    /// Whether a location is that of one of them, or may be.
    pub fn has(&self, location: &str) -> bool {
        forms(location).any(|form| self.0.contains(&form))
    }

    /// Adds what a snapshot names: its list, the manifests in it, and the files in those that are alive. `files` says
    /// whether the files are wanted; manifests that were read before are known by `read`.
    pub async fn add_snapshot(
        &mut self,
        name: &TableName,
        table: &Table,
        snapshot: &SnapshotRef,
        read: &mut HashSet<String>,
    ) -> Result<()> {
        let wrong = |what: &str, error| failure::iceberg(format!("table \"{name}\": {what} cannot be read"), error);
        self.add(snapshot.manifest_list());
        let list = table.manifest_list_reader(snapshot).load().await;
        let list = list.map_err(|error| wrong(&format!("manifest list \"{}\"", snapshot.manifest_list()), error))?;
        for file in list.entries() {
            if !read.insert(file.manifest_path.clone()) {
                continue;
            }
            self.add(&file.manifest_path);
            let manifest = read_manifest(table, file).await;
            let manifest = manifest.map_err(|error| wrong(&format!("manifest \"{}\"", file.manifest_path), error))?;
            let alive = manifest.entries().iter().filter(|entry| entry.is_alive());
            alive.for_each(|entry| self.add(entry.file_path()));
        }
        Ok(())
    }

    /// Adds the metadata files that a table names, and those of the statistics of its snapshots but some.
    pub fn add_metadata(&mut self, table: &Table, without: &HashSet<i64>) {
        let metadata = table.metadata();
        table.metadata_location().into_iter().for_each(|location| self.add(location));
        metadata.metadata_log().iter().for_each(|entry| self.add(&entry.metadata_file));
        statistics(metadata).filter(|(snapshot, _)| !without.contains(snapshot)).for_each(|(_, path)| self.add(path));
        self.add(&format!("{}/metadata/version-hint.text", metadata.location()));
    }
}

/// The snapshots of a table that have files of statistics, each with one of them.
pub fn statistics(metadata: &TableMetadata) -> impl Iterator<Item = (i64, &str)> {
    let whole = metadata.statistics_iter().map(|file| (file.snapshot_id, file.statistics_path.as_str()));
    whole.chain(metadata.partition_statistics_iter().map(|file| (file.snapshot_id, file.statistics_path.as_str())))
}

/// The ways in which a location may be written that mean the same, as hashes: as it is, without what percent signs stand
/// for, and on a disk where links lead to.
fn forms(location: &str) -> impl Iterator<Item = u128> {
    let plain = plain(location);
    let decoded = decoded(&plain).filter(|decoded| *decoded != plain);
    let linked = [Some(&plain), decoded.as_ref()].into_iter().flatten().filter_map(|form| {
        let there = form.starts_with('/').then(|| std::fs::canonicalize(form).ok()).flatten()?;
        there.to_str().filter(|there| there != form).map(str::to_owned)
    });
    let linked: Vec<String> = linked.collect();
    std::iter::once(plain).chain(decoded).chain(linked).map(|form| xxh3_128(form.as_bytes()))
}

/// What percent signs stand for; `None` where there are none that stand for something.
fn decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        match code {
            Some(byte) => (bytes.push(byte), rest = &after[2..]).0,
            None => (bytes.push(first), rest = after).0,
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_however_its_path_is_written() {
        let mut named = NamedFiles::default();
        named.add("s3a://lake/t//data/day=2026-01-01 00%3A00/a.parquet");
        named.add("file:/warehouse/t/data/b c.parquet");
        for same in [
            "s3://lake/t/data/day=2026-01-01 00%3A00/a.parquet",
            "s3n://lake/t/data/day=2026-01-01 00:00/a.parquet",
            "s3://lake/t/data/day=2026-01-01%2000%3A00/a.parquet",
            "/warehouse/t/data/b c.parquet",
            "file:///warehouse/t/data/b%20c.parquet",
            "file:///warehouse//t/./data/b c.parquet/",
        ] {
            assert!(named.has(same), "{same}");
        }
        for other in ["s3://lake2/t/data/day=2026-01-01 00%3A00/a.parquet", "/warehouse/t/data/b.parquet", "/lake/t"] {
            assert!(!named.has(other), "{other}");
        }
        assert_eq!(plain("s3://b/a/b/"), plain("s3a://b//a/b"));
        assert_eq!(plain("file:///w/t/metadata/../data/a.parquet"), plain("/w/t/data/a.parquet"));
        assert_eq!(plain("FILE:///w/t/a.parquet"), plain("/w/t/a.parquet"));
        assert_eq!(plain("gs://b/a/b"), plain("gcs://b/a/b"));
        assert_ne!(plain("gs://b/a/b"), plain("s3://b/a/b"));
        let azure = plain("abfss://lake@acc.dfs.core.windows.net/t/a.parquet");
        assert_eq!(azure, plain("wasb://lake@acc.blob.core.windows.net/t//a.parquet"));
        assert_ne!(azure, plain("abfss://lake@other.dfs.core.windows.net/t/a.parquet"));
    }
    #[test]
    fn a_file_is_named_by_whatever_links_lead_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        std::fs::write(real.join("a.parquet"), "").unwrap();
        let at = |folder: &std::path::Path| folder.join("a.parquet").to_str().unwrap().to_owned();
        for (named, found) in [(&real, &link), (&link, &real)] {
            let mut files = NamedFiles::default();
            files.add(&at(named));
            assert!(files.has(&at(found)), "{} for {}", named.display(), found.display());
        }
    }
}
