//! What to write for a file that is named where SQL names streams.

/// The endings of files that a stream can read.
const ENDINGS: [&str; 6] = [".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json"];

/// How to read what is named, where it is named as a file is.
pub(crate) fn file_hint(named: &str) -> Option<String> {
    let lower = named.to_lowercase();
    let bare = lower.strip_suffix(".gz").or_else(|| lower.strip_suffix(".zst")).unwrap_or(&lower);
    let stem = ENDINGS.iter().find_map(|ending| bare.strip_suffix(ending))?;
    let name = stem.rsplit('/').next().unwrap_or_default();
    let name: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    let name = name.trim_matches('_');
    let begins_well = name.starts_with(|first: char| first.is_ascii_alphabetic());
    let stream = if begins_well { name } else { "events" };
    let path = named.replace('\'', "''");
    Some(format!(
        "declare a stream over it, with its column of times in place of `at`: CREATE STREAM {stream} (WATERMARK FOR at AS at) \
         HISTORY FILES '{path}'; then read FROM {stream}"
    ))
}

#[test]
fn a_file_is_known_by_its_ending() {
    for (named, stream) in [
        ("data/2024-plays.parquet", "events"),
        ("Plays of May.csv", "plays_of_may"),
        ("a/b/m.jsonl.gz", "m"),
        ("data/*.csv", "events"),
    ] {
        let hint = file_hint(named).unwrap_or_else(|| panic!("{named} is a file"));
        assert!(
            hint.contains(&format!("CREATE STREAM {stream} (")) && hint.contains(&format!("FILES '{named}'")),
            "{hint}"
        );
    }
    for other in ["plays", "lake.plays", "parquet", "plays.parquets"] {
        assert_eq!(file_hint(other), None, "{other}");
    }
}
