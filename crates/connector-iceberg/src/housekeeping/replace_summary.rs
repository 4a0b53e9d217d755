//! What a snapshot in which files have taken the places of others says of itself.

use super::content::Content;
use crate::live_files::LiveFile;
use iceberg::spec::{DataContentType, DataFile, Operation, Summary};
use std::collections::HashMap;

/// In the summary of a snapshot: what has made it.
const MADE_BY: &str = "riverrun.compact";

/// The summary of the snapshot, with totals that are counted and not carried along.
pub fn summary(content: &Content, old: &[&LiveFile], new: &[LiveFile], dropped: &[&DataFile]) -> Summary {
    let rows = |files: &mut dyn Iterator<Item = &DataFile>| files.map(DataFile::record_count).sum::<u64>();
    let bytes = |files: &mut dyn Iterator<Item = &DataFile>| files.map(DataFile::file_size_in_bytes).sum::<u64>();
    let of = |files: &[&LiveFile]| files.iter().map(|live| live.file.clone()).collect::<Vec<_>>();
    let (old, new) = (of(old), of(&new.iter().collect::<Vec<_>>()));
    let all: Vec<&DataFile> = content.data.iter().map(|live| &live.file).collect();
    let deletes: Vec<&DataFile> = content.deletes.iter().map(|live| &live.file).collect();
    let by_value = |files: &[&DataFile]| {
        let is_by_value = |file: &&DataFile| file.content_type() == DataContentType::EqualityDeletes;
        files.iter().copied().filter(is_by_value).map(DataFile::record_count).sum::<u64>()
    };
    let deleted = |files: &[&DataFile]| rows(&mut files.iter().copied());
    let sized = |files: &[&DataFile]| bytes(&mut files.iter().copied());
    let (old_bytes, new_bytes) = (bytes(&mut old.iter()), bytes(&mut new.iter()));
    let (old_rows, new_rows) = (rows(&mut old.iter()), rows(&mut new.iter()));
    let less = |whole: u64, part: u64, more: u64| (whole + more).saturating_sub(part);
    let (equality, dropped_equality) = (by_value(&deletes), by_value(dropped));
    let (positions, dropped_positions) = (deleted(&deletes) - equality, deleted(dropped) - dropped_equality);
    let numbers = [
        ("added-data-files", new.len() as u64),
        ("deleted-data-files", old.len() as u64),
        ("added-records", new_rows),
        ("deleted-records", old_rows),
        ("added-files-size", new_bytes),
        ("removed-files-size", old_bytes + sized(dropped)),
        ("removed-delete-files", dropped.len() as u64),
        ("removed-position-deletes", dropped_positions),
        ("removed-equality-deletes", dropped_equality),
        ("total-data-files", less(all.len() as u64, old.len() as u64, new.len() as u64)),
        ("total-delete-files", less(deletes.len() as u64, dropped.len() as u64, 0)),
        ("total-records", less(rows(&mut all.iter().copied()), old_rows, new_rows)),
        ("total-files-size", less(sized(&all) + sized(&deletes), old_bytes + sized(dropped), new_bytes)),
        ("total-position-deletes", positions.saturating_sub(dropped_positions)),
        ("total-equality-deletes", equality.saturating_sub(dropped_equality)),
    ];
    let always = |key: &str| key.starts_with("total-");
    let told = numbers.iter().filter(|(key, number)| *number > 0 || always(key));
    let mut additional_properties: HashMap<String, String> =
        told.map(|(key, number)| ((*key).to_owned(), number.to_string())).collect();
    additional_properties.insert(MADE_BY.to_owned(), "true".to_owned());
    Summary { operation: Operation::Replace, additional_properties }
}
